//! Compares all heads of a source with the forge's: on a schedule, after a start, after a gap in what webhooks told, and
//! as often as it is to be polled. What webhooks did not tell (lost, more than three tags at once, no webhook at all)
//! is found here. After a start or a gap, deliveries that failed are asked for again besides.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use slipway_store::{SourceRepository, Store, StoreError};
use slipway_types::{SourceId, Timestamp, build::Cause};
use tokio::{sync::Mutex, time::Instant};

use super::{Wakes, drive};
use crate::services::{
    ask::{AskError, pause_after},
    observe::{Observe, Saying},
    outbox::push_redeliver,
    wake::Wake,
};

/// How often every source is compared.
pub const EVERY: Duration = Duration::from_mins(15);

/// How long one server has a source for itself, where there are others; one that dies meanwhile costs so long.
const CLAIM: Duration = Duration::from_mins(1);

/// Which sources a look failed at lately, how often, and when they are looked at again.
#[derive(Debug, Default)]
pub struct Failing(HashMap<SourceId, (i32, Instant)>);

/// One source, the one that was compared longest ago. `false` if none is due.
///
/// # Errors
/// What the database says.
pub async fn reconcile_one(
    store: &Store,
    observe: &Observe,
    failing: &mut Failing,
    started: Timestamp,
) -> Result<bool, StoreError> {
    // After a start everything is compared once: who knows what was missed.
    let before = Timestamp::now().minus(EVERY).max(started);
    let now = Instant::now();
    let waits = |source: &SourceRepository| failing.0.get(&source.id).is_some_and(|(_, until)| *until > now);
    let due = store
        .source_repositories()
        .to_be_compared(before, Timestamp::now())
        .await?;
    let Some(source) = due.into_iter().find(|source| !waits(source)) else {
        return Ok(false);
    };
    if store.is_shared() && !claim(store, &source).await? {
        return Ok(true);
    }
    let missed = source.reconciled_at.is_none_or(|at| at < started)
        || source.compare_at.is_some_and(|at| at <= Timestamp::now());
    let polled = !missed && source.reconciled_at.is_some_and(|at| at >= before);
    let cause = if polled { Cause::Polled } else { Cause::Reconciled };
    match observe
        .look_at_all(
            &source,
            &Saying {
                cause,
                delivery: None,
                actor: None,
            },
        )
        .await
    {
        Ok(moved) => {
            failing.0.remove(&source.id);
            release(store, &source, Duration::ZERO).await?;
            if missed && source.baselined_at.is_some() {
                let tx = store.begin().await?;
                push_redeliver(&tx, &source).await?;
                tx.commit().await?;
            }
            if moved > 0 {
                tracing::info!(source = %source.id, moved, cause = %cause, "heads had moved unheard");
            }
        }
        Err(AskError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
        Err(error) => {
            let tries = failing.0.get(&source.id).map_or(0, |(tries, _)| *tries) + 1;
            // The shortest pause would come round before the others had their turn.
            let pause = pause_after(tries + 3);
            failing.0.insert(source.id, (tries, now + pause));
            release(store, &source, pause).await?;
            tracing::warn!(source = %source.id, error = %error, "heads could not be compared");
        }
    }
    Ok(true)
}

/// Two servers would ask the forge the same.
async fn claim(store: &Store, source: &SourceRepository) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let ours = tx.source_repositories().claim_comparing(source, CLAIM).await?;
    tx.commit().await?;
    Ok(ours)
}

/// It was compared, or cannot be for so long.
async fn release(store: &Store, source: &SourceRepository, pause: Duration) -> Result<(), StoreError> {
    if !store.is_shared() {
        return Ok(());
    }
    let tx = store.begin().await?;
    tx.source_repositories()
        .release_comparing(source.id, pause)
        .await?;
    tx.commit().await
}

/// All sources, for ever.
pub async fn reconcile(store: Store, observe: Observe, wake: Wake) -> Infallible {
    let failing = Mutex::new(Failing::default());
    let started = Timestamp::now();
    let wakes = Wakes::new(wake, Duration::from_secs(5));
    drive("reconcile", wakes, async || {
        Ok(reconcile_one(&store, &observe, &mut *failing.lock().await, started).await?)
    })
    .await
}
