//! Finding and running other programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::unistd::{User, geteuid};

use crate::error::PartError;

/// `PATH` with the administrators' directories, which Debian leaves out for everybody but root.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// Every program of this name in `PATH`, in its order, each once.
pub(crate) fn all_named(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in std::env::split_paths(&search_path()) {
        let program = directory.join(name);
        if program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// The first program of this name in `PATH`.
pub(crate) fn find(name: &'static str) -> Result<PathBuf, PartError> {
    all_named(name).into_iter().next().ok_or(PartError::Missing(name))
}

/// Runs a command to its end.
///
/// # Errors
/// [`PartError::Command`] with its standard error when it does not end with 0.
pub(crate) fn run(command: &mut Command) -> Result<Output, PartError> {
    let program = command.get_program().to_os_string();
    let output = command.output().map_err(PartError::io("run", &program))?;
    if output.status.success() {
        return Ok(output);
    }
    let program = Path::new(&program).display().to_string();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(PartError::Command {
        program,
        status: output.status,
        said,
    })
}

/// The account that programs run under which refuse to be root: `name` when we are root, else none
/// (they run as we do).
pub(crate) fn account_unless_ordinary(name: &'static str) -> Result<Option<User>, PartError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    User::from_name(name)
        .ok()
        .flatten()
        .map(Some)
        .ok_or(PartError::Missing(name))
}
