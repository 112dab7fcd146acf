//! The store: everything that Slipway remembers, on SQLite or PostgreSQL.
//!
//! One file per aggregate, each a small set of questions and changes; the tables' entities stay inside
//! (no sea-orm type is public). Reading goes through [`Store`], changing through a [`Tx`]:
//!
//! ```ignore
//! let tx = store.begin().await?;
//! let link = tx.links().find(namespace, forge).await?;
//! tx.links().set_state(link.id, LinkState::Unlinking).await?;
//! tx.commit().await?;                 // dropped without it: rolled back
//! ```
//!
//! Invariants kept here: a secret enters only sealed (the methods take `SecretString`, the columns are
//! called `*_sealed`); a write of a builder without the current lease number changes nothing; a head
//! never changes without its `ref_changes` row. No transaction stays open across I/O to anything but the
//! database: that is the callers' to keep, and why a [`Tx`] is not `Clone`.

mod aggregate;
mod connect;
mod error;
mod migrations;
#[cfg(feature = "testing")]
pub mod testing;
mod tx;

pub use connect::{Options, Store};
pub use error::StoreError;
pub use tx::{Db, Tx};
