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
    /// The host lends this user no ids for machines.
    #[error(
        "{user} has no 65,536 sub-ids: add a line `{user}:FIRST:COUNT` to /etc/subuid and to /etc/subgid, with 65,536 for each build that is to run at once"
    )]
    SubIds {
        /// The user that the builder runs as.
        user: String,
    },
    /// There is no root file system.
    #[error("there is no root file system in {}: make one with `slipway machine prepare`", directory.display())]
    NoRoot {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A step on the way to a machine was refused.
    #[error("{what} failed: {why}")]
    Refused {
        /// Whose step.
        what: &'static str,
        /// What it said.
        why: String,
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
            Self::SubIds { .. } => "machine_sub_ids",
            Self::NoRoot { .. } => "machine_no_root",
            Self::Refused { .. } => "machine_refused",
            Self::StillAlive { .. } => "machine_still_alive",
            Self::Remove { .. } => "machine_remove",
        }
    }
}
