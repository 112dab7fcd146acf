//! A build: its states, how it can end, what caused it, the phases it goes through.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::words::{UnknownWord, words};

words! {
    /// The state of a build (autobuild.md, "Which build runs when").
    BuildState {
        /// Waits for a builder.
        Pending = "pending",
        /// A builder has it.
        InProgress = "in_progress",
        /// Ended well.
        Success = "success",
        /// Ended badly; the failure kind says how.
        Failed = "failed",
        /// Ended by a person, or by a newer build that superseded it.
        Canceled = "canceled",
        /// Ended by the plan's time limit.
        TimedOut = "timed_out",
    }
}

impl BuildState {
    /// Whether the build has ended.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }
}

words! {
    /// What a build goes through, in this order (autobuild.md, "The pipeline").
    Phase {
        /// Fetching exactly the commit in question.
        Checkout = "checkout",
        /// Finding the Dockerfile and the build context.
        Resolve = "resolve",
        /// `hooks/post_checkout`.
        PostCheckout = "post_checkout",
        /// Logging in at the registries.
        RegistryLogin = "registry_login",
        /// `hooks/pre_build`.
        PreBuild = "pre_build",
        /// `hooks/build`, or the default build.
        Build = "build",
        /// `hooks/post_build`.
        PostBuild = "post_build",
        /// `hooks/pre_test`.
        PreTest = "pre_test",
        /// `hooks/test`, or the default test.
        Test = "test",
        /// `hooks/post_test`.
        PostTest = "post_test",
        /// `hooks/pre_push`.
        PrePush = "pre_push",
        /// `hooks/push`, or the default push.
        Push = "push",
        /// `hooks/post_push`.
        PostPush = "post_push",
    }
}

impl Phase {
    /// The hook that runs in this phase: `hooks/<name>` beside the Dockerfile.
    pub const fn hook(self) -> Option<&'static str> {
        match self {
            Self::Checkout | Self::Resolve | Self::RegistryLogin => None,
            other => Some(other.as_str()),
        }
    }
}

words! {
    /// Why a build failed, without the hook's name.
    FailureWord {
        /// The commit could not be fetched.
        Checkout = "checkout",
        /// There is no Dockerfile, or no build context, where the rule says.
        DockerfileMissing = "dockerfile_missing",
        /// A hook ended with a non-zero code, or could not be executed.
        Hook = "hook",
        /// The image could not be built.
        Build = "build",
        /// A test failed.
        Test = "test",
        /// The image could not be pushed.
        Push = "push",
        /// A registry refused the login.
        RegistryAuth = "registry_auth",
        /// The machine could not be started, or died.
        Machine = "machine",
        /// The builder was lost, three times.
        BuilderLost = "builder_lost",
        /// A secret that the build needs could not be opened.
        Secrets = "secrets",
        /// A fault of Slipway itself.
        Internal = "internal",
    }
}

/// Why a build failed: `checkout`, `build`, …, or `hook:<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FailureKind {
    /// A hook, by the phase that it belongs to.
    Hook(Phase),
    /// Anything else.
    Other(FailureWord),
}

impl FailureKind {
    /// [`FailureWord::Checkout`]
    pub const CHECKOUT: Self = Self::Other(FailureWord::Checkout);
    /// [`FailureWord::DockerfileMissing`]
    pub const DOCKERFILE_MISSING: Self = Self::Other(FailureWord::DockerfileMissing);
    /// [`FailureWord::Build`]
    pub const BUILD: Self = Self::Other(FailureWord::Build);
    /// [`FailureWord::Test`]
    pub const TEST: Self = Self::Other(FailureWord::Test);
    /// [`FailureWord::Push`]
    pub const PUSH: Self = Self::Other(FailureWord::Push);
    /// [`FailureWord::RegistryAuth`]
    pub const REGISTRY_AUTH: Self = Self::Other(FailureWord::RegistryAuth);
    /// [`FailureWord::Machine`]
    pub const MACHINE: Self = Self::Other(FailureWord::Machine);
    /// [`FailureWord::BuilderLost`]
    pub const BUILDER_LOST: Self = Self::Other(FailureWord::BuilderLost);
    /// [`FailureWord::Secrets`]
    pub const SECRETS: Self = Self::Other(FailureWord::Secrets);
    /// [`FailureWord::Internal`]
    pub const INTERNAL: Self = Self::Other(FailureWord::Internal);
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook(phase) => write!(f, "hook:{phase}"),
            Self::Other(word) => word.fmt(f),
        }
    }
}

impl FromStr for FailureKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.strip_prefix("hook:") {
            Some(hook) => hook.parse().map(Self::Hook),
            None => text.parse().map(Self::Other),
        }
    }
}

impl TryFrom<String> for FailureKind {
    type Error = UnknownWord;
    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<FailureKind> for String {
    fn from(kind: FailureKind) -> String {
        kind.to_string()
    }
}

words! {
    /// What made a change, or a build, come to be.
    Cause {
        /// Heads as they were when a configuration was saved: remembered, never built.
        Baseline = "baseline",
        /// A webhook said so.
        Push = "push",
        /// A pull request was opened or moved.
        PullRequest = "pull_request",
        /// Polling found it.
        Polled = "polled",
        /// Comparing all heads found it: its webhook was lost.
        Reconciled = "reconciled",
        /// A person pressed *Trigger* or *Save and build*, or a build trigger was called.
        Triggered = "triggered",
        /// A person replayed a delivery.
        Replayed = "replayed",
        /// A person retried a build.
        Retried = "retried",
    }
}

words! {
    /// What a build is for.
    Purpose {
        /// Build, test, push.
        Push = "push",
        /// Build and test only; never pushed (autotest).
        Test = "test",
    }
}

words! {
    /// Why a build that waits cannot be leased yet, or why it ended without having run.
    Hold {
        /// An earlier build that writes one of its tags has not ended.
        Predecessor = "predecessor",
        /// The namespace's plan allows no more builds at once.
        Concurrency = "concurrency",
        /// The machine of its last run may still be alive.
        Cooling = "cooling",
        /// No builder takes work: none is there, or all are paused or away.
        NoBuilder = "no_builder",
        /// None of the builders that take work may run it.
        NoBuilderFits = "no_builder_fits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_kind_survives_its_word() {
        for kind in [
            FailureKind::Hook(Phase::PrePush),
            FailureKind::CHECKOUT,
            FailureKind::BUILDER_LOST,
        ] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!(FailureKind::Hook(Phase::PrePush).to_string(), "hook:pre_push");
        assert!("hook:nothing".parse::<FailureKind>().is_err());
    }
}
