//! The control API, for the demo and for tests in another process: `/_devforge/…` on GitHub's
//! listener, for both kinds. No sign-in: it listens on loopback and guards nothing real.
//!
//! | call | answer |
//! | --- | --- |
//! | `GET /_devforge/addresses` | where everything is |
//! | `GET /_devforge/secrets` | every secret value ever issued or configured |
//! | `GET /_devforge/deliveries` | the delivery log |
//! | `POST /_devforge/flush` | 204 when all deliveries are answered |
//! | `POST /_devforge/{kind}/repositories` | creates one (body as in the seed) |
//! | `GET /_devforge/{kind}/repositories/{owner}/{repo}` | `hooks`, `keys`, `statuses` and clone URLs |
//! | `POST /_devforge/{kind}/repositories/{owner}/{repo}/push` | `{branch, files: {path: content}, message, tag?}` pushed as the owner; answers `{sha}` |
//! | `GET /_devforge/{kind}/tokens` | access tokens issued |
//! | `POST /_devforge/{kind}/authorize` | `{login, password, url}`: that person signs in and authorizes; answers `{callback}` |

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::error::DevForgeError;
use crate::forge::Shared;
use crate::people::Kind;
use crate::provider::Provider;
use crate::repository::Repository;
use crate::seed::SeedRepository;

pub(crate) fn router(forge: &Shared) -> Router {
    Router::new()
        .route("/_devforge/addresses", get(addresses))
        .route("/_devforge/secrets", get(secrets))
        .route("/_devforge/deliveries", get(deliveries))
        .route("/_devforge/flush", post(flush))
        .route("/_devforge/{kind}/tokens", get(tokens))
        .route("/_devforge/{kind}/authorize", post(authorize))
        .route("/_devforge/{kind}/repositories", post(create_repository))
        .route("/_devforge/{kind}/repositories/{owner}/{repo}", get(repository))
        .route("/_devforge/{kind}/repositories/{owner}/{repo}/push", post(push))
        .with_state(forge.clone())
}

impl IntoResponse for DevForgeError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Exists(_) => StatusCode::CONFLICT,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Seed(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (
            status,
            Json(json!({ "kind": self.kind(), "message": self.to_string() })),
        )
            .into_response()
    }
}

async fn addresses(State(forge): State<Shared>) -> Response {
    Json(&forge.addresses).into_response()
}

async fn secrets(State(forge): State<Shared>) -> Response {
    Json(forge.ledger.all()).into_response()
}

async fn deliveries(State(forge): State<Shared>) -> Response {
    Json(forge.courier.log()).into_response()
}

async fn flush(State(forge): State<Shared>) -> StatusCode {
    forge.courier.flush().await;
    StatusCode::NO_CONTENT
}

async fn tokens(State(forge): State<Shared>, Path(kind): Path<Kind>) -> Response {
    Json(Provider::new(forge, kind).tokens()).into_response()
}

async fn create_repository(
    State(forge): State<Shared>,
    Path(kind): Path<Kind>,
    Json(body): Json<SeedRepository>,
) -> Result<Response, DevForgeError> {
    let repository = Provider::new(forge, kind)
        .create_repository(body.into_new())
        .await?;
    Ok((StatusCode::CREATED, describe(&repository)?).into_response())
}

async fn repository(
    State(forge): State<Shared>,
    Path((kind, owner, name)): Path<(Kind, String, String)>,
) -> Result<Response, DevForgeError> {
    Ok(describe(&Provider::new(forge, kind).repository(&format!("{owner}/{name}"))?)?.into_response())
}

fn describe(repository: &Repository) -> Result<Json<serde_json::Value>, DevForgeError> {
    Ok(Json(json!({
        "id": repository.id(),
        "uuid": repository.uuid()?,
        "full_name": repository.full_name()?,
        "http_url": repository.http_url()?,
        "ssh_url": repository.ssh_url()?,
        "hooks": repository.hooks(),
        "keys": repository.keys(),
        "statuses": repository.statuses(),
    })))
}

#[derive(Deserialize)]
struct PushBody {
    branch: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    message: String,
    tag: Option<String>,
}

async fn push(
    State(forge): State<Shared>,
    Path((kind, owner, name)): Path<(Kind, String, String)>,
    Json(body): Json<PushBody>,
) -> Result<Response, DevForgeError> {
    let repository = Provider::new(forge, kind).repository(&format!("{owner}/{name}"))?;
    let files: Vec<(&str, &str)> = body
        .files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let sha = repository.push(&body.branch, &files, &body.message).await?;
    if let Some(tag) = &body.tag {
        repository.push_tag(tag, &sha).await?;
    }
    Ok(Json(json!({ "sha": sha })).into_response())
}

#[derive(Deserialize)]
struct AuthorizeBody {
    login: String,
    password: String,
    url: String,
}

async fn authorize(
    State(forge): State<Shared>,
    Path(kind): Path<Kind>,
    Json(body): Json<AuthorizeBody>,
) -> Result<Response, DevForgeError> {
    let mut browser = Provider::new(forge, kind).browser();
    browser.sign_in(&body.login, &body.password).await?;
    let callback = browser.authorize(&body.url).await?;
    Ok(Json(json!({ "callback": callback })).into_response())
}
