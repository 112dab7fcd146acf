//! Plans: what a namespace may use (autobuild.md, "Limits, per plan").

use sea_orm::FromQueryResult;
use slipway_types::{NamespaceId, protocol::Limits};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// Plans.
    Plans, plans);

/// What a namespace may use.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Plan {
    /// As `standard`.
    pub name: String,
    /// Builds at once.
    pub concurrency: i32,
    /// Builds that may wait.
    pub pending: i32,
    /// Seconds a build may run, where its configuration does not say less.
    pub time_limit_s: i64,
    /// Bytes a built image may have.
    pub image_bytes: i64,
    /// Bytes a build's log may have before its middle is cut.
    pub log_bytes: i64,
    /// Whether automated builds are included at all.
    pub autobuild: bool,
}

impl Plan {
    /// What it allows one build that may run for `time_s` seconds.
    pub fn limits(&self, time_s: i64) -> Limits {
        Limits {
            time_s: time_s.max(1) as u64,
            log_bytes: self.log_bytes.max(0) as u64,
            image_bytes: self.image_bytes.max(0) as u64,
        }
    }
}

impl Plans<'_> {
    /// The plan of a namespace.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a namespace.
    pub async fn of(&self, namespace: NamespaceId) -> Result<Plan, StoreError> {
        let sql = "SELECT plans.* FROM plans JOIN namespaces ON namespaces.plan = plans.name WHERE namespaces.id = $1";
        self.0
            .one(sql, [namespace.uuid().into()])
            .await?
            .ok_or_else(|| StoreError::NotFound(namespace.to_string()))
    }

    /// Changes a plan's limits. `false` if there is none of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set(&self, plan: &Plan) -> Result<bool, StoreError> {
        let sql = "UPDATE plans SET concurrency = $2, pending = $3, time_limit_s = $4, image_bytes = $5,
                   log_bytes = $6, autobuild = $7 WHERE name = $1";
        let values = [
            plan.name.clone().into(),
            plan.concurrency.into(),
            plan.pending.into(),
            plan.time_limit_s.into(),
            plan.image_bytes.into(),
            plan.log_bytes.into(),
            plan.autobuild.into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }
}
