//! `/api/builder/v1`: the server's face for builders on other hosts, as `slipway_builder::outside::Remote` asks it.
//!
//! A handler recognises the builder by its credential, sees that the lease it names is its own, and hands over to the same
//! coordinator that the embedded builder asks. Not part of the public API's description: both sides are Slipway, of versions
//! that differ by one at most.

mod asker;

use std::future::Future;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State, rejection::JsonRejection},
    http::StatusCode,
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slipway_builder::outside::{
    Batch, BuilderHello, Canceled, ComingIn, Coordinator as _, CoordinatorError, Ended, FenceAnswered,
    FenceAsked,
};
use slipway_store::StoreError;
use slipway_types::{BuildId, LeaseNo};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    api,
    app::App,
    failure::{self, Failure},
    services::{builders::RefusedBuilder, coordinator::LONG_POLL},
    web,
};
use asker::{Asker, bearer};

/// The longest body that is read, in bytes: a batch holds 64 KiB and one item more, of 1 MiB at the most, each byte of which
/// may take six in JSON.
const BODY_LIMIT: usize = 8 << 20;

/// The longest body of whoever is not known yet, in bytes.
const STRANGERS_LIMIT: usize = 4 << 10;

/// A lease, in a path.
#[derive(Debug, Deserialize)]
struct LeasePath {
    build: BuildId,
    lease: i32,
}

impl LeasePath {
    const fn number(&self) -> LeaseNo {
        LeaseNo(self.lease)
    }
}

/// The routes.
pub fn routes(app: App) -> Router {
    Router::new()
        .route(
            "/api/builder/v1/register",
            post(register).layer(DefaultBodyLimit::max(STRANGERS_LIMIT)),
        )
        .route("/api/builder/v1/drain", post(drain))
        .route("/api/builder/v1/lease", post(lease))
        .route("/api/builder/v1/builds/{build}/leases/{lease}/renew", post(renew))
        .route(
            "/api/builder/v1/builds/{build}/leases/{lease}/canceled",
            get(canceled),
        )
        .route(
            "/api/builder/v1/builds/{build}/leases/{lease}/batches",
            post(report),
        )
        .route("/api/builder/v1/builds/{build}/leases/{lease}/fence", post(fence))
        .route(
            "/api/builder/v1/builds/{build}/leases/{lease}/finish",
            post(finish),
        )
        .layer(CatchPanicLayer::custom(web::panicked))
        .layer(from_fn(api::draw_problems))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}

/// A builder comes in: its bearer token is the one-time one. Of all others no body is read before they are recognised.
async fn register(
    State(app): State<App>,
    headers: axum::http::HeaderMap,
    coming: Result<Json<ComingIn>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    let token = bearer(&headers)?;
    app.builders.come_in(&token, &read(coming)?.credential).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn drain(State(app): State<App>, who: Asker) -> Result<StatusCode, Failure> {
    app.builders.drain(&who).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn lease(
    State(app): State<App>,
    who: Asker,
    hello: Result<Json<BuilderHello>, JsonRejection>,
) -> Result<Response, Failure> {
    app.builders.hello(who.id, &read(hello)?).await?;
    Ok(content(app.coordinator().wait_for_work(who.id).await?))
}

async fn renew(State(app): State<App>, who: Asker, Path(path): Path<LeasePath>) -> Result<Response, Failure> {
    app.builders.holds(&who, path.build, path.number()).await?;
    let renewal = app.coordinator().renew(path.build, path.number()).await?;
    Ok(Json(renewal).into_response())
}

async fn canceled(
    State(app): State<App>,
    who: Asker,
    Path(path): Path<LeasePath>,
) -> Result<Response, Failure> {
    app.builders.holds(&who, path.build, path.number()).await?;
    let coordinator = app.coordinator();
    let reason = for_a_while(coordinator.canceled(path.build, path.number())).await;
    Ok(content(reason.map(|reason| Canceled { reason })))
}

async fn report(
    State(app): State<App>,
    who: Asker,
    Path(path): Path<LeasePath>,
    batch: Result<Json<Batch>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    app.builders.holds(&who, path.build, path.number()).await?;
    app.coordinator()
        .report(path.build, path.number(), read(batch)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn fence(
    State(app): State<App>,
    who: Asker,
    Path(path): Path<LeasePath>,
    asked: Result<Json<FenceAsked>, JsonRejection>,
) -> Result<Response, Failure> {
    app.builders.holds(&who, path.build, path.number()).await?;
    let coordinator = app.coordinator();
    let asking = coordinator.fence(path.build, path.number(), read(asked)?.tags);
    let grants = for_a_while(asking).await.transpose()?;
    Ok(content(grants.map(|grants| FenceAnswered { grants })))
}

async fn finish(
    State(app): State<App>,
    who: Asker,
    Path(path): Path<LeasePath>,
    ended: Result<Json<Ended>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    app.builders.holds(&who, path.build, path.number()).await?;
    app.coordinator()
        .finish(path.build, path.number(), read(ended)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As long as a long poll lasts: none when nothing came of it yet.
async fn for_a_while<T>(asking: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LONG_POLL, asking).await.ok()
}

/// What there is to say; 204 where there is nothing yet.
fn content<T: Serialize>(said: Option<T>) -> Response {
    match said {
        Some(said) => Json(said).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// A body; fields that only a newer builder knows are left out.
fn read<T: DeserializeOwned>(body: Result<Json<T>, JsonRejection>) -> Result<T, Failure> {
    body.map(|Json(said)| said).map_err(|rejection| {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => failure::TOO_LARGE,
            _ => failure::MALFORMED,
        };
        Failure::new(kind, rejection.body_text())
    })
}

impl From<RefusedBuilder> for Failure {
    fn from(refused: RefusedBuilder) -> Self {
        let kind = match &refused {
            RefusedBuilder::Token | RefusedBuilder::Credential => failure::UNKNOWN_BUILDER,
            RefusedBuilder::Version(_) => failure::BUILDER_VERSION,
            RefusedBuilder::LeaseLost => failure::LEASE_LOST,
            RefusedBuilder::Store(StoreError::Unavailable(_)) => failure::UNAVAILABLE,
            RefusedBuilder::Store(_) => failure::INTERNAL,
        };
        Self::new(kind, failure::sentence(&refused.to_string())).caused_by(&refused)
    }
}

impl From<CoordinatorError> for Failure {
    fn from(error: CoordinatorError) -> Self {
        match error {
            CoordinatorError::LeaseLost => RefusedBuilder::LeaseLost.into(),
            CoordinatorError::Unreachable(_) | CoordinatorError::Refused(_) => {
                Self::new(failure::UNAVAILABLE, "The database did not answer.").caused_by(&error)
            }
        }
    }
}
