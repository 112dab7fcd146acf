//! The `slipway` program. Commands parse what they are told and hand over; the work is in the crates below.

mod builder;
mod config;
#[cfg(target_os = "linux")]
mod doctor;
mod driver;
mod log;
mod machine;
mod openapi;
mod serve;
mod signal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Self-hosted automated builds: every push becomes a built, tested image in your registry.
///
/// Exit codes: 0 done, 1 failed (the reason is the last line), 2 wrong usage.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: pages, API, webhooks, queue, and an embedded builder
    ///
    /// Example: slipway serve --data-dir /var/lib/slipway --public-url https://builds.example.org
    Serve(Box<config::ServeFlags>),
    /// Run a server's builds on another host
    ///
    /// An administrator makes a builder under Administration, Builders; the one-time token that is shown then lets it in.
    ///
    /// Example: slipway builder --server https://builds.example.org --token-file /run/credentials/token
    Builder(Box<config::BuilderFlags>),
    /// Prepare the machines that builds run in
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// Look at everything that Slipway needs here, and say what to do about what is missing
    ///
    /// Takes the options of `serve`, and looks at what they name. Fails when something is missing.
    #[cfg(target_os = "linux")]
    Doctor {
        #[command(flatten)]
        flags: Box<config::ServeFlags>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the API's OpenAPI document
    Openapi,
}

fn main() -> ExitCode {
    // One provider for all TLS of this process; ours is the first call, so it cannot be refused.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Serve(flags) => serve::serve(&flags).map(|()| ExitCode::SUCCESS),
        Command::Builder(flags) => builder::builder(&flags).map(|()| ExitCode::SUCCESS),
        Command::Machine(command) => machine::run(command),
        #[cfg(target_os = "linux")]
        Command::Doctor { flags, json } => doctor::doctor(&flags, json).map(|()| ExitCode::SUCCESS),
        Command::Openapi => openapi::print().map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("slipway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
