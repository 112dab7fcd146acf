//! Leases, while very many builds wait: every namespace has as many as its plan lets wait, and none of them waits for
//! another.
//!
//! First one request after another, as a builder with a free slot sends it; timed from the question to the answer, which
//! is the build's whole specification. Then a builder that runs as many as it can in machines whose pipeline says at once
//! that all went well: what is left is what a build costs the server and the builder. The machines are processes of
//! this host, started and reaped for each build. Server and builder are in one process, as in `slipway serve`; of the
//! loops, none runs: there is no forge to be told of anything.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use slipway_builder::outside::{
    Builder, BuilderConfig, BuilderHello, Coordinator as _, Ended, PipelineProgram,
};
use slipway_machine::Host;
use slipway_server::{
    app::{App, Settings},
    services::coordinator::InProcess,
};
use slipway_store::{BuildPlan, NewBuild, Store, Tx};
use slipway_types::{
    CommitSha, RefName, Seq,
    build::{Cause, Purpose},
    protocol::{FromPipeline, Outcome, RuleSpec},
};
use tokio_util::sync::CancellationToken;

use crate::{
    database::Database,
    figures::{Times, say},
    seed::{Ground, Place, REGISTRY},
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: Database,
    /// Where machines of the second part lie; empty
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// Builds that wait
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pending: u64,
    /// Builds that wait in each namespace
    #[arg(long, value_name = "N", default_value_t = 1000)]
    each: u64,
    /// Requests of the first part
    #[arg(long, value_name = "N", default_value_t = 300)]
    requests: u32,
    /// How long the second part takes, in seconds
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// Builds at once in the second part
    #[arg(long, value_name = "N", default_value_t = 8)]
    slots: usize,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let store = arguments.database.open().await?;
    let start = Instant::now();
    queue(&store, arguments.pending, arguments.each).await?;
    let waiting = store.builds().count_unfinished().await?;
    say(&format!(
        "{waiting} builds wait in {} namespaces; queued in {:.0} s",
        arguments.pending.div_ceil(arguments.each),
        start.elapsed().as_secs_f64()
    ));
    let settings = Settings {
        public_url: "http://localhost:8300".parse()?,
        forges: Vec::new(),
        allow_private_hosts: Vec::new(),
        builder: "embedded".to_owned(),
    };
    let app = App::new(store.clone(), settings).await?;
    let times = requests(&app.coordinator(), arguments.requests).await?;
    say(&format!("a lease request, {times}"));
    let per_second = empty_builds(&app, &store, arguments).await?;
    store.close().await?;
    say(&format!(
        "db={} leases_per_s={per_second:.1} lease_ms_at_100k={:.1}",
        arguments.database.name(),
        times.ms(50)
    ));
    Ok(())
}

/// Fills the queue.
async fn queue(store: &Store, pending: u64, each: u64) -> Result<()> {
    let tx = store.begin().await?;
    let ground = Ground::lay(&tx).await?;
    tx.commit().await?;
    let mut left = pending;
    for number in 0..pending.div_ceil(each) {
        let tx = store.begin().await?;
        let place = ground.place(&tx, &format!("team-{number}"), number).await?;
        key(&tx, &place).await?;
        let plan = plan(&ground, &format!("team-{number}"))?;
        for n in 0..each.min(left) {
            // Those of one namespace lie between those of all others.
            let seq = n * pending.div_ceil(each) + number;
            tx.builds().queue(&build(&place, &plan, seq)?).await?;
        }
        tx.commit().await?;
        left = left.saturating_sub(each);
    }
    Ok(())
}

/// A deploy key, whose private half is opened for each lease.
async fn key(tx: &Tx, place: &Place) -> Result<()> {
    let private = "x".repeat(400).as_str().into();
    let resource = tx
        .provider_resources()
        .insert_key(place.source, place.link, "ssh-ed25519 AAAA", &private)
        .await?;
    tx.provider_resources().settle_active(resource, "98").await?;
    Ok(())
}

