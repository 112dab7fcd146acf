//! A rootless machine's start: from the wish to the first word of its first process, with namespaces, root file system,
//! network and the engine's process begun; and its end.
//!
//! One after another on one lane, as the next build finds it: the root file system is unpacked, nothing else is kept.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use slipway_builder::protocol::{Lines, write_line};
use slipway_machine::{
    Driver as _, MachineSpec, Started,
    rootless::{DISK, ENGINE_LOG, Options, Rootless},
};
use slipway_testing::world::machines;
use slipway_types::{
    BuildId, LeaseNo,
    build::Purpose,
    protocol::{
        BuildSpec, CloneCredential, FromPipeline, ImageSpec, Limits, RuleSpec, SourceSpec, ToPipeline,
    },
};

use crate::figures::{Times, say};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program
    #[arg(long, value_name = "FILE")]
    slipway: PathBuf,
    /// The Debian release in the machines
    #[arg(long, value_name = "NAME", default_value = "trixie")]
    suite: String,
    /// Machines
    #[arg(long, value_name = "N", default_value_t = 30)]
    machines: u32,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let driver = Rootless::new(Options {
        directory: machines(&arguments.suite).await?,
        launcher: arguments.slipway.clone(),
        services: Vec::new(),
        disk: DISK,
        layers_budget: 0,
    })?;
    // The first unpacks the root file system, where this was not done yet.
    one(&driver, &arguments.slipway).await?;
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..arguments.machines {
        let (start, end) = one(&driver, &arguments.slipway).await?;
        starts.push(start);
        ends.push(end);
    }
    let starts = Times::of(starts)?;
    say(&format!("start, {starts}"));
    say(&format!("end, {}", Times::of(ends)?));
    say(&format!("start_ms={:.0}", starts.ms(50)));
    Ok(())
}

/// How long one takes to say something, and how long to be gone.
async fn one(driver: &Rootless, program: &Path) -> Result<(Duration, Duration)> {
    let spec = MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: program.to_owned(),
        arguments: ["machine", "pipeline", "--engine-log", ENGINE_LOG]
            .map(Into::into)
            .to_vec(),
        environment: Vec::new(),
        layers: None,
    };
    let wished = Instant::now();
    let Started {
        mut stdin,
        stdout,
        stderr: _stderr,
        mut machine,
    } = driver.start(spec).await?;
    let start = ToPipeline::Start {
        spec: Box::new(nothing_to_find()?),
    };
    write_line(&mut stdin, &start).await?;
    let mut lines = Lines::new(stdout);
    let said = lines.next::<FromPipeline>().await?;
    let began = wished.elapsed();
    said.context("the machine's first process said nothing")?;
    let ending = Instant::now();
    drop(stdin);
    machine.kill(Duration::ZERO).await?;
    Ok((began, ending.elapsed()))
}

/// A build whose checkout finds nobody.
fn nothing_to_find() -> Result<BuildSpec> {
    Ok(BuildSpec {
        build: BuildId::fresh(),
        code: "bench".to_owned(),
        purpose: Purpose::Test,
        source: SourceSpec {
            clone_url: "http://127.0.0.1:9/nobody/nothing.git".to_owned(),
            credential: CloneCredential::None,
            known_hosts: Vec::new(),
            git_ref: "refs/heads/main".parse()?,
            fetch_ref: "refs/heads/main".to_owned(),
            commit: "0".repeat(40).parse()?,
            message: None,
            ssh_private: None,
            drop_credential: false,
        },
        image: ImageSpec {
            registry: "registry.invalid".to_owned(),
            path: "nobody/nothing".parse()?,
            tags: Vec::new(),
            tags_as_written: String::new(),
        },
        rule: RuleSpec {
            dockerfile_location: "Dockerfile".to_owned(),
            build_context: "/".to_owned(),
            build_caching: false,
            platforms: Vec::new(),
            build_args: Vec::new(),
            target: None,
        },
        variables: Vec::new(),
        registry_logins: Vec::new(),
        layers: None,
        limits: Limits {
            time_s: 60,
            log_bytes: 1 << 20,
            image_bytes: 1 << 30,
        },
    })
}
