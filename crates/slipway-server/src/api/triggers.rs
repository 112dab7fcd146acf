//! Build triggers: addresses that start builds. The address is the secret; it is shown when it is made, and never again.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_types::{SlugName, TriggerId};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Body, Of, RepositoryPath},
    idempotency::Instead,
    page::{Page, whole},
    schema::Time,
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(revoke))
}

/// A build trigger.
#[derive(Debug, Serialize, ToSchema)]
struct Trigger {
    id: String,
    /// Who calls it.
    name: String,
    created_at: Time,
    last_used_at: Option<Time>,
}

/// A build trigger to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTrigger {
    /// Who will call it.
    name: String,
}

/// A build trigger that was made.
#[derive(Debug, Serialize, ToSchema)]
struct MadeTrigger {
    id: String,
    /// The address to call. It is shown this once; null where an `Idempotency-Key` is replayed.
    url: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct TriggerPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    namespace: SlugName,
    /// The repository's name.
    #[param(value_type = String)]
    name: SlugName,
    /// The trigger's id.
    #[param(value_type = String)]
    trigger: TriggerId,
}

/// A configuration's build triggers, without their addresses.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/configuration/triggers", tag = "configuration",
    operation_id = "list_triggers", params(RepositoryPath), responses((status = 200, body = Page<Trigger>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<Json<Page<Trigger>>, Failure> {
    let view = app
        .configuring
        .view(&who, &path.namespace, &path.name)
        .await?
        .ok_or_else(Failure::not_found)?;
    Ok(whole(view.triggers.into_iter().map(|trigger| Trigger {
        id: trigger.id.to_string(),
        name: trigger.name,
        created_at: trigger.created_at.into(),
        last_used_at: trigger.last_used_at.map(Time),
    })))
}

/// Makes a build trigger. Its address is shown this once.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/configuration/triggers", tag = "configuration",
    operation_id = "create_trigger", params(RepositoryPath), request_body = NewTrigger,
    responses((status = 201, body = MadeTrigger)))]
async fn create(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    Body(new): Body<NewTrigger>,
) -> Result<Response, Failure> {
    let (id, url) = app
        .configuring
        .create_trigger(&who, &path.namespace, &path.name, &new.name)
        .await?;
    let made = MadeTrigger {
        id: id.to_string(),
        url: Some(url.expose_secret().to_owned()),
    };
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    response
        .extensions_mut()
        .insert(Instead(json!({ "id": id, "url": null })));
    Ok(response)
}

/// Revokes a build trigger: its address starts nothing from now on.
#[utoipa::path(delete, path = "/api/v1/repositories/{namespace}/{name}/configuration/triggers/{trigger}",
    tag = "configuration", operation_id = "revoke_trigger", params(TriggerPath),
    responses((status = 204, description = "It is revoked.")))]
async fn revoke(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<TriggerPath>,
) -> Result<StatusCode, Failure> {
    app.configuring
        .revoke_trigger(&who, &path.namespace, &path.name, path.trigger)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
