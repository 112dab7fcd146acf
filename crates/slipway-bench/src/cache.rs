//! A rebuild from cached layers: the same pushes to the host's engine, which lives on between builds, and to rootless
//! machines, whose engines start anew on the layers that an earlier build left. A build counts from its lease to its
//! end, so that the machine's start and end are in it.

use anyhow::{Context as _, Result};
use serde_json::Value;
use slipway_testing::{Kind, World};

use crate::{
    figures::{Times, say},
    parts::{Machines, Parts},
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    parts: Parts,
    /// Rebuilds on each
    #[arg(long, value_name = "N", default_value_t = 10)]
    builds: u64,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let world = arguments.parts.world(Machines::Host).start().await?;
    let host = rebuilds(&world, Machines::Host, arguments.builds).await?;
    world.serve.stop().await?;
    drop(world);
    let world = arguments.parts.second_world(Machines::Rootless)?.start().await?;
    let rootless = rebuilds(&world, Machines::Rootless, arguments.builds).await?;
    world.serve.stop().await?;
    say(&format!(
        "the build phase alone: ratio={:.2}",
        rootless.phase.ms(50) / host.phase.ms(50)
    ));
    say(&format!(
        "db={} ratio={:.2}",
        arguments.parts.database.name(),
        rootless.whole.ms(50) / host.whole.ms(50)
    ));
    Ok(())
}

struct Took {
    whole: Times,
    phase: Times,
}

/// An image of some layers of some size, whose last one is new in each push.
fn dockerfile(base: &str) -> String {
    let layer = |n| format!("RUN dd if=/dev/urandom of=/layer-{n} bs=1M count=8 && sleep 1\n");
    let layers: String = (1..=8).map(layer).collect();
    format!(
        "FROM {base}\n{layers}COPY word /word\nRUN sha256sum /word /layer-* > /sums\nCMD [\"cat\", \"/word\"]\n"
    )
}

async fn rebuilds(world: &World, machines: Machines, count: u64) -> Result<Took> {
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", dockerfile(&world.base))
        .file("word", "none\n")
        .create()
        .await?;
    let (mut wholes, mut phases) = (Vec::new(), Vec::new());
    for number in 1..=count + 1 {
        linked.push_word("main", &number.to_string()).await?;
        linked.succeeded(number).await?;
        world.settled().await?;
        let path = format!("/repositories/{}/builds/{number}", linked.name);
        let report = world.api.get(&path).await?;
        let (whole, phase) = (between(&report)?, between(build_phase(&report)?)?);
        if number == 1 {
            say(&format!(
                "{machines}: the first build took {:.1} s",
                whole.as_secs_f64()
            ));
            continue;
        }
        wholes.push(whole);
        phases.push(phase);
    }
    let took = Took {
        whole: Times::of(wholes)?,
        phase: Times::of(phases)?,
    };
    say(&format!("{machines}: a rebuild, {}", took.whole));
    say(&format!("{machines}: its build phase, {}", took.phase));
    Ok(took)
}

fn build_phase(report: &Value) -> Result<&Value> {
    let phases = report["phases"].as_array();
    let found = phases.and_then(|phases| phases.iter().find(|one| one["phase"] == "build"));
    found.with_context(|| format!("there was no build phase: {report}"))
}

/// From `started_at` to `ended_at`.
fn between(of: &Value) -> Result<std::time::Duration> {
    let at = |field: &str| -> Result<jiff::Timestamp> {
        let text = of[field].as_str().with_context(|| format!("no {field}: {of}"))?;
        Ok(text.parse()?)
    };
    Ok(at("ended_at")?.duration_since(at("started_at")?).try_into()?)
}
