//! One test run, and the parts that its processes share.
//!
//! Under nextest all processes with the same `NEXTEST_RUN_ID` are one run, and its runner is the
//! nearest ancestor that does not have that variable. Without nextest every process is a run by itself.
//! A run has a directory; in it, each part has a lock (the first process to take it starts the part, the
//! others wait), a note of how to reach it, and a directory of its own. A failed start is noted too, so that a
//! hundred tests do not each wait for the same failure.
//!
//! The directory lies in `/var/tmp` and has a short name: a unix socket's path holds 107 bytes, and an
//! engine's images do not belong into the memory that `/tmp` often is. [`DIRECTORY`] chooses another place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{PartError, with_causes};

const GUARD: &str = include_str!("guard.sh");
const RUN_ID: &str = "NEXTEST_RUN_ID";
/// The variable that names the directory below which a run's directory is made, for those who want all
/// that they start in one place.
pub(crate) const DIRECTORY: &str = "SLIPWAY_PARTS_DIR";
/// A start takes a second or two; on a machine that is busy with other things it takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// The test run that this process belongs to.
#[derive(Debug)]
pub(crate) struct Run {
    directory: PathBuf,
    runner: Runner,
}

/// A process, told from a later one with the same id by its start time.
#[derive(Debug)]
struct Runner {
    pid: u32,
    born: String,
}

/// Where one part lives while it is being started.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    run: &'a Run,
    name: &'a str,
    /// The part's own directory; gone when the run is.
    pub(crate) directory: PathBuf,
}

impl Run {
    /// Finds this process's run, and makes its directory if it is the first.
    ///
    /// # Errors
    /// [`PartError::Io`] if the directory cannot be made, or belongs to somebody else.
    pub(crate) fn current() -> Result<Self, PartError> {
        let own = std::process::id();
        let (key, pid) = match std::env::var(RUN_ID) {
            Ok(id) => (
                id.chars().filter(char::is_ascii_alphanumeric).take(24).collect(),
                runner_of(own, &id),
            ),
            Err(_) => (format!("pid{own}"), own),
        };
        let stat = proc_stat(pid).map_err(PartError::io("look at the test runner in", "/proc"))?;
        let directory = match std::env::var_os(DIRECTORY) {
            Some(place) => PathBuf::from(place).join(key),
            None => PathBuf::from(format!("/var/tmp/slipway-parts-{}-{key}", geteuid())),
        };
        let run = Self {
            directory,
            runner: Runner { pid, born: stat.born },
        };
        run.make_directory()
            .map_err(PartError::io("make", &run.directory))?;
        Ok(run)
    }

    /// The part called `name`: starts it with `start` if this process is the first to ask.
    pub(crate) fn part<S, F>(&self, name: &str, start: F) -> Result<S, PartError>
    where
        S: Serialize + DeserializeOwned,
        F: FnOnce(&Place<'_>) -> Result<S, PartError>,
    {
        let (note, failed) = (self.beside(name, "json"), self.beside(name, "failed"));
        let _lock = lock(&self.beside(name, "lock"))?;
        if let Ok(text) = fs::read(&note) {
            return serde_json::from_slice(&text)
                .map_err(io::Error::from)
                .map_err(PartError::io("read", note));
        }
        if let Ok(why) = fs::read_to_string(&failed) {
            return Err(PartError::FailedBefore {
                part: name.to_owned(),
                why,
            });
        }

        match self.start(name, start) {
            Ok(state) => {
                let text = serde_json::to_vec(&state).map_err(io::Error::from);
                text.and_then(|text| write_private(&note, &text))
                    .map_err(PartError::io("write", note))?;
                Ok(state)
            }
            Err(error) => {
                // Best effort: without the note the next test only tries again.
                let _ = write_private(&failed, with_causes(&error).as_bytes());
                Err(error)
            }
        }
    }

    fn start<S>(
        &self,
        name: &str,
        start: impl FnOnce(&Place<'_>) -> Result<S, PartError>,
    ) -> Result<S, PartError> {
        let directory = self.directory.join(name);
        // A process that was killed while starting the part leaves its directory.
        match private_directory().create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(PartError::io("make", &directory)(error))
            }
            _ => start(&Place {
                run: self,
                name,
                directory,
            }),
        }
    }

