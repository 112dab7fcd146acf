//! Doing what the outbox says (order.md, "One outbox").
//!
//! Every kind has its file, and every one is idempotent: it looks for what it should make or remove, by
//! recorded id, then by exact address, before it acts. So a crash anywhere leads to the row being worked
//! again, and never to a second hook or a forgotten one. No transaction is open while a forge is asked.

mod commit_status;
mod create_deploy_key;
mod create_webhook;
mod observe_heads;
mod redeliver;
mod remove_deploy_key;
mod remove_webhook;
mod repository;
mod return_token;
mod revoke_credential;
mod rotate_secret;

use std::{sync::Arc, time::Duration};

use slipway_forge::{AppError, ForgeError, OauthError};
use slipway_store::{OutboxRow, Store, StoreError};
use slipway_types::{Timestamp, forge::OutboxKind};

use super::{
    ask::AskError,
    config::Config,
    forges::{Forges, NoToken},
    observe::Observe,
};

pub(crate) use observe_heads::push as push_observe;
pub(crate) use redeliver::push as push_redeliver;
pub(crate) use return_token::push as push_return;
pub(crate) use revoke_credential::RevokeStep;

/// After so many attempts, over about a day and a half, a row is given up.
const MAX_ATTEMPTS: i32 = 45;
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// The longest that a forge may have us wait, whatever it says.
const LONGEST_WISH: Duration = Duration::from_hours(2);
/// How long a row waits for others before it looks again, if nobody tells it that they are done.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How many rows are worked at once.
const SIDE_BY_SIDE: i64 = 8;
/// How long a replica has a row for itself: longer than its calls can take, at 30 seconds each.
const CLAIM: Duration = Duration::from_mins(5);

/// Works the outbox.
#[derive(Debug, Clone)]
pub struct OutboxWorker {
    store: Store,
    forges: Forges,
    config: Arc<Config>,
    observe: Observe,
}

/// What came of a row.
enum Outcome {
    /// It is done, and settled with what it was about.
    Settled,
    /// It is done; nothing else has to be written.
    Done,
    /// It waits for something else.
    NotYet,
}

/// Why a row could not be done.
enum Trouble {
    /// Try again later; no sooner than the forge said, if it did.
    Later { why: String, until: Option<Timestamp> },
    /// It can never be done.
    Never { why: String },
    /// The store did not answer.
    Store(StoreError),
}

impl OutboxWorker {
    /// Over this store and these forges.
    pub const fn new(store: Store, forges: Forges, config: Arc<Config>, observe: Observe) -> Self {
        Self {
            store,
            forges,
            config,
            observe,
        }
    }

