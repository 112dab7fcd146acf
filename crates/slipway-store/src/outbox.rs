//! The outbox: everything to be done at an outer system later or again.
//!
//! A row is written in the transaction that decided it, and worked by one loop: so a crash between
//! deciding and doing loses nothing. Rows of one order key are done one after another, in the order they
//! were written; an idempotency key is done once, however often it is asked for. The *unlink ledger* is
//! the view by link.

use std::time::Duration;

use sea_orm::FromQueryResult;
use serde::{Serialize, de::DeserializeOwned};
use slipway_types::{
    ForgeId, LinkId, OutboxId, Timestamp,
    forge::{OutboxKind, OutboxState},
};
use uuid::Uuid;

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, to_json},
};

aggregate!(/// The outbox.
    Outbox, outbox);

/// How long ago it is that what is hastened was due: whoever has looked at the clock already, and sees that the rest is
/// done, is to see that this is not.
const HASTENED: Duration = Duration::from_secs(1);

/// Something to be done.
#[derive(Debug, Clone)]
pub struct NewOutboxRow<'a, P> {
    /// What.
    pub kind: OutboxKind,
    /// Of rows with one key, only the first is kept.
    pub idempotency_key: String,
    /// Rows with one key are done in order.
    pub order_key: String,
    /// The particulars, without secrets.
    pub payload: &'a P,
    /// At which forge, for its rate limits.
    pub forge: Option<ForgeId>,
    /// Of which link's ledger.
    pub link: Option<LinkId>,
}

/// Something to be done, or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id.
    pub id: OutboxId,
    /// What.
    pub kind: OutboxKind,
    /// Rows with one key are done in order.
    pub order_key: String,
    payload: String,
    /// At which forge.
    pub forge: Option<ForgeId>,
    /// Of which link's ledger.
    pub link: Option<LinkId>,
    /// To be done, done, or given up.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next.
    pub next_attempt_at: Timestamp,
    /// What went wrong last, for a person.
    pub last_error: Option<String>,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When it was done or given up.
    pub settled_at: Option<Timestamp>,
}

impl OutboxRow {
    /// The particulars.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when they are of another shape.
    pub fn payload<P: DeserializeOwned>(&self) -> Result<P, StoreError> {
        from_json("outbox.payload", &self.payload)
    }
}