    fn beside(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{name}.{extension}"))
    }

    /// Passable, because PostgreSQL runs as another user inside; not readable. Somebody else's
    /// directory under our name is refused.
    fn make_directory(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o711).create(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&self.directory)?;
                if found.is_dir() && found.uid() == geteuid().as_raw() {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            made => made,
        }
    }
}

impl Place<'_> {
    /// Leaves `script` for the guard to run after the part was stopped; it runs again until it succeeds.
    pub(crate) fn afterwards(&self, script: &str) -> Result<(), PartError> {
        let path = self.directory.join("after");
        write_private(&path, script.as_bytes()).map_err(PartError::io("write", path))
    }

    /// Starts the part's process under a guard, which stops it with `signal` when the run is over.
    ///
    /// Its process group is its own: nextest kills the group of a test that takes too long, and a terminal
    /// interrupts its foreground group, but the part serves the other tests until the runner is gone.
    /// Nobody here waits for the guard: it outlives this process.
    pub(crate) fn start_guarded(&self, signal: &str, command: &[&str]) -> Result<(), PartError> {
        Command::new("sh")
            .args(["-c", GUARD, "slipway-parts-guard"])
            .args([&self.run.runner.pid.to_string(), &self.run.runner.born])
            .arg(&self.directory)
            .arg(signal)
            .args(command)
            .env("PATH", crate::programs::search_path())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(PartError::io("start a guard in", &self.directory))?;
        Ok(())
    }

    /// Waits until `is_up` has an answer.
    ///
    /// # Errors
    /// [`PartError::NotUp`] when the part's process has ended, or patience has.
    #[expect(
        clippy::disallowed_methods,
        reason = "no runtime here, and a starting program gives no event"
    )]
    pub(crate) fn wait_until_up<T>(&self, mut is_up: impl FnMut() -> Option<T>) -> Result<T, PartError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = is_up() {
                return Ok(answer);
            }
            if self.directory.join("ended").exists() {
                return Err(self.not_up("ended while starting"));
            }
            if Instant::now() > deadline {
                return Err(self.not_up("did not answer in time"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the part has written so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn not_up(&self, how: &'static str) -> PartError {
        let log = self.log();
        let end = log.lines().rev().take(10).collect::<Vec<_>>().into_iter().rev();
        PartError::NotUp {
            part: self.name.to_owned(),
            how,
            log: end.collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Takes the lock file at `path`; it is free again when the returned file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, PartError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    file.and_then(|file| file.lock().map(|()| file))
        .map_err(PartError::io("lock", path))
}

/// Makes directories that only their owner may enter.
pub(crate) fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Writes a file that only its owner may read (notes hold the registry's password), in one step: other
/// processes of the run may be reading it.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_added_extension(format!("{:016x}", rand::random::<u64>()));
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?
        .write_all(content)?;
    fs::rename(draft, path)
}

/// The nearest ancestor of `pid` that was not started with this run's id: the test runner. (A test
/// may start further processes that ask for parts; their parent is not the runner.)
fn runner_of(pid: u32, run_id: &str) -> u32 {
    let mark = format!("{RUN_ID}={run_id}");
    let mut pid = pid;
    while let Ok(stat) = proc_stat(pid) {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if !environment
            .split(|byte| *byte == 0)
            .any(|pair| pair == mark.as_bytes())
        {
            break;
        }
        pid = stat.parent;
    }
    pid
}

struct Stat {
    parent: u32,
    born: String,
}

/// Parent and start time from `/proc/PID/stat` (proc_pid_stat(5): fields 4 and 22).
fn proc_stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command's name in parentheses, and may hold anything.
    let after_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = after_name.split(' ');
    let parent = fields.nth(1).and_then(|field| field.parse().ok());
    let born = fields.nth(17).map(str::to_owned);
    parent
        .zip(born)
        .map(|(parent, born)| Stat { parent, born })
        .ok_or(io::ErrorKind::InvalidData.into())
}
