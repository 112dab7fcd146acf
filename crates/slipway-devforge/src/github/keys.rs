//! Deploy keys: immutable, and each serves one repository of the whole forge.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, KIND, Known, Params, RepoPath, find_to_administer, invalid, not_found, paged, refuse, render,
};
use crate::forge::Shared;
use crate::git::ssh::normalise;
use crate::state::{DeployKey, Side};

#[derive(Deserialize)]
pub(super) struct KeyBody {
    key: Option<String>,
    title: Option<String>,
    read_only: Option<bool>,
}

fn show(forge: &Shared, side: &Side, full_name: &str, key: &DeployKey) -> Value {
    json!({
        "id": key.id,
        "key": key.key,
        "url": format!("{}/repos/{full_name}/keys/{}", forge.addresses.github_api, key.id),
        "title": key.title,
        "verified": true,
        "created_at": render::time(key.created_at),
        "read_only": key.read_only,
        "added_by": side.account(key.added_by).map(|user| &user.login),
        "last_used": null,
        "enabled": true,
    })
}

/// `GET …/keys`.
pub(super) async fn list(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let world = forge.world();
    let side = world.side(KIND);
    let keys = found.repo.keys.clone();
    Ok(paged(&forge, &uri, &params, keys, |key| {
        show(&forge, side, &found.full_name, &key)
    }))
}

/// `POST …/keys`.
pub(super) async fn create(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name)): RepoPath,
    Json(body): Json<KeyBody>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let Ok((key, comment)) = normalise(body.key.as_deref().unwrap_or_default()) else {
        let message = "key is invalid. You must supply a key in OpenSSH public key format";
        return refuse(invalid("PublicKey", "key", "custom", message));
    };
    let now = forge.now();
    let mut world = forge.world();
    let in_use = world
        .side(KIND)
        .repositories
        .iter()
        .any(|repo| repo.keys.iter().any(|known| known.key == key));
    if in_use {
        return refuse(invalid("PublicKey", "key", "custom", "key is already in use"));
    }
    let key = DeployKey {
        id: world.next_id(),
        title: body.title.unwrap_or_else(|| comment.clone()),
        key,
        comment,
        read_only: body.read_only.unwrap_or(false),
        added_by: caller.user,
        token: Some(caller.token),
        consumer: None,
        created_at: now,
    };
    if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
        repo.keys.push(key.clone());
    }
    let shown = show(&forge, world.side(KIND), &found.full_name, &key);
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// `GET …/keys/{key_id}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    let Some(key) = found.repo.keys.iter().find(|key| key.id == id) else {
        return refuse(not_found());
    };
    let world = forge.world();
    Ok(Json(show(&forge, world.side(KIND), &found.full_name, key)).into_response())
}

/// `DELETE …/keys/{key_id}`.
pub(super) async fn delete(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, id)): Path<(String, String, u64)>,
) -> Answer {
    let found = find_to_administer(&forge, &caller, &owner, &name)?;
    if !found.repo.keys.iter().any(|key| key.id == id) {
        return refuse(not_found());
    }
    if let Some(repo) = forge.world().side_mut(KIND).repo_mut(found.repo.id) {
        repo.keys.retain(|key| key.id != id);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
