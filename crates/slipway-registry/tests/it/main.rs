//! The client against the distribution's own registry, and against answers that one never gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod login;
mod manifests;
mod odd;
