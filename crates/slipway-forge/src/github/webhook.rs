//! GitHub's deliveries ("Webhook events and payloads").

use std::borrow::Cow;

use http::{HeaderMap, header::CONTENT_TYPE};
use serde::Deserialize;
use slipway_types::{CommitSha, RefKind, RefName};

use super::{installations, pull_requests};
use crate::{
    ChangedPaths, Commit, DeliveryHead, Event, HeadHint, Malformed, PullRequestAction, PullRequestHint,
    RefHint, RepositoryChange, RepositoryHint,
    webhook::{Reading, header},
};

/// A push payload lists at most this many commits, and at most 3,000 files of each.
const MOST_COMMITS: usize = 2048;
const MOST_FILES: usize = 3000;

pub(super) fn delivery_head(headers: &HeaderMap) -> DeliveryHead {
    let text = |name| Some(header(headers, name)).filter(|text| !text.is_empty());
    DeliveryHead {
        event: header(headers, "x-github-event").to_owned(),
        delivery_id: text("x-github-delivery").map(str::to_owned),
        attempt: 1,
        hook_id: text("x-github-hook-id").map(Into::into),
    }
}

pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Event, Malformed> {
    let json = payload(headers, body);
    let reading = Reading {
        provider: "GitHub",
        event: header(headers, "x-github-event"),
        json: json.as_deref().unwrap_or_default(),
    };
    if json.is_none() {
        return Err(reading.malformed("the form has no payload"));
    }
    read(reading).map_err(|malformed| Malformed {
        repository: reading
            .body()
            .ok()
            .and_then(|named: Named| named.repository)
            .map(|named| named.id.into()),
        ..malformed
    })
}

fn read(reading: Reading<'_>) -> Result<Event, Malformed> {
    match reading.event {
        "" => Err(reading.malformed("there is no X-GitHub-Event header")),
        "ping" => Ok(Event::Ping {
            repository: reading.body::<Anything>()?.repository.map(Into::into),
        }),
        "push" => push(reading),
        "pull_request" => pull_request(reading),
        "repository" => repository(reading),
        "installation" | "installation_repositories" => installations::event(reading),
        "github_app_authorization" => installations::revoked(reading),
        _ => {
            let other: Anything = reading.body()?;
            Ok(reading.ignored(other.action.as_deref(), other.repository.map(Into::into)))
        }
    }
}

/// The JSON, which a hook of content type `form` puts into the field `payload`.
fn payload<'b>(headers: &HeaderMap, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    let content_type = header(headers, CONTENT_TYPE.as_str()).to_ascii_lowercase();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Some(Cow::Borrowed(body));
    }
    let (_, json) = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload")?;
    Some(Cow::Owned(json.into_owned().into_bytes()))
}

#[derive(Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    full_name: String,
}

impl From<Found> for RepositoryHint {
    fn from(found: Found) -> Self {
        Self {
            id: found.id.into(),
            path: found.full_name.parse().ok(),
        }
    }
}

/// What nearly every payload has.
#[derive(Deserialize)]
struct Anything {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    repository: Option<Found>,
}

/// What is left of a payload that cannot be read.
#[derive(Deserialize)]
struct Named {
    repository: Option<Found>,
}

#[derive(Deserialize)]
struct Push {
    r#ref: String,
    before: String,
    after: String,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    head_commit: Option<PushedCommit>,
    #[serde(default)]
    commits: Vec<PushedCommit>,
    repository: Found,
}

#[derive(Deserialize)]
struct PushedCommit {
    id: CommitSha,
    #[serde(default)]
    message: String,
    #[serde(default)]
    author: Option<Author>,
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
}

impl PushedCommit {
    fn files(&self) -> usize {
        self.added.len() + self.removed.len() + self.modified.len()
    }

    fn into_commit(self) -> Commit {
        let author = self.author.map(|author| author.name).unwrap_or_default();
        Commit {
            sha: self.id,
            message: self.message,
            author,
        }
    }
}

