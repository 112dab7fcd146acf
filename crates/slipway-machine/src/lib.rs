//! slipway-machine.
