//! What can go wrong while setting the simulation up or acting in it.
//!
//! Errors that a *product* meets are HTTP answers shaped like the provider's and never come
//! through here: this type is for the person who writes a test or starts the program.

use std::path::PathBuf;

/// Why the simulated forge could not do what a test or its program asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevForgeError {
    /// A loopback port could not be bound.
    #[error("cannot listen on {address}; is the port taken?")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory below the data directory could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The path in question.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The `git` program could not be started.
    #[error("cannot run the git program; it must be installed and in PATH")]
    GitMissing(#[source] std::io::Error),
    /// The `git` program ran and refused.
    #[error("git {command} failed: {stderr}")]
    Git {
        /// The sub-command and its arguments.
        command: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A name is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// Something was named that nobody created.
    #[error("there is no {0}")]
    Unknown(String),
    /// A value that the provider would not take either.
    #[error("{0}")]
    Invalid(String),
    /// The seed file is not what `--help` describes.
    #[error("the seed is not as described by --help")]
    Seed(#[source] serde_json::Error),
    /// A vendor description needed by the conformance check cannot be used.
    #[error("cannot use the description {}: {reason}; run scripts/setup, or say where it is", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The simulated person's browser got no answer.
    #[error("the forge does not answer; has it been stopped?")]
    Http(#[source] reqwest::Error),
    /// The SSH host key could not be made.
    #[error("cannot make an SSH host key: {0}")]
    HostKey(String),
}

impl DevForgeError {
    /// Stable word for the kind of trouble.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen",
            Self::File { .. } => "file",
            Self::GitMissing(_) => "git_missing",
            Self::Git { .. } => "git",
            Self::Exists(_) => "exists",
            Self::Unknown(_) => "unknown",
            Self::Invalid(_) => "invalid",
            Self::Seed(_) => "seed",
            Self::Description { .. } => "description",
            Self::Http(_) => "http",
            Self::HostKey(_) => "host_key",
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Result of the library's own operations.
pub type Result<T, E = DevForgeError> = std::result::Result<T, E>;
