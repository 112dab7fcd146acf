//! GitHub's webhook payloads: `push`, `create`, `delete`, `pull_request`, `ping`.
//!
//! What is silent at GitHub is silent here: more than three tags in one push, more than 5,000
//! branches ("Webhook events and payloads", create/delete/push), a payload above 25 MB.

use serde_json::{Value, json};

use super::{Event, PullAct, Push};
use crate::error::Result;
use crate::forge::{Addresses, Shared};
use crate::git::ZERO;
use crate::git::inspect::{self, Commit};
use crate::git::receive::RefChange;
use crate::github::render;
use crate::people::{Account, Kind};
use crate::state::{Hook, Repo, Side};

const MOST_TAGS: usize = 3;
const MOST_BRANCHES: usize = 5_000;
/// GitHub lists at most this many commits in a push payload.
const MOST_COMMITS: usize = 2_048;

/// The events of one push, in the order GitHub creates them: per ref, `create` or `delete` and `push`.
pub(super) async fn push_events(forge: &Shared, push: &Push) -> Result<Vec<Event>> {
    let tags = push.changes.iter().filter(|change| change.is_tag()).count();
    let branches = push.changes.len() - tags;
    let mut events = Vec::new();
    for change in &push.changes {
        let silent = if change.is_tag() {
            tags > MOST_TAGS
        } else {
            branches > MOST_BRANCHES
        };
        if silent {
            continue;
        }
        events.push(Event::new("push", None, push_payload(forge, push, change).await?));
        if change.old.is_none() || change.new.is_none() {
            events.extend(existence_event(forge, push, change));
        }
    }
    Ok(events)
}

/// Repository, sender and organization, as every payload ends.
struct Surroundings<'a> {
    urls: &'a Addresses,
    side: &'a Side,
    repo: &'a Repo,
    sender: Option<&'a Account>,
}

impl Surroundings<'_> {
    fn close(&self, mut payload: Value, in_push: bool) -> Value {
        payload["repository"] = render::payload_repository(self.urls, self.side, self.repo, in_push);
        payload["sender"] = json!(self.sender.map(|sender| render::user(self.urls, sender)));
        let owner = self
            .side
            .account(self.repo.owner)
            .filter(|owner| !owner.is_user());
        if let Some(owner) = owner {
            payload["organization"] = render::organization(self.urls, owner);
        }
        payload
    }
}

fn existence_event(forge: &Shared, push: &Push, change: &RefChange) -> Option<Event> {
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let repo = side.repo(push.repo)?;
    let around = Surroundings {
        urls: &forge.addresses,
        side,
        repo,
        sender: side.account(push.pusher),
    };
    let mut payload = json!({
        "ref": change.short(),
        "ref_type": change.ref_type(),
        "pusher_type": "user",
    });
    if change.new.is_none() {
        return Some(Event::new("delete", None, around.close(payload, false)));
    }
    payload["master_branch"] = json!(repo.default_branch);
    payload["description"] = json!((!repo.description.is_empty()).then_some(&repo.description));
    Some(Event::new("create", None, around.close(payload, false)))
}

async fn push_payload(forge: &Shared, push: &Push, change: &RefChange) -> Result<Value> {
    let before = change.old.as_ref().map_or(ZERO, |old| old.object.as_str());
    let after = change.new.as_ref().map_or(ZERO, |new| new.object.as_str());
    let forced = match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            inspect::merge_base(&push.dir, &old.commit, &new.commit)
                .await
                .as_ref()
                != Some(&old.commit)
        }
        _ => false,
    };
    let commits = if change.is_tag() {
        Vec::new()
    } else {
        new_commits(push, change).await?
    };
    let head = match &change.new {
        Some(new) => inspect::commit(&push.dir, &new.commit).await,
        None => None,
    };
    let mut shown = Vec::new();
    for commit in commits.iter().take(MOST_COMMITS) {
        shown.push(payload_commit(forge, push, commit).await?);
    }
    let head_commit = match &head {
        Some(head) => payload_commit(forge, push, head).await?,
        None => Value::Null,
    };

    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let Some(repo) = side.repo(push.repo) else {
        return Ok(Value::Null);
    };
    let pusher = side.account(push.pusher);
    let around = Surroundings {
        urls: &forge.addresses,
        side,
        repo,
        sender: pusher,
    };
    let web = format!("{}/{}", forge.addresses.github, side.full_name(repo));
    let payload = json!({
        "ref": change.name,
        "before": before,
        "after": after,
        "created": change.old.is_none(),
        "deleted": change.new.is_none(),
        "forced": forced,
        "base_ref": base_ref(push, change),
        "compare": compare_url(&web, change, before, after),
        "commits": shown,
        "head_commit": head_commit,
        "pusher": {
            "name": pusher.map(|user| &user.login),
            "email": pusher.map(|user| &user.email),
        },
    });
    Ok(around.close(payload, true))
}

fn compare_url(web: &str, change: &RefChange, before: &str, after: &str) -> String {
    match (&change.old, &change.new) {
        (Some(_), Some(_)) => format!("{web}/compare/{}...{}", &before[..12], &after[..12]),
        (None, Some(_)) => format!("{web}/compare/{}", render::encode_path(change.short())),
        _ => format!("{web}/compare/{}...{}", &before[..12], &ZERO[..12]),
    }
}

/// For a new ref: the ref that pointed at the same commit before, if any.
fn base_ref(push: &Push, change: &RefChange) -> Option<String> {
    let (None, Some(new)) = (&change.old, &change.new) else {
        return None;
    };
    let same = push
        .before
        .iter()
        .find(|(name, at)| at.commit == new.commit && name.starts_with("refs/heads/"));
    same.map(|(name, _)| name.clone())
}

