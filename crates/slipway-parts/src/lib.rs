//! Real parts for tests: a Docker Engine, a registry and a PostgreSQL, **one of each per test run**.
//!
//! Slipway's tests talk to what Slipway talks to. Starting an engine for each test would cost more
//! than the tests, and nextest gives every test a process of its own, so a part is shared between the
//! processes of one run: the first test that asks starts it, the others find it (`run.rs`).
//!
//! Invariant kept here: a part never outlives the run that it was started for, however the run ends
//! (finished, interrupted, killed). Each part is the child of a small guard, which watches the test
//! runner's process, stops the part when the runner is gone, and removes every trace: processes,
//! mounts, bridges, control groups, files.
//!
//! Nothing of Slipway's is used here, so that every crate of the workspace can test with it.
//!
//! ```text
//! let database_url = Postgres::shared().fresh_database();
//! let (engine, registry) = (Engine::shared(), Registry::shared());
//! let base = engine.push_base(&registry, "base:busybox");
//! ```

mod engine;
mod error;
mod http;
mod postgres;
mod programs;
mod registry;
mod run;

pub use engine::Engine;
pub use error::PartError;
pub use postgres::Postgres;
pub use registry::{Login, Registry};

/// Fails the test that needed a part, with the whole chain of causes: a test whose part is missing
/// has not passed.
fn or_fail<T>(outcome: Result<T, PartError>) -> T {
    outcome.unwrap_or_else(|error| panic!("{}", error::with_causes(&error)))
}
