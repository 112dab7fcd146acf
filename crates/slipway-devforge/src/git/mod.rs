//! Real git: bare repositories on disk, read and written by the `git` program itself.
//!
//! The simulation must behave like a git host down to the protocol, so nothing of git is
//! re-implemented. Every call runs without the machine's git configuration and without a terminal.

pub(crate) mod http;
pub(crate) mod inspect;
pub(crate) mod receive;
pub(crate) mod ssh;

use std::ffi::OsStr;
use std::path::Path;

use tokio::process::Command;

use crate::error::{DevForgeError, Result};
use crate::people::Kind;

/// Forty zeros: the id git and the providers use for "nothing".
pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";

/// A git command in `dir`, cut off from the configuration of whoever runs it.
pub(crate) fn command<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .kill_on_drop(true);
    command
}

/// Runs git and returns what it wrote to standard output.
pub(crate) async fn run<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> Result<String> {
    finish(command(dir, args)).await
}

/// Runs a prepared command to its end.
pub(crate) async fn finish(mut command: Command) -> Result<String> {
    let output = command.output().await.map_err(DevForgeError::GitMissing)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let args: Vec<_> = command.as_std().get_args().map(OsStr::to_string_lossy).collect();
    Err(DevForgeError::Git {
        command: args.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Makes an empty bare repository that serves like `kind` does.
///
/// GitHub serves any commit reachable from a ref by its id (`uploadpack.allowReachableSHA1InWant`)
/// and keeps `refs/pull/*` to itself. Bitbucket is given the first too: its documentation is
/// silent, and clones by id do work there.
pub(crate) async fn init_bare(dir: &Path, kind: Kind, default_branch: &str) -> Result<()> {
    tokio::fs::create_dir_all(dir)
        .await
        .map_err(DevForgeError::file(dir))?;
    run(
        dir,
        [
            "init",
            "--quiet",
            "--bare",
            &format!("--initial-branch={default_branch}"),
            ".",
        ],
    )
    .await?;
    let mut settings = vec![
        ("http.receivepack", "true"),
        ("uploadpack.allowReachableSHA1InWant", "true"),
        ("uploadpack.allowTipSHA1InWant", "true"),
        ("uploadpack.allowFilter", "true"),
        ("receive.denyDeleteCurrent", "ignore"),
        ("gc.auto", "0"),
        ("core.logAllRefUpdates", "false"),
    ];
    if kind == Kind::GitHub {
        settings.push(("receive.hideRefs", "refs/pull"));
    }
    for (key, value) in settings {
        run(dir, ["config", key, value]).await?;
    }
    Ok(())
}
