//! Idempotency keys of the API: what was answered to a request, so that its repetition creates nothing.

use sea_orm::FromQueryResult;
use slipway_types::{Timestamp, UserId};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The idempotency keys.
    IdempotencyKeys, idempotency_keys);

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Answered {
    /// The hash of the request; another one under the same key is refused.
    pub request_hash: String,
    /// The HTTP status.
    pub status: i32,
    /// The body.
    pub body: String,
}

impl IdempotencyKeys<'_> {
    /// What was answered to this person under this key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, user: UserId, key: &str) -> Result<Option<Answered>, StoreError> {
        let sql = "SELECT request_hash, status, body FROM idempotency_keys WHERE user_id = $1 AND key = $2";
        self.0.one(sql, [user.uuid().into(), key.into()]).await
    }

    /// Remembers an answer. The first one under a key stays; says whether this was it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, user: UserId, key: &str, answered: &Answered) -> Result<bool, StoreError> {
        let sql = "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, key) DO NOTHING";
        let values = [
            user.uuid().into(),
            key.into(),
            answered.request_hash.clone().into(),
            answered.status.into(),
            answered.body.clone().into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Says how a request ended whose key was inserted when it began.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle(&self, user: UserId, key: &str, status: i32, body: &str) -> Result<(), StoreError> {
        let sql = "UPDATE idempotency_keys SET status = $3, body = $4 WHERE user_id = $1 AND key = $2";
        self.0
            .execute(sql, [user.uuid().into(), key.into(), status.into(), body.into()])
            .await
            .map(drop)
    }

    /// Forgets one key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget(&self, user: UserId, key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2";
        self.0
            .execute(sql, [user.uuid().into(), key.into()])
            .await
            .map(drop)
    }

    /// Forgets keys from before `before`. Says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0
            .execute(
                "DELETE FROM idempotency_keys WHERE created_at < $1",
                [before.millis().into()],
            )
            .await
    }
}
