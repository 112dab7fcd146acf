//! A person cancels a running build: how long it takes until nothing of its rootless machine is left, no process and
//! nothing on disk, seen from outside. The build is in a hook that waits, with its engine running.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use slipway_machine::processes::descendants;
use slipway_testing::{Kind, samples, world::machines};

use crate::{
    figures::{Times, say},
    parts::{Machines, Parts},
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    parts: Parts,
    /// Builds
    #[arg(long, value_name = "N", default_value_t = 10)]
    builds: u64,
}

/// How often it is looked whether the machine is gone. Its processes are some of all that are there, so not more often.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let world = arguments.parts.world(Machines::Rootless).start().await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .create()
        .await?;
    let lanes = machines(&arguments.parts.suite).await?.join("lanes");
    let server = world.serve.pid().await.context("the server does not run")?;
    let (mut gone, mut said) = (Vec::new(), Vec::new());
    for number in 1..=arguments.builds {
        let moment = format!("moment-{number}");
        let hook = world.gate.hook(&moment, "");
        linked.push("main", &[("hooks/pre_build", hook.as_str())]).await?;
        world.gate.begun(&moment).await?;
        ensure!(
            !descendants(server).is_empty() && has_scratch(&lanes),
            "the machine was not found, so that its end cannot be seen"
        );
        let asked = Instant::now();
        linked.cancel(number).await?;
        said.push(asked.elapsed());
        while !descendants(server).is_empty() || has_scratch(&lanes) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        gone.push(asked.elapsed());
        ensure!(
            linked.ended(number).await?.state == "canceled",
            "the build ended otherwise"
        );
    }
    world.serve.stop().await?;
    let gone = Times::of(gone)?;
    say(&format!("answered, {}", Times::of(said)?));
    say(&format!("gone, {gone}"));
    say(&format!(
        "db={} gone_ms={:.0}",
        arguments.parts.database.name(),
        gone.ms(50)
    ));
    Ok(())
}

/// Whether what a machine wrote is on disk. Nobody else uses these lanes.
fn has_scratch(lanes: &Path) -> bool {
    let Ok(lanes) = std::fs::read_dir(lanes) else {
        return false;
    };
    lanes.flatten().any(|lane| lane.path().join("scratch").exists())
}
