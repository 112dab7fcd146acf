//! Organizations and workspaces of a linked account: asking the provider now, and what a person says of one.

use axum::{Json, extract::State};
use serde::Deserialize;
use slipway_types::SlugName;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{auth::Asker, extract::Of, links::Owner};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(requested))
}

/// An organization or a workspace of a linked account, in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct OwnerPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    namespace: SlugName,
    /// The source provider's stable name, as `github`.
    forge: String,
    /// What it is called at the provider.
    owner: String,
}

/// Asks the provider now whether the link reaches an organization, also one that is not listed, and reads back what is
/// built from there.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}/owners/{owner}/check",
    tag = "linked accounts", operation_id = "check_owner", params(OwnerPath),
    responses((status = 200, body = Owner)))]
async fn check(State(app): State<App>, who: Asker, Of(path): Of<OwnerPath>) -> Result<Json<Owner>, Failure> {
    let owner = app
        .health
        .check_owner(&who, &path.namespace, &path.forge, &path.owner)
        .await?;
    Ok(Json(owner.into()))
}

/// Notes that access was requested from the owners of an organization that restricts it: no provider tells that.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}/owners/{owner}/requested",
    tag = "linked accounts", operation_id = "owner_requested", params(OwnerPath),
    responses((status = 200, body = Owner)))]
async fn requested(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<OwnerPath>,
) -> Result<Json<Owner>, Failure> {
    let owner = app
        .health
        .requested(&who, &path.namespace, &path.forge, &path.owner)
        .await?;
    Ok(Json(owner.into()))
}
