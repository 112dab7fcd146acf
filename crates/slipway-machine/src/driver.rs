//! What every kind of machine can do.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use futures::future::BoxFuture;
use slipway_types::{BuildId, LeaseNo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    process::Child,
};

use crate::error::MachineError;

/// The kinds of machine, by the words that configurations and pages use (machines.md, the table of drivers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriverName {
    /// Namespaces without privileges; an engine inside.
    Rootless,
    /// The host's own engine; the pipeline is a child process.
    Host,
    /// A privileged container of the machine image.
    Docker,
}

impl DriverName {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rootless => "rootless",
            Self::Host => "host",
            Self::Docker => "docker",
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a machine is started for and with.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The build.
    pub build: BuildId,
    /// The lease under which it runs; another lease of the same build is another machine.
    pub lease: LeaseNo,
    /// The first process: a program and its arguments. The machine's work directory, which the process finds
    /// as its current one, is private to it and empty. A rootless machine's first program is always its launcher, which
    /// is this program too.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<OsString>,
    /// The whole environment of the first process but for [`crate::processes::MARKER`]; nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// Whose layers the machine's engine may start with and leaves behind: a word of letters, digits and hyphens. None:
    /// the engine starts empty and leaves nothing. Without meaning where the engine is the host's.
    pub layers: Option<String>,
}

/// Makes machines of one kind.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Which kind.
    fn name(&self) -> DriverName;

    /// Whether a stranger's code may run in such a machine (autobuild.md, "Pull requests").
    fn isolates(&self) -> bool;

    /// Starts a machine with its first process.
    fn start(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Started, MachineError>>;
}

/// A machine that runs, and the far ends of its first process's standard streams.
pub struct Started {
    /// Closing it asks the first process to end everything.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it says.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it complains about, when it cannot say it.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// The machine itself.
    pub machine: Box<dyn Machine>,
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// How a machine's first process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// In words: `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub how: String,
    /// Whether it was well.
    pub success: bool,
}

impl Exit {
    /// Waits for a machine's first process.
    pub(crate) async fn of(child: &mut Child) -> Result<Self, MachineError> {
        let status = child
            .wait()
            .await
            .map_err(|source| MachineError::Wait { source })?;
        Ok(Self {
            how: status.to_string(),
            success: status.success(),
        })
    }
}

/// One machine.
pub trait Machine: Send + fmt::Debug {
    /// Waits for the first process to end. What it started may live on until [`Self::kill`].
    fn wait(&mut self) -> BoxFuture<'_, Result<Exit, MachineError>>;

    /// Ends everything that runs in the machine, and removes what it leaves behind.
    ///
    /// The first process is given `grace` to end by itself, which it does when its standard input ends: the
    /// caller drops that first. Without grace nothing is waited for. Calling it again does no harm.
    fn kill(&mut self, grace: Duration) -> BoxFuture<'_, Result<(), MachineError>>;
}
