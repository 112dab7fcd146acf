//! slipway-store.
