//! The stages between a builder and a machine's first program. Each is this program again, started by the one before;
//! none has threads when it makes namespaces, as unshare(2) asks.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        net::UnixStream,
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{Arc, OnceLock},
    thread,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::{set_child_subreaper, set_pdeathsig},
        resource::{Resource, setrlimit},
        signal::{Signal, kill, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Gid, Pid, Uid, getppid, setgroups, setresgid, setresuid},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    disk,
    ids::COUNT,
    init, kernel,
    lanes::{IN_USE, PROGRAM},
    layers, network, relay,
    removal::remove,
    spec::Launch,
};

/// In a lane's directory: what the machine is to be.
pub(super) const SPEC: &str = "spec.json";
/// In a lane's directory: what a machine writes.
pub(super) const SCRATCH: &str = "scratch";

/// A stage of a machine's start. A program that makes rootless machines hands `machine STAGE …` to [`Stage::run`], before
/// it has started any thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Makes the outer namespaces, and removes what the machine left.
    Launch,
    /// Makes the inner namespaces.
    Enter,
    /// The machine's process 1.
    Init,
    /// The machine's ends of the services that it may reach.
    Relay,
    /// Unpacks a root file system for a lane.
    Unpack,
    /// Ends and removes what is left in a lane that nobody holds.
    Sweep,
}

/// Why a stage did not come to its end, for whoever reads the builder's log.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct StageError {
    what: String,
    source: io::Error,
}

impl StageError {
    pub(super) fn of(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            source: error.into(),
        }
    }
}

impl Stage {
    const ALL: [Self; 6] = [
        Self::Launch,
        Self::Enter,
        Self::Init,
        Self::Relay,
        Self::Unpack,
        Self::Sweep,
    ];

    /// The word by which a program is told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Enter => "enter",
            Self::Init => "init",
            Self::Relay => "relay",
            Self::Unpack => "unpack",
            Self::Sweep => "sweep",
        }
    }

    /// The stage of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.word() == word)
    }

    /// Runs it, in the lane's directory.
    ///
    /// # Errors
    /// [`StageError`], which its caller prints on standard error.
    pub fn run(self, arguments: &[String]) -> Result<ExitCode, StageError> {
        match self {
            Self::Launch => launch(),
            Self::Enter => enter(),
            Self::Init => init::init(),
            Self::Relay => relay::inside(arguments).map(|()| ExitCode::SUCCESS),
            Self::Unpack => unpack(),
            Self::Sweep => sweep(),
        }
    }
}

/// The launcher's end of the line to the builder.
struct Builder {
    stream: BufReader<UnixStream>,
}

impl Builder {
    fn call() -> Result<Self, StageError> {
        let stream =
            UnixStream::connect("control").map_err(|error| StageError::of("calling the builder", error))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    fn say(&mut self, what: &(impl Serialize + ?Sized)) -> Result<(), StageError> {
        let text =
            serde_json::to_string(what).map_err(|error| StageError::of("telling the builder", error))?;
        writeln!(self.stream.get_mut(), "{text}")
            .map_err(|error| StageError::of("telling the builder", error))
    }

    fn hear<T: DeserializeOwned>(&mut self) -> Result<T, StageError> {
        let mut line = String::new();
        let failed = |error: io::Error| StageError::of("hearing the builder", error);
        if self.stream.read_line(&mut line).map_err(failed)? == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|error| failed(error.into()))
    }

    fn wait_for(&mut self, word: &str) -> Result<(), StageError> {
        let said: String = self.hear()?;
        if said == word {
            return Ok(());
        }
        Err(StageError::of("hearing the builder", io::Error::other(said)))
    }

    /// Ends a process when the builder has gone, or says that it is to end.
    fn end_with(mut self, child: Pid) {
        thread::spawn(move || {
            let mut line = String::new();
            while matches!(self.stream.read_line(&mut line), Ok(1..)) {
                line.clear();
            }
            let _ = kill(child, Signal::SIGKILL);
        });
    }
}

/// Holds the lane until this process ends. One whose builder was killed may still be removing what its machine left.
fn lock() -> Result<File, StageError> {
    hold(open_lock()?)
}

/// The builder's own: the lane's root may not open it.
fn open_lock() -> Result<File, StageError> {
    let opened = File::options().write(true).open(IN_USE);
    opened.map_err(|error| StageError::of("the lane's lock", error))
}

fn hold(lock: File) -> Result<File, StageError> {
    lock.lock()
        .map_err(|error| StageError::of("the lane's lock", error))?;
    Ok(lock)
}

