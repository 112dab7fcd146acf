//! What `scripts/bench` measures with. A tool for whoever changes Slipway: nothing of the product depends on it.
//!
//! It is as thin as it can be, because it shares the machine with what it measures, and it prints figures only:
//! judging them, and keeping them (docs/benchmarks.md), is for people. No test is timed by it.

mod receive;

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
}

#[tokio::main]
async fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Receive(arguments) => receive::run(&arguments).await,
    }
}
