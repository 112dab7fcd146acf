//! slipway-testing.
