//! Waking a loop. A wake-up is a courtesy: loops look at the database, and losing one costs time only.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes one loop, from anywhere.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There may be something to do. Remembered if the loop is busy.
    pub fn up(&self) {
        self.0.notify_one();
    }

    /// Until somebody calls [`Wake::up`].
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
