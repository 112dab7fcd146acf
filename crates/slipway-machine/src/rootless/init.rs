//! A machine's process 1: mounts its file systems, connects its network, starts relays, engine and the first program, and
//! waits for what dies. It ends with the first program, and the kernel ends everything else in the machine with it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::wait::{WaitStatus, wait},
    unistd::{Pid, chdir, getppid, pivot_root, sethostname, setsid},
};

use super::{
    Stage, kernel,
    lanes::{PROGRAM, SERVICES},
    launch::{SCRATCH, SPEC, StageError, bind, die_with},
    network,
    spec::{Inside, Launch},
};

/// What the first program finds in its environment.
pub(super) const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("DOCKER_HOST", "unix:///run/docker.sock"),
];
/// Where the first program starts: on disk, so that a build's context is sent to the engine from there.
const WORK: &str = "/build";
/// This program, in the machine.
const OURS: &str = "/run/slipway/slipway";
/// The engine's data; on disk, never on the overlay.
const ENGINE_DATA: &str = "/var/lib/docker";
/// Where the machine's engine writes what it says, in the machine.
pub const ENGINE_LOG: &str = "/var/log/dockerd.log";
/// The devices of the host that a machine has.
const DEVICES: [&str; 8] = [
    "null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun",
];
/// The most that a machine keeps in memory as files, each.
const TMP_SIZE: &str = "mode=1777,size=2g";
const RUN_SIZE: &str = "mode=755,size=256m";

pub(super) fn init() -> Result<ExitCode, StageError> {
    // In a process namespace of its own, nobody above has a number.
    die_with(getppid())?;
    // A session and a process group of the machine's own: signals to the ones it was started in would reach the stages
    // outside, process namespace or not, and a builder's terminal would take what the machine types into it.
    setsid().map_err(|error| StageError::of("a session of its own", error))?;
    let text = fs::read(Path::new(SCRATCH).join(SPEC)).map_err(|error| StageError::of(SPEC, error))?;
    let spec: Launch = serde_json::from_slice(&text).map_err(|error| StageError::of(SPEC, error))?;
    network::connect(&spec.services)?;
    mount_all(&spec)?;
    write_names(&spec.services)?;
    enter_root()?;
    kernel::refuse_undivided()?;
    let _relay = relay(&spec.services)?;
    let _engine = engine()?;
    let first = Command::new(OURS)
        .args(&spec.arguments)
        .env_clear()
        .envs(ENVIRONMENT)
        .envs(spec.environment)
        .current_dir(WORK)
        .spawn()
        .map_err(|error| StageError::of("starting the first program", error))?;
    reap(Pid::from_raw(first.id().cast_signed()))
}

fn merged() -> std::path::PathBuf {
    Path::new(SCRATCH).join("merged")
}

fn mount_at(kind: &str, to: &Path, flags: MsFlags, options: Option<&str>) -> Result<(), StageError> {
    mount(Some(kind), to, Some(kind), flags, options)
        .map_err(|error| StageError::of(format!("mounting {kind} at {}", to.display()), error))
}

fn mount_all(spec: &Launch) -> Result<(), StageError> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|error| StageError::of("keeping mounts private", error))?;
    let root = merged();
    let layers = format!(
        "lowerdir={},upperdir={SCRATCH}/upper,workdir={SCRATCH}/work,userxattr",
        spec.root
    );
    mount_at("overlay", &root, MsFlags::empty(), Some(&layers))?;
    for name in ["dev", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).map_err(|error| StageError::of(name, error))?;
    }
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_at("proc", &root.join("proc"), plain | MsFlags::MS_NOEXEC, None)?;
    let sys = plain | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount_at("sysfs", &root.join("sys"), sys, None)?;
    cgroups(&root.join("sys/fs/cgroup"), sys)?;
    mount_at("tmpfs", &root.join("run"), plain, Some(RUN_SIZE))?;
    mount_at("tmpfs", &root.join("tmp"), plain, Some(TMP_SIZE))?;
    devices(&root.join("dev"))?;
    for (what, to) in [("build", WORK), ("docker", ENGINE_DATA)] {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(&to).map_err(|error| StageError::of(to.display().to_string(), error))?;
        bind(&Path::new(SCRATCH).join(what), &to)?;
    }
    let ours = root.join("run/slipway");
    let failed = |error| StageError::of("/run/slipway", error);
    fs::create_dir_all(ours.join("services")).map_err(failed)?;
    File::create(ours.join("slipway")).map_err(failed)?;
    bind(Path::new(PROGRAM), &ours.join("slipway"))?;
    bind(Path::new(SERVICES), &ours.join("services"))
}

