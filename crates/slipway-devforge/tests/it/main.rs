//! The simulated forge through its public face: HTTP, git, SSH and the library.

mod support;

mod deliveries;
mod github_oauth;
