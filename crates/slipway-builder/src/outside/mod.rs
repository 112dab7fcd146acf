//! The builder: asks for work, runs it in machines, reports, and lets go in time.
//!
//! Invariants kept here (order.md, "Lease and fence"):
//! - nothing is started before the lease was renewed once, and no machine outlives its lease: counted from when the
//!   last renewal that succeeded was *sent*, the machine is dead before the term is over;
//! - everything said to the coordinator names build and lease, and batches are numbered, so that saying it
//!   again changes nothing;
//! - what comes out of a machine is bounded here, in size and in number.
//!
//! What waits for the coordinator is bounded, too: a little in memory, some megabytes on disk; then the machine is not
//! listened to until some is taken.

mod builder;
mod coordinator;
mod lease;
mod log;
mod remote;
mod report;
mod run;
mod spool;

pub use builder::{Builder, BuilderConfig, PipelineProgram};
pub use coordinator::{
    Batch, BuilderHello, CancelReason, Coordinator, CoordinatorError, Ended, Leased, LogChunk, Renewal,
    RunEvent, Stamped,
};
pub use remote::{Canceled, ComingIn, FenceAnswered, FenceAsked, Remote, RemoteError};
