//! Bitbucket's pull requests, as the API and deliveries both show them: with commits abbreviated to twelve digits.

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    api::page,
    repositories::{at, commit},
};
use crate::{ForgeError, PullRequest, PullRequestEnd, PullRequestState, RepositoryPath, rest::Rest};

/// A pull request in Bitbucket's words.
#[derive(Deserialize)]
pub(super) struct Found {
    id: u64,
    title: String,
    state: String,
    #[serde(default)]
    author: Option<User>,
    source: End,
    destination: End,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    nickname: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct End {
    branch: Branch,
    #[serde(default)]
    commit: Option<Commit>,
    /// Null when the fork was deleted.
    #[serde(default)]
    repository: Option<EndRepository>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct Commit {
    hash: String,
}

#[derive(Deserialize)]
struct EndRepository {
    uuid: String,
    #[serde(default)]
    full_name: String,
}

impl Found {
    fn head_hash(&self) -> Option<String> {
        self.source.commit.as_ref().map(|commit| commit.hash.clone())
    }
}

impl From<Found> for PullRequest {
    fn from(found: Found) -> Self {
        Self {
            number: found.id,
            title: found.title,
            author: found
                .author
                .and_then(|user| user.nickname.or(user.display_name))
                .unwrap_or_default(),
            state: match found.state.as_str() {
                "MERGED" => PullRequestState::Merged,
                "DECLINED" | "SUPERSEDED" => PullRequestState::Closed,
                // OPEN, and the DRAFT and QUEUED that the description knows too.
                _ => PullRequestState::Open,
            },
            head: found.source.into(),
            base: found.destination.into(),
        }
    }
}

impl From<End> for PullRequestEnd {
    fn from(end: End) -> Self {
        Self {
            repository: end
                .repository
                .as_ref()
                .map(|repository| repository.uuid.as_str().into()),
            path: end
                .repository
                .and_then(|repository| repository.full_name.parse().ok()),
            branch: end.branch.name,
            sha: end.commit.and_then(|commit| commit.hash.parse().ok()),
        }
    }
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    number: u64,
) -> Result<PullRequest, ForgeError> {
    let url = at(api, path, &["pullrequests", &number.to_string()]);
    let found: Found = api.get(token, url, "pull request").await?.json()?;
    in_full(api, token, path, found).await
}

pub(super) async fn open(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<PullRequest>, ForgeError> {
    let mut url = at(api, path, &["pullrequests"]);
    // 50 is the most that this list takes.
    url.query_pairs_mut()
        .append_pair("state", "OPEN")
        .append_pair("pagelen", "50");
    let mut pull_requests = Vec::new();
    for found in api.all::<Found>(token, url, "pull requests", page).await? {
        pull_requests.push(in_full(api, token, path, found).await?);
    }
    Ok(pull_requests)
}

/// Asks what the abbreviated commit is in full: where it is, or, with the fork out of sight, where it is wanted.
async fn in_full(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    found: Found,
) -> Result<PullRequest, ForgeError> {
    let hash = found.head_hash();
    let mut pull_request = PullRequest::from(found);
    let (None, Some(hash)) = (&pull_request.head.sha, hash) else {
        return Ok(pull_request);
    };
    for repository in pull_request.head.path.iter().chain([path]) {
        match commit(api, token, repository, &hash).await {
            Ok(commit) => {
                pull_request.head.sha = Some(commit.sha);
                break;
            }
            Err(ForgeError::NotFound { .. } | ForgeError::Forbidden { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pull_request)
}
