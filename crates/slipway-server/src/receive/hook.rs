//! One delivery of a repository's webhook: `POST /hooks/{path}`.

use std::time::Duration;

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
};
use slipway_store::{Receiving, StoreError};
use slipway_types::{DeliveryId, Timestamp};

use super::{
    Receive,
    signed::{Refusal, signed},
};

/// How soon after a delivery was turned away the heads are compared; many make one look.
const LOOK_AFTER: Duration = Duration::from_mins(1);
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
    // While the secret is being exchanged, the one before is good, too.
    let secrets: Vec<_> = std::iter::once(&hook.secrets.current)
        .chain(&hook.secrets.previous)
        .collect();
    let rejected = count_rejected(receive, &hook);
    let (delivery, room) = signed(receive, hook.forge, &secrets, rejected, request).await?;
    if let Ok(event) = &delivery.event
        && let Some(repository) = event.repository()
        && repository.id.as_str() != hook.provider_id
    {
        count_rejected(receive, &hook).await?;
        return Err(Refusal::OtherRepository);
    }
    let id = delivery.store(receive, Some(hook.id), hook.source, room).await?;
    delivery.event?;
    Ok((id, delivery.head.event))
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
