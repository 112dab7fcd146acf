//! The builder: asks for work, runs it in machines, reports, and lets go in time.
//!
//! Invariants kept here (order.md, "Lease and fence"):
//! - nothing is started before the lease was renewed once, and no machine outlives its lease: counted from when the
//!   last renewal that succeeded was *sent*, the machine is dead before the term is over;
//! - everything said to the coordinator names build and lease, and batches are numbered, so that saying it
//!   again changes nothing;
//! - what comes out of a machine is bounded here, in size and in number.
//!
//! What waits for the coordinator is kept in memory: no more can come together than the machine says in one term,
//! and beyond a few megabytes the machine is not listened to until some is taken.

mod builder;
mod coordinator;
mod lease;
mod log;
mod report;
mod run;

pub use builder::{Builder, BuilderConfig, PipelineProgram};
pub use coordinator::{
    Batch, BuilderHello, CancelReason, Coordinator, CoordinatorError, Ended, Leased, LogChunk, Renewal,
    RunEvent, Stamped,
};
