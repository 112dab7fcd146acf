//! The log of a process that stays.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Writes log lines to standard error: what `SLIPWAY_LOG` says, else from `info` on.
pub(crate) fn to_stderr(json: bool) {
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .init();
    } else {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(false))
            .init();
    }
}
