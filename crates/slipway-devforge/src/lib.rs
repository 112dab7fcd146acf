//! slipway-devforge.
