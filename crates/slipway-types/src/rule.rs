//! A repository's build configuration as it is entered and stored. What it *means* is slipway-rules'.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{refs::RefKind, words::words};

words! {
    /// Which pull requests are tested (Docker Hub's *Autotest*).
    Autotest {
        /// None.
        Off = "off",
        /// Those whose head and base are the same repository.
        Internal = "internal",
        /// All.
        InternalAndExternal = "internal_and_external",
    }
}

words! {
    /// How pushes become known.
    DeliveryMode {
        /// By webhook; reconciliation covers what gets lost.
        Webhook = "webhook",
        /// By webhook, and by asking at an interval.
        WebhookAndPolling = "webhook_and_polling",
        /// By asking at an interval only.
        Polling = "polling",
    }
}

words! {
    /// Which builds a newer one of the same rule and ref makes needless.
    Supersede {
        /// Waiting builds of branches; Slipway's default.
        Branches = "branches",
        /// Waiting builds of branches and tags.
        All = "all",
        /// None: every push builds.
        Never = "never",
    }
}

words! {
    /// Whether a configuration can build.
    ConfigurationState {
        /// It can.
        Active = "active",
        /// Its link was taken apart; linking again brings it back.
        Disconnected = "disconnected",
        /// Its link cannot reach the source.
        Blocked = "blocked",
    }
}

/// A build rule as a person enters it (autobuild.md, "A build rule"). Checked by `slipway_rules::BuildRule::parse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFields {
    /// Branch or Tag.
    pub source_type: RefKind,
    /// A name, or `/regex/`.
    pub source: String,
    /// One tag or several, separated by commas; `{sourceref}`, `{\1}` to `{\9}`.
    pub docker_tag: String,
    /// Relative to the build context; `/` or blank for `Dockerfile` there.
    #[serde(default)]
    pub dockerfile_location: String,
    /// Relative to the source root; `/` for the root; blank for the Dockerfile's folder.
    #[serde(default = "root")]
    pub build_context: String,
    /// Whether a push builds.
    #[serde(default = "on")]
    pub autobuild: bool,
    /// Whether earlier layers may be used.
    #[serde(default = "on")]
    pub build_caching: bool,
    /// Platforms, as `linux/amd64`; empty for the builder's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// `--build-arg`s; a value may refer to configured variables as `${NAME}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub build_args: BTreeMap<String, String>,
    /// `--target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Globs of which at least one changed path must match; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths_include: Vec<String>,
    /// Globs of paths that do not count as changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths_exclude: Vec<String>,
}

fn root() -> String {
    "/".to_owned()
}

const fn on() -> bool {
    true
}

impl RuleFields {
    /// The rule that a first configuration gets: this branch, tagged `latest`.
    pub fn default_for(branch: &str) -> Self {
        Self {
            source_type: RefKind::Branch,
            source: branch.to_owned(),
            docker_tag: "latest".to_owned(),
            dockerfile_location: "Dockerfile".to_owned(),
            build_context: root(),
            autobuild: true,
            build_caching: true,
            platforms: Vec::new(),
            build_args: BTreeMap::new(),
            target: None,
            paths_include: Vec::new(),
            paths_exclude: Vec::new(),
        }
    }
}
