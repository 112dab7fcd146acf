//! Loops: each looks at the database for what should be so, and makes it so. Webhooks, notifications and timers only
//! wake them; losing a wake-up costs time, never work.
//!
//! Each file has `x_one` – one step, which tests call – and `x`, its driver. A step says whether there was anything
//! to do. What fails is put off in the database, row by row, so that nothing keeps others waiting; what fails
//! because the database does not answer is tried again until it does. A loop never ends by itself: one that
//! panics takes the process down (the composition sees to it), and a supervisor restarts it.

pub mod ask_forge;
pub mod decide;
pub mod handle_deliveries;
pub mod health;
pub mod outbox;
pub mod reap;
pub mod reconcile;
pub mod repair_tags;
pub mod settled;
pub mod sweep;
pub mod tell_others;

use std::{convert::Infallible, future::Future, time::Duration};

use crate::services::wake::Wake;

/// The pauses after a step that failed: from, and up to.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What wakes a loop: somebody's call, and the clock.
#[derive(Debug, Clone)]
pub struct Wakes {
    wake: Wake,
    every: Duration,
}

impl Wakes {
    /// Woken by this, and at least so often.
    pub const fn new(wake: Wake, every: Duration) -> Self {
        Self { wake, every }
    }

    async fn next(&self) {
        tokio::select! {
            () = self.wake.woken() => {}
            () = tokio::time::sleep(self.every) => {}
        }
    }
}

/// Why a loop's step failed, for its log line.
pub type LoopError = Box<dyn std::error::Error + Send + Sync>;

/// Takes step after step: at once while there is something to do, else when woken.
pub async fn drive<F, S>(name: &'static str, wakes: Wakes, mut step: F) -> Infallible
where
    F: FnMut() -> S,
    S: Future<Output = Result<bool, LoopError>>,
{
    let mut pause = AGAIN.0;
    loop {
        match step().await {
            Ok(true) => pause = AGAIN.0,
            Ok(false) => {
                pause = AGAIN.0;
                wakes.next().await;
            }
            Err(error) => {
                tracing::error!(name, error = &*error, "a loop's step failed; it is taken again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN.1);
            }
        }
    }
}
