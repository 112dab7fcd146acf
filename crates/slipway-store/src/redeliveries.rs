//! Deliveries that a provider was asked to make once more, because they failed.
//!
//! Written before the provider is asked: when one comes, it is known to be late. What a late delivery says is never
//! believed, as its ref may have moved on and back since; the forge is asked instead.

use slipway_types::{ResourceId, Timestamp};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// Deliveries that were asked for again.
    Redeliveries, redeliveries);

impl Redeliveries<'_> {
    /// Notes that a delivery, by the provider's id of it, is to be asked for again. Says whether it still has to be.
    ///
    /// # Errors
    /// What the database says.
    pub async fn want(&self, hook: ResourceId, remote_id: &str) -> Result<bool, StoreError> {
        let sql = "INSERT INTO redeliveries (resource_id, remote_id, wanted_at) VALUES ($1, $2, $3)
                   ON CONFLICT (resource_id, remote_id) DO NOTHING";
        let now = Timestamp::now().millis();
        self.0
            .execute(sql, [hook.uuid().into(), remote_id.into(), now.into()])
            .await?;
        let sql = "SELECT 1 FROM redeliveries WHERE resource_id = $1 AND remote_id = $2 AND asked_at IS NULL";
        self.0.exists(sql, [hook.uuid().into(), remote_id.into()]).await
    }

    /// The provider will make it again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn asked(&self, hook: ResourceId, remote_id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE redeliveries SET asked_at = $3 WHERE resource_id = $1 AND remote_id = $2";
        let now = Timestamp::now().millis();
        self.0
            .execute(sql, [hook.uuid().into(), remote_id.into(), now.into()])
            .await
            .map(drop)
    }

    /// Whether a delivery comes because it was asked for again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_one(&self, hook: ResourceId, remote_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM redeliveries WHERE resource_id = $1 AND remote_id = $2";
        self.0.exists(sql, [hook.uuid().into(), remote_id.into()]).await
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
