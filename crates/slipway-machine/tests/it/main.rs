//! Drivers with real machines: what is in them, and what tries to get out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(target_os = "linux")]
mod doctor;
#[cfg(target_os = "linux")]
mod escape;
mod host;
#[cfg(target_os = "linux")]
mod machines;
#[cfg(target_os = "linux")]
mod rootless;
