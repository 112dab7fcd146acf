//! Does what the outbox says.

use std::{convert::Infallible, time::Duration};

use slipway_store::StoreError;

use super::{Wakes, drive};
use crate::services::{outbox::OutboxWorker, wake::Wake};

/// What is due now. Says whether there was any.
///
/// # Errors
/// What the database says.
pub async fn work_due(worker: &OutboxWorker) -> Result<bool, StoreError> {
    worker.work_due().await
}

/// All that is ever due. Rows that were put off are looked for every second.
pub async fn outbox(worker: OutboxWorker, wake: Wake) -> Infallible {
    let wakes = Wakes::new(wake, Duration::from_secs(1));
    drive("outbox", wakes, async || Ok(work_due(&worker).await?)).await
}
