//! Deliveries that a provider was asked to make once more, because they failed.
//!
//! Written before the provider is asked: when one comes, it is known to be late. What a late delivery says is never
//! believed, as its ref may have moved on and back since; the forge is asked instead.

use serde::{Deserialize, Serialize};
use slipway_types::{ForgeClientId, ResourceId, Timestamp};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// Deliveries that were asked for again.
    Redeliveries, redeliveries);

/// Whose deliveries: what a provider keeps one log for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveredTo {
    /// A webhook of a repository.
    Webhook(ResourceId),
    /// The one webhook of a GitHub App.
    App(ForgeClientId),
}

impl DeliveredTo {
    const fn uuid(self) -> Uuid {
        match self {
            Self::Webhook(id) => id.uuid(),
            Self::App(id) => id.uuid(),
        }
    }
}

impl Redeliveries<'_> {
    /// Notes that a delivery, by the provider's id of it, is to be asked for again. Says whether it still has to be.
    ///
    /// # Errors
    /// What the database says.
    pub async fn want(&self, to: DeliveredTo, remote_id: &str) -> Result<bool, StoreError> {
        let sql = "INSERT INTO redeliveries (hook_id, remote_id, wanted_at) VALUES ($1, $2, $3)
                   ON CONFLICT (hook_id, remote_id) DO NOTHING";
        let now = Timestamp::now().millis();
        self.0
            .execute(sql, [to.uuid().into(), remote_id.into(), now.into()])
            .await?;
        let sql = "SELECT 1 FROM redeliveries WHERE hook_id = $1 AND remote_id = $2 AND asked_at IS NULL";
        self.0.exists(sql, [to.uuid().into(), remote_id.into()]).await
    }

    /// The provider will make it again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn asked(&self, to: DeliveredTo, remote_id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE redeliveries SET asked_at = $3 WHERE hook_id = $1 AND remote_id = $2";
        let now = Timestamp::now().millis();
        self.0
            .execute(sql, [to.uuid().into(), remote_id.into(), now.into()])
            .await
            .map(drop)
    }

    /// Whether a delivery comes because it was asked for again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_one(&self, to: DeliveredTo, remote_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM redeliveries WHERE hook_id = $1 AND remote_id = $2";
        self.0.exists(sql, [to.uuid().into(), remote_id.into()]).await
    }

    /// Forgets those from before `before`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM redeliveries WHERE wanted_at < $1";
        self.0.execute(sql, [before.millis().into()]).await
    }
}
