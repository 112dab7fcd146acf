//! slipway-forge.