fn plan(ground: &Ground, name: &str) -> Result<BuildPlan> {
    Ok(BuildPlan {
        rule_text: "Branch /.*/ → {sourceref}".to_owned(),
        rule: RuleSpec {
            dockerfile_location: "Dockerfile".to_owned(),
            build_context: "/".to_owned(),
            build_caching: true,
            platforms: Vec::new(),
            build_args: Vec::new(),
            target: None,
        },
        registry_id: ground.registry,
        registry: REGISTRY.to_owned(),
        path: format!("{name}/app").parse()?,
        tags: Vec::new(),
        tags_as_written: String::new(),
        fetch_ref: String::new(),
        labels: Vec::new(),
        external: false,
        message: Some("Let the parser say which line it does not like".to_owned()),
        author: Some("Ann Example <ann@example.invalid>".to_owned()),
    })
}

/// A build of a branch of its own, so that it waits for no other.
fn build(place: &Place, plan: &BuildPlan, seq: u64) -> Result<NewBuild> {
    let branch = format!("branch-{seq:06}");
    let git_ref = RefName::branch(&branch)?;
    let sha: CommitSha = hex::encode(rand::random::<[u8; 20]>()).parse()?;
    Ok(NewBuild {
        namespace: place.namespace,
        repository: place.repository,
        configuration: Some(place.configuration),
        rule: Some(place.rule),
        source: place.source,
        change: None,
        seq: Seq(i64::try_from(seq)?),
        pull_request: None,
        sha,
        cause: Cause::Push,
        purpose: Purpose::Push,
        actor: None,
        retry_of: None,
        plan: BuildPlan {
            tags: vec![branch.parse()?],
            tags_as_written: branch,
            fetch_ref: git_ref.full().to_owned(),
            ..plan.clone()
        },
        git_ref,
        time_limit_s: 3600,
    })
}

/// One request after another, each build ended before the next is asked for.
async fn requests(coordinator: &InProcess, count: u32) -> Result<Times> {
    let hello = BuilderHello {
        host: "localhost".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platforms: vec!["linux/amd64".to_owned()],
        driver: "rootless".to_owned(),
        isolates: true,
        slots: 1,
    };
    let mut times = Vec::new();
    for _ in 0..count {
        let asked = Instant::now();
        let leased = coordinator.lease(hello.clone()).await?;
        times.push(asked.elapsed());
        let leased = leased.context("nothing was leased although builds wait")?;
        let well = Ended::Success { skipped: Vec::new() };
        coordinator.finish(leased.spec.build, leased.lease, well).await?;
    }
    Times::of(times)
}

/// As many as a builder can run. Returns how many it ended in a second.
async fn empty_builds(app: &App, store: &Store, arguments: &Arguments) -> Result<f64> {
    let config = BuilderConfig {
        slots: arguments.slots,
        ..BuilderConfig::new(empty_pipeline()?)
    };
    let drain = CancellationToken::new();
    let builder = Builder::new(
        app.coordinator(),
        Arc::new(Host::new(arguments.work.clone())),
        config,
        drain.clone(),
        CancellationToken::new(),
    );
    let before = store.builds().count_unfinished().await?;
    let start = Instant::now();
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_secs(arguments.seconds)).await;
        drain.cancel();
    };
    let (ran, ()) = tokio::join!(builder.run(), stop);
    ran?;
    let took = start.elapsed().as_secs_f64();
    let ended = before - store.builds().count_unfinished().await?;
    say(&format!(
        "{ended} empty builds in {took:.1} s, {} at once",
        arguments.slots
    ));
    Ok(ended as f64 / took)
}

/// A machine's first process that hears what to build, and says that all went well.
fn empty_pipeline() -> Result<PipelineProgram> {
    let outcome = Outcome::Success { skipped: Vec::new() };
    let well = serde_json::to_string(&FromPipeline::Ended { outcome })?;
    let script = "IFS= read -r start; printf '%s\\n' \"$0\"";
    Ok(PipelineProgram {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into(), well.into()],
        environment: Vec::new(),
    })
}
