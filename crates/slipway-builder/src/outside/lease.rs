//! Keeping a lease: renewing it, and knowing in time that it could not be renewed.

use std::{sync::Arc, time::Duration};

use slipway_types::{BuildId, LeaseNo};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::coordinator::{CancelReason, Coordinator, CoordinatorError, Renewal};
use crate::clock::Moment;

/// The times of a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// How long a lease lives without renewal.
    pub(super) term: Duration,
    /// How often it is renewed.
    pub(super) every: Duration,
    /// How long before the term's end the machine must be dead.
    pub(super) margin: Duration,
}

/// What a run hears of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Renewed: the machine may live until then.
    Renewed(Moment),
    /// To be ended.
    Cancel(CancelReason),
    /// Over, or about to be: the machine must die now. The last news.
    Lost,
}

/// A lease that is being renewed until this is dropped.
pub(super) struct Kept {
    pub(super) news: mpsc::UnboundedReceiver<News>,
    _keeper: AbortOnDropHandle<()>,
    _watcher: AbortOnDropHandle<()>,
}

/// Renews once, and goes on renewing. The grant itself does not count: it may have travelled for long.
///
/// # Errors
/// When the first renewal fails; nothing may be started then.
pub(super) async fn keep<C: Coordinator>(
    coordinator: Arc<C>,
    build: BuildId,
    lease: LeaseNo,
    timing: Timing,
) -> Result<Kept, CoordinatorError> {
    let (say, news) = mpsc::unbounded_channel();
    let keeper = Keeper {
        coordinator: Arc::clone(&coordinator),
        build,
        lease,
        timing,
        sent: Moment::now(),
        say: say.clone(),
    };
    let first = keeper.renew(timing.term).await?;
    keeper.tell(&first);
    let watcher = async move {
        let reason = coordinator.canceled(build, lease).await;
        // The run may have ended.
        let _ = say.send(News::Cancel(reason));
    };
    Ok(Kept {
        news,
        _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run())),
        _watcher: AbortOnDropHandle::new(tokio::spawn(watcher)),
    })
}

struct Keeper<C> {
    coordinator: Arc<C>,
    build: BuildId,
    lease: LeaseNo,
    timing: Timing,
    /// When the last renewal that succeeded was sent.
    sent: Moment,
    say: mpsc::UnboundedSender<News>,
}

impl<C: Coordinator> Keeper<C> {
    async fn run(mut self) {
        let mut due = self.sent.plus(self.timing.every);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = deadline.come() => break,
                () = due.come() => {}
            }
            let sent = Moment::now();
            let answer = tokio::select! {
                biased;
                () = deadline.come() => break,
                answer = self.renew(self.timing.every) => answer,
            };
            match answer {
                Ok(renewal) => {
                    self.sent = sent;
                    due = sent.plus(self.timing.every);
                    self.tell(&renewal);
                }
                Err(CoordinatorError::LeaseLost | CoordinatorError::Refused(_)) => break,
                Err(CoordinatorError::Unreachable(error)) => {
                    tracing::warn!(build = %self.build, error = &*error, "a lease could not be renewed; trying again");
                    due = Moment::now().plus(self.timing.every / 5);
                }
            }
        }
        let _ = self.say.send(News::Lost);
    }

    /// Renews, or gives up after a while: a request that hangs must not use up the term.
    async fn renew(&self, patience: Duration) -> Result<Renewal, CoordinatorError> {
        let answer = tokio::time::timeout(patience, self.coordinator.renew(self.build, self.lease)).await;
        answer.unwrap_or_else(|late| Err(CoordinatorError::Unreachable(Box::new(late))))
    }

    fn deadline(&self) -> Moment {
        let life = self.timing.term.saturating_sub(self.timing.margin);
        self.sent.plus(life)
    }

    fn tell(&self, renewal: &Renewal) {
        let _ = self.say.send(News::Renewed(self.deadline()));
        if let Some(reason) = renewal.cancel {
            let _ = self.say.send(News::Cancel(reason));
        }
    }
}
