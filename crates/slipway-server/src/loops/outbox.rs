//! Does what the outbox says, one row after another.

use std::{convert::Infallible, time::Duration};

use slipway_store::StoreError;

use super::{Wakes, drive};
use crate::services::{outbox::OutboxWorker, wake::Wake};

/// The row that is due first. Says whether there was one.
///
/// # Errors
/// What the database says.
pub async fn outbox_one(worker: &OutboxWorker) -> Result<bool, StoreError> {
    worker.work_one().await
}

/// All rows, for ever. Rows that were put off are looked for every second.
pub async fn outbox(worker: OutboxWorker, wake: Wake) -> Infallible {
    let wakes = Wakes::new(wake, Duration::from_secs(1));
    drive("outbox", wakes, async || Ok(outbox_one(&worker).await?)).await
}
