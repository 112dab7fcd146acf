//! Deliveries: webhook requests as they were received, and what came of them.
//!
//! Invariant kept here: a delivery that was answered with 2xx is a row first, with its body, and ends handled.
//! Bodies lie apart, so that lists stay light.

use sea_orm::FromQueryResult;
use slipway_types::{
    ChangeId, CommitSha, DeliveryId, ResourceId, SourceId, Timestamp, UserId,
    decision::{ChangeResult, DeliveryOutcome},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, parse_option, to_json},
    ref_changes::Subject,
    sql::{DUE, due},
};

aggregate!(/// Webhook requests, and what came of them.
    Deliveries, deliveries);

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deliveries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub resource_id: Option<Uuid>,
        pub source_id: Uuid,
        pub event: String,
        pub remote_id: String,
        pub attempt: i32,
        pub headers: String,
        pub outcome: String,
        pub detail: Option<String>,
        pub replay_of: Option<Uuid>,
        pub replayed_by: Option<Uuid>,
        pub received_at: i64,
        pub handled_at: Option<i64>,
        pub attempts: i32,
        pub next_attempt_at: i64,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// A request to be stored. Its signature was verified.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The webhook that it came to; `None` for a GitHub App's one webhook.
    pub hook: Option<ResourceId>,
    /// The repository that the webhook was made for.
    pub source: SourceId,
    /// The event, as `push`.
    pub event: String,
    /// The provider's id of it.
    pub remote_id: Option<String>,
    /// Which attempt of the provider's this is, from 1.
    pub attempt: i32,
    /// The headers that matter, without the signature.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Vec<u8>,
}

/// A webhook request as it was received, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The webhook that it came to; `None` for a GitHub App's one webhook.
    pub hook: Option<ResourceId>,
    /// The repository that the webhook was made for.
    pub source: SourceId,
    /// The event, as `push`.
    pub event: String,
    /// The provider's id of it; empty if it gave none.
    pub remote_id: String,
    /// Which attempt of the provider's this is, from 1.
    pub attempt: i32,
    /// The headers that matter.
    pub headers: Vec<(String, String)>,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// More about that, for people.
    pub detail: Option<String>,
    /// The delivery that a person had replayed.
    pub replay_of: Option<DeliveryId>,
    /// Who had it replayed.
    pub replayed_by: Option<UserId>,
    /// When it came.
    pub received_at: Timestamp,
    /// When it was looked at; none while it has to be.
    pub handled_at: Option<Timestamp>,
    /// How often looking at it failed.
    pub attempts: i32,
}

/// What came of one ref or pull request in a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryChange {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its place in it, from 0.
    pub position: i32,
    /// Of which repository.
    pub source: SourceId,
    /// What was said to have moved.
    pub subject: Subject,
    /// From where; none: it was not there before, or the delivery does not say.
    pub before: Option<CommitSha>,
    /// To where; none: it is gone, or the delivery does not say.
    pub after: Option<CommitSha>,
    /// What came of it.
    pub result: ChangeResult,
    /// The change that it led to.
    pub change: Option<ChangeId>,
}

#[derive(FromQueryResult)]
struct ChangeRow {
    delivery_id: uuid::Uuid,
    position: i32,
    source_id: uuid::Uuid,
    #[sea_orm(from_alias = "ref")]
    subject: String,
    pull_request: Option<i64>,
    before_sha: Option<String>,
    after_sha: Option<String>,
    result: String,
    change_id: Option<uuid::Uuid>,
}

impl TryFrom<entity::Model> for Delivery {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: DeliveryId::from_uuid(row.id),
            hook: row.resource_id.map(ResourceId::from_uuid),
            source: SourceId::from_uuid(row.source_id),
            event: row.event,
            remote_id: row.remote_id,
            attempt: row.attempt,
            headers: from_json("deliveries.headers", &row.headers)?,
            outcome: parse("deliveries.outcome", &row.outcome)?,
            detail: row.detail,
            replay_of: row.replay_of.map(DeliveryId::from_uuid),
            replayed_by: row.replayed_by.map(UserId::from_uuid),
            received_at: Timestamp::from_millis(row.received_at),
            handled_at: row.handled_at.map(Timestamp::from_millis),
            attempts: row.attempts,
        })
    }
}

