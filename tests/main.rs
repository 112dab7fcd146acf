//! Slipway from the outside: the real program, a real engine, a real registry, real git, a real browser, and the
//! simulated forge. One binary, so that it links once.

mod documents;
