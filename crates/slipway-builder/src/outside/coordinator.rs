//! What a builder asks of the server. In one process with it, or over HTTP: a builder does not know.

use std::{future::Future, time::Duration};

use serde::{Deserialize, Serialize};
use slipway_types::{
    BuildId, Digest, DockerTag, LeaseNo,
    build::{FailureKind, Phase},
    protocol::{BuildSpec, Facts, FenceAnswer, Step},
};

/// The side of the server that builders see. Every write names build and lease number; a stale one changes
/// nothing and is answered with [`CoordinatorError::LeaseLost`].
pub trait Coordinator: Send + Sync + 'static {
    /// Asks for a build, waiting a while for one (long poll). None: ask again. Dropping the future must not lose a
    /// build for longer than a lease's term.
    fn lease(
        &self,
        hello: BuilderHello,
    ) -> impl Future<Output = Result<Option<Leased>, CoordinatorError>> + Send;

    /// Keeps a lease for another term.
    fn renew(
        &self,
        build: BuildId,
        lease: LeaseNo,
    ) -> impl Future<Output = Result<Renewal, CoordinatorError>> + Send;

    /// Resolves when the build is canceled: a shortcut, as the next renewal says it too. An implementation that has
    /// none keeps this one, which never resolves.
    fn canceled(&self, build: BuildId, lease: LeaseNo) -> impl Future<Output = CancelReason> + Send {
        let _ = (build, lease);
        std::future::pending()
    }

    /// Takes a batch. A batch of a number that was taken already changes nothing and is answered with `Ok`.
    fn report(
        &self,
        build: BuildId,
        lease: LeaseNo,
        batch: Batch,
    ) -> impl Future<Output = Result<(), CoordinatorError>> + Send;

    /// Asks whether tags may be pushed; waits while another live lease holds one. One answer for each tag.
    fn fence(
        &self,
        build: BuildId,
        lease: LeaseNo,
        tags: Vec<DockerTag>,
    ) -> impl Future<Output = Result<Vec<(DockerTag, FenceAnswer)>, CoordinatorError>> + Send;

    /// Ends the run. Always after the last batch was taken, but for [`Ended::GivenBack`]. Said again, it changes nothing.
    fn finish(
        &self,
        build: BuildId,
        lease: LeaseNo,
        ended: Ended,
    ) -> impl Future<Output = Result<(), CoordinatorError>> + Send;
}

/// Why a coordinator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The lease is over: somebody else has the build, or it has ended. Whatever runs for it must end.
    #[error("the lease is lost")]
    LeaseLost,
    /// It could not be asked, or could not answer now; asking again may help.
    #[error("the server could not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server does not have this builder, or not in this version; asking again does not help.
    #[error("the server refuses this builder: {0}")]
    Refused(String),
}

impl CoordinatorError {
    /// Stable word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LeaseLost => "lease_lost",
            Self::Unreachable(_) => "server_unreachable",
            Self::Refused(_) => "builder_refused",
        }
    }
}

/// What a builder says of itself when it asks for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderHello {
    /// The name of the host that it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Platforms it builds for, as `linux/amd64`; the first is its own.
    pub platforms: Vec<String>,
    /// The machines' kind: `rootless`, `host`, `docker`.
    pub driver: String,
    /// Whether a stranger's code may run in them.
    pub isolates: bool,
    /// Runs at once.
    pub slots: usize,
}

/// A build to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leased {
    /// Everything about it.
    pub spec: BuildSpec,
    /// The lease.
    pub lease: LeaseNo,
    /// How long a lease lives without renewal.
    pub term: Duration,
}

/// The answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Renewal {
    /// The build is to end, and why.
    pub cancel: Option<CancelReason>,
}

/// Why a build is to end before it has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A person asked for it.
    Requested,
    /// A newer build takes its place.
    Superseded,
    /// The repository's link was taken apart, or the repository deleted.
    Disconnected,
}

/// What was said since the last batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// From 1, without gaps, within one lease.
    pub number: u64,
    /// In order.
    pub events: Vec<Stamped>,
    /// In order.
    pub log: Vec<LogChunk>,
}

/// An event and when it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// In milliseconds since the run's start, by the builder's clock.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// What a machine says that is kept: [`slipway_types::protocol::FromPipeline`] without what has another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A phase began.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// A phase ended.
    PhaseEnded {
        /// Which.
        phase: Phase,
        /// Whether it did what it should.
        ok: bool,
    },
    /// A step of the image build; the last one said of a number counts.
    Step {
        /// The step.
        step: Step,
    },
    /// What was found out on the way.
    Resolved {
        /// Only what is given is new.
        facts: Facts,
    },
    /// A tag was pushed.
    Pushed {
        /// Which.
        tag: DockerTag,
        /// What it holds now, by the machine's word.
        digest: Digest,
        /// The compressed size, in bytes, where known.
        size: Option<u64>,
    },
    /// Something that only a newer builder knows to say; it is left out.
    #[serde(other)]
    Unknown,
}

/// A piece of the log: masked, valid UTF-8, not necessarily whole lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Where it came from.
    pub phase: Phase,
    /// In milliseconds since the run's start, when its first byte was heard.
    pub at_ms: u64,
    /// The text.
    pub text: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum Ended {
    /// All phases did what they should.
    Success {
        /// Tags that were left out because a newer build holds them.
        skipped: Vec<DockerTag>,
    },
    /// One did not, or the machine failed.
    Failed {
        /// Why.
        kind: FailureKind,
        /// One sentence for the owner.
        message: String,
    },
    /// Ended because it was asked for.
    Canceled {
        /// Why.
        reason: CancelReason,
    },
    /// Ended by the time limit.
    TimedOut {
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// Not ended: this builder stops. The machine is gone, the build may be given to another at once.
    GivenBack,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_newer_builder_says_is_left_out() {
        let batch = r#"{"number":1,"events":[{"at_ms":1,"event":"warmed_up","degrees":40},
            {"at_ms":2,"event":"phase_started","phase":"build","since":7}],"log":[],"metrics":[1]}"#;
        let batch: Batch = serde_json::from_str(batch).unwrap();
        let events: Vec<_> = batch.events.into_iter().map(|stamped| stamped.event).collect();
        let phase = Phase::Build;
        assert_eq!(events, [RunEvent::Unknown, RunEvent::PhaseStarted { phase }]);
    }
}
