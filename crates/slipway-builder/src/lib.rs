//! slipway-builder.
