//! Lanes: a range of ids, and the directory where a machine with these ids keeps what it writes. A lane is in one
//! machine at a time: a builder holds its lock, the launcher another until it has removed what the machine left, and
//! where both were killed, nobody takes it as long as anything with these ids is alive.

use std::{
    cmp::Reverse,
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use tokio::process::Command;

use super::{
    Stage,
    control::Control,
    ids::{COUNT, Ids},
    launch::SCRATCH,
    layers::CACHE,
};
use crate::error::MachineError;

/// How long processes of a machine that was killed may be seen.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How long removing what a machine left may keep others waiting.
const SWEPT_WITHIN: Duration = Duration::from_secs(20);
/// How soon somebody who waits for a lane looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// In a lane's directory: the launcher's lock.
pub(super) const IN_USE: &str = "in-use";
/// In a lane's directory: this program, where the machine's ids may read it.
pub(super) const PROGRAM: &str = "program";
/// In a lane's directory: the builder's ends of services.
pub(super) const SERVICES: &str = "services";

/// All lanes of this user.
#[derive(Debug)]
pub(super) struct Lanes {
    directory: PathBuf,
    ids: Vec<Ids>,
}

impl Lanes {
    pub(super) fn new(directory: PathBuf, ids: Vec<Ids>) -> Self {
        Self { directory, ids }
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// A lane that is free, as soon as there is one: other builders of this user may have some. Rather one that has these
    /// layers, the last used first.
    pub(super) async fn take(&self, launcher: &Path, layers: Option<&str>) -> Result<Lane, MachineError> {
        loop {
            let mut lanes: Vec<_> = self.ids.iter().enumerate().collect();
            if let Some(key) = layers {
                // Sorting is stable: among lanes without, the first is taken first.
                lanes.sort_by_cached_key(|(number, _)| Reverse(self.last_used(*number, key)));
            }
            for (number, ids) in lanes {
                let directory = self.lane(number);
                let made = make(&self.directory, &directory).and_then(|()| lock(*ids));
                let lock = made.map_err(|source| MachineError::WorkDirectory {
                    parent: self.directory.clone(),
                    source,
                })?;
                let Some(lock) = lock else { continue };
                let lane = Lane {
                    ids: *ids,
                    directory,
                    _lock: lock,
                };
                if alive(*ids) == 0 || lane.sweep(launcher).await? == 0 {
                    return Ok(lane);
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn lane(&self, number: usize) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// When a lane's layers of this key were used; none where it has none.
    fn last_used(&self, number: usize, key: &str) -> Option<SystemTime> {
        let root = self.lane(number).join(CACHE).join(key);
        root.symlink_metadata().and_then(|m| m.modified()).ok()
    }
}

/// Makes a lane's directory. Its ids write in it, and have no other way to name what is theirs; nobody else gets there,
/// because the directory above is the builder's alone.
fn make(all: &Path, lane: &Path) -> std::io::Result<()> {
    fs::create_dir_all(all)?;
    fs::set_permissions(all, fs::Permissions::from_mode(0o700))?;
    let services = lane.join(SERVICES);
    fs::create_dir_all(&services)?;
    // Machines see the services, and must not change them.
    for (directory, mode) in [(lane, 0o777), (&services, 0o755)] {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    for file in [PROGRAM, IN_USE] {
        fs::File::create(lane.join(file))?;
    }
    Ok(())
}

/// A lane's lock among all builders of this host, whatever directory they use: a name that only one socket can have, and
/// that is free again when its process is gone (unix(7), "Abstract sockets").
fn lock(ids: Ids) -> std::io::Result<Option<UnixListener>> {
    let name = SocketAddr::from_abstract_name(format!("slipway-lane-{}", ids.uid))?;
    match UnixListener::bind_addr(&name) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many processes have these ids.
fn alive(ids: Ids) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let of_machine = |entry: &fs::DirEntry| {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.parse::<u32>().is_ok());
        is_process
            && entry.metadata().is_ok_and(|m| {
                (ids.uid..ids.uid + COUNT).contains(&m.uid()) || (ids.gid..ids.gid + COUNT).contains(&m.gid())
            })
    };
    entries.flatten().filter(of_machine).count()
}

/// A lane that one machine has, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    ids: Ids,
    pub(super) directory: PathBuf,
    _lock: UnixListener,
}

impl Lane {
    /// Gives a process that has made itself a user namespace the lane's ids, by newuidmap(1) and newgidmap(1).
    pub(super) async fn map(&self, pid: u32) -> Result<(), MachineError> {
        for (program, first) in [("newuidmap", self.ids.uid), ("newgidmap", self.ids.gid)] {
            let output = Command::new(program)
                .args([
                    pid.to_string(),
                    "0".to_owned(),
                    first.to_string(),
                    COUNT.to_string(),
                ])
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(|source| MachineError::Start {
                    program: program.into(),
                    source,
                })?;
            if !output.status.success() {
                return Err(MachineError::Refused {
                    what: program,
                    why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Whether all of the lane's last machine is gone, what it wrote included.
    pub(super) async fn is_clean(&self) -> bool {
        self.alive().await == 0 && !self.directory.join(SCRATCH).exists()
    }

    /// Ends and removes what is left of a machine whose launcher is dead, or does not end. Returns how many processes are
    /// alive then. What could not be removed in time is so before the next machine starts.
    pub(super) async fn sweep(&self, launcher: &Path) -> Result<usize, MachineError> {
        let (mut child, mut control) = Control::start(launcher, Stage::Sweep, self, None).await?;
        control.hear("unshared").await?;
        self.map(super::control::pid_of(&child)?).await?;
        control.say("mapped").await?;
        let _ = tokio::time::timeout(SWEPT_WITHIN, child.wait()).await;
        drop(child);
        Ok(self.alive().await)
    }

    /// How many of the machine's processes are alive, after those that were killed had time to go.
    pub(super) async fn alive(&self) -> usize {
        let until = tokio::time::Instant::now() + GONE_WITHIN;
        loop {
            let alive = alive(self.ids);
            if alive == 0 || tokio::time::Instant::now() > until {
                return alive;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
