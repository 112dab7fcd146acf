//! The words for decisions (order.md, "Words for decisions"): what becomes of a delivery, of one ref in
//! it, of one rule for it, and of a verdict to build.

use serde::{Deserialize, Serialize};

use crate::{names::DockerTag, words::words};

words! {
    /// What became of a delivery.
    DeliveryOutcome {
        /// Stored; nothing has looked at it yet.
        Received = "received",
        /// The provider tried the address out.
        Ping = "ping",
        /// An event that starts no builds.
        EventIgnored = "event_ignored",
        /// No automated build uses this source repository.
        NoConfiguration = "no_configuration",
        /// Signed, but not of a shape that the provider documents.
        Malformed = "malformed",
        /// Its heads were looked at; the changes say what came of it.
        Observed = "observed",
    }
}

words! {
    /// What became of one ref or pull request that somebody said had moved.
    ChangeResult {
        /// The record says so already.
        HeadUnchanged = "head_unchanged",
        /// It is the new head.
        Accepted = "accepted",
        /// The hint does not follow from the record: the forge is asked.
        AskingForge = "asking_forge",
    }
}

words! {
    /// Why a rule does not build a change.
    NoBuild {
        /// The rule is for branches and this is a tag, or the other way round.
        RefTypeDiffers = "ref_type_differs",
        /// The rule names another branch or tag.
        NameDiffers = "name_differs",
        /// The rule's expression finds nothing in the name.
        RegexNoMatch = "regex_no_match",
        /// The branch or tag was deleted.
        RefDeleted = "ref_deleted",
        /// The rule's autobuild is off, and so is autotest.
        AutobuildOff = "autobuild_off",
        /// Pull requests are not tested here.
        AutotestOff = "autotest_off",
        /// Pull requests from other repositories are not tested here.
        ExternalPullRequest = "external_pull_request",
        /// The pull request's target branch matches no rule.
        BaseBranchNoMatch = "base_branch_no_match",
        /// The commit message asks for no build.
        SkipMarker = "skip_marker",
        /// Nothing that the rule looks at was changed.
        PathsNotTouched = "paths_not_touched",
    }
}

words! {
    /// Why a verdict to build was not queued, or a queued build gave way.
    NotAdmitted {
        /// An equal build waits already.
        AlreadyQueued = "already_queued",
        /// A newer build of the same rule and ref takes its place.
        Superseded = "superseded",
        /// The plan's limit of waiting builds is reached.
        QueueFull = "queue_full",
        /// The repository's link was taken apart.
        Disconnected = "disconnected",
        /// The link cannot reach the source any more.
        Blocked = "blocked",
        /// The plan does not include automated builds.
        PlanForbids = "plan_forbids",
        /// A first-time contributor's pull request waits for a person.
        NeedsApproval = "needs_approval",
        /// No builder isolates builds well enough for a stranger's code.
        NeedsIsolation = "needs_isolation",
    }
}

/// What one rule says to one accepted change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Build it, with these tags. Without any, the build is a test only.
    Build {
        /// The Docker tags, in the rule's order, each once.
        tags: Vec<DockerTag>,
        /// Whether the image is pushed, or only built and tested.
        push: bool,
        /// What could not be known, and so counted as *not skipping*, in words; for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<String>,
    },
    /// Do not, because.
    No {
        /// The reason.
        because: NoBuild,
    },
}
