//! Takes observed changes to verdicts and builds, in their order.

use std::{convert::Infallible, time::Duration};

use slipway_store::{Change, Store, StoreError};
use slipway_types::Timestamp;

use super::{Wakes, drive};
use crate::services::{bells::Bells, decide::Decide};

/// How long a change that cannot be decided at all is put off.
const PUT_OFF: Duration = Duration::from_mins(1);

/// How long one server has the asking about a change for itself, where there are others; one that dies meanwhile costs
/// so long.
const CLAIM: Duration = Duration::from_mins(1);

/// One change, the oldest that is due. `false` if none is.
///
/// # Errors
/// What the database says.
pub async fn decide_one(store: &Store, decide: &Decide) -> Result<bool, StoreError> {
    let Some(change) = store.ref_changes().next_observed(Timestamp::now()).await? else {
        return Ok(false);
    };
    if store.is_shared() && decide.asks(&change).await? && !claim(store, &change).await? {
        return Ok(true);
    }
    let Err(error) = decide.change(&change).await else {
        return Ok(true);
    };
    if matches!(error, StoreError::Unavailable(_)) {
        return Err(error);
    }
    tracing::error!(change = %change.id, error = &error as &dyn std::error::Error, "a change cannot be decided; others go first");
    let tx = store.begin().await?;
    tx.ref_changes()
        .postpone(change.id, Timestamp::now().plus(PUT_OFF))
        .await?;
    tx.commit().await?;
    Ok(true)
}

/// Two servers would ask the forge the same. Deciding itself needs no claim: it locks the change.
async fn claim(store: &Store, change: &Change) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let ours = tx.ref_changes().claim_asking(change.id, CLAIM).await?;
    tx.commit().await?;
    Ok(ours)
}

/// All changes, for ever.
pub async fn decide(store: Store, decide: Decide, bells: Bells) -> Infallible {
    let wakes = Wakes::new(bells.changes, Duration::from_secs(1));
    drive("decide", wakes, async || Ok(decide_one(&store, &decide).await?)).await
}
