//! The builders of this installation, for its administrators.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_store::{BuilderPlace, BuilderState};
use slipway_types::BuilderId;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Body, Of},
    idempotency::Instead,
    page::{Page, address, whole},
    schema::Time,
};
use crate::{
    app::App,
    failure::Failure,
    services::builders::{Listed, TermsForm},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
        .routes(routes!(new_token))
}

/// A process that runs builds.
#[derive(Debug, Serialize, ToSchema)]
struct Builder {
    id: String,
    name: String,
    /// `active`, `paused`, or `draining`: it ends what it has.
    state: &'static str,
    /// `embedded` in a server, `expected` to come in with its one-time token, or `remote`.
    place: &'static str,
    /// Until when its one-time token is good, while it is expected.
    token_expires_at: Option<Time>,
    /// Labels that configurations can ask for.
    labels: Vec<String>,
    /// Whose builds alone it gets; empty: everybody's.
    namespaces: Vec<String>,
    /// Whether it gets no builds but those that ask for one of its labels.
    only_labelled: bool,
    /// The host that it runs on, by its own word, as all that follows.
    host: String,
    /// `rootless` or `host`.
    driver: String,
    /// Whether a stranger's code may run in its machines.
    isolates: bool,
    platforms: Vec<String>,
    /// How many builds it runs at once.
    slots: i32,
    /// How many it runs now.
    running: i64,
    version: String,
    last_seen_at: Option<Time>,
    created_at: Time,
}

impl From<Listed> for Builder {
    fn from(listed: Listed) -> Self {
        let Listed {
            builder,
            running,
            namespaces,
        } = listed;
        Self {
            id: builder.id.to_string(),
            name: builder.name,
            state: builder.state.as_str(),
            place: match builder.place {
                BuilderPlace::Embedded => "embedded",
                BuilderPlace::Expected(_) => "expected",
                BuilderPlace::Remote => "remote",
            },
            token_expires_at: match builder.place {
                BuilderPlace::Expected(until) => Some(Time(until)),
                BuilderPlace::Embedded | BuilderPlace::Remote => None,
            },
            labels: builder.terms.labels,
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            only_labelled: builder.terms.only_labelled,
            host: builder.facts.host,
            driver: builder.facts.driver,
            isolates: builder.facts.isolates,
            platforms: builder.facts.platforms,
            slots: builder.facts.slots,
            running,
            version: builder.facts.version,
            last_seen_at: builder.last_seen_at.map(Time),
            created_at: builder.created_at.into(),
        }
    }
}

/// A builder to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBuilder {
    name: String,
    #[serde(default)]
    labels: Vec<String>,
    /// Whose builds alone it gets; empty: everybody's. A builder sees the secrets of what it builds.
    #[serde(default)]
    namespaces: Vec<String>,
    /// Whether it gets no builds but those that ask for one of its labels.
    #[serde(default)]
    only_labelled: bool,
}

/// What is to be different. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BuilderChange {
    #[serde(default)]
    labels: Option<Vec<String>>,
    #[serde(default)]
    namespaces: Option<Vec<String>>,
    #[serde(default)]
    only_labelled: Option<bool>,
    /// Whether it takes no work until it is resumed. What it runs goes on.
    #[serde(default)]
    is_paused: Option<bool>,
}

/// A one-time token, by which `slipway builder` comes in.
#[derive(Debug, Serialize, ToSchema)]
struct BuilderToken {
    /// The builder's id.
    id: String,
    /// Shown this once; null when the request is repeated.
    token: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct BuilderPath {
    /// The builder's id.
    #[param(value_type = String)]
    builder: BuilderId,
}

/// All builders. Takes an administrator, as all of these.
#[utoipa::path(get, path = "/api/v1/builders", tag = "administration", operation_id = "list_builders",
    responses((status = 200, body = Page<Builder>)))]
