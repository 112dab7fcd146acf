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

/// GitHub refuses longer descriptions.
const LONGEST_DESCRIPTION: usize = 140;

impl Status {
    /// The description, cut to what both providers take.
    pub(crate) fn short_description(&self) -> String {
        if self.description.chars().count() <= LONGEST_DESCRIPTION {
            return self.description.clone();
        }
        let kept: String = self.description.chars().take(LONGEST_DESCRIPTION - 1).collect();
        format!("{kept}…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_description_is_cut_at_140_characters() {
        let status = |description: String| Status {
            state: StatusState::Pending,
            context: "slipway".to_owned(),
            description,
            target_url: "https://slipway.example/".parse().unwrap(),
        };
        assert_eq!(status("é".repeat(140)).short_description(), "é".repeat(140));
        let cut = status("é".repeat(141)).short_description();
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (140, true));
    }
}
