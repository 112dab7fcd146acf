//! Slipway from the outside: the real program, a real engine, a real registry, real git, a real browser, and the
//! simulated forge. One binary, so that it links once.

use std::path::PathBuf;

mod bad_days;
mod bad_input;
mod browser;
mod builders;
mod builds;
mod crashes;
mod documents;
mod fickle_registry;
mod github_app;
mod health;
mod kills;
mod linking;
mod main_job;
mod missed_pushes;
mod redelivery;
mod replicas;
mod secret_rotation;
mod secrets;
mod security;
mod silences;
mod third_party_access;
mod unlink;
mod worked_examples;

/// The program.
const SLIPWAY: &str = env!("CARGO_BIN_EXE_slipway");

/// The root of the workspace.
fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
