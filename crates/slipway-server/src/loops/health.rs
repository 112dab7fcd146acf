//! Asks forges whether links still work, and whether what we made there is still there: each link at most every ten
//! minutes, the one that is longest due first. Failed calls feed the same record at once; this finds what nobody
//! happened to call.

use std::{convert::Infallible, time::Duration};

use slipway_store::{Store, StoreError};
use slipway_types::Timestamp;

use super::{Wakes, drive};
use crate::services::{ServiceError, health::HealthCheck, wake::Wake};

/// The link that is longest due. Says whether there was one.
///
/// # Errors
/// What the database says. What a forge says is written down, or left for the next time.
pub async fn verify_one(store: &Store, health: &HealthCheck, now: Timestamp) -> Result<bool, StoreError> {
    let Some(link) = store.links().to_be_checked(now, 1).await?.into_iter().next() else {
        return Ok(false);
    };
    // Looked at is looked at: one that cannot be asked must not keep the others waiting.
    let next = Timestamp::now().plus(crate::services::health::EVERY);
    let tx = store.begin().await?;
    let ours = tx.links().take_check(link.id, now, next).await?;
    tx.commit().await?;
    if !ours {
        return Ok(true);
    }
    let came = match health.verify(&link).await {
        Ok(()) => health.next_check(&link).await,
        Err(ServiceError::Store(error)) => return Err(error),
        Err(error) => {
            tracing::info!(link = %link.id, error = error.kind(), "a link could not be verified");
            health.next_check(&link).await
        }
    };
    match came {
        Ok(next) => again_at(store, &link, next).await?,
        Err(ServiceError::Store(error)) => return Err(error),
        Err(_) => {}
    }
    Ok(true)
}

async fn again_at(store: &Store, link: &slipway_store::Link, at: Timestamp) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.links().check_again_at(link.id, at).await?;
    tx.commit().await
}

/// All links, for ever.
pub async fn verify(store: Store, health: HealthCheck, wake: Wake) -> Infallible {
    let wakes = Wakes::new(wake, Duration::from_secs(5));
    drive("verify links", wakes, async || {
        Ok(verify_one(&store, &health, Timestamp::now()).await?)
    })
    .await
}
