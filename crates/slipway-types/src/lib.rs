//! The words that all of Slipway shares: identities, names, states, reasons, and the lines between a
//! builder and its pipeline.
//!
//! No I/O here, and nothing that needs any. A type of this crate carries what was checked: text is
//! parsed into it once, at the edge (a form, a webhook, a database row), and never checked again.

pub mod build;
pub mod decision;
pub mod forge;
pub mod ids;
pub mod names;
pub mod protocol;
pub mod refs;
pub mod rights;
pub mod rule;
pub mod secret;
pub mod time;
pub mod words;

pub use ids::*;
pub use names::*;
pub use refs::{RefKind, RefName};
pub use time::Timestamp;
