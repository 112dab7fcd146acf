//! SSH: deploy keys and people's own keys, `git-upload-pack` and `git-receive-pack`.
//!
//! One listener serves both providers: the key that signs in says whose repositories are meant.
//! A deploy key opens exactly the repositories it was added to, for reading unless it was added
//! with write access; any other request is refused as the providers do, without saying whether the
//! repository exists.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{command, receive};
use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::people::{AccountBody, Kind, Permission};

/// A fresh ed25519 host key.
pub(crate) fn host_key() -> Result<PrivateKey> {
    let pair = Ed25519Keypair::from_seed(&rand::random());
    PrivateKey::new(KeypairData::Ed25519(pair), "").map_err(|error| DevForgeError::HostKey(error.to_string()))
}

/// `ssh-ed25519 AAAA…` without a comment: how keys are compared and shown.
///
/// # Errors
/// When the text is not an OpenSSH public key.
pub(crate) fn normalise(text: &str) -> Result<(String, String)> {
    let invalid = |error| DevForgeError::Invalid(format!("key is invalid: {error}"));
    let mut key = PublicKey::from_openssh(text.trim()).map_err(invalid)?;
    let comment = key.comment().to_string();
    key.set_comment("");
    Ok((key.to_openssh().map_err(invalid)?.trim().to_owned(), comment))
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(forge: Shared, listener: TcpListener, key: PrivateKey, stop: CancellationToken) {
    let config = Arc::new(russh::server::Config {
        keys: vec![key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Constant-time rejection protects real hosts; here it would only make tests wait.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..Default::default()
    });
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an SSH connection");
                    continue;
                }
            },
        };
        let (config, stop) = (config.clone(), stop.clone());
        let handler = Connection {
            forge: forge.clone(),
            key: None,
            channels: HashMap::new(),
        };
        tokio::spawn(async move {
            let session = match russh::server::run_stream(config, stream, handler).await {
                Ok(session) => session,
                Err(error) => return tracing::debug!(%error, "SSH handshake failed"),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                ended = session => if let Err(error) = ended { tracing::debug!(%error, "SSH session ended") },
            }
        });
    }
}

struct Connection {
    forge: Shared,
    /// The key that signed in, normalised.
    key: Option<String>,
    channels: HashMap<ChannelId, Opened>,
}

struct Opened {
    channel: Channel<Msg>,
    protocol: Option<String>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let offered = key
            .public_key
            .to_openssh()
            .ok()
            .and_then(|text| normalise(&text).ok());
        let Some((key, _)) = offered else {
            return Ok(Auth::reject());
        };
        if user != "git" || !is_known(&self.forge, &key) {
            return Ok(Auth::reject());
        }
        self.key = Some(key);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(
            channel.id(),
            Opened {
                channel,
                protocol: None,
            },
        );
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(opened) = self.channels.get_mut(&channel).filter(|_| name == "GIT_PROTOCOL") {
            opened.protocol = Some(value.to_owned());
        }
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(Opened { channel, protocol }) = self.channels.remove(&id) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let line = String::from_utf8_lossy(data).into_owned();
        let (forge, key) = (self.forge.clone(), self.key.clone().unwrap_or_default());
        tokio::spawn(async move {
            let status = match authorise(&forge, &key, &line) {
                Ok(task) => run(&forge, channel, protocol.as_deref(), task).await,
                Err(refusal) => refuse(&channel, refusal).await,
            };
            tracing::debug!(%line, ?status, "SSH command ended");
        });
        Ok(())
    }
}

/// What a command line may do, once it is allowed.
struct Task {
    kind: Kind,
    repo: u64,
    dir: PathBuf,
    /// `Some(user)` for a push, which is then theirs.
    pusher: Option<u64>,
}

const NOT_FOUND: &str = "ERROR: Repository not found.\n";

fn is_known(forge: &Shared, key: &str) -> bool {
    let world = forge.world();
    [Kind::GitHub, Kind::Bitbucket].into_iter().any(|kind| {
        let side = world.side(kind);
        side.repositories
            .iter()
            .any(|repo| repo.keys.iter().any(|known| known.key == key))
            || person_with_key(side, key).is_some()
    })
}

