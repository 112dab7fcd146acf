//! One delivery of a webhook.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use slipway_forge::{DeliveryHead, Forge};
use slipway_store::{NewDelivery, Resource, SourceRepository, StoreError};
use slipway_types::{
    DeliveryId, ResourceId,
    decision::DeliveryOutcome,
    forge::{ResourceKind, ResourceState},
};

use super::Receive;
use crate::services::ask::AskError;

/// The longest text of a header that is kept, in bytes.
const MAX_HEADER: usize = 256;

/// The headers that are kept: what reading the delivery again needs, and what a person wants to see. Not the
/// signature.
const KEPT: [&str; 9] = [
    "content-type",
    "user-agent",
    "x-github-event",
    "x-github-delivery",
    "x-github-hook-id",
    "x-event-key",
    "x-hook-uuid",
    "x-request-uuid",
    "x-attempt-number",
];

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no webhook at this address")]
    UnknownPath,
    #[error("the delivery could not be read: it is over the limit, or was cut off")]
    Unreadable(StatusCode),
    #[error("the delivery is not signed with this webhook's secret")]
    Signature(&'static str),
    #[error("the delivery is not of the repository that this webhook was made for")]
    OtherRepository,
    #[error("{0}")]
    Malformed(String),
    #[error("the delivery could not be stored; it may be sent again")]
    Unavailable(#[source] AskError),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Unreadable(status) => *status,
            Self::Signature(_) => StatusCode::UNAUTHORIZED,
            Self::OtherRepository => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::Unreadable(_) => "unreadable",
            Self::Signature(kind) => kind,
            Self::OtherRepository => "other_repository",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        Self::Unavailable(error)
    }
}

/// A hook that may receive, and whose it is.
struct Hook {
    resource: Resource,
    source: SourceRepository,
    forge: Arc<dyn Forge>,
}

/// `POST /hooks/{path}`
pub(super) async fn receive(
    State(receive): State<Receive>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> (StatusCode, String) {
    match take(&receive, &path, &headers, body).await {
        Ok((id, event)) => {
            tracing::info!(delivery = %id, event, "delivery stored");
            (StatusCode::ACCEPTED, format!("stored as {id}\n"))
        }
        Err(refusal) => {
            // The path is an address that only the provider knows: not for the log.
            tracing::warn!(kind = refusal.kind(), reason = %refusal, "delivery refused");
            (refusal.status(), format!("{refusal}\n"))
        }
    }
}

async fn take(
    receive: &Receive,
    path: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(DeliveryId, String), Refusal> {
    let hook = find(receive, path).await?;
    let body = body.map_err(|rejection| Refusal::Unreadable(rejection.status()))?;
    verify(receive, &hook, headers, &body).await?;
    let head = hook.forge.delivery_head(headers);
    let parsed = hook.forge.parse(headers, &body);
    if let Ok(event) = &parsed
        && let Some(repository) = event.repository()
        && repository.id.as_str() != hook.source.facts.provider_id
    {
        count_rejected(receive, hook.resource.id).await?;
        return Err(Refusal::OtherRepository);
    }
    let malformed = parsed.err().map(|malformed| malformed.to_string());
    let id = store(receive, &hook, &head, headers, &body, malformed.as_deref()).await?;
    match malformed {
        Some(why) => Err(Refusal::Malformed(why)),
        None => Ok((id, head.event)),
    }
}

async fn find(receive: &Receive, path: &str) -> Result<Hook, Refusal> {
    let resource = receive.store.provider_resources().by_hook_path(path).await?;
    let serves = |one: &Resource| {
        let gone = matches!(one.state, ResourceState::Removed | ResourceState::LeftBehind);
        one.kind == ResourceKind::Webhook && !gone
    };
    let resource = resource.filter(serves).ok_or(Refusal::UnknownPath)?;
    let source = receive.store.source_repositories().get(resource.source).await?;
    let forge = receive.ask.forge(source.forge).await?;
    Ok(Hook {
        resource,
        source,
        forge,
    })
}

/// Checks the signature against the current secret and, while it is being changed, the previous one.
async fn verify(receive: &Receive, hook: &Hook, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let secrets = receive
        .store
        .provider_resources()
        .open_secrets(hook.resource.id)
        .await?;
    let secrets = secrets.ok_or(Refusal::UnknownPath)?;
    let all: Vec<_> = std::iter::once(&secrets.current)
        .chain(&secrets.previous)
        .collect();
    match hook.forge.verify(headers, body, &all) {
        Ok(()) => Ok(()),
        Err(error) => {
            count_rejected(receive, hook.resource.id).await?;
            Err(Refusal::Signature(error.kind()))
        }
    }
}

async fn count_rejected(receive: &Receive, hook: ResourceId) -> Result<(), StoreError> {
    let tx = receive.store.begin().await?;
    tx.provider_resources().count_rejected(hook).await?;
    tx.commit().await
}

async fn store(
    receive: &Receive,
    hook: &Hook,
    head: &DeliveryHead,
    headers: &HeaderMap,
    body: &[u8],
    malformed: Option<&str>,
) -> Result<DeliveryId, StoreError> {
    let new = NewDelivery {
        hook: hook.resource.id,
        source: hook.source.id,
        event: cut(&head.event),
        remote_id: head.delivery_id.as_deref().map(cut),
        attempt: i32::try_from(head.attempt).unwrap_or(i32::MAX),
        headers: kept(headers),
        body: body.to_vec(),
    };
    let tx = receive.store.begin().await?;
    let id = tx.deliveries().insert(&new).await?;
    if let Some(why) = malformed {
        tx.deliveries()
            .set_handled(id, DeliveryOutcome::Malformed, Some(why))
            .await?;
    }
    tx.commit().await?;
    receive.bells.deliveries.up();
    Ok(id)
}

fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let one = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_owned(), cut(value)))
    };
    KEPT.into_iter().filter_map(one).collect()
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_HEADER)].to_owned()
}
