//! The machine's work directory: the source tree, and beside it, never within, what is the pipeline's own.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

/// Longest path of a unix socket, less the name (sun_path of unix(7) holds 108 bytes with its end).
const LONGEST_SOCKET_DIRECTORY: usize = 90;

/// Where things are.
#[derive(Debug)]
pub(super) struct Layout {
    /// The source tree.
    pub(super) source: PathBuf,
    /// `HOME` of all programs: nothing of the host's user is seen by a build.
    pub(super) home: PathBuf,
    /// `DOCKER_CONFIG`.
    pub(super) docker_config: PathBuf,
    /// First in `PATH`.
    pub(super) bin: PathBuf,
    /// The pipeline's own: sockets, known hosts.
    pub(super) own: PathBuf,
    /// Holds `own` where the work directory's path is too long for sockets.
    _short: Option<tempfile::TempDir>,
}

impl Layout {
    /// Makes the directories, mode 0700.
    pub(super) fn make(work: &Path) -> io::Result<Self> {
        let work = work.canonicalize()?;
        let long = work.as_os_str().len() > LONGEST_SOCKET_DIRECTORY;
        let short = if long { Some(tempfile::tempdir()?) } else { None };
        let own = short
            .as_ref()
            .map_or_else(|| work.join("own"), |t| t.path().join("own"));
        let home = work.join("home");
        let layout = Self {
            source: work.join("src"),
            docker_config: home.join(".docker"),
            home,
            bin: work.join("bin"),
            own,
            _short: short,
        };
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true);
        for directory in [&layout.source, &layout.docker_config, &layout.bin, &layout.own] {
            private.create(directory)?;
        }
        Ok(layout)
    }

    /// Puts a program first in `PATH`.
    pub(super) fn prefer(&self, name: &str, program: &Path) -> io::Result<()> {
        symlink(program, self.bin.join(name))
    }
}

/// Writes a file that only its owner reads or runs.
pub(super) fn write_private(path: &Path, mode: u32, text: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text)
}
