//! GitHub's pull requests, as the API and deliveries both show them.

use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::CommitSha;

use super::{api::page, repositories::at};
use crate::{ForgeError, PullRequest, PullRequestEnd, PullRequestState, RepositoryPath, rest::Rest};

/// A pull request in GitHub's words.
#[derive(Deserialize)]
pub(super) struct Found {
    number: u64,
    title: String,
    user: Option<User>,
    state: String,
    #[serde(default)]
    merged_at: Option<String>,
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct End {
    r#ref: String,
    sha: CommitSha,
    /// Null when the fork was deleted.
    repo: Option<EndRepository>,
}

#[derive(Deserialize)]
struct EndRepository {
    id: u64,
    full_name: String,
}

impl From<Found> for PullRequest {
    fn from(found: Found) -> Self {
        let state = match (found.state.as_str(), &found.merged_at) {
            ("open", _) => PullRequestState::Open,
            (_, Some(_)) => PullRequestState::Merged,
            (_, None) => PullRequestState::Closed,
        };
        Self {
            number: found.number,
            title: found.title,
            // GitHub shows the pull requests of deleted accounts as `ghost`'s.
            author: found.user.map_or_else(|| "ghost".to_owned(), |user| user.login),
            state,
            head: found.head.into(),
            base: found.base.into(),
        }
    }
}

impl From<End> for PullRequestEnd {
    fn from(end: End) -> Self {
        Self {
            repository: end.repo.as_ref().map(|repo| repo.id.into()),
            path: end.repo.and_then(|repo| repo.full_name.parse().ok()),
            branch: end.r#ref,
            sha: Some(end.sha),
        }
    }
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    number: u64,
) -> Result<PullRequest, ForgeError> {
    let url = at(api, path, &["pulls", &number.to_string()]);
    Ok(api.get(token, url, "pull request").await?.json::<Found>()?.into())
}

pub(super) async fn open(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<PullRequest>, ForgeError> {
    let mut url = at(api, path, &["pulls"]);
    url.query_pairs_mut()
        .append_pair("state", "open")
        .append_pair("per_page", "100");
    let found: Vec<Found> = api.all(token, url, "pull requests", page).await?;
    Ok(found.into_iter().map(Into::into).collect())
}
