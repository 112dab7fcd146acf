//! What git shows to the forge, without it lying anywhere: keys are held by an ssh-agent of the pipeline's own, tokens
//! are given out over a socket of the pipeline's own. Neither is in an argument, a URL, `.git/config` or any file.
//!
//! Both serve all through the build, because hooks fetch too, and are taken away after checkout where the spec says so.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use secrecy::{ExposeSecret, SecretString};
use slipway_types::{
    build::FailureKind,
    protocol::{CloneCredential, SourceSpec},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    process::{Child, Command},
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    environment::Environment,
    exec::Program,
    failure::Failure,
    layout::{Layout, write_private},
};

/// The variable by which the askpass program finds the pipeline.
const SOCKET: &str = "SLIPWAY_ASKPASS";
/// The longest question git asks, in bytes: a URL with words around it.
const LONGEST_PROMPT: u64 = 8 << 10;

/// The clone credential, as long as git may use it.
pub(super) struct Credentials {
    agent: Option<Child>,
    askpass: Option<AbortOnDropHandle<()>>,
    /// `(name, value)` for the environment of git, hooks and tests.
    variables: Vec<(&'static str, String)>,
}

impl Credentials {
    /// Prepares what the source needs.
    pub(super) async fn prepare(
        source: &SourceSpec,
        layout: &Layout,
        environment: &Environment,
        askpass: &[std::ffi::OsString],
    ) -> Result<Self, Failure> {
        let mut this = Self {
            agent: None,
            askpass: None,
            variables: Vec::new(),
        };
        let key = match (&source.ssh_private, &source.credential) {
            (Some(configured), _) => Some((configured, "the configured SSH_PRIVATE")),
            (None, CloneCredential::DeployKey { private_key }) => Some((private_key, "the deploy key")),
            (None, _) => None,
        };
        let agent_socket = match key {
            Some((key, what)) => Some(this.start_agent(layout, environment, key, what).await?),
            None => None,
        };
        let written = |error: io::Error| Failure::not_written("its SSH settings", &error);
        this.set_up_ssh(source, layout, agent_socket.as_deref())
            .map_err(written)?;
        if let CloneCredential::Token { user, token } = &source.credential {
            this.serve_askpass(source, layout, user, token, askpass)
                .map_err(|error| Failure::not_written("its askpass program", &error))?;
        }
        if source.ssh_private.is_some() {
            this.rewrite_to_ssh(source);
        }
        Ok(this)
    }

    /// The variables by which git finds it.
    pub(super) fn apply(&self, environment: &mut Environment) {
        for (name, value) in &self.variables {
            environment.set(name, value);
        }
    }

    /// Takes it away: from now on nothing that runs in the machine can use it.
    pub(super) async fn take_away(&mut self, environment: &mut Environment) {
        self.askpass = None;
        if let Some(mut agent) = self.agent.take() {
            // An agent that has ended by itself is as good.
            let _ = agent.kill().await;
        }
        // Its SSH settings stay: without them ssh would look for the host's own keys.
        for name in ["GIT_ASKPASS", SOCKET] {
            environment.remove(name);
        }
    }

    /// Starts an ssh-agent that holds the key. Returns its socket.
    async fn start_agent(
        &mut self,
        layout: &Layout,
        environment: &Environment,
        key: &SecretString,
        what: &str,
    ) -> Result<PathBuf, Failure> {
        let socket = layout.own.join("agent");
        let mut agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .env_clear()
            .envs(environment.iter())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::not_run("ssh-agent", &error))?;
        if let Some(said) = agent.stdout.take() {
            // It says its socket's name once it listens there.
            let mut line = String::new();
            let _ = BufReader::new(said).read_line(&mut line).await;
        }
        let key = as_entered(key);
        let added = Program::new("ssh-add", environment, &layout.home)
            .args(["-q", "-"])
            .env("SSH_AUTH_SOCK", &socket)
            // A key with a passphrase would ask for it.
            .env("SSH_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .input(key.expose_secret().as_bytes())
            .captured()
            .await
            .map_err(|error| Failure::not_run("ssh-add", &error))?;
        if !added.status.success() {
            return Err(Failure::new(
                FailureKind::SECRETS,
                format!(
                    "{what} could not be used as an SSH key: it must be a private key without a passphrase"
                ),
            ));
        }
        self.agent = Some(agent);
        Ok(socket)
    }

