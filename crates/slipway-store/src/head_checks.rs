//! Heads that the forge has to be asked for, because what somebody said does not follow from the record.
//!
//! A row stays until an answer was recorded: the forge is asked again and again, with growing pauses, for as
//! long as it does not answer (order.md, "One way in").

use slipway_types::{DeliveryId, SourceId, Timestamp, build::Cause};
use uuid::Uuid;

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, to_json},
    ref_changes::{Enrichment, Subject},
    sql::DUE,
};

aggregate!(/// Questions to forges that wait for an answer.
    HeadChecks, head_checks);

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "head_checks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub source_id: Uuid,
        #[sea_orm(column_name = "ref")]
        pub subject: String,
        pub pull_request: Option<i64>,
        pub cause: String,
        pub delivery_id: Option<Uuid>,
        pub position: Option<i32>,
        pub hint: Option<String>,
        pub attempts: i32,
        pub next_attempt_at: i64,
        pub last_error: Option<String>,
        pub created_at: i64,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// A question to a forge: where is this head now?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadCheck {
    /// Its id.
    pub id: Uuid,
    /// Where.
    pub source: SourceId,
    /// Of what.
    pub subject: Subject,
    /// What made us ask.
    pub cause: Cause,
    /// The delivery that made us ask, and the place in it.
    pub delivery: Option<(DeliveryId, i32)>,
    /// What the hint knew of the commit that it named; holds only if the answer is that commit.
    pub hint: Option<(String, Enrichment)>,
    /// How often it was asked in vain.
    pub attempts: i32,
    /// When it is asked next.
    pub next_attempt_at: Timestamp,
    /// Why it was in vain last.
    pub last_error: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

impl TryFrom<entity::Model> for HeadCheck {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        let hint = row
            .hint
            .as_deref()
            .map(|text| from_json("head_checks.hint", text));
        Ok(Self {
            id: row.id,
            source: SourceId::from_uuid(row.source_id),
            subject: Subject::read("head_checks.ref", &row.subject, row.pull_request)?,
            cause: parse("head_checks.cause", &row.cause)?,
            delivery: row.delivery_id.map(DeliveryId::from_uuid).zip(row.position),
            hint: hint.transpose()?,
            attempts: row.attempts,
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
            last_error: row.last_error,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl HeadChecks<'_> {
    /// Notes that the forge has to be asked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn push(
        &self,
        source: SourceId,
        subject: &Subject,
        cause: Cause,
        delivery: Option<(DeliveryId, i32)>,
        hint: Option<&(String, Enrichment)>,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now().millis();
        let row = entity::Model {
            id: Uuid::now_v7(),
            source_id: source.uuid(),
            subject: subject.full(),
            pull_request: subject.pull_request(),
            cause: cause.as_str().to_owned(),
            delivery_id: delivery.map(|(id, _)| id.uuid()),
            position: delivery.map(|(_, position)| position),
            hint: hint.map(|hint| to_json("head_checks.hint", hint)).transpose()?,
            attempts: 0,
            next_attempt_at: now,
            last_error: None,
            created_at: now,
        };
        self.0.insert::<entity::Entity>(row).await
    }

    /// The questions whose time has come, those that have waited longest first; one for each head, so that asking
    /// a few at once does not ask the same twice.
    ///
    /// # Errors
    /// What the database says.
    pub async fn due(&self, now: Timestamp, limit: i64) -> Result<Vec<HeadCheck>, StoreError> {
        let sql = format!(
            "SELECT * FROM head_checks WHERE {DUE} AND NOT EXISTS (
                 SELECT 1 FROM head_checks AS earlier WHERE earlier.source_id = head_checks.source_id
                 AND earlier.ref = head_checks.ref AND earlier.id < head_checks.id)
             ORDER BY next_attempt_at, id LIMIT $2"
        );
        let rows = self
            .0
            .all::<entity::Model>(&sql, [now.millis().into(), limit.into()])
            .await?;
        rows.into_iter().map(HeadCheck::try_from).collect()
    }

    /// Takes a question for this process until `until`. `false` if another server was faster.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, check: &HeadCheck, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE head_checks SET next_attempt_at = $3 WHERE id = $1 AND next_attempt_at = $2";
        let values = [
            check.id.into(),
            check.next_attempt_at.millis().into(),
            until.millis().into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Has a question asked again at once: its answer was overtaken.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ask_again(&self, id: Uuid) -> Result<(), StoreError> {
        let sql = "UPDATE head_checks SET next_attempt_at = $2 WHERE id = $1";
        let values = [id.into(), Timestamp::now().millis().into()];
        self.0.execute(sql, values).await.map(drop)
    }

    /// How many questions wait, whether their time has come or not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count(&self) -> Result<i64, StoreError> {
        Ok(self
            .0
            .scalar::<i64>("SELECT COUNT(*) FROM head_checks", [])
            .await?
            .unwrap_or_default())
    }

    /// Takes a question away, because it was answered. `false` if somebody else did meanwhile.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove(&self, id: Uuid) -> Result<bool, StoreError> {
        Ok(self
            .0
            .execute("DELETE FROM head_checks WHERE id = $1", [id.into()])
            .await?
            == 1)
    }

    /// Puts a question off, because the forge did not answer it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn postpone(&self, id: Uuid, until: Timestamp, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE head_checks SET attempts = attempts + 1, next_attempt_at = $2, last_error = $3
                   WHERE id = $1";
        self.0
            .execute(sql, [id.into(), until.millis().into(), why.into()])
            .await?;
        Ok(())
    }

    /// Has every waiting question of a source asked again now: its link works again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn wake(&self, source: SourceId) -> Result<u64, StoreError> {
        let sql = "UPDATE head_checks SET next_attempt_at = $2 WHERE source_id = $1";
        self.0
            .execute(sql, [source.uuid().into(), Timestamp::now().millis().into()])
            .await
    }
}
