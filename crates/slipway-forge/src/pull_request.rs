//! Pull requests.

use serde::{Deserialize, Serialize};
use slipway_types::CommitSha;

use crate::{RemoteRepositoryId, RepositoryPath};

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number in the repository that it is for.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Who opened it, by login (Bitbucket: nickname).
    pub author: String,
    /// Open, merged or closed.
    pub state: PullRequestState,
    /// What is to be merged.
    pub head: PullRequestEnd,
    /// Into what.
    pub base: PullRequestEnd,
}

impl PullRequest {
    /// Whether it comes from another repository. The ids decide, not the names; one whose source
    /// repository is gone counts as a stranger's.
    pub fn is_external(&self) -> bool {
        self.head.repository.is_none() || self.head.repository != self.base.repository
    }
}

/// One end of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestEnd {
    /// The repository; `None` when it was deleted.
    pub repository: Option<RemoteRepositoryId>,
    /// What that is called now.
    pub path: Option<RepositoryPath>,
    /// The branch, by short name.
    pub branch: String,
    /// The commit; `None` where a payload only abbreviates it (Bitbucket): ask for the pull request then.
    pub sha: Option<CommitSha>,
}

/// Where a pull request is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestState {
    /// Under way.
    Open,
    /// Its commits are in.
    Merged,
    /// Given up (Bitbucket: declined or superseded).
    Closed,
}