/// Shows the host's control groups, from this machine's own down, for containers' sake: runc(8) looks for them, and does
/// without limits where it may not write (cgroup_namespaces(7)).
fn cgroups(at: &Path, flags: MsFlags) -> Result<(), StageError> {
    let file = "/proc/self/cgroup";
    let text = fs::read_to_string(file).map_err(|error| StageError::of(file, error))?;
    let hierarchies: Vec<&str> = text.lines().filter_map(|line| line.split(':').nth(1)).collect();
    if hierarchies.iter().all(|controllers| controllers.is_empty()) {
        return mount_at("cgroup2", at, flags, None);
    }
    mount_at(
        "tmpfs",
        at,
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755,size=64k"),
    )?;
    for controllers in hierarchies
        .into_iter()
        .filter(|controllers| !controllers.is_empty())
    {
        let directory = at.join(controllers.trim_start_matches("name="));
        fs::create_dir(&directory).map_err(|error| StageError::of(controllers, error))?;
        mount_at("cgroup", &directory, flags, Some(controllers))?;
    }
    Ok(())
}

fn devices(dev: &Path) -> Result<(), StageError> {
    mount_at("tmpfs", dev, MsFlags::MS_NOSUID, Some("mode=755,size=64k"))?;
    let failed = |error: io::Error| StageError::of("/dev", error);
    for directory in ["net", "pts", "shm"] {
        fs::create_dir(dev.join(directory)).map_err(failed)?;
    }
    for name in DEVICES {
        let ours = Path::new("/dev").join(name);
        if ours.exists() {
            File::create(dev.join(name)).map_err(failed)?;
            bind(&ours, &dev.join(name))?;
        }
    }
    let terminals = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount_at(
        "devpts",
        &dev.join("pts"),
        terminals,
        Some("newinstance,ptmxmode=0666,mode=620,gid=5"),
    )?;
    let shared = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount_at("tmpfs", &dev.join("shm"), shared, Some("mode=1777,size=256m"))?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).map_err(failed)?;
    }
    Ok(())
}

/// The machine's name, and how it finds others.
fn write_names(services: &[Inside]) -> Result<(), StageError> {
    let failed = |error: io::Error| StageError::of("/etc", error);
    sethostname("machine").map_err(|error| failed(error.into()))?;
    let mut hosts = "127.0.0.1 localhost machine\n".to_owned();
    for service in services {
        if let Some(name) = &service.name {
            let _ = writeln!(hosts, "{} {name}", service.address.ip());
        }
    }
    let resolver = format!("nameserver {}\n", network::RESOLVER);
    for (file, text) in [
        ("hosts", hosts.as_str()),
        ("hostname", "machine\n"),
        ("resolv.conf", &resolver),
    ] {
        let path = merged().join("etc").join(file);
        // It may be a link to somewhere that is not there.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    Ok(())
}

/// Leaves the host's file systems behind.
fn enter_root() -> Result<(), StageError> {
    let failed = |error: Errno| StageError::of("entering the root file system", error);
    chdir(&merged()).map_err(failed)?;
    // Stacked upon itself, as pivot_root(2) has it; the old one is then beneath, and let go of.
    pivot_root(".", ".").map_err(failed)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed)?;
    chdir("/").map_err(failed)
}

/// Starts the machine's ends of services, and waits until they listen.
fn relay(services: &[Inside]) -> Result<Option<Child>, StageError> {
    if services.is_empty() {
        return Ok(None);
    }
    let failed = |error| StageError::of("starting the relays", error);
    let lines = services
        .iter()
        .map(|service| format!("{}=/run/slipway/services/{}", service.address, service.socket));
    let mut child = Command::new(OURS)
        .args(["machine", Stage::Relay.word()])
        .args(lines)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    if line != "ready\n" {
        return Err(failed(io::Error::other("they do not listen")));
    }
    Ok(Some(child))
}

/// Starts the engine; whoever needs it waits for its socket.
fn engine() -> Result<Child, StageError> {
    let failed = |error| StageError::of("starting the engine", error);
    let log = File::create(ENGINE_LOG).map_err(failed)?;
    Command::new("/usr/sbin/dockerd")
        .args([
            "--rootless",
            "--userland-proxy=false",
            "--exec-root=/run/docker",
            "--pidfile=/run/docker.pid",
        ])
        .arg(format!("--data-root={ENGINE_DATA}"))
        .arg("--host=unix:///run/docker.sock")
        .env_clear()
        .envs(ENVIRONMENT)
        .env("XDG_RUNTIME_DIR", "/run")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn()
        .map_err(failed)
}

/// Waits for whatever ends, until the first program has.
fn reap(first: Pid) -> Result<ExitCode, StageError> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == first => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == first => {
                return Ok(ExitCode::from(128u8.saturating_add(signal as u8)));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(StageError::of("waiting for the first program", error)),
        }
    }
}
