//! Repository webhooks: made, read, changed, pinged, and their deliveries.
//!
//! A `PATCH` whose `config` has no `secret` removes the secret ("If a `secret` was previously set,
//! you must provide the same `secret` or set a new `secret` or the secret will be removed").

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Found, KIND, Known, Params, Refusal, RepoPath, find_to_administer, invalid, not_found, paged,
    refuse, render,
};
use crate::forge::Shared;
use crate::secrets::SecretKind;
use crate::state::Hook;
use crate::webhooks::{self, Delivery};

/// "You can create up to 20 webhooks … for each event".
const MOST_HOOKS: usize = 20;

#[derive(Deserialize)]
pub(super) struct HookBody {
    name: Option<String>,
    config: Option<HookConfig>,
    events: Option<Vec<String>>,
    active: Option<bool>,
}

#[derive(Deserialize)]
struct HookConfig {
    url: Option<String>,
    content_type: Option<String>,
    secret: Option<String>,
    insecure_ssl: Option<Value>,
}

fn show(forge: &Shared, full_name: &str, hook: &Hook) -> Value {
    let url = format!(
        "{}/repos/{full_name}/hooks/{}",
        forge.addresses.github_api, hook.id
    );
    let mut config = json!({
        "url": hook.url,
        "content_type": hook.content_type,
        "insecure_ssl": hook.insecure_ssl,
    });
    if hook.secret.is_some() {
        config["secret"] = json!("********");
    }
    let last = match &hook.last_response {
        None => json!({ "code": null, "status": "unused", "message": null }),
        Some((code, word)) => json!({ "code": code, "status": word, "message": word }),
    };
    json!({
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
        "last_response": last,
    })
}

fn hook_of(found: &Found, id: u64) -> Result<Hook, Refusal> {
    found
        .repo
        .hooks
        .iter()
        .find(|hook| hook.id == id)
        .cloned()
        .ok_or_else(|| Refusal::from(not_found()))
}

/// `GET …/hooks`.
pub(super) async fn list(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let hooks = found.repo.hooks.clone();
    Ok(paged(&forge, &uri, &params, hooks, |hook| {
        show(&forge, &found.full_name, &hook)
    }))
}

/// `POST …/hooks`, which pings the new hook at once.
pub(super) async fn create(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name)): RepoPath,
    Json(body): Json<HookBody>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let config = body
        .config
        .filter(|_| body.name.as_deref().is_none_or(|name| name == "web"));
    let Some(config) = config else {
        return refuse(invalid("Hook", "config", "missing_field", ""));
    };
    let Some(url) = config.url.filter(|url| url.starts_with("http")) else {
        return refuse(invalid("Hook", "url", "custom", "url is missing a scheme"));
    };
    let events = body.events.unwrap_or_else(|| vec!["push".to_owned()]);
    if found
        .repo
        .hooks
        .iter()
        .any(|hook| hook.url == url && hook.events == events)
    {
        return refuse(invalid(
            "Hook",
            "",
            "custom",
            "Hook already exists on this repository",
        ));
    }
    if found.repo.hooks.len() >= MOST_HOOKS {
        return refuse(invalid(
            "Hook",
            "",
            "custom",
            "The \"push\" event cannot have more than 20 hooks",
        ));
    }
    let secret = config.secret.filter(|secret| !secret.is_empty());
    forge
        .ledger
        .note(SecretKind::HookSecret, secret.as_deref().unwrap_or_default());
    let now = forge.now();
    let hook = {
        let mut world = forge.world();
        let hook = Hook {
            id: world.next_id(),
            uuid: String::new(),
            url,
            description: String::new(),
            active: body.active.unwrap_or(true),
            events,
            secret,
            content_type: config.content_type.unwrap_or_else(|| "form".to_owned()),
            insecure_ssl: ssl_text(config.insecure_ssl.as_ref()),
            created_at: now,
            updated_at: now,
            made_by: world.side(KIND).client_of(caller.token).map(str::to_owned),
            last_response: None,
        };
        if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
            repo.hooks.push(hook.clone());
        }
        hook
    };
    webhooks::ping(&forge, found.repo.id, &hook, caller.user);
    Ok((StatusCode::CREATED, Json(show(&forge, &found.full_name, &hook))).into_response())
}