    /// Writes an SSH configuration that knows the given host keys and the agent, and nothing of the host's.
    fn set_up_ssh(&mut self, source: &SourceSpec, layout: &Layout, agent: Option<&Path>) -> io::Result<()> {
        let known_hosts = layout.own.join("known_hosts");
        let mut lines = source.known_hosts.join("\n");
        lines.push('\n');
        write_private(&known_hosts, 0o600, lines.as_bytes())?;
        let agent = agent.map_or_else(|| "none".to_owned(), |path| format!("\"{}\"", path.display()));
        let text = format!(
            "Host *\n\
             IdentityAgent {agent}\n\
             IdentityFile none\n\
             UserKnownHostsFile \"{}\"\n\
             GlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\n\
             UpdateHostKeys no\n\
             BatchMode yes\n\
             ForwardAgent no\n\
             ConnectTimeout 30\n\
             ServerAliveInterval 15\n",
            known_hosts.display(),
        );
        let config = layout.own.join("ssh_config");
        write_private(&config, 0o600, text.as_bytes())?;
        let command = format!("ssh -F {}", quoted(&config.display().to_string()));
        self.variables.push(("GIT_SSH_COMMAND", command));
        Ok(())
    }

    /// Answers git's questions for this one forge, over a socket.
    fn serve_askpass(
        &mut self,
        source: &SourceSpec,
        layout: &Layout,
        user: &str,
        token: &SecretString,
        program: &[std::ffi::OsString],
    ) -> io::Result<()> {
        let socket = layout.own.join("askpass.sock");
        let listener = UnixListener::bind(&socket)?;
        let script = layout.own.join("askpass");
        let words: Vec<String> = program
            .iter()
            .map(|word| quoted(&word.to_string_lossy()))
            .collect();
        let text = format!("#!/bin/sh\nexec {} \"$1\"\n", words.join(" "));
        write_private(&script, 0o700, text.as_bytes())?;
        let answers = Answers {
            forge: Url::parse(&source.clone_url).ok(),
            user: user.to_owned(),
            token: token.clone(),
        };
        self.askpass = Some(AbortOnDropHandle::new(tokio::spawn(serve(listener, answers))));
        self.variables.push(("GIT_ASKPASS", script.display().to_string()));
        self.variables.push((SOCKET, socket.display().to_string()));
        Ok(())
    }

    /// Docker Hub's documented use of `SSH_PRIVATE`: submodules that are named by `https://` are fetched by SSH.
    fn rewrite_to_ssh(&mut self, source: &SourceSpec) {
        let Some(forge) = Url::parse(&source.clone_url).ok() else {
            return;
        };
        let Some(host) = forge.host_str() else { return };
        // Where the source itself is cloned by SSH, its user and port are the forge's.
        let to = if forge.scheme() == "ssh" {
            let user = Some(forge.username())
                .filter(|user| !user.is_empty())
                .unwrap_or("git");
            let port = forge.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("ssh://{user}@{host}{port}/")
        } else {
            format!("git@{host}:")
        };
        self.variables.push(("GIT_CONFIG_COUNT", "1".to_owned()));
        self.variables
            .push(("GIT_CONFIG_KEY_0", format!("url.{to}.insteadOf")));
        self.variables
            .push(("GIT_CONFIG_VALUE_0", format!("https://{host}/")));
    }
}

/// What git may be told, and about which forge.
struct Answers {
    forge: Option<Url>,
    user: String,
    token: SecretString,
}

impl Answers {
    /// `Username for 'https://host': ` or `Password for 'https://user@host': ` (git-credential, "askpass").
    fn to(&self, prompt: &str) -> Option<SecretString> {
        let asked = Url::parse(prompt.split('\'').nth(1)?).ok()?;
        let forge = self.forge.as_ref()?;
        if asked.origin() != forge.origin() {
            return None;
        }
        if prompt.starts_with("Username") {
            return Some(self.user.as_str().into());
        }
        prompt.starts_with("Password").then(|| self.token.clone())
    }
}

async fn serve(listener: UnixListener, answers: Answers) {
    while let Ok((stream, _)) = listener.accept().await {
        // A program that went away is git's trouble.
        let _ = answer(stream, &answers).await;
    }
}

async fn answer(stream: UnixStream, answers: &Answers) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut prompt = String::new();
    BufReader::new(read.take(LONGEST_PROMPT))
        .read_line(&mut prompt)
        .await?;
    if let Some(said) = answers.to(&prompt) {
        write.write_all(said.expose_secret().as_bytes()).await?;
    }
    Ok(())
}

