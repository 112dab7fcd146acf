//! The two providers' clients, against the simulated forge, and against a stub for what that does not simulate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accounts;
mod app;
mod deliveries;
mod hooks_and_keys;
mod oauth;
mod person;
mod pull_requests;
mod refusals;
mod repositories;
mod statuses;
mod stub;
mod world;
