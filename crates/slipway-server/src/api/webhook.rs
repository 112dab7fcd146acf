//! The webhook that Slipway keeps at the source repository of a configuration.

use axum::{Json, extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    configuration::ProviderResource,
    extract::{Of, RepositoryPath},
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(rotate))
}

/// Exchanges the webhook's secret. Deliveries are taken all the while: `secret_exchange` says how far it is.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/configuration/webhook/rotate",
    tag = "configuration", operation_id = "rotate_webhook_secret", params(RepositoryPath),
    responses((status = 202, body = ProviderResource)))]
async fn rotate(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<(StatusCode, Json<ProviderResource>), Failure> {
    app.configuring
        .rotate_hook_secret(&who, &path.namespace, &path.name)
        .await?;
    let view = app.configuring.view(&who, &path.namespace, &path.name).await?;
    let hook = view.and_then(|view| view.hook).ok_or_else(Failure::not_found)?;
    Ok((StatusCode::ACCEPTED, Json(hook.into())))
}
