//! What can keep a part from starting, told to the person in front of the failing test.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a part of the test run is not there, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The engine needs namespaces, mounts and bridges.
    #[error("the Docker Engine for tests has to be started as root; run the tests as root")]
    NotRoot,
    /// A program that `scripts/setup --tests` installs.
    #[error("{0} is not installed; run scripts/setup --tests")]
    Missing(&'static str),
    /// A file, directory or socket of the part.
    #[error("could not {what} {path}")]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ran and said no.
    #[error("{program} ended with {status}: {said}")]
    Command {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard error.
        said: String,
    },
    /// The part's process ended, or did not answer in time; its log's end says why.
    #[error("the {part} for tests {how}; the end of its log:\n{log}")]
    NotUp {
        /// Which part.
        part: String,
        /// What was seen of it.
        how: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// Another test of this run tried already; trying once more would only cost its time again.
    #[error("an earlier test of this run could not start the {part}: {why}")]
    FailedBefore {
        /// Which part.
        part: String,
        /// What the earlier test was told.
        why: String,
    },
    /// No `docker` on this machine can build with BuildKit on the engine.
    #[error("no docker command here can talk to the engine and build with BuildKit: {0}")]
    NoClient(String),
    /// An HTTP answer that is none, or not the one expected.
    #[error("the answer to {request} was not understood: {why}")]
    Answer {
        /// Method and path.
        request: String,
        /// What was wrong with it.
        why: String,
    },
}

impl PartError {
    /// Stable word for the kind of failure.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotRoot => "not_root",
            Self::Missing(_) => "missing_program",
            Self::Io { .. } => "io",
            Self::Command { .. } => "command_failed",
            Self::NotUp { .. } => "not_up",
            Self::FailedBefore { .. } => "failed_before",
            Self::NoClient(_) => "no_docker_client",
            Self::Answer { .. } => "bad_answer",
        }
    }

    /// Wraps what the system said about `path`; for `map_err`.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// The error and everything beneath it in one line.
pub(crate) fn with_causes(error: &PartError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
