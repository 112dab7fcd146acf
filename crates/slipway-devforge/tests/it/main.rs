//! The simulated forge through its public face: HTTP, git, SSH and the library.

mod support;

mod bitbucket_oauth;
mod bitbucket_rest;
mod conformance;
mod deliveries;
mod git_access;
mod github_oauth;
mod github_rest;
mod program;
mod pull_requests;
