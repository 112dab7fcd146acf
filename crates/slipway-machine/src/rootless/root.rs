//! Root file systems: made once as an archive (`slipway machine prepare`), and unpacked once for each lane, as the lane's
//! own ids own the files then.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Options, Stage, control::Control, lanes::Lane};
use crate::error::MachineError;

/// What is installed beside a minimal Debian: the engine with its plugins, what checking out needs, and what hooks expect
/// to find (machines.md, "Root file system").
const PACKAGES: &[&str] = &[
    "bash",
    "ca-certificates",
    "curl",
    "docker-compose",
    "docker.io",
    "git",
    "git-lfs",
    "iproute2",
    "iptables",
    "make",
    "openssh-client",
    "perl",
    "procps",
    "python3",
    "wget",
    "xz-utils",
];
/// The engine's client and its plugins, which have packages of their own since trixie.
const SINCE_TRIXIE: &[&str] = &["docker-buildx", "docker-cli"];

/// What to make.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// Where root file systems and lanes lie: [`Options::directory`].
    pub directory: PathBuf,
    /// The Debian release, as `trixie`.
    pub suite: String,
    /// Where its packages are, else the mirror that this host uses, else Debian's own.
    pub mirror: Option<String>,
}

/// Why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It could not be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// mmdebstrap could not be started.
    #[error("mmdebstrap could not be started: install the package `mmdebstrap`")]
    Start(#[source] io::Error),
    /// It ended with an error, which it has told.
    #[error("mmdebstrap ended with {0}; what it said is above")]
    Failed(std::process::ExitStatus),
}

/// Makes a Debian root file system by mmdebstrap(1), which needs no privileges but sub-ids. It says on standard error how
/// it goes. Machines that start after it use the new one.
///
/// # Errors
/// [`PrepareError`]
pub fn prepare(what: &Prepare) -> Result<PathBuf, PrepareError> {
    let (roots, _lock) = lock_roots(&what.directory)?;
    make(what, &roots)
}

/// As [`prepare`], unless there is one already, or somebody is making it.
///
/// # Errors
/// [`PrepareError`]
pub fn prepared(what: &Prepare) -> Result<PathBuf, PrepareError> {
    let (roots, _lock) = lock_roots(&what.directory)?;
    match archives(&roots).pop() {
        Some(archive) => Ok(archive),
        None => make(what, &roots),
    }
}

fn written(path: &Path) -> impl Fn(io::Error) -> PrepareError {
    let path = path.to_owned();
    move |source| PrepareError::Write {
        path: path.clone(),
        source,
    }
}

fn lock_roots(directory: &Path) -> Result<(PathBuf, File), PrepareError> {
    let roots = directory.join("roots");
    fs::create_dir_all(&roots).map_err(written(&roots))?;
    let path = roots.join("lock");
    let lock = File::create(&path).map_err(written(&path))?;
    lock.lock().map_err(written(&path))?;
    Ok((roots, lock))
}

fn make(what: &Prepare, roots: &Path) -> Result<PathBuf, PrepareError> {
    let stamp = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let archive = roots.join(format!("{}-{stamp}.tar", what.suite));
    let part = roots.join(format!("{}-{stamp}.part", what.suite));
    let also = if what.suite == "bookworm" {
        &[]
    } else {
        SINCE_TRIXIE
    };
    let mirror = what.mirror.clone().or_else(configured_mirror);
    let status = Command::new("mmdebstrap")
        .args([
            "--mode=unshare",
            "--variant=minbase",
            "--format=tar",
            "--skip=output/dev",
        ])
        .arg(format!("--include={}", [PACKAGES, also].concat().join(",")))
        .arg(&what.suite)
        .arg("-")
        .args(mirror)
        .stdin(Stdio::null())
        .stdout(File::create(&part).map_err(written(&part))?)
        .status()
        .map_err(PrepareError::Start)?;
    if !status.success() {
        let _ = fs::remove_file(&part);
        return Err(PrepareError::Failed(status));
    }
    fs::rename(&part, &archive).map_err(written(&archive))?;
    for old in archives(roots) {
        if old != archive {
            // Lanes unpack it no more.
            let _ = fs::remove_file(old);
        }
    }
    Ok(archive)
}

/// The mirror that this host's apt uses (sources.list(5), both forms), if it is a Debian.
fn configured_mirror() -> Option<String> {
    let is_debian =
        fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"));
    if !is_debian {
        return None;
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d")
            .ok()?
            .flatten()
            .map(|file| file.path()),
    );
    files
        .iter()
        .find_map(|file| mirror_of(&fs::read_to_string(file).ok()?))
}

fn mirror_of(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim();
        let words = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
        let url = words.split_whitespace().find(|word| word.contains("://"))?;
        Some(url.to_owned())
    })
}

/// Finished archives, the newest last.
fn archives(roots: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(roots).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "tar"))
        .collect();
    found.sort_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    found
}

/// The newest archive below [`Options::directory`].
pub(super) fn newest(directory: &Path) -> Result<PathBuf, MachineError> {
    let roots = directory.join("roots");
    archives(&roots)
        .pop()
        .ok_or(MachineError::NoRoot { directory: roots })
}

/// Sees to it that a lane has the newest root file system. Returns its directory's name in the lane.
pub(super) async fn ready(options: &Options, lane: &Lane) -> Result<String, MachineError> {
    let archive = newest(&options.directory)?;
    let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("root-{stem}");
    if lane.directory.join(&name).exists() {
        return Ok(name);
    }
    let file = File::open(&archive).map_err(|source| MachineError::Start {
        program: archive.clone(),
        source,
    })?;
    let (mut child, mut control) = Control::start(&options.launcher, Stage::Unpack, lane, Some(file)).await?;
    control.say(&name).await?;
    control.hear("unshared").await?;
    lane.map(super::control::pid_of(&child)?).await?;
    control.say("mapped").await?;
    let status = child
        .wait()
        .await
        .map_err(|source| MachineError::Wait { source })?;
    if status.success() {
        return Ok(name);
    }
    Err(MachineError::Refused {
        what: "unpacking the root file system",
        why: super::control::complaint(&mut child).await,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_mirror_is_found_in_both_forms() {
        let old =
            "# deb http://no/debian x main\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n";
        assert_eq!(mirror_of(old).unwrap(), "http://mirror.example/debian");
        let new = "Types: deb\nURIs: https://mirror.example/debian\nSuites: trixie\n";
        assert_eq!(mirror_of(new).unwrap(), "https://mirror.example/debian");
        assert!(mirror_of("").is_none());
    }
}
