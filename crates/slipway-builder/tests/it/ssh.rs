//! Cloning over SSH from a real sshd that knows one key and gives out one repository.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use slipway_parts::Registry;
use slipway_types::{
    build::{FailureKind, Purpose},
    protocol::{BuildSpec, CloneCredential},
};

use crate::world::{Said, git::Source, run, spec, until};

struct Sshd {
    child: Child,
    port: u16,
    known_host: String,
    private_key: String,
    _directory: tempfile::TempDir,
}

impl Sshd {
    /// Lets one key in, to read this source and nothing else.
    async fn start(source: &Source) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["host", "user"] {
            keygen(&at(name));
        }
        let public = fs::read_to_string(at("user.pub")).unwrap();
        let command = format!("git-upload-pack '{}'", source.tree().display());
        fs::write(
            at("authorized"),
            format!("restrict,command=\"{command}\" {public}"),
        )
        .unwrap();
        fs::set_permissions(at("authorized"), fs::Permissions::from_mode(0o600)).unwrap();
        // sshd wants it, and only its package's start script makes it.
        fs::create_dir_all("/run/sshd").unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("/usr/sbin/sshd")
            .args([
                "-D",
                "-e",
                "-f",
                "/dev/null",
                "-h",
                &at("host"),
                "-p",
                &port.to_string(),
            ])
            .args([
                "-o",
                "ListenAddress=127.0.0.1",
                "-o",
                "StrictModes=no",
                "-o",
                "PidFile=none",
            ])
            .args(["-o", "PermitRootLogin=forced-commands-only", "-o", "UsePAM=no"])
            .args(["-o", &format!("AuthorizedKeysFile={}", at("authorized"))])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let host = fs::read_to_string(at("host.pub")).unwrap();
        let this = Self {
            child,
            port,
            known_host: format!("[127.0.0.1]:{port} {}", host.trim()),
            private_key: fs::read_to_string(at("user")).unwrap(),
            _directory: directory,
        };
        let up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("sshd listens", up).await;
        this
    }

    fn spec(&self, source: &Source) -> BuildSpec {
        let mut spec = spec(source, &Registry::shared_open());
        spec.purpose = Purpose::Test;
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        spec.source.clone_url = format!("ssh://{user}@127.0.0.1:{}/app.git", self.port);
        spec.source.known_hosts = vec![self.known_host.clone()];
        spec.source.credential = CloneCredential::DeployKey {
            private_key: self.private_key.clone().into(),
        };
        spec
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keygen(path: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", path])
        .status();
    assert!(made.unwrap().success() && Path::new(path).exists());
}

async fn source() -> Source {
    let source = Source::open().await;
    source.file("Dockerfile", "FROM scratch\n");
    let script = "git fetch -q origin main && echo said fetched\n\
                  grep -rl 'PRIVATE KE[Y]' .. && echo said found; true";
    source.hook("build", script).commit("x");
    source
}

fn fetched(said: &Said) {
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["fetched"], "{}", said.log());
}

#[tokio::test]
async fn a_deploy_key_serves_checkout_and_hooks_and_lies_nowhere() {
    let source = source().await;
    let sshd = Sshd::start(&source).await;
    fetched(&run(&sshd.spec(&source)).await);
}

#[tokio::test]
async fn a_configured_key_is_used_instead_also_when_its_lines_were_joined() {
    let source = source().await;
    let sshd = Sshd::start(&source).await;
    for joint in [" ", "\\n"] {
        let mut spec = sshd.spec(&source);
        spec.source.credential = CloneCredential::None;
        spec.source.ssh_private = Some(sshd.private_key.trim().replace('\n', joint).into());
        fetched(&run(&spec).await);
    }
}

/// The server gives out one repository only, so the submodule is an earlier commit of the source itself.
#[tokio::test]
async fn submodules_named_by_https_are_fetched_by_ssh_with_the_configured_key() {
    let source = Source::open().await;
    let part = source.file("inner.txt", "from the part").commit("part");
    source
        .file("Dockerfile", "FROM scratch\n")
        .hook("build", "echo \"said $(cat part/inner.txt)\"");
    source.file(
        ".gitmodules",
        "[submodule \"part\"]\n\tpath = part\n\turl = https://127.0.0.1/part.git\n",
    );
    source.git(&["add", "-A"]);
    source.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{part},part"),
    ]);
    source.git(&["commit", "-q", "-m", "x"]);
    let sshd = Sshd::start(&source).await;
    let mut spec = sshd.spec(&source);
    spec.source.credential = CloneCredential::None;
    spec.source.ssh_private = Some(sshd.private_key.clone().into());
    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["from the part"], "{}", said.log());
}

#[tokio::test]
async fn an_unknown_host_key_is_refused() {
    let source = source().await;
    let sshd = Sshd::start(&source).await;
    let mut spec = sshd.spec(&source);
    spec.source.known_hosts = vec![format!(
        "[127.0.0.1]:{} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx0Oa7Yg9Cy0zPMxxgqRyvYBqJmWLWcWEwLsJXKbvxg",
        sshd.port
    )];
    let said = run(&spec).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::CHECKOUT);
    assert!(message.contains("host key"), "{message}\n{}", said.log());
}

#[tokio::test]
async fn the_key_is_taken_away_after_checkout_where_asked() {
    let source = Source::open().await;
    source.file("Dockerfile", "FROM scratch\n");
    source
        .hook(
            "build",
            "git fetch -q origin main && echo said fetched || echo said refused",
        )
        .commit("x");
    let sshd = Sshd::start(&source).await;
    let mut spec = sshd.spec(&source);
    spec.source.drop_credential = true;
    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(said.log_lines("said "), ["refused"]);
}

#[tokio::test]
async fn a_key_that_is_none_is_told_so() {
    let source = source().await;
    let sshd = Sshd::start(&source).await;
    let mut spec = sshd.spec(&source);
    spec.source.ssh_private = Some("not a key at all".into());
    let said = run(&spec).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::SECRETS);
    assert!(message.contains("SSH_PRIVATE"), "{message}");
}
