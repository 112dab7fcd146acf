//! Use cases, told in order: no HTTP, no SQL. Pages, the API and loops call these and nothing below them.

pub mod access;
pub mod accounts;
pub mod audit;
mod error;
pub mod organizations;
pub mod registries;
pub mod repositories;

pub use access::{Access, Caller, Granted, Via};
use audit::act;
pub use error::{RuleProblem, ServiceError};