impl Outbox<'_> {
    /// Writes a row. Says whether it was new: one with this idempotency key may be there, done or not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn push<P: Serialize + Sync>(&self, new: &NewOutboxRow<'_, P>) -> Result<bool, StoreError> {
        self.push_for(new, Timestamp::now()).await
    }

    /// As [`Self::push`], to be done no sooner than `at`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn push_for<P: Serialize + Sync>(
        &self,
        new: &NewOutboxRow<'_, P>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let place: i64 = self
            .0
            .scalar(
                "UPDATE counters SET value = value + 1 WHERE name = 'outbox' RETURNING value",
                [],
            )
            .await?
            .ok_or_else(|| StoreError::NotFound("the outbox's counter".to_owned()))?;
        let now = Timestamp::now().millis();
        let sql = "INSERT INTO outbox (id, kind, idempotency_key, order_key, place, payload, forge_id, link_id, state,
                   attempts, next_attempt_at, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0, $9, $10)
                   ON CONFLICT (idempotency_key) DO NOTHING";
        let values = [
            OutboxId::fresh().uuid().into(),
            new.kind.as_str().into(),
            new.idempotency_key.clone().into(),
            new.order_key.clone().into(),
            place.into(),
            to_json("outbox.payload", new.payload)?.into(),
            new.forge.map(ForgeId::uuid).into(),
            new.link.map(LinkId::uuid).into(),
            at.millis().into(),
            now.into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// What is due at `now`: of each order key only the first row that is not settled.
    ///
    /// # Errors
    /// What the database says.
    pub async fn due(&self, now: Timestamp, limit: i64) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = "SELECT * FROM outbox o WHERE o.state = 'pending' AND o.next_attempt_at <= $1
                   AND NOT EXISTS (SELECT 1 FROM outbox e
                                   WHERE e.order_key = o.order_key AND e.state = 'pending' AND e.place < o.place)
                   ORDER BY o.next_attempt_at, o.place LIMIT $2";
        self.list(sql, [now.millis().into(), limit.into()]).await
    }

    /// When the next row is due; none where nothing waits.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql =
            "SELECT next_attempt_at FROM outbox WHERE state = 'pending' ORDER BY next_attempt_at LIMIT 1";
        Ok(self.0.scalar(sql, []).await?.map(Timestamp::from_millis))
    }

    /// The row of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: OutboxId) -> Result<Option<OutboxRow>, StoreError> {
        let rows = self
            .list("SELECT * FROM outbox WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(rows.into_iter().next())
    }

    /// The ledger of a link, in order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_link(&self, link: LinkId) -> Result<Vec<OutboxRow>, StoreError> {
        self.list(
            "SELECT * FROM outbox WHERE link_id = $1 ORDER BY place",
            [link.uuid().into()],
        )
        .await
    }

    /// Takes a row for this process until `until`. Says when it is due meanwhile, if it is ours: on PostgreSQL another
    /// replica may have been faster. On SQLite there is only one process, and nothing to take.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, row: &OutboxRow, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        if !self.0.is_postgres() {
            return Ok(Some(row.next_attempt_at));
        }
        let sql = "UPDATE outbox SET next_attempt_at = $3
                   WHERE id = $1 AND state = 'pending' AND next_attempt_at = $2";
        let values = [
            row.id.uuid().into(),
            row.next_attempt_at.millis().into(),
            until.millis().into(),
        ];
        Ok((self.0.execute(sql, values).await? == 1).then_some(until))
    }

    /// How many rows are to be done now, or are being tried again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_pending(&self) -> Result<i64, StoreError> {
        Ok(self
            .0
            .scalar("SELECT COUNT(*) FROM outbox WHERE state = 'pending'", [])
            .await?
            .unwrap_or(0))
    }

    /// It failed: tries again later.
    ///
    /// # Errors
    /// What the database says.
    pub async fn defer(&self, id: OutboxId, until: Timestamp, error: &str) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2, last_error = $3
                   WHERE id = $1 AND state = 'pending'";
        self.0
            .execute(sql, [id.uuid().into(), until.millis().into(), error.into()])
            .await?;
        Ok(())
    }

    /// It has to wait for something else: looks again at `until`, without counting an attempt; or at once, where it was
    /// hastened ([`Self::hasten`]) since it was taken, to be due at `taken`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn postpone(&self, id: OutboxId, taken: Timestamp, until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET next_attempt_at = $3
                   WHERE id = $1 AND state = 'pending' AND next_attempt_at = $2";
        let values = [id.uuid().into(), taken.millis().into(), until.millis().into()];
        self.0.execute(sql, values).await.map(drop)
    }

    /// A hook or a key of a link is settled: what waits for that looks again. It is the giving back of the link's
    /// access, and of any token that keys are made anew for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hasten(&self, link: LinkId) -> Result<(), StoreError> {
        // Another moment than it was, so that whoever works it now can tell.
        let sql = "UPDATE outbox SET next_attempt_at = CASE WHEN next_attempt_at > $4 THEN $4 ELSE next_attempt_at - 1 END
                   WHERE state = 'pending' AND (link_id = $1 AND kind = $2 OR kind = $3)";
        let values = [
            link.uuid().into(),
            OutboxKind::RevokeCredential.as_str().into(),
            OutboxKind::ReturnToken.as_str().into(),
            Timestamp::now().minus(HASTENED).millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// It is done.
    ///
    /// # Errors
    /// What the database says.
    pub async fn done(&self, id: OutboxId) -> Result<(), StoreError> {
        let sql =
            "UPDATE outbox SET state = 'done', attempts = attempts + 1, last_error = NULL, settled_at = $2
                   WHERE id = $1 AND state = 'pending'";
        self.0
            .execute(sql, [id.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }

    /// It cannot be done, because of `error`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn give_up(&self, id: OutboxId, error: &str) -> Result<(), StoreError> {
        let sql =
            "UPDATE outbox SET state = 'given_up', attempts = attempts + 1, last_error = $3, settled_at = $2
                   WHERE id = $1 AND state = 'pending'";
        self.0
            .execute(
                sql,
                [id.uuid().into(), Timestamp::now().millis().into(), error.into()],
            )
            .await?;
        Ok(())
    }

    /// Forgets rows that were done before `before` and belong to no ledger. Says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM outbox WHERE state = 'done' AND settled_at < $1 AND link_id IS NULL";
        self.0.execute(sql, [before.millis().into()]).await
    }

    async fn list(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.0
            .all::<Row>(sql, values)
            .await?
            .into_iter()
            .map(OutboxRow::try_from)
            .collect()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    kind: String,
    order_key: String,
    payload: String,
    forge_id: Option<Uuid>,
    link_id: Option<Uuid>,
    state: String,
    attempts: i32,
    next_attempt_at: i64,
    last_error: Option<String>,
    created_at: i64,
    settled_at: Option<i64>,
}

impl TryFrom<Row> for OutboxRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: OutboxId::from_uuid(row.id),
            kind: parse("outbox.kind", &row.kind)?,
            order_key: row.order_key,
            payload: row.payload,
            forge: row.forge_id.map(ForgeId::from_uuid),
            link: row.link_id.map(LinkId::from_uuid),
            state: parse("outbox.state", &row.state)?,
            attempts: row.attempts,
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
            last_error: row.last_error,
            created_at: Timestamp::from_millis(row.created_at),
            settled_at: row.settled_at.map(Timestamp::from_millis),
        })
    }
}
