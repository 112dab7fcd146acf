//! Receiving webhooks: `POST /hooks/{path}`, and `POST /hooks/apps/{path}` for a GitHub App's one. Verify, store, answer;
//! no call to a forge, ever.
//!
//! Invariants kept here: what is answered with 2xx is durable. Nothing is stored that is not signed by whom the hook
//! was made for; rejected deliveries are only counted, per hook, with the time of the last. The path is an
//! address, never proof; but without a known one no body is read. All bodies together stay below a bound.
//!
//! | what comes | answer | kept |
//! | --- | --- | --- |
//! | signed, of the hook's own repository | 202 | yes |
//! | signed, but not of a documented shape | 400 | yes, as malformed: whoever signs it is no stranger; of an App's, where it names a repository that is built |
//! | signed, but of another repository | 403 | counted |
//! | wrong, missing or truncated signature | 401 | counted |
//! | slower than 30 seconds | 408 | no |
//! | over the limit | 413 | no |
//! | an unknown path, a hook that was removed | 404 | no |
//! | the database does not answer, or does not keep up | 503 | no; the provider shows it, and reconciliation finds what was lost |

mod app_hook;
mod group;
mod hook;
mod signed;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::post};
pub use group::{Group, NotStored, Room};
use slipway_store::Store;

use crate::services::{ask::AskForge, bells::Bells};

/// The least that the limit may be, in bytes: Bitbucket sends up to 256 KB.
pub const LEAST_LIMIT: usize = 1 << 20;

/// GitHub sends up to 25 MB (its documentation, "Webhook events and payloads", "Payload cap").
pub const DEFAULT_LIMIT: usize = 25 << 20;

/// What receiving needs.
#[derive(Clone)]
pub struct Receive {
    store: Store,
    ask: Arc<dyn AskForge>,
    group: Group,
    limit: usize,
}

impl std::fmt::Debug for Receive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receive")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Receive {
    /// Into this store. Bodies of more than `limit` bytes are refused; it is held between [`LEAST_LIMIT`] and
    /// [`DEFAULT_LIMIT`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(store: Store, ask: Arc<dyn AskForge>, bells: Bells, limit: usize) -> Self {
        Self {
            group: Group::start(store.clone(), bells),
            store,
            ask,
            limit: limit.clamp(LEAST_LIMIT, DEFAULT_LIMIT),
        }
    }

    /// The routes.
    pub fn routes(self) -> Router {
        let limit = DefaultBodyLimit::max(self.limit);
        Router::new()
            .route("/hooks/{path}", post(hook::receive))
            .route("/hooks/apps/{path}", post(app_hook::receive))
            .layer(limit)
            .with_state(self)
    }

    /// Until nothing is stored any more, because of a fault.
    pub async fn died(&self) {
        self.group.died().await;
    }
}
