//! slipway-rules.
