//! How every delivery begins, whatever it comes to: room for its body, the body, its signature. Until then nothing of it
//! is believed and nothing is kept; where the signature is wrong, it is counted, and that is all.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest as _, Request},
    http::{HeaderMap, StatusCode, header},
};
use secrecy::SecretString;
use slipway_forge::{DeliveryHead, Event, Malformed};
use slipway_store::{NewDelivery, StoreError};
use slipway_types::{DeliveryId, ForgeId, ResourceId, SourceId};

use super::{NotStored, Receive, Room};
use crate::services::ask::AskError;

/// The longest text of a header that is kept, in bytes.
const MAX_HEADER: usize = 256;
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
    #[error(transparent)]
    Malformed(#[from] Malformed),
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

/// A delivery that is signed by whom the webhook was made for.
pub(super) struct Signed {
    /// What its headers say; they are not signed.
    pub(super) head: DeliveryHead,
    /// What it says.
    pub(super) event: Result<Event, Malformed>,
    headers: HeaderMap,
    body: Bytes,
}

/// Takes a delivery's body in, and checks its signature against each of `secrets`. `rejected` is what is written down
/// where it is with none of them.
pub(super) async fn signed(
    receive: &Receive,
    forge: ForgeId,
    secrets: &[&SecretString],
    rejected: impl Future<Output = Result<(), StoreError>>,
    request: Request,
) -> Result<(Signed, Room), Refusal> {
    let forge = receive.ask.forge(forge).await?;
    let headers = request.headers().clone();
    let room = room(receive, &headers).await?;
    let body = read(request).await?;
    if let Err(error) = forge.verify(&headers, &body, secrets) {
        rejected.await?;
        return Err(Refusal::Signature(error.kind()));
    }
    let signed = Signed {
        head: forge.delivery_head(&headers),
        event: forge.parse(&headers, &body),
        headers,
        body,
    };
    Ok((signed, room))
}

impl Signed {
    /// Stores it for one source, before the answer: also what cannot be read, as that.
    pub(super) async fn store(
        &self,
        receive: &Receive,
        hook: Option<ResourceId>,
        source: SourceId,
        room: Room,
    ) -> Result<DeliveryId, Refusal> {
        let new = NewDelivery {
            hook,
            source,
            event: cut(&self.head.event),
            remote_id: self.head.delivery_id.as_deref().map(cut),
            attempt: i32::try_from(self.head.attempt).unwrap_or(i32::MAX),
            headers: kept(&self.headers),
            body: self.body.to_vec(),
        };
        let malformed = self.event.as_ref().err().map(ToString::to_string);
        Ok(receive.group.store(new, malformed, room).await?)
    }

    /// Room for the copy of the body that is stored for one more source.
    pub(super) async fn room_again(&self, receive: &Receive) -> Result<Room, NotStored> {
        receive.group.room(self.body.len()).await
    }
}

/// Waits for room for a body: for as much as it says that it has, or else as much as it may have.
async fn room(receive: &Receive, headers: &HeaderMap) -> Result<Room, NotStored> {
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
    let bytes = said.map_or(receive.limit, |said| said.min(receive.limit));
    receive.group.room(bytes).await
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(ARRIVES_WITHIN, Bytes::from_request(request, &())).await {
        Ok(body) => body.map_err(|rejection| Refusal::Unreadable(rejection.status())),
        Err(_) => Err(Refusal::Unreadable(StatusCode::REQUEST_TIMEOUT)),
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
