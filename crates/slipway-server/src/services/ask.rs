//! What the way from a webhook to a build asks of forges: where heads are, what commits say.
//!
//! A trait, because whoever answers also keeps tokens fresh and follows renames, and because the rules of
//! order.md are told in tests with a forge that is a few lines of memory.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;
use slipway_forge::{AppError, ChangedPaths, Commit, Forge, ForgeError, Head, OauthError, PullRequest};
use slipway_store::{SourceRepository, StoreError};
use slipway_types::{CommitSha, ForgeId, RefName, Timestamp};

use super::forges::NoToken;

/// Asks forges, for a source repository, through its namespace's link.
#[async_trait]
pub trait AskForge: Send + Sync + 'static {
    /// The forge itself, as it was a moment ago: to verify and read deliveries.
    ///
    /// # Errors
    /// [`AskError::Link`] when it is not configured any more.
    async fn forge(&self, id: ForgeId) -> Result<Arc<dyn Forge>, AskError>;

    /// Where all branches and tags are.
    async fn heads(&self, source: &SourceRepository) -> Result<Vec<Head>, AskError>;

    /// Where one branch or tag is; `None` if there is none of this name.
    async fn head(&self, source: &SourceRepository, name: &RefName) -> Result<Option<CommitSha>, AskError>;

    /// One pull request; `None` if there is none of this number.
    async fn pull_request(
        &self,
        source: &SourceRepository,
        number: u64,
    ) -> Result<Option<PullRequest>, AskError>;

    /// All open pull requests.
    async fn pull_requests(&self, source: &SourceRepository) -> Result<Vec<PullRequest>, AskError>;

    /// What a commit says.
    async fn commit(&self, source: &SourceRepository, sha: &CommitSha) -> Result<Commit, AskError>;

    /// Which paths lie between two commits.
    async fn changed_paths(
        &self,
        source: &SourceRepository,
        base: &CommitSha,
        head: &CommitSha,
    ) -> Result<ChangedPaths, AskError>;

    /// User name and token to clone the source with over HTTPS, where a GitHub App does it; `None` where a deploy key
    /// does.
    async fn to_clone(
        &self,
        source: &SourceRepository,
    ) -> Result<Option<(&'static str, SecretString)>, AskError>;

    /// `known_hosts` lines for the source's SSH clone URL. Empty if nobody vouches for any.
    async fn known_hosts(&self, source: &SourceRepository) -> Result<Vec<String>, AskError>;
}

/// Why a forge did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The forge said no, or nothing.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// The store could not tell whom to ask.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no link, or it does not work.
    #[error(transparent)]
    Link(#[from] NoToken),
}

impl AskError {
    /// Stable word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Forge(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Link(error) => error.kind(),
        }
    }

    /// Whether asking again soon, unchanged, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Forge(error) => error.is_transient(),
            Self::Store(_) => true,
            Self::Link(error) => error.is_transient(),
        }
    }

    /// When to ask again, after `attempts` attempts in vain: growing pauses up to five minutes, or when the forge
    /// said, but within the hour.
    pub fn again_at(&self, attempts: i32) -> Timestamp {
        let now = Timestamp::now();
        let soonest = now.plus(pause_after(attempts));
        let said = match self {
            Self::Forge(error)
            | Self::Link(NoToken::Renewal(OauthError::Forge(error)) | NoToken::App(AppError::Forge(error))) => {
                error
            }
            Self::Store(_) | Self::Link(_) => return soonest,
        };
        match said {
            ForgeError::RateLimited {
                until: Some(until), ..
            } => (*until).clamp(soonest, now.plus(LONGEST_WISH)),
            _ => soonest,
        }
    }
}

/// The longest that a forge may have us wait, whatever it says.
const LONGEST_WISH: Duration = Duration::from_mins(55);

/// 1, 2, 4, … seconds, at most five minutes.
pub(crate) fn pause_after(attempts: i32) -> Duration {
    let doublings = attempts.clamp(0, 9) as u32;
    Duration::from_secs(1 << doublings).min(Duration::from_mins(5))
}
