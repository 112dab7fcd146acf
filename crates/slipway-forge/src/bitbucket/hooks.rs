//! Bitbucket's repository webhooks.

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{
    api::page,
    repositories::{at, confirm_absence},
};
use crate::{ForgeError, Hook, HookSpec, RemoteHookId, RepositoryPath, http::Body, rest::Rest};

const EVENTS: [&str; 8] = [
    "repo:push",
    "repo:updated",
    "repo:transfer",
    "repo:deleted",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
];

#[derive(Deserialize)]
struct Found {
    uuid: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
}

impl From<Found> for Hook {
    fn from(found: Found) -> Self {
        Self {
            id: found.uuid.into(),
            url: found.url,
            active: found.active,
            covers_events: EVENTS
                .iter()
                .all(|event| found.events.iter().any(|held| held == event)),
            last_delivery: None,
        }
    }
}

/// The secret stands in both: PUT without it would keep whatever is there.
fn body(spec: HookSpec<'_>) -> Body {
    let fields = json!({
        "description": "Slipway",
        "url": spec.url,
        "active": true,
        "secret": spec.secret.expose_secret(),
        "events": EVENTS,
    });
    Body::json(fields).holding(spec.secret)
}

pub(super) async fn create(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    spec: HookSpec<'_>,
) -> Result<Hook, ForgeError> {
    let url = at(api, path, &["hooks"]);
    let found: Found = api
        .send(token, Method::POST, url, body(spec), "repository with hooks")
        .await?;
    Ok(found.into())
}

pub(super) async fn all(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<Hook>, ForgeError> {
    let mut url = at(api, path, &["hooks"]);
    url.query_pairs_mut().append_pair("pagelen", "100");
    let found: Vec<Found> = api.all(token, url, "hooks", page).await?;
    Ok(found.into_iter().map(Into::into).collect())
}

pub(super) async fn one(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteHookId,
) -> Result<Option<Hook>, ForgeError> {
    let url = at(api, path, &["hooks", id.as_str()]);
    let found: Option<Found> = api.find(token, url, "hook").await?;
    if found.is_none() {
        confirm_absence(api, token, path).await?;
    }
    Ok(found.map(Into::into))
}

pub(super) async fn update(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteHookId,
    spec: HookSpec<'_>,
) -> Result<Hook, ForgeError> {
    let url = at(api, path, &["hooks", id.as_str()]);
    let found: Found = api.send(token, Method::PUT, url, body(spec), "hook").await?;
    Ok(found.into())
}

pub(super) async fn delete(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteHookId,
) -> Result<bool, ForgeError> {
    let was_there = api
        .delete(token, at(api, path, &["hooks", id.as_str()]), "hook")
        .await?;
    if !was_there {
        confirm_absence(api, token, path).await?;
    }
    Ok(was_there)
}
