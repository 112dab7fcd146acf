//! Asks forges whether links still work: each at most every ten minutes, the one that was asked longest ago
//! first. Failed calls feed the same record at once; this finds what nobody happened to call.

use std::{convert::Infallible, time::Duration};

use slipway_store::{Store, StoreError};
use slipway_types::Timestamp;

use super::{Wakes, drive};
use crate::services::{ServiceError, links::Links, wake::Wake};

/// How often a link is asked about at most.
pub const EVERY: Duration = Duration::from_mins(10);

/// The link that was looked at longest ago, if that is long enough. Says whether there was one.
///
/// # Errors
/// What the database says. What a forge says is written down, or left for the next time.
pub async fn verify_one(store: &Store, links: &Links, before: Timestamp) -> Result<bool, StoreError> {
    let Some(link) = store
        .links()
        .unverified_since(before, 1)
        .await?
        .into_iter()
        .next()
    else {
        return Ok(false);
    };
    match links.verify(&link).await {
        Ok(()) => {}
        Err(ServiceError::Store(error)) => return Err(error),
        Err(error) => tracing::info!(link = %link.id, error = error.kind(), "a link could not be verified"),
    }
    // Looked at is looked at: one that cannot be asked must not keep the others waiting.
    let tx = store.begin().await?;
    tx.links().looked_at(link.id).await?;
    tx.commit().await?;
    Ok(true)
}

/// All links, for ever.
pub async fn verify(store: Store, links: Links, wake: Wake) -> Infallible {
    let wakes = Wakes::new(wake, Duration::from_mins(1));
    drive("verify links", wakes, async || {
        Ok(verify_one(&store, &links, Timestamp::now().minus(EVERY)).await?)
    })
    .await
}
