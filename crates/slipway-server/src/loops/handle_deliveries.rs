//! Takes stored deliveries to observed heads.

use std::{convert::Infallible, time::Duration};

use slipway_store::StoreError;

use super::{Wakes, drive};
use crate::services::{bells::Bells, deliveries::Deliveries};

/// One delivery, the one that has waited longest. `false` if none waits that no other server is at.
///
/// # Errors
/// What the database says.
pub async fn handle_deliveries_one(deliveries: &Deliveries) -> Result<bool, StoreError> {
    deliveries.handle_next().await
}

/// All deliveries, for ever.
pub async fn handle_deliveries(deliveries: Deliveries, bells: Bells) -> Infallible {
    let wakes = Wakes::new(bells.deliveries, Duration::from_secs(1));
    drive("handle_deliveries", wakes, async || {
        Ok(handle_deliveries_one(&deliveries).await?)
    })
    .await
}