/// Makes the outer user namespace with others that it owns, and becomes its root, which is the lane's first id.
fn become_outer(builder: &mut Builder, more: CloneFlags) -> Result<(), StageError> {
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | more;
    unshare(flags).map_err(|error| StageError::of("making namespaces without privileges", error))?;
    builder.say("unshared")?;
    builder.wait_for("mapped")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|error| StageError::of("keeping mounts private", error))?;
    // Still with the builder's own id, which may read the program wherever it lies.
    let program = env::current_exe().map_err(|error| StageError::of("this program", error))?;
    bind(&program, Path::new(PROGRAM))?;
    become_root()
}

pub(super) fn bind(what: &Path, to: &Path) -> Result<(), StageError> {
    mount(
        Some(what),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(|error| StageError::of(format!("{} at {}", what.display(), to.display()), error))
}

fn become_root() -> Result<(), StageError> {
    let failed = |error| StageError::of("becoming root of the namespace", error);
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[gid]).map_err(failed)?;
    setresgid(gid, gid, gid).map_err(failed)?;
    setresuid(uid, uid, uid).map_err(failed)
}

fn launch() -> Result<ExitCode, StageError> {
    kernel::close_others()?;
    kernel::leave_keyring()?;
    let mut builder = Builder::call()?;
    let _lane = lock()?;
    let spec: Launch = builder.hear()?;
    let host = kernel::host_limits();
    // When memory is short, machines go before whatever else the host runs. One that means harm can put itself on a par
    // with its builder, and not before it; where the builder is the host's root, not even that.
    let first_to_go = "/proc/self/oom_score_adj";
    fs::write(first_to_go, "1000").map_err(|error| StageError::of(first_to_go, error))?;
    become_outer(&mut builder, CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?;
    kernel::limit_counts(&host)?;
    limit(&spec)?;
    // The inner namespaces' processes become this one's when the stage in between is killed.
    set_child_subreaper(true).map_err(|error| StageError::of("taking over processes", error))?;
    remove(SCRATCH)?;
    make_scratch(&spec)?;
    let engine_data = Path::new(SCRATCH).join("docker");
    if let Some(key) = &spec.layers {
        layers::take(key, &engine_data)?;
    }
    network::close(&spec.closed)?;
    let mut child = stage(Stage::Enter)
        .spawn()
        .map_err(|error| StageError::of("starting the next stage", error))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let ended_for = Arc::new(OnceLock::new());
    let ended = let_in(pid).and_then(|()| {
        builder.end_with(pid);
        watch_disk(pid, spec.disk, Arc::clone(&ended_for));
        child
            .wait()
            .map_err(|error| StageError::of("waiting for the machine", error))
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    end_children();
    if let (Some(key), None) = (&spec.layers, ended_for.get()) {
        layers::keep(key, &engine_data, spec.layers_budget)?;
    }
    remove(SCRATCH)?;
    match ended_for.get() {
        Some(why) => Err(StageError::of(
            "the machine was ended",
            io::Error::other(why.clone()),
        )),
        None => Ok(code_of(ended?)),
    }
}

/// Limits what counts for each process, for this one and all that come of it. Only root of the host could raise it.
fn limit(spec: &Launch) -> Result<(), StageError> {
    // After the outer namespace, before the inner: what this user may have when a namespace is made is the most that all
    // in it may have together (setrlimit(2)). Made earlier, the limit would be one for all machines of the builder.
    setrlimit(Resource::RLIMIT_NPROC, spec.processes, spec.processes)
        .map_err(|error| StageError::of("limiting processes", error))?;
    // No core dumps: a host whose `core_pattern` is a program would have it started, outside, with the machine's data.
    // 0 would not keep it from that; 1 does (`vfs_coredump` in the kernel's fs/coredump.c).
    setrlimit(Resource::RLIMIT_CORE, 1, 1).map_err(|error| StageError::of("limiting core dumps", error))
}

/// Ends the machine when it takes too much disk.
fn watch_disk(machine: Pid, limit: u64, reason: Arc<OnceLock<String>>) {
    thread::spawn(move || {
        let _ = reason.set(disk::watch(Path::new(SCRATCH), limit));
        let _ = kill(machine, Signal::SIGKILL);
    });
}

/// Ends the machine's process 1, which has become a child of this one, and waits until nothing of the machine is alive:
/// the kernel lets process 1 be waited for after all the others. It usually dies by itself with the stage in between; root
/// in the machine could have taken that from it, by ptrace(2).
fn end_children() {
    for child in children() {
        let _ = kill(child, Signal::SIGKILL);
    }
    while matches!(waitpid(None, None), Ok(_) | Err(Errno::EINTR)) {}
}

/// This process's children (proc_pid_stat(5)).
fn children() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // The name in parentheses may have whatever in it.
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(&own) {
            found.push(Pid::from_raw(number));
        }
    }
    found
}

/// Ends whatever is alive with the lane's ids and can be reached, the first processes of machines whose launcher is dead,
/// and removes what they left.
fn sweep() -> Result<ExitCode, StageError> {
    let mut builder = Builder::call()?;
    let lane = open_lock()?;
    become_outer(&mut builder, CloneFlags::empty())?;
    // To all that this process may send it to, itself left out. It has become the lane's root, and nobody else's.
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
        Err(error) => return Err(StageError::of("ending what is left", error)),
    }
    // A launcher that was removing has it until it is dead.
    let _lane = hold(lane)?;
    remove(SCRATCH)?;
    Ok(ExitCode::SUCCESS)
}

