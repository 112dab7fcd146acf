//! A Docker Engine for a test run.
//!
//! Its own, even where one is running: tests remove images and break networks. It is kept apart by its own
//! socket, data, bridge, and process and mount namespaces (`engine.sh`), and leaves the host's packet
//! filter and forwarding as they are. Containers of one network reach each other and published ports
//! work through the engine's proxy; the outside is not reachable, which no test may depend on.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::error::PartError;
use crate::http;
use crate::programs;
use crate::registry::Registry;
use crate::run::{Place, Run, lock, private_directory, write_private};

const START: &str = include_str!("engine.sh");
const AFTER: &str = include_str!("engine-after.sh");

/// The run's Docker Engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Engine {
    /// Its address, as `DOCKER_HOST` has it: `unix:///…/docker.sock`.
    pub host: String,
    /// A `docker` command that can talk to it and build with BuildKit; found by trying.
    pub cli: PathBuf,
    /// Its version, as `20.10.24`.
    pub version: String,
    /// The newest version of its API, as `1.41`.
    pub api_version: String,
    directory: PathBuf,
}

/// What `GET /version` says, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    api_version: String,
}

impl Engine {
    /// The run's engine, started if this is the first test to ask.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub fn shared() -> Self {
        crate::or_fail(Self::try_shared())
    }

    /// As [`Engine::shared`], for callers that report failure themselves.
    ///
    /// # Errors
    /// [`PartError::NotRoot`], [`PartError::Missing`] without `dockerd`, [`PartError::NotUp`] if it does not
    /// start, [`PartError::NoClient`] if no `docker` command here can build on it.
    pub fn try_shared() -> Result<Self, PartError> {
        if !geteuid().is_root() {
            return Err(PartError::NotRoot);
        }
        Run::current()?.part("engine", start)
    }

    /// The engine that already answers at `host` (`unix:///…`), or `None` when there is none. It is somebody's:
    /// whoever uses it takes nothing away that they did not make.
    ///
    /// # Errors
    /// [`PartError::NoClient`] if no `docker` command here can build on it, [`PartError::Io`] if no directory
    /// can be made for the client's files.
    pub fn existing(host: &str) -> Result<Option<Self>, PartError> {
        let socket = Path::new(host.trim_start_matches("unix://"));
        let Ok(version) = get(socket, "/version") else {
            return Ok(None);
        };
        let keep = |place: &Place<'_>| Self::answering(host, &version, &place.directory);
        Run::current()?.part("client", keep).map(Some)
    }

    fn answering(host: &str, version: &[u8], directory: &Path) -> Result<Self, PartError> {
        let version: Version =
            serde_json::from_slice(version).map_err(|error| misunderstood("/version", &error))?;
        Ok(Self {
            host: host.to_owned(),
            cli: working_client(host, directory)?,
            version: version.version,
            api_version: version.api_version,
            directory: directory.to_owned(),
        })
    }

    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        Path::new(self.host.trim_start_matches("unix://"))
    }

    /// Asks the engine whether it is well (`GET /_ping`).
    ///
    /// # Errors
    /// [`PartError::Io`] if nobody answers, [`PartError::Answer`] if it is not.
    pub fn ping(&self) -> Result<(), PartError> {
        get(self.socket(), "/_ping").map(drop)
    }

    /// `docker` for this engine, with BuildKit, signed in nowhere.
    pub fn docker(&self) -> Command {
        docker(&self.cli, &self.host, &self.directory.join("client"))
    }

    /// `docker` for this engine, signed in at `registry`.
    ///
    /// # Errors
    /// [`PartError::Io`] if the client's configuration cannot be written.
    pub fn docker_with(&self, registry: &Registry) -> Result<Command, PartError> {
        let config = self
            .directory
            .join(format!("client-{}", registry.host.replace(':', "-")));
        let file = config.join("config.json");
        make_directory(&config)?;
        write_private(&file, registry.docker_config().expose_secret().as_bytes())
            .map_err(PartError::io("write", file))?;
        Ok(docker(&self.cli, &self.host, &config))
    }

    /// Pushes a small base image, the shell and tools of busybox, to `registry` as `name`
    /// (`base:busybox`), once per run: nothing can be pulled from outside in tests. Returns what a
    /// Dockerfile's `FROM` needs.
    ///
    /// # Panics
    /// When it cannot be made or pushed; the message says why.
    pub fn push_base(&self, registry: &Registry, name: &str) -> String {
        crate::or_fail(self.try_push_base(registry, name))
    }

    fn try_push_base(&self, registry: &Registry, name: &str) -> Result<String, PartError> {
        let _lock = lock(&self.directory.join("base.lock"))?;
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let image = format!("{}/{repository}:{tag}", registry.host);
        if registry.digest(repository, tag)?.is_some() {
            return Ok(image);
        }

        let root = self.directory.join("base");
        if !root.exists() {
            lay_out_busybox(&root)?;
        }
        let mut tar = Command::new("tar")
            .args(["--owner=0", "--group=0", "--create", "--directory"])
            .args([root.as_path(), Path::new(".")])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(PartError::io("run", "tar"))?;
        let layer = tar.stdout.take().map_or_else(Stdio::null, Stdio::from);
        let mut import = self.docker();
        import.args([
            "import",
            "--change",
            "ENV PATH=/bin",
            "--change",
            "CMD [\"sh\"]",
            "-",
            &image,
        ]);
        let imported = programs::run(import.stdin(layer));
        tar.wait().map_err(PartError::io("run", "tar"))?;
        imported?;
        programs::run(self.docker_with(registry)?.args(["push", "--quiet", &image]))?;
        Ok(image)
    }
}

