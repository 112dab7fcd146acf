//! Commit statuses: what a provider shows beside a commit about its build.

use serde::{Deserialize, Serialize};
use url::Url;

/// How a build stands, in words that both providers can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// Waits. (GitHub `pending`, Bitbucket `INPROGRESS`.)
    Pending,
    /// Runs. (GitHub `pending`, Bitbucket `INPROGRESS`.)
    Running,
    /// Ended well. (`success`, `SUCCESSFUL`.)
    Success,
    /// Ended badly. (`failure`, `FAILED`.)
    Failed,
    /// Ended by a person, or for want of something that is not the commit's fault. (`error`, `STOPPED`.)
    Stopped,
}

/// A commit status. A later one of the same context replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How it stands.
    pub state: StatusState,
    /// Which of a commit's statuses this is, as `slipway/team/app: main`. Bitbucket's key has room for 40
    /// characters; a longer context is replaced by its digest there, and still shown as the name.
    pub context: String,
    /// One line for people; cut at 140 characters (GitHub's limit).
    pub description: String,
    /// The build's page.
    pub target_url: Url,
}
