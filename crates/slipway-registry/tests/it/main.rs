//! The client against the distribution's own registry, and against answers that one never gives.

mod login;
mod manifests;
mod odd;
