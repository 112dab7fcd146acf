//! Requests that must happen once, by the key that their sender gave them. What is kept is an answer, never a secret.

use slipway_store::{Answered, Store};
use slipway_types::UserId;

use super::ServiceError;

/// The status of a request that is under way: no HTTP status.
const UNDER_WAY: i32 = 0;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The text, as its face keeps it.
    pub body: String,
}

/// Whether a request is the first of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is: do it, and say how it ended.
    First,
    /// It happened before.
    Again(Answer),
    /// It has begun, and not ended.
    UnderWay,
    /// The key was another request's.
    OfAnother,
}

/// Keys of requests.
#[derive(Debug, Clone)]
pub struct Idempotency {
    store: Store,
}

impl Idempotency {
    /// Over this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Begins a request. Of many that begin at once, one is the first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn begin(&self, user: UserId, key: &str, request_hash: &str) -> Result<Begun, ServiceError> {
        let under_way = Answered {
            request_hash: request_hash.to_owned(),
            status: UNDER_WAY,
            body: String::new(),
        };
        let tx = self.store.begin().await?;
        let first = tx.idempotency_keys().insert(user, key, &under_way).await?;
        let known = if first {
            None
        } else {
            tx.idempotency_keys().find(user, key).await?
        };
        tx.commit().await?;
        Ok(match known {
            None => Begun::First,
            Some(known) if known.request_hash != request_hash => Begun::OfAnother,
            Some(known) if known.status == UNDER_WAY => Begun::UnderWay,
            Some(known) => Begun::Again(Answer {
                status: u16::try_from(known.status).unwrap_or_default(),
                body: known.body,
            }),
        })
    }

    /// It has happened, and this was answered.
    ///
    /// # Errors
    /// What the store says.
    pub async fn finish(&self, user: UserId, key: &str, answer: &Answer) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        tx.idempotency_keys()
            .settle(user, key, answer.status.into(), &answer.body)
            .await?;
        Ok(tx.commit().await?)
    }

    /// It has not happened: it may be asked for again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget(&self, user: UserId, key: &str) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        tx.idempotency_keys().forget(user, key).await?;
        Ok(tx.commit().await?)
    }
}
