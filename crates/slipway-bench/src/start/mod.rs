//! From a push to a build that runs: the time from the moment at which the provider sends the delivery until the build's
//! first phase, and the first step of its image, can be read from the API. Once with builds on the host's engine, once in
//! rootless machines.
//!
//! Each push of the first part is then told to Buildbot too, with the same payload: until its trivial job has touched a
//! file.

mod peer;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use peer::Buildbot;
use slipway_devforge::Order;
use slipway_testing::{Kind, Linked, World};

use crate::{
    figures::{Times, say},
    parts::{Machines, Parts},
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    parts: Parts,
    /// Pushes to builds on the host's engine, and to Buildbot
    #[arg(long, value_name = "N", default_value_t = 100)]
    pushes: u64,
    /// Pushes to builds in rootless machines
    #[arg(long, value_name = "N", default_value_t = 20)]
    rootless: u64,
    /// Buildbot's programs
    #[arg(long, value_name = "DIR")]
    buildbot: PathBuf,
    /// A directory in memory for Buildbot's data
    #[arg(long, value_name = "DIR")]
    buildbot_data: PathBuf,
}

/// How often it is asked whether something has begun: the figures are exact to this.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let world = arguments.parts.world(Machines::Host).start().await?;
    let data = arguments.buildbot_data.join(arguments.parts.database.name());
    let peer = Buildbot::start(&arguments.buildbot, &data).await?;
    let host = pushes(&world, arguments.pushes, Some(&peer)).await?;
    peer.stop().await?;
    world.serve.stop().await?;
    drop(world);
    say(&format!("host: first phase, {}", host.phase));
    say(&format!("host: first step, {}", host.step));
    let peer = host.peer.context("Buildbot was not asked")?;
    say(&format!("Buildbot: first step, {peer}"));

    let world = arguments.parts.second_world(Machines::Rootless)?.start().await?;
    let rootless = pushes(&world, arguments.rootless, None).await?;
    world.serve.stop().await?;
    say(&format!("rootless: first phase, {}", rootless.phase));
    say(&format!("rootless: first step, {}", rootless.step));
    say(&format!(
        "db={} phase_p50_ms={:.0} phase_p99_ms={:.0} step_p50_ms={:.0} peer_p50_ms={:.0}",
        arguments.parts.database.name(),
        host.phase.ms(50),
        host.phase.ms(99),
        rootless.step.ms(50),
        peer.ms(50),
    ));
    Ok(())
}

struct Begun {
    phase: Times,
    step: Times,
    peer: Option<Times>,
}

/// Pushes again and again, each after the build of the one before has ended.
async fn pushes(world: &World, count: u64, peer: Option<&Buildbot>) -> Result<Begun> {
    let linked = world.repository(Kind::GitHub).create().await?;
    // The first pulls the base image and starts what only starts once.
    one(world, &linked, 1, peer).await?;
    let (mut phases, mut steps, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 2..=count + 1 {
        let (phase, step, at_peer) = one(world, &linked, number, peer).await?;
        phases.push(phase);
        steps.push(step);
        peers.extend(at_peer);
    }
    Ok(Begun {
        phase: Times::of(phases)?,
        step: Times::of(steps)?,
        peer: peer.map(|_| Times::of(peers)).transpose()?,
    })
}

async fn one(
    world: &World,
    linked: &Linked<'_>,
    number: u64,
    peer: Option<&Buildbot>,
) -> Result<(Duration, Duration, Option<Duration>)> {
    let deliveries = world.forge.deliveries();
    deliveries.pause();
    let content = format!("{number}\n");
    let commit = linked
        .source
        .push("main", &[("word", &content)], "A change")
        .await?;
    let held = deliveries.held();
    let delivery = held.last().context("the push made no delivery")?;
    let sent = Instant::now();
    let (phase, step) = {
        let release = deliveries.release(Order::Fifo);
        let seen = async {
            let phase = seen(world, linked, number, "phases", sent).await?;
            let step = seen(world, linked, number, "steps", sent).await?;
            anyhow::Ok((phase, step))
        };
        let ((), seen) = tokio::join!(release, seen);
        seen?
    };
    linked.succeeded(number).await?;
    world.settled().await?;
    let at_peer = match peer {
        Some(peer) => Some(peer.push(&delivery.body, &commit).await?),
        None => None,
    };
    Ok((phase, step, at_peer))
}

/// Waits until the report of a build has something in one of its lists.
async fn seen(
    world: &World,
    linked: &Linked<'_>,
    number: u64,
    list: &str,
    sent: Instant,
) -> Result<Duration> {
    let path = format!("/repositories/{}/builds/{number}", linked.name);
    loop {
        let answer = world.api.call(reqwest::Method::GET, &path, None).await?;
        let found = answer.json[list].as_array().is_some_and(|list| !list.is_empty());
        if found {
            return Ok(sent.elapsed());
        }
        if sent.elapsed() > PATIENCE {
            bail!("{list} of build {number} stay empty: {}", answer.text);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
