//! What evaluation is asked about: a change of a ref or a pull request, and the configuration it meets.

use slipway_types::{CommitSha, RefName, rule::Autotest};

use crate::BuildRule;

/// Which files a push changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedPaths {
    /// All of them, from the source's root, with `/` between the parts.
    Known(Vec<String>),
    /// Not known, or not completely: the provider cut its list, or there is nothing to compare with.
    Unknown,
}

/// An accepted change of a branch or tag, with what enriching found out (order.md, "Enrich").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The branch or tag.
    pub git_ref: RefName,
    /// What it pointed at before; none when it is new.
    pub old: Option<CommitSha>,
    /// What it points at now; none when it was deleted.
    pub new: Option<CommitSha>,
    /// The head commit's whole message, where it is known.
    pub message: Option<String>,
    /// The files changed between `old` and `new`.
    pub paths: ChangedPaths,
    /// Whether somebody asked for this build (*Trigger*, *Save and build*, a build trigger). Such a build is made
    /// and pushed even where the rule's autobuild is off, a skip marker stands in the message, or no listed path
    /// was touched: those say what a *push* may do without being asked.
    pub asked_for: bool,
}

impl Change {
    /// A push that set `git_ref` to `new`, about which nothing else is known yet.
    pub const fn pushed(git_ref: RefName, old: Option<CommitSha>, new: CommitSha) -> Self {
        Self {
            git_ref,
            old,
            new: Some(new),
            message: None,
            paths: ChangedPaths::Unknown,
            asked_for: false,
        }
    }

    /// A deletion of `git_ref`.
    pub const fn deleted(git_ref: RefName, old: Option<CommitSha>) -> Self {
        Self {
            git_ref,
            old,
            new: None,
            message: None,
            paths: ChangedPaths::Unknown,
            asked_for: false,
        }
    }

    /// Whether the ref is gone.
    pub const fn is_deletion(&self) -> bool {
        self.new.is_none()
    }
}

/// An accepted change of a pull request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestChange {
    /// The provider's number of it.
    pub number: u64,
    /// The branch that it would be merged into.
    pub base: RefName,
    /// The branch that it comes from: `SOURCE_BRANCH` of its build.
    pub head: RefName,
    /// The provider's id of the repository that `base` is in.
    pub base_repository: String,
    /// The provider's id of the repository that `head` is in; none when it is gone.
    pub head_repository: Option<String>,
    /// The commit to be tested.
    pub head_sha: CommitSha,
    /// Whether it was closed or merged.
    pub closed: bool,
}

impl PullRequestChange {
    /// Whether head and base are one repository, told by the provider's ids: names can be taken over.
    pub fn is_internal(&self) -> bool {
        self.head_repository.as_deref() == Some(self.base_repository.as_str())
    }
}

/// The part of an automated-build configuration that decides what is built.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which pull requests are tested, and whether rules without autobuild are.
    pub autotest: Autotest,
    /// The rules, in the order of the page.
    pub rules: Vec<BuildRule>,
}
