//! What Slipway asks of an image registry: is this login right, what does a tag hold, put this manifest there.
//!
//! Layers are the engine's business; here go manifests only (OCI distribution specification 1.1). The client
//! is a thin one of our own on reqwest: what registries answer is somebody else's word, so every body is
//! bounded, every digest is computed here, and a password goes only where the registry may rightly send it.
//!
//! Invariant kept here: a refused login is never retried and never mistaken for an unreachable host, and the
//! other way round.

mod address;
mod auth;
mod client;
mod error;
mod read;
mod retry;

pub use address::RegistryAddress;
pub use auth::Login;
pub use client::{Manifest, Reference, Registry};
pub use error::RegistryError;
pub use retry::Retry;

use std::time::Duration;

/// An HTTP client fit for registries: bounded waits, rustls with the process's provider (ring when none is
/// installed yet).
///
/// # Errors
/// [`RegistryError::NoClient`] when the system's certificates cannot be used.
pub fn http_client() -> Result<reqwest::Client, RegistryError> {
    // The second and later calls find one installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
        .timeout(Duration::from_mins(2))
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| RegistryError::NoClient { source })
}
