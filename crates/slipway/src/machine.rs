//! `slipway machine …`: the far side of a builder's line protocol. Nothing here is for people to call.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use slipway_builder::pipeline::{self, Options};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MachineCommand {
    /// Run the build that is said on standard input; a machine's first process
    Pipeline {
        /// The engine, as DOCKER_HOST has it
        #[arg(long, value_name = "HOST")]
        docker_host: Option<String>,
    },
    /// Answer git's question for a user name or a password
    Askpass {
        /// What git asks
        prompt: String,
    },
}

pub(crate) fn run(command: MachineCommand) -> Result<()> {
    match command {
        MachineCommand::Pipeline { docker_host } => run_pipeline(docker_host),
        MachineCommand::Askpass { prompt } => answer(&prompt),
    }
}

fn run_pipeline(docker_host: Option<String>) -> Result<()> {
    let program = std::env::current_exe().context("this program's own path is gone")?;
    let work = std::env::current_dir().context("the machine's directory is gone")?;
    let askpass = vec![program.into(), "machine".into(), "askpass".into()];
    let options = Options {
        docker_host,
        ..Options::new(work, askpass)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(pipeline::run(tokio::io::stdin(), tokio::io::stdout(), options))?;
    // A thread of the runtime still reads standard input, and would be waited for.
    runtime.shutdown_background();
    Ok(())
}

fn answer(prompt: &str) -> Result<()> {
    let answer = pipeline::ask_pipeline(prompt).context("nobody here may tell git a password")?;
    writeln!(std::io::stdout(), "{}", answer.expose_secret())?;
    Ok(())
}
