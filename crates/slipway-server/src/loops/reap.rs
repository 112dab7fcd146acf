//! Ends leases whose builder is gone.
//!
//! Expiry is observed, not stored: this process remembers each lease's counter, and since when, by its own monotonic
//! clock, it has not moved. So jumping clocks do no harm; and after a start, or a time without the database, every
//! lease is first watched for a full term (order.md, "Lease and fence").

use std::{collections::HashMap, convert::Infallible, time::Duration};

use slipway_store::{Build, CancelWish, Ending, MAX_RUNS, Pulse, Store, StoreError};
use slipway_types::{BuildId, LeaseNo};
use tokio::{sync::Mutex, time::Instant};

use super::{Wakes, drive};
use crate::services::{
    bells::Bells,
    coordinator::{self, TERM},
    finish,
    wake::Wake,
};

/// What is remembered of live leases.
#[derive(Debug, Default)]
pub struct Heartbeats(HashMap<(BuildId, LeaseNo), (i64, Instant)>);

impl Heartbeats {
    /// Looks at a lease's counter at a moment. `true`: it has not moved for a full term.
    fn is_dead(&mut self, pulse: &Pulse, now: Instant) -> bool {
        let seen = self
            .0
            .entry((pulse.build, pulse.lease))
            .or_insert((pulse.heartbeat, now));
        if seen.0 != pulse.heartbeat {
            *seen = (pulse.heartbeat, now);
        }
        now.saturating_duration_since(seen.1) >= TERM
    }

    /// Forgets leases that are not live any more.
    fn keep_only(&mut self, pulses: &[Pulse]) {
        self.0.retain(|(build, lease), _| {
            pulses
                .iter()
                .any(|pulse| pulse.build == *build && pulse.lease == *lease)
        });
    }
}

/// One look at all live leases at the moment `now`. Returns how many were ended.
///
/// # Errors
/// What the database says; everything is watched anew then.
pub async fn reap_one(
    store: &Store,
    bells: &Bells,
    seen: &mut Heartbeats,
    now: Instant,
) -> Result<usize, StoreError> {
    let pulses = match store.leases().pulses().await {
        Ok(pulses) => pulses,
        Err(error) => {
            *seen = Heartbeats::default();
            return Err(error);
        }
    };
    seen.keep_only(&pulses);
    let mut ended = 0;
    for pulse in pulses {
        if seen.is_dead(&pulse, now) && end_lease(store, &pulse).await? {
            ended += 1;
            bells.queue.ring();
            bells.tags.up();
            bells.outbox.up();
            bells.builds.ring(pulse.build);
        }
    }
    Ok(ended)
}

async fn end_lease(store: &Store, pulse: &Pulse) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let Some(build) = tx.leases().hold_dead(pulse).await? else {
        return Ok(false);
    };
    if let Some(how) = last_word(&build) {
        finish::end(&tx, build.id, &how).await?;
    } else {
        tx.leases().requeue(&build).await?;
        finish::push_status(&tx, &tx.builds().get(build.id).await?).await?;
    }
    tx.commit().await?;
    tracing::warn!(build = %build.id, lease = build.lease.0, runs = build.runs, "a lease was not renewed");
    Ok(true)
}

/// How a build whose builder was lost ends; `None`: it is tried again.
fn last_word(build: &Build) -> Option<Ending> {
    match build.cancel {
        Some(CancelWish::Disconnected) => Some(Ending::Disconnected),
        Some(CancelWish::Canceled | CancelWish::Superseded) => Some(match build.superseded_by {
            Some(by) => Ending::Superseded { by },
            None => Ending::Canceled {
                by: build.canceled_by,
            },
        }),
        None if build.runs >= MAX_RUNS => Some(coordinator::lost(build.runs)),
        None => None,
    }
}

/// All leases, for ever.
pub async fn reap(store: Store, bells: Bells) -> Infallible {
    let seen = Mutex::new(Heartbeats::default());
    // Nobody calls: silence makes no noise.
    let wakes = Wakes::new(Wake::default(), Duration::from_secs(2));
    drive("reap", wakes, async || {
        reap_one(&store, &bells, &mut *seen.lock().await, Instant::now()).await?;
        Ok(false)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(heartbeat: i64) -> Pulse {
        Pulse {
            build: BuildId::from_uuid(uuid::Uuid::nil()),
            lease: LeaseNo(1),
            heartbeat,
        }
    }

    #[test]
    fn a_lease_is_dead_when_its_counter_has_not_moved_for_a_term() {
        let mut seen = Heartbeats::default();
        let start = Instant::now();
        let almost = TERM.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(!seen.is_dead(&pulse(7), start), "first it is watched for a term");
        assert!(!seen.is_dead(&pulse(7), start + almost));
        assert!(!seen.is_dead(&pulse(8), start + TERM), "it has moved");
        assert!(!seen.is_dead(&pulse(8), start + TERM + almost));
        assert!(seen.is_dead(&pulse(8), start + TERM + TERM));
    }
}
