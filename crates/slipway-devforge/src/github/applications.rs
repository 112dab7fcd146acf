//! What an OAuth application may ask and do about its own tokens, signing in with id and secret.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, KIND, Refusal, error, not_found, refuse, render};
use crate::forge::Shared;
use crate::git::http::basic;
use crate::state::{OAuthApp, Token};

#[derive(Deserialize)]
pub(super) struct TokenBody {
    access_token: Option<String>,
}

/// Client id and secret as Basic authorization; 401 when they do not fit any application.
pub(super) struct Client(OAuthApp);

impl FromRequestParts<Shared> for Client {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        let given = basic(&parts.headers);
        let world = forge.world();
        let app = given.and_then(|(id, secret)| {
            world
                .side(KIND)
                .app(&id)
                .filter(|app| app.client_secret == secret)
                .cloned()
        });
        app.map(Self)
            .ok_or_else(|| error(StatusCode::UNAUTHORIZED, "Bad credentials"))
    }
}

/// The token in the body, if it is valid and this application's; 404 otherwise.
fn token_of(forge: &Shared, app: &OAuthApp, path_id: &str, body: &TokenBody) -> Result<Token, Refusal> {
    if app.client_id != path_id {
        return refuse(not_found());
    }
    let Some(value) = &body.access_token else {
        return refuse(error(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed"));
    };
    let now = forge.now();
    let world = forge.world();
    let token = world
        .side(KIND)
        .token(value, now)
        .filter(|token| token.client_id == app.client_id);
    token.cloned().ok_or_else(|| Refusal::from(not_found()))
}

/// `POST /applications/{client_id}/token`: is this token still good?
pub(super) async fn check(
    State(forge): State<Shared>,
    Client(app): Client,
    Path(client_id): Path<String>,
    Json(body): Json<TokenBody>,
) -> Answer {
    let token = token_of(&forge, &app, &client_id, &body)?;
    let world = forge.world();
    let user = world
        .side(KIND)
        .account(token.user)
        .map(|user| render::user(&forge.addresses, user));
    Ok(Json(authorization(&forge, &app, &token, user.as_ref())).into_response())
}

fn authorization(forge: &Shared, app: &OAuthApp, token: &Token, user: Option<&Value>) -> Value {
    let last_eight = token
        .value
        .get(token.value.len().saturating_sub(8)..)
        .unwrap_or_default();
    json!({
        "id": token.id,
        "url": format!("{}/authorizations/{}", forge.addresses.github_api, token.id),
        "scopes": token.scopes,
        "token": token.value,
        "token_last_eight": last_eight,
        "hashed_token": null,
        "app": { "name": app.name, "url": app.redirect_uri, "client_id": app.client_id },
        "note": null,
        "note_url": null,
        "updated_at": render::time(token.created_at),
        "created_at": render::time(token.created_at),
        "fingerprint": null,
        "expires_at": null,
        "user": user,
    })
}

/// `DELETE /applications/{client_id}/token`: this one token.
pub(super) async fn delete_token(
    State(forge): State<Shared>,
    Client(app): Client,
    Path(client_id): Path<String>,
    Json(body): Json<TokenBody>,
) -> Answer {
    let token = token_of(&forge, &app, &client_id, &body)?;
    forge.world().side_mut(KIND).revoke_token(token.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /applications/{client_id}/grant`: all tokens of the token's user for this application.
pub(super) async fn delete_grant(
    State(forge): State<Shared>,
    Client(app): Client,
    Path(client_id): Path<String>,
    Json(body): Json<TokenBody>,
) -> Answer {
    let token = token_of(&forge, &app, &client_id, &body)?;
    forge
        .world()
        .side_mut(KIND)
        .revoke_grant(token.user, &app.client_id);
    crate::apps::events::revoked(&forge, &app.client_id, token.user);
    Ok(StatusCode::NO_CONTENT.into_response())
}
