//! Where a build runs: a **machine** is a throwaway place for one run, with the pipeline as its first process
//! (machines.md, "A machine per build").
//!
//! A [`Driver`] makes machines; each gives the three ends of its first process's standard streams and can be
//! killed whole. What is said over the streams is none of a machine's business.
//!
//! Invariant kept here: once [`Machine::kill`] has returned `Ok`, nothing that the machine ran is alive, and
//! nothing that it kept in its work directory is left.

mod driver;
mod error;
mod host;
pub mod processes;
#[cfg(target_os = "linux")]
pub mod rootless;

pub use driver::{Driver, DriverName, Exit, Machine, MachineSpec, Started};
pub use error::MachineError;
pub use host::Host;