async fn list(State(app): State<App>, who: Asker) -> Result<Json<Page<Builder>>, Failure> {
    Ok(whole(
        app.builders.all(&who).await?.into_iter().map(Builder::from),
    ))
}

/// Makes a builder that is to come in from another host. Its one-time token is shown this once.
#[utoipa::path(post, path = "/api/v1/builders", tag = "administration", operation_id = "create_builder",
    request_body = NewBuilder, responses((status = 201, body = BuilderToken)))]
async fn create(
    State(app): State<App>,
    who: Asker,
    Body(new): Body<NewBuilder>,
) -> Result<Response, Failure> {
    let terms = TermsForm {
        labels: new.labels,
        namespaces: new.namespaces,
        only_labelled: new.only_labelled,
    };
    let (id, token) = app.builders.create(&who, &new.name, &terms).await?;
    let location = [(header::LOCATION, address(&app, &format!("/api/v1/builders/{id}")))];
    let made = token_of(id, &token);
    let mut response = (StatusCode::CREATED, location, Json(made)).into_response();
    response
        .extensions_mut()
        .insert(Instead(json!({ "id": id, "token": null })));
    Ok(response)
}

/// A builder.
#[utoipa::path(get, path = "/api/v1/builders/{builder}", tag = "administration", operation_id = "get_builder",
    params(BuilderPath), responses((status = 200, body = Builder)))]
async fn show(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuilderPath>,
) -> Result<Json<Builder>, Failure> {
    Ok(Json(app.builders.get(&who, path.builder).await?.into()))
}

/// Pauses or resumes a builder, and says which builds it gets.
#[utoipa::path(patch, path = "/api/v1/builders/{builder}", tag = "administration", operation_id = "change_builder",
    params(BuilderPath), request_body = BuilderChange, responses((status = 200, body = Builder)))]
async fn change(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuilderPath>,
    Body(change): Body<BuilderChange>,
) -> Result<Json<Builder>, Failure> {
    let now = app.builders.get(&who, path.builder).await?;
    if change.labels.is_some() || change.namespaces.is_some() || change.only_labelled.is_some() {
        let names = || now.namespaces.iter().map(ToString::to_string).collect();
        let terms = TermsForm {
            labels: change.labels.unwrap_or(now.builder.terms.labels),
            namespaces: change.namespaces.unwrap_or_else(names),
            only_labelled: change.only_labelled.unwrap_or(now.builder.terms.only_labelled),
        };
        app.builders.set_terms(&who, path.builder, &terms).await?;
    }
    match change.is_paused {
        Some(true) => app.builders.pause(&who, path.builder).await?,
        Some(false) if now.builder.state == BuilderState::Paused => {
            app.builders.resume(&who, path.builder).await?;
        }
        _ => {}
    }
    Ok(Json(app.builders.get(&who, path.builder).await?.into()))
}

/// Removes a builder. What it runs is killed there, and taken up again elsewhere.
#[utoipa::path(delete, path = "/api/v1/builders/{builder}", tag = "administration", operation_id = "remove_builder",
    params(BuilderPath), responses((status = 204, description = "It is removed.")))]
async fn remove(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuilderPath>,
) -> Result<StatusCode, Failure> {
    app.builders.remove(&who, path.builder).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes another one-time token for a builder; the credential that it has opens nothing from now on.
#[utoipa::path(post, path = "/api/v1/builders/{builder}/token", tag = "administration",
    operation_id = "create_builder_token", params(BuilderPath), responses((status = 201, body = BuilderToken)))]
async fn new_token(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuilderPath>,
) -> Result<Response, Failure> {
    let token = app.builders.new_token(&who, path.builder).await?;
    let made = token_of(path.builder, &token);
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    response
        .extensions_mut()
        .insert(Instead(json!({ "id": path.builder, "token": null })));
    Ok(response)
}

fn token_of(id: BuilderId, token: &SecretString) -> BuilderToken {
    BuilderToken {
        id: id.to_string(),
        token: Some(token.expose_secret().to_owned()),
    }
}
