//! Bitbucket's deliveries ("Event payloads").

use http::HeaderMap;
use serde::Deserialize;
use slipway_types::{CommitSha, RefKind, RefName};

use super::{pull_requests, repositories::Author};
use crate::{
    ChangedPaths, Commit, DeliveryHead, Event, HeadHint, Malformed, PullRequestAction, PullRequestHint,
    RefHint, RemoteHookId, RepositoryChange, RepositoryHint,
    webhook::{Reading, header},
};

pub(super) fn delivery_head(headers: &HeaderMap) -> DeliveryHead {
    let text = |name| Some(header(headers, name)).filter(|text| !text.is_empty());
    DeliveryHead {
        event: header(headers, "x-event-key").to_owned(),
        delivery_id: text("x-request-uuid").map(str::to_owned),
        attempt: header(headers, "x-attempt-number").parse().unwrap_or(1),
        hook_id: text("x-hook-uuid").map(hook_id),
    }
}

/// The header comes with and without the braces that the API always writes.
fn hook_id(text: &str) -> RemoteHookId {
    format!("{{{}}}", text.trim_matches(['{', '}'])).into()
}

pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Event, Malformed> {
    let event = header(headers, "x-event-key");
    let reading = Reading {
        provider: "Bitbucket",
        event,
        json: body,
    };
    match event {
        "" => Err(reading.malformed("there is no X-Event-Key header")),
        "repo:push" => push(reading),
        "pullrequest:created" => pull_request(reading, PullRequestAction::Opened),
        "pullrequest:updated" => pull_request(reading, PullRequestAction::Updated),
        "pullrequest:fulfilled" | "pullrequest:rejected" => pull_request(reading, PullRequestAction::Closed),
        "repo:updated" | "repo:transfer" | "repo:deleted" => repository(reading),
        _ => Ok(reading.ignored(None, reading.body::<Anything>()?.repository.map(Into::into))),
    }
}

#[derive(Deserialize)]
struct Found {
    uuid: String,
    #[serde(default)]
    full_name: String,
}

impl From<Found> for RepositoryHint {
    fn from(found: Found) -> Self {
        Self {
            id: found.uuid.into(),
            path: found.full_name.parse().ok(),
        }
    }
}

#[derive(Deserialize)]
struct Anything {
    #[serde(default)]
    repository: Option<Found>,
}

#[derive(Deserialize)]
struct PushPayload {
    push: Push,
    repository: Found,
}

#[derive(Deserialize)]
struct Push {
    changes: Vec<Change>,
}

/// `old` is null for a new ref, `new` for a deleted one (which `closed` says once more).
#[derive(Deserialize)]
struct Change {
    old: Option<End>,
    new: Option<End>,
    #[serde(default)]
    forced: bool,
}

#[derive(Deserialize)]
struct End {
    r#type: String,
    name: String,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    hash: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    author: Option<Author>,
}

impl Target {
    /// `None` where the hash is abbreviated.
    fn sha(&self) -> Option<CommitSha> {
        self.hash.parse().ok()
    }

    fn into_commit(self) -> Option<Commit> {
        let (sha, message) = (self.sha()?, self.message?);
        Some(Commit {
            sha,
            message,
            author: self.author.map(Author::name).unwrap_or_default(),
        })
    }
}

fn push(reading: Reading<'_>) -> Result<Event, Malformed> {
    let payload: PushPayload = reading.body()?;
    let mut refs = Vec::new();
    for change in payload.push.changes {
        refs.extend(ref_hint(reading, change)?);
    }
    Ok(Event::Push {
        repository: payload.repository.into(),
        refs,
    })
}

/// `None` for what is neither a branch nor a tag (Mercurial's bookmarks).
fn ref_hint(reading: Reading<'_>, change: Change) -> Result<Option<RefHint>, Malformed> {
    let Some(end) = change.new.as_ref().or(change.old.as_ref()) else {
        return Err(reading.malformed("a change has neither old nor new"));
    };
    let kind = match end.r#type.as_str() {
        "branch" | "named_branch" => RefKind::Branch,
        "tag" | "annotated_tag" => RefKind::Tag,
        _ => return Ok(None),
    };
    let name = RefName::new(kind, &end.name)
        .map_err(|error| reading.malformed(&format!("its ref is none that git allows: {error}")))?;
    let before = change
        .old
        .and_then(|old| old.target)
        .and_then(|target| target.sha());
    let is_deleted = change.new.is_none();
    let target = change.new.and_then(|new| new.target);
    let after = match target.as_ref().and_then(Target::sha) {
        _ if is_deleted => HeadHint::Deleted,
        Some(sha) => HeadHint::At(sha),
        None => HeadHint::Unknown,
    };
    let head_commit = target.and_then(Target::into_commit);
    // The payload names commits, five at most, but never files.
    let changed = ChangedPaths::Unknown;
    Ok(Some(RefHint {
        name,
        before,
        after,
        forced: change.forced,
        head_commit,
        changed,
    }))
}

#[derive(Deserialize)]
struct PullRequestPayload {
    pullrequest: pull_requests::Found,
    repository: Found,
}

fn pull_request(reading: Reading<'_>, action: PullRequestAction) -> Result<Event, Malformed> {
    let payload: PullRequestPayload = reading.body()?;
    let hint = PullRequestHint {
        action,
        pull_request: payload.pullrequest.into(),
    };
    Ok(Event::PullRequest {
        repository: payload.repository.into(),
        hint,
    })
}

#[derive(Deserialize)]
struct RepositoryPayload {
    repository: Found,
    #[serde(default)]
    changes: serde_json::Map<String, serde_json::Value>,
}

fn repository(reading: Reading<'_>) -> Result<Event, Malformed> {
    let payload: RepositoryPayload = reading.body()?;
    let is_renamed = ["name", "slug", "full_name"]
        .iter()
        .any(|field| payload.changes.contains_key(*field));
    let change = match reading.event {
        "repo:deleted" => RepositoryChange::Deleted,
        "repo:transfer" => RepositoryChange::Transferred,
        _ if is_renamed => RepositoryChange::Renamed,
        _ => RepositoryChange::Updated,
    };
    Ok(Event::Repository {
        repository: payload.repository.into(),
        change,
    })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
