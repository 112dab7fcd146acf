//! The store, told as stories on both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access_proofs;
mod accounts;
mod keys;
