//! Webhook subscriptions. A `PUT` without `secret` keeps the secret; `"secret": ""` or `null`
//! removes it: GitHub's opposite.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{
    Answer, Found, KIND, Known, Params, Refusal, RepoPath, find_to_administer, not_found, paged, refuse,
    render,
};
use crate::forge::Shared;
use crate::github::render::encode_path;
use crate::secrets::SecretKind;
use crate::state::{Hook, Side};

const SCOPES: &[&str] = &["webhook"];

/// Events a repository can be asked for, as far as the product might.
const EVENTS: &[&str] = &[
    "repo:push",
    "repo:fork",
    "repo:updated",
    "repo:transfer",
    "repo:deleted",
    "repo:created",
    "repo:commit_comment_created",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:approved",
    "pullrequest:unapproved",
    "pullrequest:comment_created",
    "pullrequest:comment_updated",
    "pullrequest:comment_deleted",
];

fn show(forge: &Shared, side: &Side, found: &Found, hook: &Hook) -> Value {
    let me = format!(
        "{}/repositories/{}/hooks/{}",
        forge.addresses.bitbucket_api,
        found.full_name,
        encode_path(&hook.uuid)
    );
    json!({
        "type": "webhook_subscription",
        "uuid": hook.uuid,
        "url": hook.url,
        "description": hook.description,
        "subject_type": "repository",
        "subject": render::short_repository(&forge.addresses, side, &found.repo),
        "active": hook.active,
        "events": hook.events,
        "secret_set": hook.secret.is_some(),
        "created_at": render::time(hook.created_at),
        "links": { "self": { "href": me } },
    })
}

fn position(found: &Found, uid: &str) -> Result<usize, Refusal> {
    let plain = |uuid: &str| uuid.trim_matches(['{', '}']).to_owned();
    let at = found
        .repo
        .hooks
        .iter()
        .position(|hook| plain(&hook.uuid) == plain(uid));
    at.ok_or_else(|| Refusal::from(not_found("Webhook")))
}

fn bad(field: &str, message: &str) -> Response {
    let body = json!({
        "type": "error",
        "error": { "message": format!("{field}: {message}"), "data": { "field": field } },
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// Takes what a body says into a hook; what it does not say stays.
fn apply(forge: &Shared, hook: &mut Hook, body: &Value) -> Result<(), Refusal> {
    if let Some(url) = body["url"].as_str() {
        url.clone_into(&mut hook.url);
    }
    if !hook.url.starts_with("http") {
        return refuse(bad("url", "required key not provided"));
    }
    if let Some(description) = body["description"].as_str() {
        description.clone_into(&mut hook.description);
    }
    if let Some(active) = body["active"].as_bool() {
        hook.active = active;
    }
    if let Some(events) = body["events"].as_array() {
        hook.events = events
            .iter()
            .filter_map(|event| event.as_str().map(str::to_owned))
            .collect();
    }
    if hook.events.is_empty() {
        return refuse(bad("events", "required key not provided"));
    }
    if let Some(unknown) = hook.events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
        return refuse(bad("events", &format!("{unknown} is not a valid event")));
    }
    if let Some(secret) = body.get("secret") {
        hook.secret = secret
            .as_str()
            .filter(|secret| !secret.is_empty())
            .map(str::to_owned);
        forge
            .ledger
            .note(SecretKind::HookSecret, hook.secret.as_deref().unwrap_or_default());
    }
    Ok(())
}

/// `GET …/hooks`.
pub(super) async fn list(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let world = forge.world();
    let side = world.side(KIND);
    let hooks = found.repo.hooks.clone();
    Ok(paged(&forge, &uri, &params, hooks, |hook| {
        show(&forge, side, &found, &hook)
    }))
}

/// `POST …/hooks`.
pub(super) async fn create(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug)): RepoPath,
    Json(body): Json<Value>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let now = forge.now();
    let mut hook = Hook {
        id: forge.world().next_id(),
        uuid: format!("{{{}}}", uuid::Uuid::new_v4()),
        url: String::new(),
        description: String::new(),
        active: true,
        events: Vec::new(),
        secret: None,
        content_type: "json".to_owned(),
        insecure_ssl: "0".to_owned(),
        created_at: now,
        updated_at: now,
        made_by: None,
        last_response: None,
    };
    apply(&forge, &mut hook, &body)?;
    let mut world = forge.world();
    if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
        repo.hooks.push(hook.clone());
    }
    let shown = show(&forge, world.side(KIND), &found, &hook);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// `GET …/hooks/{uid}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, uid)): Path<(String, String, String)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let at = position(&found, &uid)?;
    let world = forge.world();
    Ok(Json(show(&forge, world.side(KIND), &found, &found.repo.hooks[at])).into_response())
}

/// `PUT …/hooks/{uid}`.
pub(super) async fn update(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, uid)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let mut hook = found.repo.hooks[position(&found, &uid)?].clone();
    apply(&forge, &mut hook, &body)?;
    hook.updated_at = forge.now();
    let mut world = forge.world();
    for known in world
        .side_mut(KIND)
        .repo_mut(found.repo.id)
        .into_iter()
        .flat_map(|repo| &mut repo.hooks)
    {
        if known.id == hook.id {
            known.clone_from(&hook);
        }
    }
    let shown = show(&forge, world.side(KIND), &found, &hook);
    Ok(Json(shown).into_response())
}

/// `DELETE …/hooks/{uid}`.
pub(super) async fn delete(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, uid)): Path<(String, String, String)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let id = found.repo.hooks[position(&found, &uid)?].id;
    if let Some(repo) = forge.world().side_mut(KIND).repo_mut(found.repo.id) {
        repo.hooks.retain(|hook| hook.id != id);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
