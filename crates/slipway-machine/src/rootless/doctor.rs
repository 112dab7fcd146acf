//! Whether rootless machines can be had here, and what to do about what is missing: each prerequisite by itself, then a
//! machine as the proof.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use slipway_types::{BuildId, LeaseNo};

use super::{Options, Rootless, ids, root};
use crate::{
    driver::{Driver as _, MachineSpec},
    error::MachineError,
};

/// The programs of the host that a machine's start needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("newuidmap", "uidmap"),
    ("newgidmap", "uidmap"),
    ("slirp4netns", "slirp4netns"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("tar", "tar"),
];
/// When a root file system is old: Debian's security updates come every few days.
const OLD: Duration = Duration::from_hours(45 * 24);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// Works, and should be otherwise.
    Warning,
    /// Keeps machines from starting.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self::of(name, Health::Good, found, None)
    }

    /// Something that works and should be otherwise.
    pub fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Health::Warning, found, Some(fix.into()))
    }

    /// Something that keeps machines from starting.
    pub fn missing(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(name, Health::Missing, found, Some(fix.into()))
    }

    fn of(name: &'static str, health: Health, found: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            name,
            health,
            found: found.into(),
            fix,
        }
    }
}

/// Looks at everything that rootless machines with these options need.
pub async fn examine(options: &Options) -> Vec<Finding> {
    let mut all = vec![user(), sub_ids()];
    all.extend(PROGRAMS.map(|(name, package)| program(name, package)));
    all.extend([
        namespaces(),
        tunnel(),
        root_file_system(&options.directory),
        limits(),
    ]);
    if all.iter().all(|finding| finding.health != Health::Missing) {
        all.push(machine(options).await);
    }
    all
}

fn user() -> Finding {
    if nix::unistd::geteuid().is_root() {
        let fix = "run Slipway as a user of its own, so that a way out of a machine does not end at root";
        return Finding::warning("user", "this is root", fix);
    }
    Finding::good("user", "not root")
}

fn sub_ids() -> Finding {
    match ids::own() {
        Ok(lanes) => Finding::good("sub-ids", format!("{} machines at once", lanes.len())),
        Err(error) => Finding::missing(
            "sub-ids",
            error.to_string(),
            "usermod --add-subuids 1000000-1655359 --add-subgids 1000000-1655359 USER, with a range that is nobody's",
        ),
    }
}

fn program(name: &'static str, package: &str) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |path: &Path| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let found = std::env::split_paths(&path)
        .map(|place| place.join(name))
        .find(|path| is_program(path));
    match found {
        Some(path) => Finding::good(name, path.display().to_string()),
        None => Finding::missing(name, "it is not in PATH", format!("apt-get install {package}")),
    }
}

/// Whether a user may make user namespaces (user_namespaces(7)); two distributions have switches of their own.
fn namespaces() -> Finding {
    let switch = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let name = "namespaces";
    if switch("/proc/sys/user/max_user_namespaces") == Some(0) {
        let fix = "sysctl user.max_user_namespaces=15000, and the same in /etc/sysctl.d";
        return Finding::missing(name, "user.max_user_namespaces is 0", fix);
    }
    let root = nix::unistd::geteuid().is_root();
    if !root && switch("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        let fix = "sysctl kernel.unprivileged_userns_clone=1, and the same in /etc/sysctl.d";
        return Finding::missing(name, "kernel.unprivileged_userns_clone is 0", fix);
    }
    if !root && switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        let fix = "install deploy/apparmor/slipway in /etc/apparmor.d and reload AppArmor; nothing to do where that is done";
        return Finding::warning(
            name,
            "AppArmor lets only programs with a profile make user namespaces",
            fix,
        );
    }
    Finding::good(name, "users may make them")
}

fn tunnel() -> Finding {
    let (name, path) = ("/dev/net/tun", "/dev/net/tun");
    let is_device = fs::metadata(path).is_ok_and(|m| m.file_type().is_char_device());
    if !is_device {
        return Finding::missing(name, "there is no such device", "modprobe tun");
    }
    match fs::File::options().read(true).write(true).open(path) {
        Ok(_) => Finding::good(name, "it opens"),
        Err(error) => Finding::missing(
            name,
            error.to_string(),
            "chmod 666 /dev/net/tun, as distributions have it",
        ),
    }
}

fn root_file_system(directory: &Path) -> Finding {
    let name = "root file system";
    let fix = "slipway machine prepare";
    let archive = match root::newest(directory) {
        Ok(archive) => archive,
        Err(error) => return Finding::missing(name, error.to_string(), fix),
    };
    let age = archive.metadata().and_then(|m| m.modified()).ok();
    let age = age
        .and_then(|made| SystemTime::now().duration_since(made).ok())
        .unwrap_or_default();
    let found = format!("{}, {} days old", archive.display(), age.as_secs() / 86400);
    if age > OLD {
        return Finding::warning(name, found, format!("{fix}, for the security updates since"));
    }
    Finding::good(name, found)
}

fn limits() -> Finding {
    Finding::warning(
        "limits",
        "a machine's memory and processors are not limited; its processes, /tmp and /run are",
        "run no more builds at once than the host has memory for",
    )
}

/// The proof.
async fn machine(options: &Options) -> Finding {
    let name = "machine";
    match start(options).await {
        Ok(took) => Finding::good(name, format!("one started and ended in {} ms", took.as_millis())),
        Err(error) => {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                why = format!("{why}: {cause}");
                source = cause.source();
            }
            Finding::missing(
                name,
                why,
                "see docs/machines.md; whoever is to mend it needs this text",
            )
        }
    }
}

/// How long a machine takes to start and to end.
async fn start(options: &Options) -> Result<Duration, MachineError> {
    let driver = Rootless::new(options.clone())?;
    let spec = || MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: options.launcher.clone(),
        arguments: vec!["--version".into()],
        environment: Vec::new(),
        layers: None,
    };
    // The first may have to unpack the root file system.
    run(&driver, spec()).await?;
    let began = std::time::Instant::now();
    run(&driver, spec()).await?;
    Ok(began.elapsed())
}

async fn run(driver: &Rootless, spec: MachineSpec) -> Result<(), MachineError> {
    use tokio::io::AsyncReadExt as _;
    let mut started = driver.start(spec).await?;
    let mut complaint = String::new();
    let stderr = started.stderr.take(4096);
    tokio::pin!(stderr);
    let _ = stderr.read_to_string(&mut complaint).await;
    let exit = started.machine.wait().await?;
    started.machine.kill(Duration::ZERO).await?;
    if exit.success {
        return Ok(());
    }
    Err(MachineError::Refused {
        what: "the machine's first process",
        why: format!("{} ({})", complaint.trim(), exit.how),
    })
}
