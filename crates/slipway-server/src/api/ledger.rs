//! What became of a link that was taken apart, and whether its access is gone.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use slipway_store::AccessProof as StoredProof;
use slipway_types::LinkId;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Of},
    links::{Link, LinkPath},
    schema::{self, Time},
};
use crate::{app::App, failure::Failure, services::unlinking::LedgerStep};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ledger))
        .routes(routes!(check_access))
        .routes(routes!(forget_access))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhichLedger {
    /// Of this link; without it, of the last that was taken apart.
    #[param(value_type = Option<String>)]
    link: Option<LinkId>,
}

/// What became of a link that was taken apart.
#[derive(Debug, Serialize, ToSchema)]
struct Ledger {
    link: Link,
    /// The steps, in order.
    steps: Vec<Step>,
    /// How many hooks and keys are still at the provider.
    remaining: usize,
    /// Whether the access is gone, where the provider has no call to end it and that was to be proven; else null.
    access: Option<AccessProof>,
    /// The account's page of authorized applications, where a person ends the access; null without `access`.
    authorizations_url: Option<String>,
    /// Whether nothing is left to be done from here.
    finished: bool,
}

/// Whether an access is gone that only the person can end, at the provider. While `state` is `pending` or `granted`, its
/// refresh token is kept, sealed; in every other state it is erased.
#[derive(Debug, Serialize, ToSchema)]
struct AccessProof {
    #[schema(schema_with = schema::proof_state)]
    state: &'static str,
    /// When the provider last answered.
    checked_at: Option<Time>,
    /// When the token is erased, proven or not.
    kept_until: Time,
    /// Since when it is as it is.
    since: Time,
}

impl From<StoredProof> for AccessProof {
    fn from(proof: StoredProof) -> Self {
        Self {
            state: proof.state.as_str(),
            checked_at: proof.checked_at.map(Time),
            kept_until: proof.kept_until.into(),
            since: proof.since.into(),
        }
    }
}

/// A step of taking a link apart.
#[derive(Debug, Serialize, ToSchema)]
struct Step {
    #[schema(schema_with = schema::outbox_kind)]
    kind: &'static str,
    /// At which source repository; null for the account itself.
    at: Option<String>,
    #[schema(schema_with = schema::outbox_state)]
    state: &'static str,
    attempts: i32,
    /// What went wrong, or what is left, and where it is removed by hand.
    detail: Option<String>,
    /// When it is tried next, or was settled.
    when: Time,
}

impl From<LedgerStep> for Step {
    fn from(step: LedgerStep) -> Self {
        Self {
            kind: step.kind.as_str(),
            at: step.at,
            state: step.state.as_str(),
            attempts: step.attempts,
            detail: step.detail,
            when: step.when.into(),
        }
    }
}

/// What became of a link that was taken apart.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links/{forge}/ledger", tag = "linked accounts",
    operation_id = "get_ledger", params(LinkPath, WhichLedger), responses((status = 200, body = Ledger)))]
async fn ledger(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Ask(which): Ask<WhichLedger>,
) -> Result<Json<Ledger>, Failure> {
    let found = app
        .unlinking
        .ledger(&who, &path.namespace, &path.forge, which.link)
        .await?;
    Ok(Json(Ledger {
        finished: found.is_finished(),
        link: found.link.into(),
        steps: found.steps.into_iter().map(Step::from).collect(),
        remaining: found.remaining,
        access: found.proof.map(AccessProof::from),
        authorizations_url: found.authorizations_url.map(String::from),
    }))
}

/// Asks the provider to renew the access of a link that was taken apart. It is `gone` when that is refused. What a renewal
/// gives is not used: only what the next check asks with is kept.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}/ledger/check", tag = "linked accounts",
    operation_id = "check_access", params(LinkPath, WhichLedger), responses((status = 200, body = AccessProof)))]
async fn check_access(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Ask(which): Ask<WhichLedger>,
) -> Result<Json<AccessProof>, Failure> {
    let proof = app
        .access_proofs
        .check(&who, &path.namespace, &path.forge, which.link)
        .await?;
    Ok(Json(proof.into()))
}

/// Erases the refresh token that is kept for the proof, without one.
#[utoipa::path(post, path = "/api/v1/namespaces/{namespace}/links/{forge}/ledger/forget", tag = "linked accounts",
    operation_id = "forget_access", params(LinkPath, WhichLedger), responses((status = 200, body = AccessProof)))]
async fn forget_access(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Ask(which): Ask<WhichLedger>,
) -> Result<Json<AccessProof>, Failure> {
    let proof = app
        .access_proofs
        .forget(&who, &path.namespace, &path.forge, which.link)
        .await?;
    Ok(Json(proof.into()))
}
