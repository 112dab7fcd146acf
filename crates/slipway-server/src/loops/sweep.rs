//! Forgets what has served its time: sessions that have ended, linking that was never finished, idempotency
//! keys of yesterday, work that was done long ago, webhooks' secrets that were exchanged, tokens kept for a proof that
//! never came.

use std::{convert::Infallible, time::Duration};

use slipway_store::Store;
use slipway_types::Timestamp;

use super::{LoopError, Wakes, drive};
use crate::{
    fault,
    services::{access_proofs, linking::Linking, wake::Wake},
};

/// How long a repeated request is recognised.
const IDEMPOTENCY: Duration = Duration::from_hours(24);
/// How long done work is kept, for whoever looks into something.
const DONE: Duration = Duration::from_hours(7 * 24);

/// One round.
///
/// # Errors
/// What the database says.
pub async fn sweep_one(store: &Store, linking: &Linking) -> Result<(), LoopError> {
    let now = Timestamp::now();
    linking.sweep().await?;
    let tx = store.begin().await?;
    tx.sessions().sweep(now).await?;
    tx.app_attempts().sweep(now).await?;
    tx.idempotency_keys().sweep(now.minus(IDEMPOTENCY)).await?;
    tx.outbox().sweep(now.minus(DONE)).await?;
    let secrets = tx.provider_resources().forget_previous_secrets(now).await?;
    access_proofs::lapse(&tx, now).await?;
    tx.redeliveries().sweep(now.minus(DONE)).await?;
    if secrets > 0 {
        fault::ROTATE_FORGET.before();
    }
    tx.commit().await?;
    if secrets > 0 {
        fault::ROTATE_FORGET.after();
    }
    Ok(())
}

/// For ever.
pub async fn sweep(store: Store, linking: Linking, wake: Wake) -> Infallible {
    let wakes = Wakes::new(wake, Duration::from_mins(10));
    drive("sweep", wakes, async || {
        sweep_one(&store, &linking).await?;
        Ok(false)
    })
    .await
}