impl TryFrom<ChangeRow> for DeliveryChange {
    type Error = StoreError;

    fn try_from(row: ChangeRow) -> Result<Self, StoreError> {
        Ok(Self {
            delivery: DeliveryId::from_uuid(row.delivery_id),
            position: row.position,
            source: SourceId::from_uuid(row.source_id),
            subject: Subject::read("delivery_changes.ref", &row.subject, row.pull_request)?,
            before: parse_option("delivery_changes.before_sha", row.before_sha.as_deref())?,
            after: parse_option("delivery_changes.after_sha", row.after_sha.as_deref())?,
            result: parse("delivery_changes.result", &row.result)?,
            change: row.change_id.map(ChangeId::from_uuid),
        })
    }
}

impl Deliveries<'_> {
    /// Stores a request. Once its transaction is committed it may be acknowledged.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, new: &NewDelivery) -> Result<DeliveryId, StoreError> {
        let now = Timestamp::now().millis();
        let row = entity::Model {
            id: DeliveryId::fresh().uuid(),
            resource_id: new.hook.map(ResourceId::uuid),
            source_id: new.source.uuid(),
            event: new.event.clone(),
            remote_id: new.remote_id.clone().unwrap_or_default(),
            attempt: new.attempt,
            headers: to_json("deliveries.headers", &new.headers)?,
            outcome: DeliveryOutcome::Received.as_str().to_owned(),
            detail: None,
            replay_of: None,
            replayed_by: None,
            received_at: now,
            handled_at: None,
            attempts: 0,
            next_attempt_at: now,
        };
        self.store(row, new.body.clone()).await
    }

    /// Stores a delivery once more, to be run through today's rules for a person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when its body is not kept any more.
    pub async fn replay(&self, of: &Delivery, by: Option<UserId>) -> Result<DeliveryId, StoreError> {
        let body = self.body(of.id).await?;
        let now = Timestamp::now().millis();
        let row = entity::Model {
            id: DeliveryId::fresh().uuid(),
            resource_id: of.hook.map(ResourceId::uuid),
            source_id: of.source.uuid(),
            event: of.event.clone(),
            remote_id: of.remote_id.clone(),
            attempt: of.attempt,
            headers: to_json("deliveries.headers", &of.headers)?,
            outcome: DeliveryOutcome::Received.as_str().to_owned(),
            detail: None,
            replay_of: Some(of.id.uuid()),
            replayed_by: by.map(UserId::uuid),
            received_at: now,
            handled_at: None,
            attempts: 0,
            next_attempt_at: now,
        };
        self.store(row, body).await
    }

    async fn store(&self, row: entity::Model, body: Vec<u8>) -> Result<DeliveryId, StoreError> {
        let id = row.id;
        self.0.insert::<entity::Entity>(row).await?;
        let sql = "INSERT INTO delivery_bodies (delivery_id, body) VALUES ($1, $2)";
        self.0.execute(sql, [id.into(), body.into()]).await?;
        Ok(DeliveryId::from_uuid(id))
    }

    /// The delivery of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let sql = "SELECT * FROM deliveries WHERE id = $1";
        let row = self.0.one::<entity::Model>(sql, [id.uuid().into()]).await?;
        row.map(Delivery::try_from).transpose()
    }

    /// A delivery's raw body.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not kept any more.
    pub async fn body(&self, id: DeliveryId) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT body FROM delivery_bodies WHERE delivery_id = $1";
        let body = self.0.scalar::<Vec<u8>>(sql, [id.uuid().into()]).await?;
        body.ok_or_else(|| StoreError::NotFound(format!("the body of {id}")))
    }

    /// The delivery that has waited longest of those that have to be looked at now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_unhandled(&self, now: Timestamp) -> Result<Option<Delivery>, StoreError> {
        let sql = format!(
            "SELECT * FROM deliveries WHERE handled_at IS NULL AND {DUE} ORDER BY next_attempt_at, id LIMIT 1"
        );
        let row = self.0.one::<entity::Model>(&sql, [now.millis().into()]).await?;
        row.map(Delivery::try_from).transpose()
    }

    /// As [`Self::next_unhandled`], for this transaction alone; of each source the first one only, so that what a provider
    /// sent one after another is handled so. What another server has taken is left to it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_next(&self, now: Timestamp) -> Result<Option<Delivery>, StoreError> {
        let sql = format!(
            "SELECT * FROM deliveries WHERE handled_at IS NULL AND {DUE} AND NOT EXISTS (
                 SELECT 1 FROM deliveries earlier WHERE earlier.source_id = deliveries.source_id
                 AND earlier.handled_at IS NULL AND {} AND (earlier.next_attempt_at < deliveries.next_attempt_at
                     OR earlier.next_attempt_at = deliveries.next_attempt_at AND earlier.id < deliveries.id))
             ORDER BY next_attempt_at, id LIMIT 1{}",
            due("earlier.next_attempt_at"),
            self.0.for_update_skip_locked()
        );
        let row = self.0.one::<entity::Model>(&sql, [now.millis().into()]).await?;
        row.map(Delivery::try_from).transpose()
    }

    /// How many deliveries have still to be looked at.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_unhandled(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM deliveries WHERE handled_at IS NULL";
        Ok(self.0.scalar::<i64>(sql, []).await?.unwrap_or_default())
    }

    /// Says what came of a delivery, unless somebody has said so already: then `false`, and nothing else of the
    /// transaction should be kept.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_handled(
        &self,
        id: DeliveryId,
        outcome: DeliveryOutcome,
        detail: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE deliveries SET outcome = $2, detail = $3, handled_at = $4
                   WHERE id = $1 AND handled_at IS NULL";
        let values = [
            id.uuid().into(),
            outcome.as_str().into(),
            detail.into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Puts a delivery off, because looking at it failed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn postpone(&self, id: DeliveryId, until: Timestamp, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE deliveries SET attempts = attempts + 1, next_attempt_at = $2, detail = $3
                   WHERE id = $1 AND handled_at IS NULL";
        self.0
            .execute(sql, [id.uuid().into(), until.millis().into(), why.into()])
            .await?;
        Ok(())
    }

    /// Keeps what came of one ref or pull request in a delivery.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert_change(&self, change: &DeliveryChange) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO delivery_changes (delivery_id, position, source_id, ref, pull_request, before_sha,
                   after_sha, result, change_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            change.delivery.uuid().into(),
            change.position.into(),
            change.source.uuid().into(),
            change.subject.full().into(),
            change.subject.pull_request().into(),
            change.before.as_ref().map(CommitSha::to_string).into(),
            change.after.as_ref().map(CommitSha::to_string).into(),
            change.result.as_str().into(),
            change.change.map(ChangeId::uuid).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Says what came of it in the end, where the forge had to be asked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle_change(
        &self,
        delivery: DeliveryId,
        position: i32,
        result: ChangeResult,
        change: Option<ChangeId>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE delivery_changes SET result = $3, change_id = $4 WHERE delivery_id = $1 AND position = $2";
        let values = [
            delivery.uuid().into(),
            position.into(),
            result.as_str().into(),
            change.map(ChangeId::uuid).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// What came of each ref and pull request in a delivery, in its order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn changes(&self, delivery: DeliveryId) -> Result<Vec<DeliveryChange>, StoreError> {
        let sql = "SELECT * FROM delivery_changes WHERE delivery_id = $1 ORDER BY position";
        let rows = self.0.all::<ChangeRow>(sql, [delivery.uuid().into()]).await?;
        rows.into_iter().map(DeliveryChange::try_from).collect()
    }

    /// A source's deliveries, the newest first; those after `after` in that order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_source(
        &self,
        source: SourceId,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        // Ids made later sort later.
        let sql = "SELECT * FROM deliveries WHERE source_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let after = after.map_or(uuid::Uuid::max(), DeliveryId::uuid);
        let rows = self
            .0
            .all::<entity::Model>(sql, [source.uuid().into(), after.into(), limit.into()])
            .await?;
        rows.into_iter().map(Delivery::try_from).collect()
    }
}
