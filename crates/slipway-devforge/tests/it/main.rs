//! The simulated forge through its public face: HTTP, git, SSH and the library.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where it stands; the helpers are part of the tests"
)]

mod support;

mod bitbucket_oauth;
mod bitbucket_rest;
mod conformance;
mod conformance_can_fail;
mod deliveries;
mod git_access;
mod github_app;
mod github_oauth;
mod github_rest;
mod program;
mod pull_requests;
