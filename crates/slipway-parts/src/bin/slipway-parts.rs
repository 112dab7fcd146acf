//! Starts parts for a test run by hand: `slipway-parts engine registry registry-open postgres`.
//!
//! Prints the address of each on a line of its own, then waits for the end of its input; the parts go
//! when it does (within a test run: when the run does). The tests of this crate use it to play
//! several processes of one run.

use std::io::{self, Write as _};
use std::process::ExitCode;

use slipway_parts::{Engine, PartError, Postgres, Registry};

fn main() -> ExitCode {
    match start_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_all() -> Result<(), Box<dyn std::error::Error>> {
    for part in std::env::args().skip(1) {
        let address = start(&part)?.ok_or_else(|| format!("there is no part called '{part}'"))?;
        writeln!(io::stdout(), "{address}")?;
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn start(part: &str) -> Result<Option<String>, PartError> {
    Ok(Some(match part {
        "engine" => Engine::try_shared()?.host,
        "registry" => Registry::try_shared()?.host,
        "registry-open" => Registry::try_shared_open()?.host,
        "postgres" => Postgres::try_shared()?.url("postgres"),
        _ => return Ok(None),
    }))
}