    /// Works what is due, some rows side by side, so that a forge that answers slowly does not keep others
    /// waiting; of one order key only one row. Says whether there was any.
    ///
    /// # Errors
    /// What the store says; a forge's errors are written into the row.
    pub async fn work_due(&self) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let due = self.store.outbox().due(now, SIDE_BY_SIDE).await?;
        let any = !due.is_empty();
        let worked = futures::future::join_all(due.iter().map(|row| self.work_row(row, now))).await;
        worked.into_iter().collect::<Result<(), StoreError>>()?;
        Ok(any)
    }

    async fn work_row(&self, row: &OutboxRow, now: Timestamp) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        let taken = tx.outbox().claim(row, now.plus(CLAIM)).await?;
        tx.commit().await?;
        let Some(taken) = taken else {
            return Ok(());
        };
        let came = self.work(row).await;
        self.settle(row, taken, came).await
    }

    /// When the next row is due; none where nothing waits.
    ///
    /// # Errors
    /// What the store says.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.outbox().next_due().await
    }

    async fn work(&self, row: &OutboxRow) -> Result<Outcome, Trouble> {
        match row.kind {
            OutboxKind::CreateWebhook => create_webhook::run(self, row).await,
            OutboxKind::CreateDeployKey => create_deploy_key::run(self, row).await,
            OutboxKind::RotateSecret => rotate_secret::run(self, row).await,
            OutboxKind::RemoveWebhook => remove_webhook::run(self, row).await,
            OutboxKind::RemoveDeployKey => remove_deploy_key::run(self, row).await,
            OutboxKind::RevokeCredential => revoke_credential::run(self, row).await,
            OutboxKind::Redeliver => redeliver::run(self, row).await,
            OutboxKind::ReturnToken => return_token::run(self, row).await,
            OutboxKind::ObserveHeads => observe_heads::run(self, row).await,
            OutboxKind::CommitStatus => commit_status::run(self, row).await,
        }
    }

    async fn settle(
        &self,
        row: &OutboxRow,
        taken: Timestamp,
        came: Result<Outcome, Trouble>,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let (why, until) = match came {
            Ok(Outcome::Settled) => return Ok(()),
            Ok(Outcome::Done) => {
                let tx = self.store.begin().await?;
                tx.outbox().done(row.id).await?;
                return tx.commit().await;
            }
            Ok(Outcome::NotYet) => {
                let tx = self.store.begin().await?;
                tx.outbox().postpone(row.id, taken, now.plus(LOOK_AGAIN)).await?;
                return tx.commit().await;
            }
            Err(Trouble::Later { why, until }) => (why, until),
            Err(Trouble::Store(error)) => {
                tracing::warn!(row = %row.id, error = %error, "outbox: a row could not be read");
                ("Slipway's own records could not be read".to_owned(), None)
            }
            Err(Trouble::Never { why }) => return self.give_up(row, &why).await,
        };
        if row.attempts + 1 >= MAX_ATTEMPTS {
            return self.give_up(row, &why).await;
        }
        tracing::info!(row = %row.id, kind = %row.kind, attempts = row.attempts + 1, %why, "outbox: again later");
        let soonest = now.plus(pause_after(row.attempts));
        let until = until.map_or(soonest, |until| until.clamp(soonest, now.plus(LONGEST_WISH)));
        let tx = self.store.begin().await?;
        tx.outbox().defer(row.id, until, &why).await?;
        tx.commit().await
    }

    /// Ends a row that cannot be done, and says so where people look. One whose particulars cannot be read ends too:
    /// it must not come round for ever.
    async fn give_up(&self, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
        tracing::warn!(row = %row.id, kind = %row.kind, %why, "outbox: given up");
        let told = match row.kind {
            OutboxKind::CreateWebhook => create_webhook::given_up(self, row, why).await,
            OutboxKind::CreateDeployKey => create_deploy_key::given_up(self, row, why).await,
            OutboxKind::RemoveWebhook | OutboxKind::RemoveDeployKey => {
                repository::left_behind(self, row, why).await
            }
            OutboxKind::RevokeCredential => revoke_credential::given_up(self, row, why).await,
            OutboxKind::ReturnToken => return_token::given_up(self, row, why).await,
            OutboxKind::RotateSecret => rotate_secret::given_up(self, row, why).await,
            OutboxKind::Redeliver | OutboxKind::ObserveHeads | OutboxKind::CommitStatus => {
                self.end(row, why).await
            }
        };
        match told {
            Err(StoreError::Unreadable { .. } | StoreError::NotFound(_)) => self.end(row, why).await,
            told => told,
        }
    }

    async fn end(&self, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        tx.outbox().give_up(row.id, why).await?;
        tx.commit().await
    }
}

/// 1, 2, 4, … seconds, at most [`MAX_PAUSE`].
fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(0).min(12);
    Duration::from_secs(1 << doublings).min(MAX_PAUSE)
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ForgeError> for Trouble {
    fn from(error: ForgeError) -> Self {
        let why = error.to_string();
        if let ForgeError::RateLimited { until, .. } = error {
            return Self::Later { why, until };
        }
        if error.is_transient() {
            return Self::Later { why, until: None };
        }
        Self::Never { why }
    }
}

impl From<OauthError> for Trouble {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::Forge(error) => error.into(),
            other => Self::Never {
                why: other.to_string(),
            },
        }
    }
}

impl From<AppError> for Trouble {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Forge(error) => error.into(),
            other => Self::Never {
                why: other.to_string(),
            },
        }
    }
}

impl From<NoToken> for Trouble {
    fn from(error: NoToken) -> Self {
        match error {
            NoToken::Store(error) => error.into(),
            NoToken::Renewal(error) => error.into(),
            NoToken::App(error) => error.into(),
            NoToken::Interrupted => Self::Later {
                why: error.to_string(),
                until: None,
            },
            other => Self::Never {
                why: other.to_string(),
            },
        }
    }
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Forge(error) => error.into(),
            AskError::Store(error) => error.into(),
            AskError::Link(error) => error.into(),
        }
    }
}
