//! slipway-server.
