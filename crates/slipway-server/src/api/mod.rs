//! `/api/v1`: the server's face for programs. Everything that the pages do, over the same services.
//!
//! A handler parses, lets a service authorise, calls one service, renders. A route and its description are one thing
//! (`#[utoipa::path]` on the handler), so that the OpenAPI document cannot say anything else than what is there.
//!
//! Layers, from the outside: problem details (`problem`), names of contents (`etag`), requests that happen once
//! (`idempotency`), the handler, which asks who is asking (`auth`).

mod access_tokens;
mod admin;
mod audit;
mod auth;
mod build;
mod build_call;
mod builders;
mod builds;
mod configuration;
mod document;
mod etag;
mod extract;
mod idempotency;
mod ledger;
mod links;
mod log;
mod me;
mod namespaces;
mod owners;
mod page;
mod preview;
mod problem;
mod registries;
mod repairs;
mod repositories;
mod schema;
mod sources;
mod timeline;
mod triggered;
mod triggers;
mod users;
mod webhook;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::any,
};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, failure::Failure, web};

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// The API's routes, complete with their layers.
pub fn routes(app: App) -> Router {
    let (described, _) = described().split_for_parts();
    described
        .route("/api/{*rest}", any(nothing))
        .layer(from_fn_with_state(app.clone(), idempotency::once))
        .layer(from_fn(etag::name))
        .layer(CatchPanicLayer::custom(web::panicked))
        .layer(from_fn(problem::draw))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}

/// Draws failures as problem details: for what lies below `/api` besides [`routes`].
pub(crate) use problem::draw as draw_problems;

/// The OpenAPI document of [`routes`].
pub fn document() -> OpenApi {
    document::complete(described().into_openapi())
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document::head())
        .merge(document::routes())
        .merge(problem::routes())
        .merge(me::routes())
        .merge(namespaces::routes())
        .merge(audit::routes())
        .merge(repositories::routes())
        .merge(configuration::routes())
        .merge(preview::routes())
        .merge(repairs::routes())
        .merge(triggers::routes())
        .merge(webhook::routes())
        .merge(builds::routes())
        .merge(log::routes())
        .merge(timeline::routes())
        .merge(ledger::routes())
        .merge(links::routes())
        .merge(sources::routes())
        .merge(owners::routes())
        .merge(registries::routes())
        .merge(access_tokens::routes())
        .merge(admin::routes())
        .merge(users::routes())
        .merge(builders::routes())
        .merge(build_call::routes())
}

async fn nothing() -> Failure {
    Failure::not_found()
}
