//! Who the access token is of.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{auth::Asker, schema};
use crate::{app::App, failure::Failure, services::Via};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The person who asks.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    id: String,
    /// The name to sign in with, which is also their namespace's.
    name: String,
    display_name: String,
    /// Whether they administer this installation.
    is_admin: bool,
    /// What the access token is good for; null for a signed-in browser, which is good for everything.
    #[schema(schema_with = schema::maybe_token_scope)]
    scope: Option<&'static str>,
}

/// Who is asking.
#[utoipa::path(get, path = "/api/v1/me", tag = "me", operation_id = "me", responses((status = 200, body = Me)))]
async fn show(State(app): State<App>, who: Asker) -> Result<Json<Me>, Failure> {
    let user = app.accounts.me(&who).await?;
    Ok(Json(Me {
        id: user.id.to_string(),
        name: user.name.to_string(),
        display_name: user.display_name,
        is_admin: user.is_admin,
        scope: match who.via {
            Via::Token(scope) => Some(scope.as_str()),
            Via::Session(_) => None,
        },
    }))
}
