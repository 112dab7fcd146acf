//! Access tokens of the person who asks. They are made in a browser only: a token must not make a wider one.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use slipway_types::AccessTokenId;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::Of,
    page::{Page, whole},
    schema::{self, Time},
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(revoke))
}

/// An access token, without the token itself.
#[derive(Debug, Serialize, ToSchema)]
struct AccessToken {
    id: String,
    /// What it is for.
    name: String,
    #[schema(schema_with = schema::token_scope)]
    scope: &'static str,
    created_at: Time,
    /// When it ends by itself.
    expires_at: Option<Time>,
    /// When it was last used, to the minute.
    last_used_at: Option<Time>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct TokenPath {
    /// The token's id.
    #[param(value_type = String)]
    token: AccessTokenId,
}

/// Your access tokens.
#[utoipa::path(get, path = "/api/v1/access-tokens", tag = "access tokens", operation_id = "list_access_tokens",
    responses((status = 200, body = Page<AccessToken>)))]
async fn list(State(app): State<App>, who: Asker) -> Result<Json<Page<AccessToken>>, Failure> {
    let tokens = app.accounts.access_tokens(&who).await?;
    Ok(whole(tokens.into_iter().map(|token| AccessToken {
        id: token.id.to_string(),
        name: token.name,
        scope: token.scope.as_str(),
        created_at: token.created_at.into(),
        expires_at: token.expires_at.map(Time),
        last_used_at: token.last_used_at.map(Time),
    })))
}

/// Revokes one of your access tokens.
#[utoipa::path(delete, path = "/api/v1/access-tokens/{token}", tag = "access tokens",
    operation_id = "revoke_access_token", params(TokenPath), responses((status = 204, description = "It is revoked.")))]
async fn revoke(State(app): State<App>, who: Asker, Of(path): Of<TokenPath>) -> Result<StatusCode, Failure> {
    app.accounts.revoke_access_token(&who, path.token).await?;
    Ok(StatusCode::NO_CONTENT)
}
