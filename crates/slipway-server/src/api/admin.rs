//! What administrators ask of the installation.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::auth::Asker;
use crate::{app::App, failure::Failure, services::status::WorkLeft};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(queue))
}

/// What is left to do. All zero: there is nothing to wait for.
#[utoipa::path(get, path = "/api/v1/admin/queue", tag = "administration", operation_id = "work_left",
    responses((status = 200, body = WorkLeft)))]
async fn queue(State(app): State<App>, who: Asker) -> Result<Json<WorkLeft>, Failure> {
    Ok(Json(app.status.work_left(&who).await?))
}
