//! What a delivery says, in words that both providers share.
//!
//! A delivery is a hint, never an order (order.md, "One way in"): providers repeat, reorder and lose them.
//! So a payload is read for what it claims and for the repository that it claims it of; the receiver
//! compares that repository with the one its hook was made for, because a signed webhook of one
//! repository may be sent to another's address.

use http::HeaderMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slipway_types::{CommitSha, RefName};

use crate::{
    ChangedPaths, Commit, Installation, PullRequest, RemoteAccountId, RemoteHookId, RemoteRepositoryId,
    RepositoryPath, http::excerpt,
};

/// What the headers of a delivery say. Nothing of it is signed: for the ledger only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryHead {
    /// The event, as `push` or `repo:push`.
    pub event: String,
    /// The provider's id of the delivery.
    pub delivery_id: Option<String>,
    /// Which attempt this is, from 1. GitHub does not retry by itself, and does not count.
    pub attempt: u32,
    /// The provider's id of the hook.
    pub hook_id: Option<RemoteHookId>,
}

/// What a delivery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, and for as long as it takes to store it"
)]
pub enum Event {
    /// The provider tries the address out.
    Ping {
        /// The repository, unless the hook is an organization's.
        repository: Option<RepositoryHint>,
    },
    /// Branches or tags have moved.
    Push {
        /// Where.
        repository: RepositoryHint,
        /// Which; Bitbucket says several in one delivery. Empty when something was pushed that the payload does
        /// not tell.
        refs: Vec<RefHint>,
    },
    /// A pull request has changed in a way that matters to builds.
    PullRequest {
        /// The repository that it is for.
        repository: RepositoryHint,
        /// What it is now.
        hint: PullRequestHint,
    },
    /// The repository itself has changed.
    Repository {
        /// Which, as it is called now.
        repository: RepositoryHint,
        /// How.
        change: RepositoryChange,
    },
    /// A GitHub App's installation has changed. It is of no repository: what it says goes for all links through it.
    Installation {
        /// Which.
        installation: Installation,
        /// At which account.
        account: RemoteAccountId,
        /// Who did it.
        sender: RemoteAccountId,
        /// How.
        change: InstallationChange,
    },
    /// A person ended what they granted to a GitHub App.
    AuthorizationRevoked {
        /// Who.
        account: RemoteAccountId,
    },
    /// Something that starts no builds.
    Ignored {
        /// The event, with its action where it has one, as `pull_request.labeled`.
        event: String,
        /// Where.
        repository: Option<RepositoryHint>,
    },
}

impl Event {
    /// The repository that this delivery claims to be of.
    pub fn repository(&self) -> Option<&RepositoryHint> {
        match self {
            Self::Ping { repository } | Self::Ignored { repository, .. } => repository.as_ref(),
            Self::Push { repository, .. }
            | Self::PullRequest { repository, .. }
            | Self::Repository { repository, .. } => Some(repository),
            Self::Installation { .. } | Self::AuthorizationRevoked { .. } => None,
        }
    }
}

/// The repository that a delivery claims to be of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryHint {
    /// The identity: to be compared with the hook's own source.
    pub id: RemoteRepositoryId,
    /// What it is called, if that can be read.
    pub path: Option<RepositoryPath>,
}

/// What a delivery says of one branch or tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefHint {
    /// Which.
    pub name: RefName,
    /// Where it was; `None` if it is new. Of an annotated tag this may be the tag object.
    pub before: Option<CommitSha>,
    /// Where it is.
    pub after: HeadHint,
    /// The old commits are not among the new one's ancestors.
    pub forced: bool,
    /// The head commit, if told.
    pub head_commit: Option<Commit>,
    /// What the push has touched, from `before` to `after`, if told.
    pub changed: ChangedPaths,
}

/// Where a delivery says that a branch or tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadHint {
    /// At this commit; for an annotated tag the one that it is about.
    At(CommitSha),
    /// Nowhere: it was deleted.
    Deleted,
    /// It exists, but the payload does not hold the commit: ask the forge. (GitHub gives an annotated
    /// tag's object; the commit only beside it.)
    Unknown,
}

impl HeadHint {
    /// The commit, if told.
    pub fn commit(&self) -> Option<&CommitSha> {
        match self {
            Self::At(commit) => Some(commit),
            Self::Deleted | Self::Unknown => None,
        }
    }
}

/// What a delivery says of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestHint {
    /// What happened.
    pub action: PullRequestAction,
    /// What it is now.
    pub pull_request: PullRequest,
}

/// What happened to a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestAction {
    /// It is new.
    Opened,
    /// Its commits, its base or (Bitbucket tells no difference) its text changed.
    Updated,
    /// It was closed, and is open again.
    Reopened,
    /// It was merged, or given up.
    Closed,
}

/// What happened to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryChange {
    /// It is called differently.
    Renamed,
    /// It belongs to somebody else.
    Transferred,
    /// It is gone.
    Deleted,
    /// Something else that the record should follow (visibility, default branch, archived).
    Updated,
}

/// What happened to a GitHub App's installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallationChange {
    /// It is new.
    Created,
    /// It was removed.
    Deleted,
    /// It was suspended.
    Suspended,
    /// It works again.
    Unsuspended,
    /// Its repositories, or its permissions, are others now.
    Updated,
}

/// A delivery is not what its provider documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {event} delivery is not of a shape that {provider} documents: {why}")]
pub struct Malformed {
    /// The event that it claimed.
    pub event: String,
    /// Whose documentation it was held to.
    pub provider: &'static str,
    /// What is wrong with it, and where.
    pub why: String,
    /// The repository that it claims to be of all the same, where a hook serves more than one.
    pub repository: Option<RemoteRepositoryId>,
}

/// A header's text; empty if it is missing or no text.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// One delivery being read: makes the sentences of [`Malformed`].
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) provider: &'static str,
    pub(crate) event: &'a str,
    pub(crate) json: &'a [u8],
}

impl Reading<'_> {
    pub(crate) fn body<T: DeserializeOwned>(self) -> Result<T, Malformed> {
        serde_json::from_slice(self.json).map_err(|error| self.malformed(&error.to_string()))
    }

    pub(crate) fn malformed(self, why: &str) -> Malformed {
        Malformed {
            event: excerpt(self.event),
            provider: self.provider,
            why: excerpt(why),
            repository: None,
        }
    }

    pub(crate) fn ignored(self, action: Option<&str>, repository: Option<RepositoryHint>) -> Event {
        let event = match action {
            Some(action) => excerpt(&format!("{}.{action}", self.event)),
            None => excerpt(self.event),
        };
        Event::Ignored { event, repository }
    }
}
