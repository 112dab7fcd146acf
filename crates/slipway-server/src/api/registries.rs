//! Registries: where images go. Passwords come in and never go out.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use slipway_types::{RegistryId, SlugName};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Body, Of},
    page::{Page, address, whole},
    schema::Time,
};
use crate::{app::App, failure::Failure, services::registries::RegistryForm};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

/// A place that images are pushed to.
#[derive(Debug, Serialize, ToSchema)]
struct Registry {
    id: String,
    name: String,
    /// As in image names: `registry.example.org:5000`.
    host: String,
    /// What stands before every image path there; may be empty.
    path_prefix: String,
    /// Who logs in; empty where nobody has to.
    username: String,
    has_password: bool,
    /// Whether everybody here may use it, or one namespace only.
    is_shared: bool,
    /// When its login was last seen to work.
    verified_at: Option<Time>,
}

impl From<slipway_store::Registry> for Registry {
    fn from(registry: slipway_store::Registry) -> Self {
        Self {
            id: registry.id.to_string(),
            name: registry.name,
            host: registry.host,
            path_prefix: registry.path_prefix,
            username: registry.username,
            has_password: registry.has_password,
            is_shared: registry.namespace.is_none(),
            verified_at: registry.verified_at.map(Time),
        }
    }
}

/// A registry to be added. Its login is tried first.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRegistry {
    /// Whose it is; without it, everybody's, which takes an administrator.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    namespace: Option<SlugName>,
    name: String,
    /// As in image names: `registry.example.org:5000`, `index.docker.io`.
    host: String,
    /// What stands before every image path there.
    #[serde(default)]
    path_prefix: String,
    /// Who logs in; empty for a registry that asks nobody.
    #[serde(default)]
    username: String,
    /// The password or token.
    #[serde(default, with = "slipway_types::secret::in_clear_option")]
    #[schema(value_type = Option<String>, write_only, format = Password)]
    password: Option<SecretString>,
}

/// What was added.
#[derive(Debug, Serialize, ToSchema)]
struct Added {
    id: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those that this namespace may use; without it, those that everybody may.
    #[param(value_type = Option<String>)]
    namespace: Option<SlugName>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct RegistryPath {
    /// The registry's id.
    #[param(value_type = String)]
    registry: RegistryId,
}

/// Registries that a namespace, or everybody, may use.
#[utoipa::path(get, path = "/api/v1/registries", tag = "registries", operation_id = "list_registries",
    params(Which), responses((status = 200, body = Page<Registry>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    Ask(which): Ask<Which>,
) -> Result<Json<Page<Registry>>, Failure> {
    let registries = match &which.namespace {
        Some(namespace) => app.registries.usable(&who, namespace).await?,
        None => app.registries.shared().await?,
    };
    Ok(whole(registries.into_iter().map(Registry::from)))
}

/// Adds a registry, after trying its login.
#[utoipa::path(post, path = "/api/v1/registries", tag = "registries", operation_id = "add_registry",
    request_body = NewRegistry, responses((status = 201, body = Added)))]
async fn add(
    State(app): State<App>,
    who: Asker,
    Body(new): Body<NewRegistry>,
) -> Result<impl IntoResponse, Failure> {
    let form = RegistryForm {
        name: new.name,
        host: new.host,
        path_prefix: new.path_prefix,
        username: new.username,
        password: new.password,
    };
    let id = app
        .registries
        .add(&who, new.namespace.as_ref(), form)
        .await?
        .to_string();
    let location = [(
        header::LOCATION,
        address(&app, &format!("/api/v1/registries/{id}")),
    )];
    Ok((StatusCode::CREATED, location, Json(Added { id })))
}

/// Removes a registry that no repository uses.
#[utoipa::path(delete, path = "/api/v1/registries/{registry}", tag = "registries", operation_id = "remove_registry",
    params(RegistryPath), responses((status = 204, description = "It is gone.")))]
async fn remove(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RegistryPath>,
) -> Result<StatusCode, Failure> {
    app.registries.remove(&who, path.registry).await?;
    Ok(StatusCode::NO_CONTENT)
}
