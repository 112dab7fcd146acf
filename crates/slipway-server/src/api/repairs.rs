//! What Slipway made at the provider for a repository: reading it back now, and repairing it.

use axum::{extract::State, http::StatusCode, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    configuration::{Configuration, configuration},
    extract::{Of, RepositoryPath},
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(repair))
}

/// Reads back, now, whether the source repository can be reached, and whether webhook and deploy key are as they should
/// be.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/configuration/check", tag = "configuration",
    operation_id = "check_configuration", params(RepositoryPath), responses((status = 200, body = Configuration)))]
async fn check(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<Response, Failure> {
    app.health
        .check_repository(&who, &path.namespace, &path.name)
        .await?;
    configuration(&app, &who, &path, StatusCode::OK).await
}

/// Has webhook and deploy key made as they should be, where something is wrong with them.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/configuration/repair", tag = "configuration",
    operation_id = "repair_configuration", params(RepositoryPath), responses((status = 202, body = Configuration)))]
async fn repair(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<Response, Failure> {
    app.health.repair(&who, &path.namespace, &path.name).await?;
    configuration(&app, &who, &path, StatusCode::ACCEPTED).await
}
