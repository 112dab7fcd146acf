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
    /// Where its packages are; else the mirror that this host uses, with its security archive; else Debian's own.
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
        .args(sources(what))
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

/// Where packages come from, as lines of sources.list(5): the release, and its updates for security and else. None where
/// nobody says; mmdebstrap knows Debian's own then.
fn sources(what: &Prepare) -> Vec<String> {
    let configured = configured_sources();
    let of = |archive: &str| configured.iter().find_map(|text| mirror_of(text, archive));
    let suite = &what.suite;
    let mut lines = Vec::new();
    if let Some(mirror) = what.mirror.clone().or_else(|| of("/debian")) {
        lines.push(format!("deb {mirror} {suite} main"));
        lines.push(format!("deb {mirror} {suite}-updates main"));
        lines.extend(of("/debian-security").map(|mirror| format!("deb {mirror} {suite}-security main")));
    }
    lines
}

/// What this host's apt reads, if it is a Debian.
fn configured_sources() -> Vec<String> {
    let is_debian =
        fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"));
    if !is_debian {
        return Vec::new();
    }
    let more = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let more = more.map(|file| file.path()).filter(|path| {
        // Others are not read, whatever is in them.
        path.extension()
            .is_some_and(|end| end == "list" || end == "sources")
    });
    let all = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(more);
    all.filter_map(|file| fs::read_to_string(file).ok()).collect()
}

/// Where one of Debian's archives is, by the end of its address, in a list of sources; other publishers' lie beside them.
fn mirror_of(text: &str, archive: &str) -> Option<String> {
    // Of one line each, or of paragraphs of fields.
    let lines = text.lines().filter_map(|line| {
        let (urls, rest) = line.trim().strip_prefix("deb ")?.split_once("://")?;
        let scheme = urls.rsplit([' ', ']']).next()?;
        let mut words = rest.split_whitespace();
        let url = format!("{scheme}://{}", words.next()?);
        Some((url, words.skip(1).any(|component| component == "main")))
    });
    let paragraphs = text.split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        let url = field("URIs:")?.split_whitespace().next()?.to_owned();
        let components = field("Components:")?;
        Some((
            url,
            components.split_whitespace().any(|component| component == "main"),
        ))
    });
    let is_debian = |(url, main): &(String, bool)| *main && url.trim_end_matches('/').ends_with(archive);
    lines.chain(paragraphs).find(is_debian).map(|(url, _)| url)
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
        let old = "# deb http://no/debian x main\n\ndeb [arch=amd64 signed-by=/a] http://mirror.example/debian bookworm main\n";
        assert_eq!(mirror_of(old, "/debian").unwrap(), "http://mirror.example/debian");
        let new = "Types: deb\nURIs: https://mirror.example/debian/\nSuites: trixie trixie-updates\nComponents: main contrib\n";
        assert_eq!(
            mirror_of(new, "/debian").unwrap(),
            "https://mirror.example/debian/"
        );
        assert!(mirror_of("", "/debian").is_none());
        let security = new.replace("/debian/", "/debian-security");
        assert_eq!(mirror_of(&security, "/debian"), None);
        assert!(mirror_of(&security, "/debian-security").is_some());
    }

    #[test]
    fn what_others_publish_is_no_mirror() {
        for other in [
            "deb [signed-by=/k] https://deb.other.example/node_20.x bookworm main\n",
            "deb https://download.other.example/linux/debian bookworm stable\n",
            "Types: deb\nURIs: https://deb.other.example/node_20.x\nSuites: nodistro\nComponents: main\n",
        ] {
            assert_eq!(mirror_of(other, "/debian"), None, "{other}");
            let both = format!(
                "{other}\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
            );
            assert_eq!(
                mirror_of(&both, "/debian").unwrap(),
                "http://mirror.example/debian"
            );
        }
    }
}
