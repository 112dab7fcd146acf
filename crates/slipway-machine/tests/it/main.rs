//! The host driver with real processes that try to get away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod doctor;
mod host;
mod rootless;