/// Oldest first. For a new branch, those that no ref held before.
async fn new_commits(push: &Push, change: &RefChange) -> Result<Vec<Commit>> {
    let Some(new) = &change.new else {
        return Ok(Vec::new());
    };
    let excluded: Vec<String> = match &change.old {
        Some(old) => vec![format!("^{}", old.commit)],
        None => push.before.values().map(|at| format!("^{}", at.commit)).collect(),
    };
    let mut selection = vec!["--reverse", new.commit.as_str()];
    selection.extend(excluded.iter().map(String::as_str));
    inspect::commits(&push.dir, &selection).await
}

async fn payload_commit(forge: &Shared, push: &Push, commit: &Commit) -> Result<Value> {
    let files = inspect::commit_files(&push.dir, &commit.sha, false).await?;
    let of = |status: &str| -> Vec<String> {
        files
            .iter()
            .filter(|file| file.status == status)
            .map(|file| file.path.clone())
            .collect()
    };
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let full = side
        .repo(push.repo)
        .map(|repo| side.full_name(repo))
        .unwrap_or_default();
    let person = |who: &inspect::Signature| {
        let mut shown = json!({ "name": who.name, "email": who.email, "date": who.date });
        let known = side
            .accounts
            .iter()
            .find(|account| account.is_user() && account.email == who.email);
        if let Some(known) = known {
            shown["username"] = json!(known.login);
        }
        shown
    };
    Ok(json!({
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": true,
        "message": commit.message,
        "timestamp": commit.committer.date,
        "url": format!("{}/{full}/commit/{}", forge.addresses.github, commit.sha),
        "author": person(&commit.author),
        "committer": person(&commit.committer),
        "added": of("added"),
        "removed": of("removed"),
        "modified": of("modified"),
    }))
}

/// `pull_request` with its action.
pub(super) fn pull_request_event(
    forge: &Shared,
    repo: u64,
    number: u64,
    sender: u64,
    act: &PullAct,
) -> Option<Event> {
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let repo = side.repo(repo)?;
    let pull = repo.pulls.iter().find(|pull| pull.number == number)?;
    let urls = &forge.addresses;
    let head = side.repo(pull.head_repo);
    let shown = render::PullShown {
        urls,
        side,
        repo,
        pull,
        base_repo: merge_settings(render::payload_repository(urls, side, repo, false)),
        head_repo: head.map_or(Value::Null, |head| {
            merge_settings(render::payload_repository(urls, side, head, false))
        }),
    };
    let action = match act {
        PullAct::Opened => "opened",
        PullAct::Synchronized { .. } => "synchronize",
        PullAct::Reopened => "reopened",
        PullAct::Closed | PullAct::Merged => "closed",
    };
    let mut payload = json!({ "action": action, "number": number, "pull_request": shown.full() });
    if let PullAct::Synchronized { before } = act {
        payload["before"] = json!(before);
        payload["after"] = json!(pull.head_sha);
    }
    let around = Surroundings {
        urls,
        side,
        repo,
        sender: side.account(sender),
    };
    Some(Event::new(
        "pull_request",
        Some(action),
        around.close(payload, false),
    ))
}

/// Inside a pull request, GitHub's repositories carry their merge settings.
fn merge_settings(repository: Value) -> Value {
    let settings = json!({
        "allow_squash_merge": true,
        "allow_merge_commit": true,
        "allow_rebase_merge": true,
        "allow_auto_merge": false,
        "allow_update_branch": false,
        "delete_branch_on_merge": false,
    });
    render::merged(repository, settings)
}

/// `ping`, sent when a hook is made and on request.
pub(super) fn ping_event(forge: &Shared, repo: u64, hook: &Hook, sender: u64) -> Option<Event> {
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let repo = side.repo(repo)?;
    let url = format!(
        "{}/repos/{}/hooks/{}",
        forge.addresses.github_api,
        side.full_name(repo),
        hook.id
    );
    let mut config = json!({
        "content_type": hook.content_type,
        "insecure_ssl": hook.insecure_ssl,
        "url": hook.url,
    });
    if hook.secret.is_some() {
        config["secret"] = json!("********");
    }
    let payload = json!({
        "zen": "Keep it logically awesome.",
        "hook_id": hook.id,
        "hook": {
            "type": "Repository",
            "id": hook.id,
            "name": "web",
            "active": hook.active,
            "events": hook.events,
            "config": config,
            "updated_at": render::time(hook.updated_at),
            "created_at": render::time(hook.created_at),
            "url": url,
            "test_url": format!("{url}/test"),
            "ping_url": format!("{url}/pings"),
            "deliveries_url": format!("{url}/deliveries"),
            "last_response": { "code": null, "status": "unused", "message": null },
        },
    });
    let around = Surroundings {
        urls: &forge.addresses,
        side,
        repo,
        sender: side.account(sender),
    };
    Some(Event::new("ping", None, around.close(payload, false)))
}

/// `repository` with its action `deleted`.
pub(super) fn deleted_event(forge: &Shared, repo: u64, sender: u64) -> Option<Event> {
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let around = Surroundings {
        urls: &forge.addresses,
        side,
        repo: side.repo(repo)?,
        sender: side.account(sender),
    };
    let payload = around.close(json!({ "action": "deleted" }), false);
    Some(Event::new("repository", Some("deleted"), payload))
}
