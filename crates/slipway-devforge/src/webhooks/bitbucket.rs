//! Bitbucket's webhook payloads: `repo:push` and `pullrequest:*`.
//!
//! One push is one delivery, with as many changes as refs moved ("Event payloads", Push). At most
//! five commits stand in a change, newest first; `truncated` says when there were more.

use serde_json::{Value, json};

use super::{Event, PullAct, Push};
use crate::bitbucket::render;
use crate::error::Result;
use crate::forge::Shared;
use crate::git::inspect::{self, Commit, RefTarget};
use crate::git::receive::RefChange;
use crate::github::render::encode_path;
use crate::people::Kind;

const MOST_COMMITS: usize = 5;

/// The one event of a push.
pub(super) async fn push_event(forge: &Shared, push: &Push) -> Result<Option<Event>> {
    let mut changes = Vec::new();
    for change in &push.changes {
        changes.push(payload_change(forge, push, change).await?);
    }
    let payload = json!({ "push": { "changes": changes } });
    Ok(surrounded(forge, push.repo, push.pusher, payload)
        .map(|payload| Event::new("repo:push", None, payload)))
}

fn surrounded(forge: &Shared, repo: u64, actor: u64, mut payload: Value) -> Option<Value> {
    let world = forge.world();
    let side = world.side(Kind::Bitbucket);
    payload["repository"] = render::short_repository(&forge.addresses, side, side.repo(repo)?);
    payload["repository"]["website"] = json!("");
    payload["actor"] = render::user(&forge.addresses, side.account(actor)?);
    Some(payload)
}

async fn payload_change(forge: &Shared, push: &Push, change: &RefChange) -> Result<Value> {
    let forced = match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            inspect::merge_base(&push.dir, &old.commit, &new.commit)
                .await
                .as_ref()
                != Some(&old.commit)
        }
        _ => false,
    };
    let mut commits = new_commits(push, change).await?;
    let truncated = commits.len() > MOST_COMMITS;
    commits.truncate(MOST_COMMITS);
    let old = end(forge, push, &change.name, change.old.as_ref()).await;
    let new = end(forge, push, &change.name, change.new.as_ref()).await;

    let world = forge.world();
    let side = world.side(Kind::Bitbucket);
    let Some(repo) = side.repo(push.repo) else {
        return Ok(Value::Null);
    };
    let shown: Vec<Value> = commits
        .iter()
        .map(|commit| render::commit(&forge.addresses, side, repo, commit))
        .collect();
    let full = side.full_name(repo);
    Ok(json!({
        "old": old,
        "new": new,
        "created": change.old.is_none(),
        "closed": change.new.is_none(),
        "forced": forced,
        "truncated": truncated,
        "commits": shown,
        "links": links(forge, &full, change),
    }))
}

fn links(forge: &Shared, full: &str, change: &RefChange) -> Value {
    let (web, api) = (&forge.addresses.bitbucket, &forge.addresses.bitbucket_api);
    let mut links = json!({});
    if let Some(new) = &change.new {
        let name = encode_path(change.short());
        links["html"] = json!({ "href": format!("{web}/{full}/branch/{name}") });
        links["commits"] =
            json!({ "href": format!("{api}/repositories/{full}/commits?include={}", new.commit) });
    }
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        let spec = format!("{}..{}", new.commit, old.commit);
        links["diff"] = json!({ "href": format!("{api}/repositories/{full}/diff/{spec}") });
        links["html"] = json!({ "href": format!("{web}/{full}/branches/compare/{spec}") });
    }
    links
}

/// Newest first, one more than is shown, so that the caller sees whether there were more.
async fn new_commits(push: &Push, change: &RefChange) -> Result<Vec<Commit>> {
    let Some(new) = &change.new else {
        return Ok(Vec::new());
    };
    let excluded: Vec<String> = match &change.old {
        Some(old) => vec![format!("^{}", old.commit)],
        None => push.before.values().map(|at| format!("^{}", at.commit)).collect(),
    };
    let mut selection = vec!["--max-count=6", new.commit.as_str()];
    selection.extend(excluded.iter().map(String::as_str));
    inspect::commits(&push.dir, &selection).await
}

async fn end(forge: &Shared, push: &Push, name: &str, at: Option<&RefTarget>) -> Value {
    let Some(at) = at else { return Value::Null };
    let Some(commit) = inspect::commit(&push.dir, &at.commit).await else {
        return Value::Null;
    };
    let tag = match (at.is_annotated(), name.strip_prefix("refs/tags/")) {
        (true, Some(tag)) => inspect::tag_details(&push.dir, tag).await,
        _ => None,
    };
    let world = forge.world();
    let side = world.side(Kind::Bitbucket);
    let Some(repo) = side.repo(push.repo) else {
        return Value::Null;
    };
    let target = render::commit(&forge.addresses, side, repo, &commit);
    let mut shown = render::reference(&forge.addresses, side, repo, name, &target, tag.as_ref());
    shown["type"] = json!(render::payload_ref_type(name, at));
    shown
}

/// `pullrequest:*`. Bitbucket has no reopening, and merging is *fulfilled*.
pub(super) fn pull_request_event(
    forge: &Shared,
    repo: u64,
    number: u64,
    actor: u64,
    act: &PullAct,
) -> Option<Event> {
    let key = match act {
        PullAct::Opened => "pullrequest:created",
        PullAct::Synchronized { .. } | PullAct::Reopened => "pullrequest:updated",
        PullAct::Closed => "pullrequest:rejected",
        PullAct::Merged => "pullrequest:fulfilled",
    };
    let shown = {
        let world = forge.world();
        let side = world.side(Kind::Bitbucket);
        let base = side.repo(repo)?;
        let pull = base.pulls.iter().find(|pull| pull.number == number)?;
        render::pull_request(&forge.addresses, side, base, pull)
    };
    let payload = surrounded(forge, repo, actor, json!({ "pullrequest": shown }))?;
    Some(Event::new(key, None, payload))
}

/// `repo:deleted`.
pub(super) fn deleted_event(forge: &Shared, repo: u64, actor: u64) -> Option<Event> {
    let payload = surrounded(forge, repo, actor, json!({}))?;
    Some(Event::new("repo:deleted", None, payload))
}
