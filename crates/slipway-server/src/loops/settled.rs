//! Whether the loops have anything to do now: so that tests, and the demo, wait for work to be done and not for time
//! to pass. What waits for a later moment (a forge that does not answer) counts as nothing to do now.

use slipway_store::{Store, StoreError};
use slipway_types::Timestamp;

/// Whether every delivery is handled, every forge asked, every change decided, and every tag read back, as far as can
/// be now. Builds may run or wait: see [`built`].
///
/// # Errors
/// What the database says.
pub async fn settled(store: &Store) -> Result<bool, StoreError> {
    // In the way of the data: what one loop has done, the next is asked about after; and by its own time, as what a loop
    // hands on in between is due only from then on.
    let now = Timestamp::now;
    Ok(store.deliveries().next_unhandled(now()).await?.is_none()
        && store.head_checks().due(now(), 1).await?.is_empty()
        && store.ref_changes().next_observed(now()).await?.is_none()
        && store.tag_heads().next_unverified(now()).await?.is_none())
}

/// Whether everything is settled and every build has ended.
///
/// # Errors
/// What the database says.
pub async fn built(store: &Store) -> Result<bool, StoreError> {
    Ok(settled(store).await? && store.builds().count_unfinished().await? == 0 && settled(store).await?)
}
