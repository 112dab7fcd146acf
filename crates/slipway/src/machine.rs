//! `slipway machine …`: making the root file system that machines start from; and, not for people to call, what runs on
//! the far side of a builder's line protocol.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use slipway_builder::pipeline::{self, Options};

use crate::config::machines;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MachineCommand {
    /// Make the root file system that rootless machines start from: a Debian with an engine, by mmdebstrap
    ///
    /// Example: slipway machine prepare --data-dir /var/lib/slipway --suite trixie
    Prepare {
        /// The server's or builder's data directory
        #[arg(
            long,
            value_name = "DIR",
            env = "SLIPWAY_DATA_DIR",
            default_value = "/var/lib/slipway"
        )]
        data_dir: PathBuf,
        /// Where machines lie, if not in the data directory
        #[arg(long, value_name = "DIR", env = "SLIPWAY_MACHINES_DIR")]
        machines_dir: Option<PathBuf>,
        /// The Debian release
        #[arg(long, value_name = "NAME", default_value = "trixie")]
        suite: String,
        /// Where its packages are [default: this host's mirror, if it is a Debian; else Debian's own]
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Run the build that is said on standard input
    #[command(hide = true)]
    Pipeline {
        /// The engine, as DOCKER_HOST has it
        #[arg(long, value_name = "HOST")]
        docker_host: Option<String>,
        /// What the machine's own engine says, which is starting
        #[arg(long, value_name = "FILE")]
        engine_log: Option<PathBuf>,
    },
    /// Answer git's question for a user name or a password
    #[command(hide = true)]
    Askpass {
        /// What git asks
        prompt: String,
    },
    /// A stage of a rootless machine's start
    #[command(external_subcommand)]
    Stage(Vec<String>),
}

pub(crate) fn run(command: MachineCommand) -> Result<ExitCode> {
    match command {
        MachineCommand::Prepare {
            data_dir,
            machines_dir,
            suite,
            mirror,
        } => prepare(machines_dir.unwrap_or_else(|| machines(&data_dir)), suite, mirror)?,
        MachineCommand::Pipeline {
            docker_host,
            engine_log,
        } => run_pipeline(docker_host, engine_log)?,
        MachineCommand::Askpass { prompt } => answer(&prompt)?,
        MachineCommand::Stage(words) => return stage(&words),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(target_os = "linux")]
fn prepare(directory: PathBuf, suite: String, mirror: Option<String>) -> Result<()> {
    let archive = slipway_machine::rootless::prepare(&slipway_machine::rootless::Prepare {
        directory,
        suite,
        mirror,
    })?;
    writeln!(std::io::stdout(), "{}", archive.display())?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn stage(words: &[String]) -> Result<ExitCode> {
    let (word, arguments) = words.split_first().context("no stage is named")?;
    let stage = slipway_machine::rootless::Stage::of(word)
        .with_context(|| format!("there is no `slipway machine {word}`; see slipway machine --help"))?;
    Ok(stage.run(arguments)?)
}

#[cfg(not(target_os = "linux"))]
fn prepare(_: PathBuf, _: String, _: Option<String>) -> Result<()> {
    anyhow::bail!("rootless machines need Linux: on this system builds run on the host's engine")
}

#[cfg(not(target_os = "linux"))]
fn stage(_: &[String]) -> Result<ExitCode> {
    anyhow::bail!("rootless machines need Linux")
}

fn run_pipeline(docker_host: Option<String>, engine_log: Option<PathBuf>) -> Result<()> {
    let program = std::env::current_exe().context("this program's own path is gone")?;
    let work = std::env::current_dir().context("the machine's directory is gone")?;
    let askpass = vec![program.into(), "machine".into(), "askpass".into()];
    let options = Options {
        docker_host,
        engine_log,
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
