//! How much disk a machine takes, looked at from outside: no quota can be had without privileges. A machine that takes
//! too much is ended. The host's disk being full would end more than that.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;

/// How often the disk's free space is asked for.
const EVERY: Duration = Duration::from_millis(200);
/// How long files are not counted at most, while others free what this machine fills.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// How many times as long as it took, counting rests.
const PAUSE: u32 = 4;
/// A disk is as good as full when less is free of its bytes, or of its files, than one in so many.
const RESERVE: u64 = 50;
/// The bytes of a file's own record, so that empty files are not free (ext4's inodes are as large).
const RECORD: u64 = 256;
/// Who took less than this part of its limit did not fill the disk.
const INNOCENT: u64 = 10;

/// Watches what a machine writes until it is too much, and returns the reason to end it.
pub(super) fn watch(scratch: &Path, limit: u64) -> String {
    let mut counted = Count::default();
    let mut at_first = None;
    loop {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own, in a program without a runtime"
        )]
        std::thread::sleep(EVERY);
        let Ok(disk) = statvfs(scratch) else { continue };
        let free = disk.blocks_free() * disk.fragment_size() + disk.files_free() * RECORD;
        let lost = at_first.get_or_insert(free).saturating_sub(free);
        let short = disk.blocks_available() < disk.blocks() / RESERVE
            || (disk.files() > 0 && disk.files_available() < disk.files() / RESERVE);
        let taken = counted.bytes.saturating_add(counted.free.saturating_sub(free));
        // It cannot have written more than the disk has lost since; unless others gave something back.
        if !counted.stale() && !(counted.rested() && (short || taken > limit)) {
            continue;
        }
        counted = Count::of(scratch, free);
        if counted.bytes > limit {
            return format!("it took more than {limit} bytes of disk, which is a machine's limit here");
        }
        // What is mapped into memory and has no name any more is not counted; then all that it may be are ended.
        if short && (counted.bytes > limit / INNOCENT || lost > limit) {
            return "the disk of this host's machines is nearly full".to_owned();
        }
    }
}

/// What a machine had on disk, and how much was free then; both with files' records.
struct Count {
    bytes: u64,
    free: u64,
    at: Instant,
    took: Duration,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            bytes: 0,
            free: u64::MAX,
            at: Instant::now(),
            took: Duration::ZERO,
        }
    }
}

impl Count {
    fn of(scratch: &Path, free: u64) -> Self {
        let began = Instant::now();
        let bytes = size(scratch) + nameless();
        Self {
            bytes,
            free,
            at: Instant::now(),
            took: began.elapsed(),
        }
    }

    fn rested(&self) -> bool {
        self.at.elapsed() >= self.took * PAUSE
    }

    fn stale(&self) -> bool {
        self.at.elapsed() >= COUNT_EVERY.max(self.took * PAUSE)
    }
}

/// The bytes that a tree takes on disk. What changes meanwhile is counted or not.
pub(super) fn size(top: &Path) -> u64 {
    let mut sum = 0;
    let mut linked = HashSet::new();
    let mut open: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            // Of the entry itself: a link is not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert(metadata.ino()) {
                continue;
            }
            sum += metadata.blocks() * 512 + RECORD;
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    sum
}

/// The bytes of files that are open and have no name any more. This process sees the files of those over whom it has a
/// right, which are the machine's (proc_pid_fd(5)).
fn nameless() -> u64 {
    let mut found = HashSet::new();
    let mut sum = 0;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        for file in fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(metadata) = file.path().metadata() else {
                continue;
            };
            if metadata.is_file() && metadata.nlink() == 0 && found.insert((metadata.dev(), metadata.ino())) {
                sum += metadata.blocks() * 512;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_twice_is_counted_once_and_holes_are_not() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("a"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(at("a"), at("b")).unwrap();
        fs::File::create(at("c")).unwrap().set_len(1 << 30).unwrap();
        std::os::unix::fs::symlink("/", at("d")).unwrap();
        let size = size(place.path());
        assert!((1 << 20..2 << 20).contains(&size), "{size}");
    }
}
