//! Source repositories: what they are, where their heads are, what a commit says and touches.

use serde::{Deserialize, Serialize};
use slipway_types::{CommitSha, RefName, Timestamp};
use url::Url;

use crate::{OwnerKind, RemoteRepositoryId, RepositoryPath};

/// A source repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The identity.
    pub id: RemoteRepositoryId,
    /// What it is called now.
    pub path: RepositoryPath,
    /// Whether only members see it.
    pub private: bool,
    /// Its main branch, by short name; `None` while it is empty.
    pub default_branch: Option<String>,
    /// `git@host:owner/name.git` or `ssh://…`.
    pub clone_ssh: String,
    /// `https://…`, without a user name.
    pub clone_https: Url,
    /// Its page.
    pub web_url: Url,
    /// Whether the account may make hooks and keys there; `None` if the provider did not say.
    pub admin: Option<bool>,
    /// When it was last pushed to (Bitbucket: last changed).
    pub pushed_at: Option<Timestamp>,
}

/// How a clone is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloneBy {
    /// With a deploy key.
    Ssh,
    /// With a token.
    Https,
}

/// Which repositories to list.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryQuery<'a> {
    /// Whether `owner` is the linked user or an organization, as [`crate::Owner::kind`] said.
    pub owner_kind: OwnerKind,
    /// Whose, by login.
    pub owner: &'a str,
    /// Only those whose name holds this text, ignoring case.
    pub search: Option<&'a str>,
    /// Which page; `None` for the first, then what [`RepositoryPage::next`] said.
    pub page: Option<&'a str>,
}

/// One page of repositories, the last pushed to first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPage {
    /// At most a hundred; with a search possibly none although more pages follow.
    pub repositories: Vec<Repository>,
    /// The next page, if there is one. Opaque, and harmless in a page's own URL.
    pub next: Option<String>,
}

/// Where a branch or a tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which.
    pub name: RefName,
    /// The commit; for an annotated tag the one that it is about.
    pub commit: CommitSha,
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id.
    pub sha: CommitSha,
    /// The whole message.
    pub message: String,
    /// Who wrote it, as the commit says: a name, for people.
    pub author: String,
}

/// Which paths lie between two commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "known", content = "paths", rename_all = "snake_case")]
pub enum ChangedPaths {
    /// All of them; of a renamed file both names.
    Complete(Vec<String>),
    /// Some; the provider does not tell more.
    Truncated(Vec<String>),
    /// The provider cannot tell (a force push, a first push, a commit that is gone).
    Unknown,
}