/// Asks the pipeline what to answer to git: the whole of the program that git calls as `GIT_ASKPASS`. None when it has
/// no answer, or is not there any more.
pub fn ask_pipeline(prompt: &str) -> Option<SecretString> {
    use std::io::{Read, Write};
    let socket = std::env::var_os(SOCKET)?;
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream
        .write_all(format!("{}\n", prompt.replace('\n', " ")).as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.take(LONGEST_PROMPT).read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then(|| answer.into())
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A key as it was entered first, before a form made one line of it: so that its lines are masked, too.
pub(super) fn as_entered(key: &SecretString) -> SecretString {
    unflattened(key.expose_secret()).into()
}

/// A private key as it was before its line ends were turned into blanks or into `\n` by a form or a shell.
fn unflattened(key: &str) -> String {
    let text = key.replace("\\r", "").replace("\\n", "\n").replace('\r', "");
    let text = text.trim();
    let lines_are_there = text.lines().count() > 2;
    let parts = (|| {
        let (label, rest) = text.strip_prefix("-----BEGIN ")?.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let body = rest.split_once(&end)?.0;
        Some((label, body.split_whitespace().collect::<String>(), end))
    })();
    match parts {
        Some((label, body, end)) if !lines_are_there => {
            let mut whole = format!("-----BEGIN {label}-----\n");
            for line in body.as_bytes().chunks(64) {
                whole.push_str(&String::from_utf8_lossy(line));
                whole.push('\n');
            }
            whole.push_str(&end);
            whole.push('\n');
            whole
        }
        _ => format!("{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB\nCCCC\n-----END OPENSSH PRIVATE KEY-----\n";
    const JOINED: &str =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAABBBBCCCC\n-----END OPENSSH PRIVATE KEY-----\n";

    #[test]
    fn a_key_survives_having_been_flattened() {
        assert_eq!(unflattened(KEY), KEY);
        assert_eq!(unflattened(&KEY.replace('\n', "\r\n")), KEY);
        assert_eq!(unflattened(&KEY.replace('\n', "\\n")), KEY);
        assert_eq!(unflattened(&KEY.replace('\n', " ")), JOINED);
        assert_eq!(unflattened("no key"), "no key\n");
    }

    #[test]
    fn only_the_forge_s_own_questions_are_answered() {
        let answers = Answers {
            forge: Url::parse("https://forge.example:8443/a/b.git").ok(),
            user: "x-access-token".into(),
            token: "secret".into(),
        };
        let to = |prompt: &str| answers.to(prompt).map(|s| s.expose_secret().to_owned());
        assert_eq!(
            to("Username for 'https://forge.example:8443': ").as_deref(),
            Some("x-access-token")
        );
        let password = "Password for 'https://x-access-token@forge.example:8443': ";
        assert_eq!(to(password).as_deref(), Some("secret"));
        assert_eq!(to("Password for 'https://forge.example': "), None);
        assert_eq!(to("Password for 'http://forge.example:8443': "), None);
        assert_eq!(to("Password for 'https://evil.example:8443': "), None);
        assert_eq!(to("What?"), None);
    }
}
