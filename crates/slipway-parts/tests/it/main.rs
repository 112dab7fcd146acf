//! Each part really starts, serves all processes of one run, and is gone when the run is.

#![expect(clippy::unwrap_used, reason = "a test's helper fails like its test")]

mod gone;
mod runner;
mod serving;
