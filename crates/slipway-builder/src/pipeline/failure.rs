//! Why a build failed, for its owner: a kind for the record, one sentence for the person.

use slipway_types::build::{FailureKind, Phase};

/// The end of a pipeline that did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// What failed, why, what to do. Masked when it is said.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn hook(phase: Phase, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Hook(phase), message)
    }

    /// A program of the machine that should be there could not be run: the operator's to mend.
    pub(super) fn not_run(program: &str, error: &std::io::Error) -> Self {
        Self::new(
            FailureKind::MACHINE,
            format!("the machine could not run {program} ({error}): it must be installed where builds run"),
        )
    }

    /// A file of the machine's own could not be written.
    pub(super) fn not_written(what: &str, error: &std::io::Error) -> Self {
        Self::new(
            FailureKind::MACHINE,
            format!("the machine could not write {what} ({error}): check its disk"),
        )
    }
}
