//! What a change means: build rules, their regular expressions and tag templates, and the one function
//! that decides (autobuild.md, "Configuration of a repository").
//!
//! Webhooks, polling, previews, dry runs and replays all ask [`evaluate`] and [`evaluate_pull_request`],
//! so that what a page foretells is what a push does. Everything here is pure: no I/O, no clock, no state.
//!
//! Invariants kept here:
//! - evaluation is total: each rule gets exactly one verdict, for any change;
//! - a rule that was parsed can only give valid Docker tags, and paths that stay below the source's root;
//! - what strangers push (names, messages, paths) costs bounded time and memory, whatever the rule's
//!   expression: the engine is linear, and where it cannot be, it counts its steps.

mod change;
mod error;
mod evaluate;
mod globs;
mod options;
mod paths;
mod preview;
mod pull_request;
mod rule;
mod source;
mod template;
mod warning;

pub use change::{Change, ChangedPaths, PullRequestChange, Settings};
pub use error::{Field, RuleError, RuleErrorKind};
pub use evaluate::evaluate;
pub use globs::PathFilter;
pub use paths::{BuildPaths, PathError};
pub use preview::{PreviewMatch, RulePreview, preview};
pub use pull_request::{TestBuild, distinct_builds, evaluate_pull_request};
pub use rule::BuildRule;
pub use source::{Captures, MatchOutcome, STEP_LIMIT, Source};
pub use template::{TagTemplate, Tags};
pub use warning::RuleWarning;
