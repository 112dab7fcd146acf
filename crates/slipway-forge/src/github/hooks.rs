//! GitHub's repository webhooks ("REST API endpoints for repository webhooks").

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use slipway_types::Timestamp;

use super::{
    api::page,
    repositories::{at, confirm_absence, post},
};
use crate::{
    ForgeError, Hook, HookSpec, LastDelivery, RemoteHookId, RepositoryPath,
    http::{Body, excerpt},
    rest::Rest,
};

/// `push` covers what `create` and `delete` tell.
const EVENTS: [&str; 3] = ["push", "pull_request", "repository"];

#[derive(Deserialize)]
struct Found {
    id: u64,
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    config: FoundConfig,
    #[serde(default)]
    last_response: Option<LastResponse>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
struct FoundConfig {
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct LastResponse {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl From<Found> for Hook {
    fn from(found: Found) -> Self {
        let holds = |event: &&str| found.events.iter().any(|held| held == event || held == "*");
        let last = found
            .last_response
            .filter(|last| last.status.as_deref() != Some("unused"));
        Self {
            id: found.id.into(),
            url: found.config.url,
            active: found.active,
            covers_events: EVENTS.iter().all(holds),
            last_delivery: last.map(|last| LastDelivery {
                // GitHub writes 0 when nobody answered.
                status: last.code.filter(|code| *code != 0),
                message: last.message.map(|message| excerpt(&message)),
                at: found.updated_at,
            }),
        }
    }
}

/// The secret stands in both: PATCH without it removes it.
fn body(spec: HookSpec<'_>, mut fields: serde_json::Value) -> Body {
    fields["active"] = json!(true);
    fields["events"] = json!(EVENTS);
    fields["config"] = json!({
        "url": spec.url,
        "content_type": "json",
        "secret": spec.secret.expose_secret(),
        "insecure_ssl": "0",
    });
    Body::json(fields).holding(spec.secret)
}

pub(super) async fn create(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    spec: HookSpec<'_>,
) -> Result<Hook, ForgeError> {
    let body = body(spec, json!({ "name": "web" }));
    let found: Found = api
        .send(
            token,
            Method::POST,
            at(api, path, &["hooks"]),
            body,
            "repository with hooks",
        )
        .await?;
    Ok(found.into())
}

pub(super) async fn all(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
) -> Result<Vec<Hook>, ForgeError> {
    let mut url = at(api, path, &["hooks"]);
    url.query_pairs_mut().append_pair("per_page", "100");
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
        confirm_absence(api, token, path, true).await?;
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
    let found: Found = api
        .send(token, Method::PATCH, url, body(spec, json!({})), "hook")
        .await?;
    Ok(found.into())
}

/// "Ping a repository webhook".
pub(super) async fn ping(
    api: &Rest,
    token: &SecretString,
    path: &RepositoryPath,
    id: &RemoteHookId,
) -> Result<(), ForgeError> {
    let url = at(api, path, &["hooks", id.as_str(), "pings"]);
    post(api, token, url, Body::none(), "hook").await.map(drop)
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
        confirm_absence(api, token, path, true).await?;
    }
    Ok(was_there)
}