fn push(reading: Reading<'_>) -> Result<Event, Malformed> {
    let push: Push = reading.body()?;
    if !push.r#ref.starts_with("refs/heads/") && !push.r#ref.starts_with("refs/tags/") {
        return Ok(reading.ignored(Some(&push.r#ref), Some(push.repository.into())));
    }
    let name: RefName = push
        .r#ref
        .parse()
        .map_err(|error| reading.malformed(&format!("its ref is none that git allows: {error}")))?;
    let before = sha(reading, &push.before)?;
    let after = match (sha(reading, &push.after)?, name.kind()) {
        (None, _) => HeadHint::Deleted,
        (Some(sha), RefKind::Branch) => HeadHint::At(sha),
        // `after` may be the tag object; the commit is beside it.
        (Some(_), RefKind::Tag) => push
            .head_commit
            .as_ref()
            .map_or(HeadHint::Unknown, |commit| HeadHint::At(commit.id.clone())),
    };
    let follows = name.kind() == RefKind::Branch && before.is_some() && !push.forced;
    let changed = match after.commit() {
        Some(after) if follows => changed_paths(&push.commits, after),
        _ => ChangedPaths::Unknown,
    };
    let head_commit = push
        .head_commit
        .filter(|commit| Some(&commit.id) == after.commit())
        .map(PushedCommit::into_commit);
    let hint = RefHint {
        name,
        before,
        after,
        forced: push.forced,
        head_commit,
        changed,
    };
    Ok(Event::Push {
        repository: push.repository.into(),
        refs: vec![hint],
    })
}

/// A commit, or none: all zeros.
fn sha(reading: Reading<'_>, text: &str) -> Result<Option<CommitSha>, Malformed> {
    if !text.is_empty() && text.bytes().all(|b| b == b'0') {
        return Ok(None);
    }
    let sha = text
        .parse()
        .map_err(|error| reading.malformed(&format!("{text:?} is no commit: {error}")))?;
    Ok(Some(sha))
}

/// All that any of the commits of a fast-forward push has touched.
fn changed_paths(commits: &[PushedCommit], after: &CommitSha) -> ChangedPaths {
    if commits.last().is_none_or(|last| last.id != *after) {
        return ChangedPaths::Unknown;
    }
    let truncated =
        commits.len() >= MOST_COMMITS || commits.iter().any(|commit| commit.files() >= MOST_FILES);
    let mut paths: Vec<String> = commits
        .iter()
        .flat_map(|commit| [&commit.added, &commit.removed, &commit.modified])
        .flatten()
        .cloned()
        .collect();
    paths.sort_unstable();
    paths.dedup();
    if truncated {
        ChangedPaths::Truncated(paths)
    } else {
        ChangedPaths::Complete(paths)
    }
}

#[derive(Deserialize)]
struct PullRequestPayload {
    action: String,
    pull_request: pull_requests::Found,
    #[serde(default)]
    changes: Changes,
    repository: Found,
}

#[derive(Deserialize, Default)]
struct Changes {
    /// Present when the pull request was pointed at another branch.
    #[serde(default)]
    base: Option<serde::de::IgnoredAny>,
}

fn pull_request(reading: Reading<'_>) -> Result<Event, Malformed> {
    let other: Anything = reading.body()?;
    let action = match other.action.as_deref() {
        Some("opened") => PullRequestAction::Opened,
        Some("synchronize" | "edited") => PullRequestAction::Updated,
        Some("reopened") => PullRequestAction::Reopened,
        Some("closed") => PullRequestAction::Closed,
        action => return Ok(reading.ignored(action, other.repository.map(Into::into))),
    };
    let payload: PullRequestPayload = reading.body()?;
    if payload.action == "edited" && payload.changes.base.is_none() {
        return Ok(reading.ignored(Some("edited"), Some(payload.repository.into())));
    }
    let hint = PullRequestHint {
        action,
        pull_request: payload.pull_request.into(),
    };
    Ok(Event::PullRequest {
        repository: payload.repository.into(),
        hint,
    })
}

#[derive(Deserialize)]
struct RepositoryPayload {
    action: String,
    repository: Found,
}

fn repository(reading: Reading<'_>) -> Result<Event, Malformed> {
    let payload: RepositoryPayload = reading.body()?;
    let repository = payload.repository.into();
    let change = match payload.action.as_str() {
        "renamed" => RepositoryChange::Renamed,
        "transferred" => RepositoryChange::Transferred,
        "deleted" => RepositoryChange::Deleted,
        "edited" | "archived" | "unarchived" | "publicized" | "privatized" => RepositoryChange::Updated,
        action => return Ok(reading.ignored(Some(action), Some(repository))),
    };
    Ok(Event::Repository { repository, change })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
