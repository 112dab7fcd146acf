//! Takes stored deliveries to observed heads.

use std::{convert::Infallible, time::Duration};

use slipway_store::{Store, StoreError};
use slipway_types::Timestamp;

use super::{Wakes, drive};
use crate::services::{bells::Bells, deliveries::Deliveries};

/// One delivery, the one that has waited longest. `false` if none waits.
///
/// # Errors
/// What the database says.
pub async fn handle_deliveries_one(store: &Store, deliveries: &Deliveries) -> Result<bool, StoreError> {
    let Some(delivery) = store.deliveries().next_unhandled(Timestamp::now()).await? else {
        return Ok(false);
    };
    deliveries.handle(&delivery).await?;
    Ok(true)
}

/// All deliveries, for ever.
pub async fn handle_deliveries(store: Store, deliveries: Deliveries, bells: Bells) -> Infallible {
    let wakes = Wakes::new(bells.deliveries, Duration::from_secs(1));
    drive("handle_deliveries", wakes, async || {
        Ok(handle_deliveries_one(&store, &deliveries).await?)
    })
    .await
}
