//! How the installation is: what is left to do, and who does it.

use slipway_store::{Builder, Store};
use slipway_types::Timestamp;

use super::{Access, Caller, ServiceError};

/// Work that has not been done yet. All zero: there is nothing to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, utoipa::ToSchema)]
pub struct WorkLeft {
    /// Deliveries that nobody has looked at.
    pub deliveries: i64,
    /// Changes that nobody has decided.
    pub changes: i64,
    /// Heads that a forge has to be asked for.
    pub head_checks: i64,
    /// Things to be done at outer systems now or again.
    pub outbox: i64,
    /// Builds that have not ended.
    pub builds: i64,
}

/// The installation's state.
#[derive(Debug, Clone)]
pub struct Status {
    store: Store,
    access: Access,
}

/// How many rows of the outbox are counted; more is "at least so many".
const COUNTED: i64 = 1_000;

impl Status {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What the store says.
    pub async fn check(&self) -> Result<(), ServiceError> {
        self.store.users().count().await?;
        Ok(())
    }

    /// What is left to do; for administrators.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others.
    pub async fn work_left(&self, caller: &Caller) -> Result<WorkLeft, ServiceError> {
        self.access.administrator(caller)?;
        // In the way of the data, so that what is handed on while this counts is met again further on.
        let deliveries = self.store.deliveries().count_unhandled().await?;
        let head_checks = self.store.head_checks().count().await?;
        let changes = self.store.ref_changes().count_observed().await?;
        let builds = self.store.builds().count_unfinished().await?;
        let due = self.store.outbox().due(Timestamp::now(), COUNTED).await?;
        Ok(WorkLeft {
            deliveries,
            changes,
            head_checks,
            outbox: i64::try_from(due.len()).unwrap_or(COUNTED),
            builds,
        })
    }

    /// The builders that are not gone.
    ///
    /// # Errors
    /// What the store says.
    pub async fn builders(&self) -> Result<Vec<Builder>, ServiceError> {
        Ok(self.store.builders().all().await?)
    }
}