/// `"0"`, `"1"`, `0` or `1`; shown as text.
fn ssl_text(given: Option<&Value>) -> String {
    match given {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "0".to_owned(),
    }
}

/// `GET …/hooks/{hook_id}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let hook = hook_of(&found, id)?;
    Ok(Json(show(&forge, &found.full_name, &hook)).into_response())
}

/// `PATCH …/hooks/{hook_id}`.
pub(super) async fn update(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
    Json(body): Json<HookBody>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let mut hook = hook_of(&found, id)?;
    if let Some(config) = body.config {
        let Some(url) = config.url.filter(|url| url.starts_with("http")) else {
            return refuse(invalid("Hook", "url", "missing_field", ""));
        };
        hook.url = url;
        hook.content_type = config.content_type.unwrap_or_else(|| "form".to_owned());
        hook.insecure_ssl = ssl_text(config.insecure_ssl.as_ref());
        hook.secret = config.secret.filter(|secret| !secret.is_empty());
        forge
            .ledger
            .note(SecretKind::HookSecret, hook.secret.as_deref().unwrap_or_default());
    }
    hook.events = body.events.unwrap_or(hook.events);
    hook.active = body.active.unwrap_or(hook.active);
    hook.updated_at = forge.now();
    let mut world = forge.world();
    for known in world
        .side_mut(KIND)
        .repo_mut(found.repo.id)
        .into_iter()
        .flat_map(|repo| &mut repo.hooks)
    {
        if known.id == id {
            known.clone_from(&hook);
        }
    }
    drop(world);
    Ok(Json(show(&forge, &found.full_name, &hook)).into_response())
}

/// `DELETE …/hooks/{hook_id}`.
pub(super) async fn delete(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    hook_of(&found, id)?;
    if let Some(repo) = forge.world().side_mut(KIND).repo_mut(found.repo.id) {
        repo.hooks.retain(|hook| hook.id != id);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST …/hooks/{hook_id}/pings`.
pub(super) async fn ping(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let hook = hook_of(&found, id)?;
    webhooks::ping(&forge, found.repo.id, &hook, caller.user);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) fn delivery_item(delivery: &Delivery) -> Value {
    // What an App is told of itself is of no repository.
    let repository = Some(delivery.repository_id).filter(|id| *id != 0);
    let last = delivery.attempts.last();
    let code = last.and_then(|attempt| attempt.status).unwrap_or(0);
    let status = match (last, code) {
        (None, _) => "pending",
        (_, 200..300) => "OK",
        (_, 0) => "failed to connect to host",
        _ => "Invalid HTTP Response",
    };
    json!({
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": render::time(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": last.map_or(0.0, |attempt| attempt.seconds),
        "status": status,
        "status_code": code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.payload()["installation"]["id"],
        "repository_id": repository,
        "throttled_at": null,
    })
}

/// `GET …/hooks/{hook_id}/deliveries`, newest first.
pub(super) async fn deliveries(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    hook_of(&found, id)?;
    let mut all: Vec<Delivery> = forge.courier.log();
    all.retain(|delivery| delivery.hook_id == id && !delivery.attempts.is_empty());
    all.reverse();
    Ok(paged(&forge, &uri, &params, all, |delivery| {
        delivery_item(&delivery)
    }))
}

/// `GET …/hooks/{hook_id}/deliveries/{delivery_id}`.
pub(super) async fn delivery(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id, delivery_id)): Path<(String, String, u64, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    hook_of(&found, id)?;
    let Some(delivery) = forge
        .courier
        .get(delivery_id)
        .filter(|delivery| delivery.hook_id == id)
    else {
        return refuse(not_found());
    };
    let headers: serde_json::Map<String, Value> = delivery
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let mut shown = delivery_item(&delivery);
    shown["url"] = json!(delivery.url);
    shown["request"] = json!({ "headers": headers, "payload": delivery.payload() });
    shown["response"] = json!({
        "headers": {},
        "payload": delivery.attempts.last().map(|attempt| &attempt.answer),
    });
    Ok(Json(shown).into_response())
}

/// `POST …/deliveries/{delivery_id}/attempts`: delivered again, answered 202 at once.
pub(super) async fn attempt(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id, delivery_id)): Path<(String, String, u64, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let hook = hook_of(&found, id)?;
    if !webhooks::attempt_again(&forge, &hook, delivery_id) {
        return refuse(not_found());
    }
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}
