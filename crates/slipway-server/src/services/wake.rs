//! Waking a loop. A wake-up is a courtesy: loops look at the database, and losing one costs time only.

use std::sync::Arc;

use tokio::sync::Notify;

use super::bells::rings::{Ring, Untold};

/// Wakes one loop, from anywhere; and the same loop of other servers on the same database.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    here: Notify,
    others: Option<(Untold, Ring)>,
}

impl Wake {
    /// Of a loop that other servers have as well.
    pub(super) fn told(others: Option<(Untold, Ring)>) -> Self {
        Self(Arc::new(Inner {
            here: Notify::default(),
            others,
        }))
    }

    /// There may be something to do. Remembered if the loop is busy.
    pub fn up(&self) {
        self.up_here();
        if let Some((untold, ring)) = &self.0.others {
            untold.add(*ring);
        }
    }

    /// As [`Wake::up`], in this server alone.
    pub(super) fn up_here(&self) {
        self.0.here.notify_one();
    }

    /// Until somebody calls [`Wake::up`].
    pub async fn woken(&self) {
        self.0.here.notified().await;
    }
}
