//! The server through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod api;
mod order;
mod pages;
mod web;
