//! slipway-vault.
