//! A long log that many read while it is written: what memory the server needs, whose builder runs the build. All
//! readers follow from the beginning, and each must have been told all of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use secrecy::ExposeSecret as _;
use slipway_testing::{Kind, Linked, World, samples};
use tokio::task::JoinSet;

use crate::{
    figures::{rss_mb, say},
    parts::{Machines, Parts},
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    parts: Parts,
    /// The log's size in MiB; beyond 63 its middle would be cut
    #[arg(long, value_name = "MIB", default_value_t = 60)]
    size: u64,
    /// Readers
    #[arg(long, value_name = "N", default_value_t = 20)]
    readers: u32,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let world = arguments.parts.world(Machines::Host).start().await?;
    let bytes = arguments.size << 20;
    let talk =
        format!("seq -f 'This is line %.0f of the log, and it says something.' 100000000 | head -c {bytes}");
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", world.gate.hook("pre_build", &talk))
        .create()
        .await?;
    linked.push_word("main", "talks").await?;
    world.gate.begun("pre_build").await?;
    let server = world.serve.pid().await.context("the server does not run")?;
    say(&format!("before: rss_mb={:.1}", rss_mb(server)?));
    let mut readers = JoinSet::new();
    for _ in 0..arguments.readers {
        readers.spawn(read(request(&world, &linked)?));
    }
    let start = Instant::now();
    world.gate.go_on("pre_build");
    let (mut most, mut second) = (rss_mb(server)?, 0);
    while !readers.is_empty() {
        tokio::select! {
            told = readers.join_next() => if let Some(told) = told {
                let told = told??;
                ensure!(told > bytes, "a reader was told {told} bytes only");
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let (now, passed) = (rss_mb(server)?, start.elapsed().as_secs());
        most = most.max(now);
        if passed >= second + 5 {
            say(&format!("after {passed} s: rss_mb={now:.1}"));
            second = passed;
        }
    }
    let took = start.elapsed().as_secs_f64();
    linked.succeeded(1).await?;
    say(&format!(
        "{} MiB to {} readers in {took:.1} s; afterwards rss_mb={:.1}",
        arguments.size,
        arguments.readers,
        rss_mb(server)?
    ));
    world.serve.stop().await?;
    say(&format!(
        "db={} rss_mb={most:.0}",
        arguments.parts.database.name()
    ));
    Ok(())
}

fn request(world: &World, linked: &Linked<'_>) -> Result<reqwest::RequestBuilder> {
    let url = format!("/api/v1/repositories/{}/builds/1/log/events", linked.name);
    let http = reqwest::Client::builder().no_proxy().build()?;
    let token = world.api.token().expose_secret();
    Ok(http.get(world.serve.at(&url)).bearer_auth(token))
}

/// Reads to the end of the log. Returns how many bytes it was told, with what is around the log.
async fn read(request: reqwest::RequestBuilder) -> Result<u64> {
    let mut answer = request.send().await?.error_for_status()?;
    let mut told = 0;
    while let Some(piece) = answer.chunk().await? {
        told += piece.len() as u64;
    }
    Ok(told)
}
