//! What an App's one webhook is told: of itself always, of repositories what it subscribed to.

use serde_json::{Value, json};

use super::api::shown_installation;
use crate::forge::Shared;
use crate::github::render;
use crate::people::Kind;
use crate::state::{Repo, Side};
use crate::webhooks::{Event, tell_app};

/// `installation` with its action.
pub(super) fn installation(forge: &Shared, id: u64, action: &'static str, by: u64) {
    let told = told(forge, id, by, |side, payload| {
        payload["action"] = json!(action);
        if let ("created" | "deleted", Some(one)) = (action, side.installation(id)) {
            payload["repositories"] = side
                .covered(one)
                .into_iter()
                .map(|repo| lite(side, repo))
                .collect();
        }
    });
    if let Some((app, payload)) = told {
        tell_app(
            forge,
            app,
            None,
            &Event::new("installation", Some(action), payload),
        );
    }
}

/// `installation_repositories`, where the selection really changed; `before`: what was selected, all where `None`.
pub(super) fn repositories(forge: &Shared, id: u64, before: Option<&[u64]>, by: u64) {
    let mut actions = Vec::new();
    {
        let world = forge.world();
        let side = world.side(Kind::GitHub);
        let Some(one) = side.installation(id) else { return };
        let all: Vec<u64> = side
            .repositories
            .iter()
            .filter(|repo| repo.owner == one.account)
            .map(|repo| repo.id)
            .collect();
        let was = before.map_or_else(|| all.clone(), <[u64]>::to_vec);
        let is = one.selected.clone().unwrap_or(all);
        let added: Vec<u64> = is.iter().filter(|id| !was.contains(id)).copied().collect();
        let removed: Vec<u64> = was.iter().filter(|id| !is.contains(id)).copied().collect();
        if !added.is_empty() {
            actions.push(("added", added));
        }
        if !removed.is_empty() {
            actions.push(("removed", removed));
        }
    }
    for (action, ids) in actions {
        let told = told(forge, id, by, |side, payload| {
            let shown: Value = ids
                .iter()
                .filter_map(|id| side.repo(*id))
                .map(|repo| lite(side, repo))
                .collect();
            let is_added = action == "added";
            payload["action"] = json!(action);
            payload["repository_selection"] = payload["installation"]["repository_selection"].clone();
            payload["repositories_added"] = if is_added { shown.clone() } else { json!([]) };
            payload["repositories_removed"] = if is_added { json!([]) } else { shown };
            payload["requester"] = Value::Null;
        });
        if let Some((app, payload)) = told {
            let event = Event::new("installation_repositories", Some(action), payload);
            tell_app(forge, app, None, &event);
        }
    }
}

/// `github_app_authorization`: a person has taken back what they granted.
pub(crate) fn revoked(forge: &Shared, client_id: &str, user: u64) {
    let told = {
        let world = forge.world();
        let side = world.side(Kind::GitHub);
        side.app_of_client(client_id).map(|app| {
            let sender = side
                .account(user)
                .map(|user| render::user(&forge.addresses, user));
            (app.id, json!({ "action": "revoked", "sender": sender }))
        })
    };
    if let Some((app, payload)) = told {
        let event = Event::new("github_app_authorization", Some("revoked"), payload);
        tell_app(forge, app, None, &event);
    }
}

fn told(forge: &Shared, id: u64, by: u64, more: impl FnOnce(&Side, &mut Value)) -> Option<(u64, Value)> {
    let world = forge.world();
    let side = world.side(Kind::GitHub);
    let one = side.installation(id)?;
    let app = side.github_app(one.app)?;
    let mut payload = json!({
        "installation": shown_installation(&forge.addresses, side, app, one, true),
        "sender": side.account(by).map(|by| render::user(&forge.addresses, by)),
    });
    more(side, &mut payload);
    Some((app.id, payload))
}

/// A repository, as these payloads name it.
fn lite(side: &Side, repo: &Repo) -> Value {
    json!({
        "id": repo.id,
        "node_id": render::node_id("R_", repo.id),
        "name": repo.name,
        "full_name": side.full_name(repo),
        "private": repo.private,
    })
}
