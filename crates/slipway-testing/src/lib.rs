//! What end-to-end tests and the demo share.
//!
//! - [`World`]: one simulated forge, the run's engine and registry, and a real `slipway serve` process between them;
//!   [`Linked`]: a source repository in that world whose pushes become images.
//! - [`Visitor`]: reads pages and submits forms as a browser without script would. [`story`]: what a person does
//!   with them, from the first run to a configured build.
//! - [`Api`]: the same server as a script sees it.
//! - [`chaos`]: the server dies at each of its fault points.
//! - [`scan`]: looks for secrets where none may be.
//!
//! Nothing here reaches into the server: whoever uses it sees what a person with a browser, `git` and
//! the registry's address sees. And nothing sleeps: [`until`] polls a condition, and names it when it never comes.

pub mod api;
mod away;
pub mod chaos;
mod gate;
mod github_app;
pub mod linked;
mod process;
pub mod samples;
pub mod scan;
pub mod serve;
pub mod story;
pub mod visitor;
mod wait;
pub mod world;

pub use api::{Answer, Api, Build};
pub use gate::Gate;
pub use linked::{Linked, Rule};
pub use process::Process;
pub use serve::Serve;
pub use slipway_devforge::Kind;
pub use story::Person;
pub use visitor::{Form, Page, Visitor};
pub use wait::until;
pub use world::World;