fn person_with_key(side: &crate::state::Side, key: &str) -> Option<u64> {
    let has = |body: &AccountBody| match body {
        AccountBody::User { ssh_keys, .. } => ssh_keys.iter().any(|known| known == key),
        AccountBody::Organization { .. } => false,
    };
    side.accounts
        .iter()
        .find(|account| has(&account.body))
        .map(|account| account.id)
}

/// `git-upload-pack '/owner/name.git'`, as git sends it: may this key do that?
fn authorise(forge: &Shared, key: &str, line: &str) -> Result<Task, &'static str> {
    let (service, path) = line
        .split_once(' ')
        .ok_or("ERROR: shell access is not provided\n")?;
    let writing = match service {
        "git-upload-pack" => false,
        "git-receive-pack" => true,
        _ => return Err("ERROR: shell access is not provided\n"),
    };
    let path = path.trim().trim_matches('\'').trim_start_matches('/');
    let (owner, name) = path.split_once('/').ok_or(NOT_FOUND)?;
    let name = name.strip_suffix(".git").unwrap_or(name);

    let world = forge.world();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let side = world.side(kind);
        let Some(repo) = side.repo_named(owner, name) else {
            continue;
        };
        let deploy_key = repo.keys.iter().find(|known| known.key == key);
        let person = person_with_key(side, key);
        let (user, may) = match (deploy_key, person) {
            (Some(known), _) if known.read_only => (known.added_by, Permission::Read),
            (Some(known), _) => (known.added_by, Permission::Write),
            (None, Some(person)) => match side.permission(Some(person), repo) {
                Some(may) => (person, may),
                None => continue,
            },
            (None, None) => continue,
        };
        if writing && may < Permission::Write {
            return Err("ERROR: The key you are authenticating with has been marked as read only.\n");
        }
        return Ok(Task {
            kind,
            repo: repo.id,
            dir: repo.dir.clone(),
            pusher: writing.then_some(user),
        });
    }
    Err(NOT_FOUND)
}

async fn refuse(channel: &Channel<Msg>, reason: &'static str) -> Result<(), russh::Error> {
    channel.extended_data_bytes(1, reason.as_bytes()).await?;
    channel.exit_status(1).await?;
    channel.eof().await?;
    channel.close().await
}

async fn run(
    forge: &Shared,
    channel: Channel<Msg>,
    protocol: Option<&str>,
    task: Task,
) -> Result<(), russh::Error> {
    let (mut from_client, to_client) = channel.split();
    let receiving = match task.pusher {
        Some(_) => Some(
            receive::begin(forge, task.kind, task.repo)
                .await
                .map_err(|_| russh::Error::Disconnect)?,
        ),
        None => None,
    };
    let service = if receiving.is_some() {
        "receive-pack"
    } else {
        "upload-pack"
    };
    let mut git = command(&task.dir, [service, "."]);
    git.env("GIT_PROTOCOL", protocol.unwrap_or_default());
    git.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = git.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

    let answer = async {
        let (mut out, mut err) = (to_client.make_writer(), to_client.make_writer_ext(Some(1)));
        let relay_out = async {
            if let Some(mut stdout) = stdout {
                let _ = tokio::io::copy(&mut stdout, &mut out).await;
            }
        };
        let relay_err = async {
            if let Some(mut stderr) = stderr {
                let _ = tokio::io::copy(&mut stderr, &mut err).await;
            }
        };
        let ((), (), status) = tokio::join!(relay_out, relay_err, child.wait());
        status
    };
    let feed = async {
        if let Some(mut stdin) = stdin {
            // The client may go away at any time; git then sees the end of its input.
            let _ = tokio::io::copy(&mut from_client.make_reader(), &mut stdin).await;
        }
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        status = answer => status?,
        () = feed => unreachable!("feeding never ends by itself"),
    };
    if let (Some(receiving), Some(pusher)) = (receiving, task.pusher)
        && let Err(error) = receive::finish(forge, receiving, pusher).await
    {
        tracing::warn!(%error, "a push over SSH could not be followed up");
    }
    to_client
        .exit_status(status.code().unwrap_or(1).unsigned_abs())
        .await?;
    to_client.eof().await?;
    to_client.close().await
}
