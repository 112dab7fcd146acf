//! Running builds. Two halves that meet only at the lines of [`protocol`]:
//!
//! - [`outside`]: the **builder**, which asks a coordinator for work, starts a machine for each build, relays
//!   what it says and ends it when its time, its lease or somebody's patience is over;
//! - [`pipeline`]: what runs **inside** the machine, as its first process: checkout, hooks, build, test, push.
//!
//! Invariant kept between them: whatever dies first, the other half ends everything that the build started.
//! The builder ends the machine; the pipeline ends its machine when its input ends or renewals stop coming.

mod clock;
pub mod outside;
pub mod pipeline;
pub mod protocol;
