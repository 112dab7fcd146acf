//! What end-to-end tests and the demo share: a visitor who reads pages and submits forms as a browser
//! without script would, and a real `slipway serve` process to visit.
//!
//! Nothing here reaches into the server: whoever uses it sees what a person with a browser, `git` and
//! the registry's address sees.

pub mod serve;
pub mod visitor;

pub use serve::Serve;
pub use visitor::{Form, Page, Visitor};
