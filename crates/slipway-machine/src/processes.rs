//! Finding and ending everything that a process started, also what tried to get away.
//!
//! Hooks start daemons, and daemons leave their process group and session. Two nets catch them: a pipeline is a
//! *child subreaper* (prctl(2)), so that whatever loses its parent below it becomes its child and stays a
//! descendant; and all carry [`MARKER`] in the environment that they were started with, for the case that the
//! pipeline itself died first. Killing is *stop, look again, kill*: a process that is stopped cannot start
//! another one between being seen and being killed.

use std::{
    collections::{HashMap, HashSet},
    fs,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The environment variable by which a machine's processes are known; its value is the machine's own.
pub const MARKER: &str = "SLIPWAY_MACHINE";

/// One process, as `/proc` tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    pid: i32,
    parent: i32,
    /// Dead already, and only not waited for.
    zombie: bool,
}

/// Makes this process the one to which orphans among its descendants fall.
///
/// # Errors
/// The kernel's, older than Linux 3.4.
pub fn become_subreaper() -> Result<(), Errno> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// The descendants of `root` that are alive, without itself.
pub fn descendants(root: u32) -> Vec<i32> {
    below(&all(), root as i32)
}

/// `root` itself, unless it is dead already, and its descendants.
pub fn tree(root: u32) -> Vec<i32> {
    let (processes, root) = (all(), root as i32);
    let itself = processes.iter().find(|p| p.pid == root && !p.zombie);
    let mut found = below(&processes, root);
    found.extend(itself.map(|p| p.pid));
    found
}

/// Those that carry this value of [`MARKER`] in the environment they were started with, and their descendants.
pub fn marked(value: &str) -> Vec<i32> {
    let entry = format!("{MARKER}={value}").into_bytes();
    let processes = all();
    let is_marked = |process: &&Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.split(|b| *b == 0).any(|e| e == entry)
    };
    let carriers: Vec<i32> = processes.iter().filter(is_marked).map(|p| p.pid).collect();
    let mut found: HashSet<i32> = carriers.iter().copied().collect();
    for carrier in carriers {
        found.extend(below(&processes, carrier));
    }
    let alive = processes.iter().filter(|p| !p.zombie && found.contains(&p.pid));
    alive.map(|p| p.pid).collect()
}

/// Kills what `find` finds, until it finds nothing more. Never this process itself.
///
/// Returns how many were alive still when `patience` was over: processes that wait in the kernel for a disk
/// cannot be killed.
pub async fn kill_all(find: impl Fn() -> Vec<i32>, patience: Duration) -> usize {
    let me = std::process::id() as i32;
    let others = || -> Vec<i32> { find().into_iter().filter(|pid| *pid != me && *pid > 1).collect() };
    let until = Instant::now() + patience;
    loop {
        stop_until_no_new(&others);
        let targets = others();
        if targets.is_empty() {
            return 0;
        }
        send(&targets, Signal::SIGKILL);
        if Instant::now() >= until {
            return targets.len();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Stops all that is found, looking again until nothing is found that was not stopped before.
fn stop_until_no_new(find: &impl Fn() -> Vec<i32>) {
    let mut stopped = HashSet::new();
    // A fork bomb may outrun this: the loop around it kills what it has, and comes back.
    for _ in 0..64 {
        let fresh: Vec<i32> = find().into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if fresh.is_empty() {
            return;
        }
        send(&fresh, Signal::SIGSTOP);
    }
}

fn send(to: &[i32], signal: Signal) {
    for pid in to {
        // Gone meanwhile is what is wanted; not permitted cannot be helped, and is counted as alive.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

fn below(processes: &[Process], root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let (mut found, mut look) = (Vec::new(), vec![root]);
    while let Some(pid) = look.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            look.push(child.pid);
            if !child.zombie {
                found.push(child.pid);
            }
        }
    }
    found
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// proc_pid_stat(5): `pid (comm) state ppid …`; the name may hold anything, so reading begins after its last `)`.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        zombie: matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let process = parse(7, "7 (a) Z (b) S 3 7 7 0").unwrap();
        assert_eq!((process.parent, process.zombie), (3, false));
        assert!(parse(7, "7 (x) Z 3 7").unwrap().zombie);
        assert!(parse(7, "").is_none());
    }

    #[test]
    fn descendants_are_found_through_dead_parents() {
        let process = |pid, parent, zombie| Process { pid, parent, zombie };
        let tree = [
            process(2, 1, false),
            process(3, 2, true),
            process(4, 3, false),
            process(5, 1, false),
        ];
        assert_eq!(below(&tree, 2), [4]);
    }
}
