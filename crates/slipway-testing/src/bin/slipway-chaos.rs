//! Has the server die at each of its fault points and come back: `scripts/chaos` runs this. The last line says how
//! many there were, after how many everything came to be as it should, and what was left at the providers.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use slipway_testing::chaos::{self, Act};

/// Kills the server at every step of something, and looks whether it comes back right.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The slipway program [default: the one beside this program]
    #[arg(long, value_name = "FILE", global = true)]
    slipway: Option<PathBuf>,
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Linking, GitHub Apps, making and repairing webhooks and keys, exchanging secrets, renewing tokens, unlinking,
    /// proving that an access is gone
    Link,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether all went well.
async fn run(args: Args) -> Result<bool> {
    let program = match args.slipway {
        Some(program) => program,
        None => std::env::current_exe()?
            .parent()
            .context("this program lies nowhere")?
            .join("slipway"),
    };
    let Of::Link = args.of;
    let outcome = chaos::run(&program, &Act::ALL).await?;
    let mut out = std::io::stdout();
    for trouble in &outcome.troubles {
        writeln!(out, "{trouble}")?;
    }
    writeln!(out, "{outcome}")?;
    Ok(outcome.troubles.is_empty())
}
