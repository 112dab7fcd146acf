//! The host driver with real processes that try to get away.

mod host;
