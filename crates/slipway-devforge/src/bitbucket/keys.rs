//! Deploy keys: always read-only; unique within a repository, free to serve several.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Found, KIND, Known, Params, RepoPath, error, find_to_administer, not_found, paged, refuse, render,
};
use crate::forge::Shared;
use crate::git::ssh::normalise;
use crate::state::{DeployKey, Side};

const SCOPES: &[&str] = &["repository:admin"];

#[derive(Deserialize)]
pub(super) struct KeyBody {
    key: Option<String>,
    label: Option<String>,
}

fn show(forge: &Shared, side: &Side, found: &Found, key: &DeployKey) -> Value {
    let me = format!(
        "{}/repositories/{}/deploy-keys/{}",
        forge.addresses.bitbucket_api, found.full_name, key.id
    );
    let mut shown = json!({
        "type": "deploy_key",
        "id": key.id,
        "key": key.key,
        "label": key.title,
        "comment": key.comment,
        "added_on": render::time(key.created_at),
        "repository": render::short_repository(&forge.addresses, side, &found.repo),
        "links": { "self": { "href": me } },
    });
    if let Some(owner) = side.account(key.added_by) {
        shown["owner"] = render::user(&forge.addresses, owner);
    }
    shown
}

/// `GET …/deploy-keys`.
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
    let keys = found.repo.keys.clone();
    Ok(paged(&forge, &uri, &params, keys, |key| {
        show(&forge, side, &found, &key)
    }))
}

/// `POST …/deploy-keys`.
pub(super) async fn create(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug)): RepoPath,
    Json(body): Json<KeyBody>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let Ok((key, comment)) = normalise(body.key.as_deref().unwrap_or_default()) else {
        return refuse(error(StatusCode::BAD_REQUEST, "Invalid SSH key"));
    };
    if found.repo.keys.iter().any(|known| known.key == key) {
        return refuse(error(
            StatusCode::BAD_REQUEST,
            "Someone has already registered that as a deploy key on this repository",
        ));
    }
    let now = forge.now();
    let mut world = forge.world();
    let token = world
        .side(KIND)
        .tokens
        .iter()
        .find(|token| token.id == caller.token);
    let consumer = token.map(|token| token.client_id.clone());
    let key = DeployKey {
        id: world.next_id(),
        title: body.label.unwrap_or_default(),
        key,
        comment,
        read_only: true,
        added_by: caller.user,
        token: None,
        consumer,
        created_at: now,
    };
    if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
        repo.keys.push(key.clone());
    }
    let shown = show(&forge, world.side(KIND), &found, &key);
    // Described as 200; Bitbucket does not answer 201 here.
    Ok(Json(shown).into_response())
}

/// `GET …/deploy-keys/{key_id}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    let Some(key) = found.repo.keys.iter().find(|key| key.id == id) else {
        return refuse(not_found("Deploy key"));
    };
    let world = forge.world();
    Ok(Json(show(&forge, world.side(KIND), &found, key)).into_response())
}

/// `DELETE …/deploy-keys/{key_id}`.
pub(super) async fn delete(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, (&workspace, &slug), SCOPES)?;
    if !found.repo.keys.iter().any(|key| key.id == id) {
        return refuse(not_found("Deploy key"));
    }
    if let Some(repo) = forge.world().side_mut(KIND).repo_mut(found.repo.id) {
        repo.keys.retain(|key| key.id != id);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
