//! Build triggers: addresses that start builds. The token in one is a secret, kept as a hash.

use sea_orm::FromQueryResult;
use slipway_types::{ConfigurationId, Timestamp, TriggerId, UserId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The build triggers.
    Triggers, triggers);

/// A build trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// What it builds.
    pub configuration: ConfigurationId,
    /// What a person called it.
    pub name: String,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
    /// When it was last called.
    pub last_used_at: Option<Timestamp>,
}

impl Triggers<'_> {
    /// The triggers of a configuration, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, configuration: ConfigurationId) -> Result<Vec<Trigger>, StoreError> {
        let sql = "SELECT * FROM triggers WHERE configuration_id = $1 ORDER BY id";
        let rows: Vec<Row> = self.0.all(sql, [configuration.uuid().into()]).await?;
        Ok(rows.into_iter().map(Trigger::from).collect())
    }

    /// The trigger with this token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_token_hash(&self, token_hash: &str) -> Result<Option<Trigger>, StoreError> {
        let sql = "SELECT * FROM triggers WHERE token_hash = $1";
        let row: Option<Row> = self.0.one(sql, [token_hash.into()]).await?;
        Ok(row.map(Trigger::from))
    }

    /// Makes a trigger.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(
        &self,
        configuration: ConfigurationId,
        name: &str,
        token_hash: &str,
        by: UserId,
    ) -> Result<TriggerId, StoreError> {
        let id = TriggerId::fresh();
        let sql = "INSERT INTO triggers (id, configuration_id, name, token_hash, created_by, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = [
            id.uuid().into(),
            configuration.uuid().into(),
            name.into(),
            token_hash.into(),
            by.uuid().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Notes that a trigger was called.
    ///
    /// # Errors
    /// What the database says.
    pub async fn used(&self, id: TriggerId) -> Result<(), StoreError> {
        let sql = "UPDATE triggers SET last_used_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }

    /// Revokes a trigger of this configuration. Says whether it was there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, configuration: ConfigurationId, id: TriggerId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM triggers WHERE id = $1 AND configuration_id = $2";
        Ok(self
            .0
            .execute(sql, [id.uuid().into(), configuration.uuid().into()])
            .await?
            == 1)
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    configuration_id: Uuid,
    name: String,
    created_by: Option<Uuid>,
    created_at: i64,
    last_used_at: Option<i64>,
}

impl From<Row> for Trigger {
    fn from(row: Row) -> Self {
        Self {
            id: TriggerId::from_uuid(row.id),
            configuration: ConfigurationId::from_uuid(row.configuration_id),
            name: row.name,
            created_by: row.created_by.map(UserId::from_uuid),
            created_at: Timestamp::from_millis(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp::from_millis),
        }
    }
}
