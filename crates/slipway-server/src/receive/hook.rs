//! One delivery of a webhook.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest as _, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
};
use slipway_forge::{DeliveryHead, Forge};
use slipway_store::{NewDelivery, Receiving, StoreError};
use slipway_types::{DeliveryId, ResourceId, SourceId, Timestamp};

use super::{NotStored, Receive, Room};
use crate::services::ask::AskError;

/// The longest text of a header that is kept, in bytes.
const MAX_HEADER: usize = 256;
/// How soon after a delivery was turned away the heads are compared; many make one look.
const LOOK_AFTER: Duration = Duration::from_mins(1);
/// How long a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

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
pub(super) enum Refusal {
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
    #[error("the delivery could not be stored; it may be sent again")]
    NotStored(#[from] NotStored),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Unreadable(status) => *status,
            Self::Signature(_) => StatusCode::UNAUTHORIZED,
            Self::OtherRepository => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) | Self::NotStored(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::Unreadable(_) => "unreadable",
            Self::Signature(kind) => kind,
            Self::OtherRepository => "other_repository",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(_) | Self::NotStored(_) => "unavailable",
        }
    }
}

impl Refusal {
    /// What the sender is told, and what the log says.
    pub(super) fn answer(&self) -> (StatusCode, String) {
        // The path is an address that only the provider knows: not for the log.
        tracing::warn!(kind = self.kind(), reason = %self, "delivery refused");
        (self.status(), format!("{self}\n"))
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

/// `POST /hooks/{path}`
pub(super) async fn receive(
    State(receive): State<Receive>,
    Path(path): Path<String>,
    request: Request,
) -> (StatusCode, String) {
    match take(&receive, &path, request).await {
        Ok((id, event)) => {
            tracing::info!(delivery = %id, event, "delivery stored");
            (StatusCode::ACCEPTED, format!("stored as {id}\n"))
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn take(receive: &Receive, path: &str, request: Request) -> Result<(DeliveryId, String), Refusal> {
    let hook = receive.store.provider_resources().receiving(path).await?;
    let hook = hook.ok_or(Refusal::UnknownPath)?;
    let forge = receive.ask.forge(hook.forge).await?;
    let headers = request.headers().clone();
    let room = room(receive, &headers).await?;
    let body = read(request).await?;
    verify(receive, &hook, forge.as_ref(), &headers, &body).await?;
    let head = forge.delivery_head(&headers);
    let parsed = forge.parse(&headers, &body);
    if let Ok(event) = &parsed
        && let Some(repository) = event.repository()
        && repository.id.as_str() != hook.provider_id
    {
        count_rejected(receive, &hook).await?;
        return Err(Refusal::OtherRepository);
    }
    let malformed = parsed.err().map(|malformed| malformed.to_string());
    let new = new_delivery(Some(hook.id), hook.source, &head, &headers, &body);
    let id = receive.group.store(new, malformed.clone(), room).await?;
    match malformed {
        Some(why) => Err(Refusal::Malformed(why)),
        None => Ok((id, head.event)),
    }
}

/// Waits for room for a body: for as much as it says that it has, or else as much as it may have.
pub(super) async fn room(receive: &Receive, headers: &HeaderMap) -> Result<Room, NotStored> {
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
    let bytes = said.map_or(receive.limit, |said| said.min(receive.limit));
    receive.group.room(bytes).await
}

pub(super) async fn read(request: Request) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(ARRIVES_WITHIN, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(|rejection| Refusal::Unreadable(rejection.status())),
        Err(_) => Err(Refusal::Unreadable(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Checks the signature against the current secret and, while it is being changed, the previous one.
async fn verify(
    receive: &Receive,
    hook: &Receiving,
    forge: &dyn Forge,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refusal> {
    let all: Vec<_> = std::iter::once(&hook.secrets.current)
        .chain(&hook.secrets.previous)
        .collect();
    match forge.verify(headers, body, &all) {
        Ok(()) => Ok(()),
        Err(error) => {
            count_rejected(receive, hook).await?;
            Err(Refusal::Signature(error.kind()))
        }
    }
}

/// Counts it. The secret may have been changed at the provider by hand; then real deliveries are turned away here, and
/// only a look at the forge tells what they said.
async fn count_rejected(receive: &Receive, hook: &Receiving) -> Result<(), StoreError> {
    let tx = receive.store.begin().await?;
    tx.provider_resources().count_rejected(hook.id).await?;
    tx.source_repositories()
        .want_compared(hook.source, Timestamp::now().plus(LOOK_AFTER))
        .await?;
    tx.commit().await
}

/// What is kept of a delivery.
pub(super) fn new_delivery(
    hook: Option<ResourceId>,
    source: SourceId,
    head: &DeliveryHead,
    headers: &HeaderMap,
    body: &[u8],
) -> NewDelivery {
    NewDelivery {
        hook,
        source,
        event: cut(&head.event),
        remote_id: head.delivery_id.as_deref().map(cut),
        attempt: i32::try_from(head.attempt).unwrap_or(i32::MAX),
        headers: kept(headers),
        body: body.to_vec(),
    }
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
