//! What can go wrong with a machine. All of it is the operator's to mend, none of it a build's owner's.

use std::{io, path::PathBuf};

/// Why a machine could not be started, or not be ended.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The work directory could not be made.
    #[error("no work directory could be made in {}: check that it exists, is writable and has space left", parent.display())]
    WorkDirectory {
        /// Where it was to be.
        parent: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The first process could not be started.
    #[error("{} could not be started", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The first process could not be waited for.
    #[error("the machine's first process could not be waited for")]
    Wait {
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Processes are alive although they were killed.
    #[error(
        "{alive} processes of the machine are still alive although they were killed (stuck in the kernel?)"
    )]
    StillAlive {
        /// How many.
        alive: usize,
    },
    /// The work directory could not be removed.
    #[error("{} could not be removed: remove it by hand", path.display())]
    Remove {
        /// The directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

impl MachineError {
    /// Stable word for the database, the API and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WorkDirectory { .. } => "machine_work_directory",
            Self::Start { .. } => "machine_start",
            Self::Wait { .. } => "machine_wait",
            Self::StillAlive { .. } => "machine_still_alive",
            Self::Remove { .. } => "machine_remove",
        }
    }
}
