//! What `scripts/bench` measures with. A tool for whoever changes Slipway: nothing of the product depends on it.
//!
//! It is as thin as it can be, because it shares the machine with what it measures, and it prints figures only:
//! judging them, and keeping them (docs/benchmarks.md), is for people. No test is timed by it. What is measured is
//! real: the program as it is shipped, its databases, machines, engine and registry.

mod cache;
mod cancel;
mod database;
mod figures;
mod idle;
mod lease;
mod log;
mod machine;
mod parts;
mod receive;
mod seed;
mod server;
mod start;

use anyhow::Result;
use clap::Parser;

/// What to measure.
#[derive(Debug, Parser)]
#[command(
    name = "slipway-bench",
    about = "Measures Slipway",
    disable_version_flag = true
)]
enum Bench {
    /// How many signed webhook deliveries a server takes, how long it lets senders wait, and what memory it needs
    Receive(receive::Arguments),
    /// How long a builder waits for a lease while very many builds wait, and how many empty builds are run a second
    Lease(lease::Arguments),
    /// How long a rootless machine takes from the wish to the first word of its first process
    Machine(machine::Arguments),
    /// How long nothing is left of a machine after a person cancelled its build
    Cancel(cancel::Arguments),
    /// What memory a server needs that has nothing to do
    Idle(idle::Arguments),
    /// How long it takes from a push to a build's first phase and first step, here and at Buildbot
    Start(start::Arguments),
    /// What memory a server needs while many read a long log that is being written
    Log(log::Arguments),
    /// How much longer a rebuild from cached layers takes in a rootless machine than on the host's engine
    Cache(cache::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Receive(arguments) => receive::run(&arguments).await,
        Bench::Lease(arguments) => lease::run(&arguments).await,
        Bench::Machine(arguments) => machine::run(&arguments).await,
        Bench::Cancel(arguments) => cancel::run(&arguments).await,
        Bench::Idle(arguments) => idle::run(&arguments).await,
        Bench::Start(arguments) => start::run(&arguments).await,
        Bench::Log(arguments) => log::run(&arguments).await,
        Bench::Cache(arguments) => cache::run(&arguments).await,
    }
}