/// What a stage's end says to whoever started it, as shells have it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The next stage, with this process's standard streams and nothing else of it.
fn stage(stage: Stage) -> Command {
    let mut command = Command::new(Path::new(".").join(PROGRAM));
    command
        .args(["machine", stage.word()])
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

fn make_scratch(spec: &Launch) -> Result<(), StageError> {
    for part in ["", "upper", "work", "merged", "build", "docker"] {
        let path = Path::new(SCRATCH).join(part);
        let mode = if matches!(part, "upper" | "merged") {
            0o755
        } else {
            0o700
        };
        let created = fs::DirBuilder::new().mode(mode).create(&path);
        let created = created.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        created.map_err(|error| StageError::of(path.display().to_string(), error))?;
    }
    let text = serde_json::to_vec(spec).map_err(|error| StageError::of(SPEC, error))?;
    fs::write(Path::new(SCRATCH).join(SPEC), text).map_err(|error| StageError::of(SPEC, error))
}

/// Waits until the next stage has stopped in namespaces of its own, gives it ids and a line, and lets it go on.
fn let_in(pid: Pid) -> Result<(), StageError> {
    let failed = |error| StageError::of("waiting for the next stage", error);
    let state = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).map_err(failed)?;
    if !matches!(state, WaitStatus::Stopped(..)) {
        let why = io::Error::other("it ended before it had namespaces");
        return Err(StageError::of("the next stage", why));
    }
    // The same ids again: what is 0 here is 0 there, and nothing else than the lane's exists.
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{map}"), format!("0 0 {COUNT}"))
            .map_err(|error| StageError::of(map, error))?;
    }
    network::lay_line(pid.as_raw().cast_unsigned())?;
    kill(pid, Signal::SIGCONT).map_err(failed)
}

/// Has this process killed when the one that started it dies.
pub(super) fn die_with(parent: Pid) -> Result<(), StageError> {
    let failed = |error| StageError::of("dying with the stage before", error);
    set_pdeathsig(Signal::SIGKILL).map_err(failed)?;
    if getppid() == parent {
        return Ok(());
    }
    // It was quicker.
    raise(Signal::SIGKILL).map_err(failed)
}

fn enter() -> Result<ExitCode, StageError> {
    let parent = getppid();
    die_with(parent)?;
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(flags).map_err(|error| StageError::of("making the machine's namespaces", error))?;
    raise(Signal::SIGSTOP).map_err(|error| StageError::of("waiting to be let in", error))?;
    become_root()?;
    // Changing ids forgets it (prctl(2)).
    die_with(parent)?;
    let status = stage(Stage::Init)
        .spawn()
        .and_then(|mut child| child.wait())
        .map_err(|error| StageError::of("starting the machine's process 1", error))?;
    Ok(code_of(status))
}

/// Unpacks the archive on standard input.
fn unpack() -> Result<ExitCode, StageError> {
    kernel::close_others()?;
    let mut builder = Builder::call()?;
    let _lane = lock()?;
    let name: String = builder.hear()?;
    become_outer(&mut builder, CloneFlags::empty())?;
    for old in fs::read_dir(".").into_iter().flatten().flatten() {
        if let Some(old) = old.file_name().to_str().filter(|old| old.starts_with("root-")) {
            remove(old)?;
        }
    }
    let part = PathBuf::from("root-part");
    let failed = |error| StageError::of("unpacking the root file system", error);
    fs::create_dir(&part).map_err(failed)?;
    let status = Command::new("tar")
        // Devices are not to be made here, and not needed: a machine's are the host's.
        .args([
            "--extract",
            "--file=-",
            "--numeric-owner",
            "--preserve-permissions",
            "--exclude=./dev/*",
        ])
        .args(["--xattrs", "--xattrs-include=security.capability", "--directory"])
        .arg(&part)
        .stdin(Stdio::inherit())
        .status()
        .map_err(failed)?;
    if !status.success() {
        return Err(failed(io::Error::other(format!("tar ended with {status}"))));
    }
    fs::rename(&part, name).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
