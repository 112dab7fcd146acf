//! The pipeline with a real engine, real registries and real git; the builder with real machines and a coordinator that
//! can be made to fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod world;

mod checkout;
mod e2e;
mod ends;
mod hooks;
mod outside;
mod ssh;