fn start(place: &Place<'_>) -> Result<Engine, PartError> {
    let dockerd = programs::find("dockerd")?.display().to_string();
    programs::find("ip").map_err(|_| PartError::Missing("iproute2"))?;
    let directory = place.directory.display().to_string();
    // An interface's name holds 15 bytes; one that is drawn clashes with no other run's.
    let bridge = format!("slipway{:08x}", rand::random::<u32>());
    let address = format!(
        "10.{}.{}.1/24",
        rand::random_range(200..240),
        rand::random_range(0..=255)
    );
    place.afterwards(
        &AFTER
            .replace("BRIDGE", &bridge)
            .replace("GROUP", &bridge)
            .replace("DIR", &directory),
    )?;

    let host = format!("unix://{directory}/docker.sock");
    let settings = [
        format!("--host={host}"),
        format!("--data-root={directory}/data"),
        format!("--exec-root={directory}/exec"),
        format!("--pidfile={directory}/docker.pid"),
        format!("--bridge={bridge}"),
        format!("--cgroup-parent={bridge}"),
        // The other driver, systemd, takes only names of its own slices.
        "--exec-opt=native.cgroupdriver=cgroupfs".to_owned(),
        "--iptables=false".to_owned(),
        "--ip-forward=false".to_owned(),
        "--ip-masq=false".to_owned(),
    ];
    let mut command = vec![
        "setpriv",
        "--pdeathsig",
        "KILL",
        "sh",
        "-c",
        START,
        "slipway-parts-engine",
    ];
    command.extend([bridge.as_str(), &address, &dockerd]);
    command.extend(settings.iter().map(String::as_str));
    place.start_guarded("KILL", &command)?;

    let socket = place.directory.join("docker.sock");
    let version = place.wait_until_up(|| get(&socket, "/version").ok())?;
    Engine::answering(&host, &version, &place.directory)
}

/// The first `docker` in `PATH` that really builds. A client of today without the buildx plugin
/// cannot, an old one is refused by a new engine, and neither shows before it is tried.
fn working_client(host: &str, directory: &Path) -> Result<PathBuf, PartError> {
    let (context, config) = (directory.join("probe"), directory.join("client"));
    make_directory(&context)?;
    make_directory(&config)?;
    let dockerfile = context.join("Dockerfile");
    fs::write(&dockerfile, "FROM scratch\nCOPY Dockerfile /\n")
        .map_err(PartError::io("write", dockerfile))?;

    let mut refusals = Vec::new();
    for client in programs::all_named("docker") {
        match programs::run(
            docker(&client, host, &config)
                // To our standard output: the engine may be somebody's, and keeps no image of this.
                .args(["build", "--quiet", "--output", "-"])
                .arg(&context),
        ) {
            Ok(_) => return Ok(client),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    Err(PartError::NoClient(if refusals.is_empty() {
        "there is none".to_owned()
    } else {
        refusals.join("; ")
    }))
}

fn docker(client: &Path, host: &str, config: &Path) -> Command {
    let mut command = Command::new(client);
    command
        .env("DOCKER_HOST", host)
        .env("DOCKER_CONFIG", config)
        .env("DOCKER_BUILDKIT", "1");
    // Whatever the person at the keyboard uses otherwise, tests use this engine.
    command
        .env_remove("DOCKER_CONTEXT")
        .env_remove("DOCKER_API_VERSION")
        .env_remove("BUILDX_BUILDER");
    command
}

/// A root file system with busybox and a name for each of its applets.
fn lay_out_busybox(root: &Path) -> Result<(), PartError> {
    let busybox = programs::find("busybox")?;
    let applets = programs::run(Command::new(&busybox).arg("--list"))?;
    let lay_out = || -> io::Result<()> {
        for directory in ["bin", "etc", "tmp"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::copy(&busybox, root.join("bin/busybox"))?;
        for applet in String::from_utf8_lossy(&applets.stdout)
            .lines()
            .filter(|applet| *applet != "busybox")
        {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")
    };
    lay_out().map_err(PartError::io("lay out a base image in", root))
}

fn make_directory(path: &Path) -> Result<(), PartError> {
    private_directory()
        .recursive(true)
        .create(path)
        .map_err(PartError::io("make", path))
}

fn get(socket: &Path, path: &str) -> Result<Vec<u8>, PartError> {
    let answer = UnixStream::connect(socket)
        .and_then(|connection| http::get(connection, path, &[]))
        .map_err(PartError::io("ask the engine at", socket))?;
    if answer.status != 200 {
        return Err(misunderstood(path, &format!("status {}", answer.status)));
    }
    Ok(answer.body)
}

fn misunderstood(path: &str, why: &impl ToString) -> PartError {
    PartError::Answer {
        request: format!("GET {path}"),
        why: why.to_string(),
    }
}
