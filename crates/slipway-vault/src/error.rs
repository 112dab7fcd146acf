//! What can go wrong with keys and sealed values. Never holds bytes of a secret.

use std::{io, path::PathBuf};

use crate::key::KeyId;

/// A sealed value could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The key that it was sealed with is not in the ring.
    #[error(
        "this secret was sealed with the key {key}, which is not among the configured keys; put it back in the key file"
    )]
    UnknownKey {
        /// The key's name.
        key: KeyId,
    },
    /// It was altered, or stands in another row or column than it was sealed for.
    #[error("the secret at {place} does not belong there or was altered; enter it anew")]
    Altered {
        /// `table:column:row id`
        place: String,
    },
    /// It has not the form of a sealed value, or of a hash.
    #[error("this is neither a sealed secret nor the hash of a token")]
    Malformed,
}

impl VaultError {
    /// A stable word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown_key",
            Self::Altered { .. } => "altered",
            Self::Malformed => "malformed",
        }
    }
}

/// The keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A name for a key that it cannot have.
    #[error("a key's name has 1 to 32 lower-case letters, digits, `-` and `_`")]
    BadName,
    /// A line that is not a key.
    #[error("line {line} is not a key: expected `slw-key-v1:NAME:KEY` with a key of 32 bytes in base64url")]
    BadLine {
        /// Counted from 1.
        line: usize,
    },
    /// Two keys of one name.
    #[error("line {line}: a second key is named {key}; each name may be given once")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The name.
        key: KeyId,
    },
    /// There is no key at all.
    #[error("there is no key; one line `slw-key-v1:NAME:KEY` at least is needed")]
    NoKey,
    /// The key file may be read by others than its owner.
    #[error("{} can be read by others than its owner (mode {mode:03o}); run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is far larger than keys are.
    #[error("{} is not a key file: it is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// Reading or writing it failed.
    #[error("the key file {} could not be {doing}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `created`, `replaced`
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// A stable word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadName => "bad_name",
            Self::BadLine { .. } => "bad_line",
            Self::Twice { .. } => "twice",
            Self::NoKey => "no_key",
            Self::Exposed { .. } => "exposed",
            Self::TooLarge { .. } => "too_large",
            Self::Io { .. } => "io",
        }
    }
}
