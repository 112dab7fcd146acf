//! Receiving: pushes as GitHub signs them, of 8 KB, over loopback, to a real `slipway serve`.
//!
//! First at a steady pace, where each delivery has its moment and the time counts from it, so that a slow answer also
//! shows at those that had to wait behind it. Then as many as the server takes, over a fixed number of connections,
//! each sending the next when the last was answered; that is the throughput, and the long run that shows whether
//! memory grows. Every answer must be 202: the row is on disk then.

mod client;
mod payload;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use client::Connection;
use payload::Pusher;
use slipway_types::Timestamp;

use crate::{
    database::Database,
    figures::{Times, say},
    seed::{self, Place},
    server::Server,
};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program
    #[arg(long, value_name = "FILE")]
    slipway: PathBuf,
    #[command(flatten)]
    database: Database,
    /// Deliveries of the second part
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    deliveries: u64,
    /// Connections of the second part
    #[arg(long, value_name = "N", default_value_t = 32)]
    connections: usize,
    /// Deliveries per second of the first part
    #[arg(long, value_name = "N", default_value_t = 200)]
    pace: u32,
    /// How long the first part takes, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u32,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let hook = seed(&arguments.database).await?;
    let server = Server::start(&arguments.slipway, &arguments.database, &["--slots", "0"]).await?;
    say(&format!(
        "{} deliveries of {} bytes; {} connections; at rest rss_mb={:.1}",
        arguments.deliveries,
        Pusher::new(&hook, 0).next_push().1.len(),
        arguments.connections,
        server.rss_mb()?,
    ));
    let p99 = paced(arguments, &hook, &server).await?;
    let (per_second, rss) = flood(arguments, &hook, &server).await?;
    server.stop().await?;
    say(&format!(
        "db={} deliveries_per_s={per_second:.0} ack_p99_ms={p99:.1} rss_mb={rss:.0}",
        arguments.database.name(),
    ));
    Ok(())
}

/// The hook that is sent to.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    path: String,
    secret: String,
    repository: u64,
}

/// Somebody has linked an account and configured a repository: its one rule matches none of the pushes, as most pushes
/// build nothing. The database is closed again.
async fn seed(database: &Database) -> Result<Hook> {
    const REPOSITORY: u64 = 4711;
    let store = database.open().await?;
    let hook = Hook {
        path: hex::encode(rand::random::<[u8; 16]>()),
        secret: hex::encode(rand::random::<[u8; 16]>()),
        repository: REPOSITORY,
    };
    let tx = store.begin().await?;
    let ground = seed::Ground::lay(&tx).await?;
    let Place { source, link, .. } = ground.place(&tx, "acme", REPOSITORY).await?;
    let secret = hook.secret.as_str().into();
    let resource = tx
        .provider_resources()
        .insert_hook(source, link, &hook.path, &secret)
        .await?;
    tx.provider_resources().settle_active(resource, "99").await?;
    tx.source_repositories()
        .set_baselined(source, Some(Timestamp::now()))
        .await?;
    tx.commit().await?;
    store.close().await?;
    Ok(hook)
}

/// Sends at a steady pace. Returns the 99th percentile of the time from a delivery's moment to its answer, in
/// milliseconds.
async fn paced(arguments: &Arguments, hook: &Hook, server: &Server) -> Result<f64> {
    const SENDERS: u32 = 16;
    let step = Duration::from_secs(1) / arguments.pace;
    let each = (arguments.pace * arguments.seconds).div_ceil(SENDERS);
    let start = Instant::now() + Duration::from_millis(200);
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let mut connection = Connection::open(server.address).await?;
        let mut pusher = Pusher::new(hook, 1000 + sender as usize);
        senders.push(tokio::spawn(async move {
            let mut times = Vec::with_capacity(each as usize);
            for n in 0..each {
                let moment = start + step * (n * SENDERS + sender);
                tokio::time::sleep_until(moment.into()).await;
                accepted(&mut connection, &mut pusher).await?;
                times.push(moment.elapsed());
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await??);
    }
    let times = Times::of(times)?;
    say(&format!(
        "{}/s for {} s, {times}",
        arguments.pace, arguments.seconds
    ));
    Ok(times.ms(99))
}

/// Sends as much as is taken. Returns deliveries per second, and the most memory that the server had in MB.
async fn flood(arguments: &Arguments, hook: &Hook, server: &Server) -> Result<(f64, f64)> {
    let sent = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..arguments.connections {
        let mut connection = Connection::open(server.address).await?;
        let mut pusher = Pusher::new(hook, sender);
        let (sent, all) = (Arc::clone(&sent), arguments.deliveries);
        senders.push(tokio::spawn(async move {
            while sent.fetch_add(1, Ordering::Relaxed) < all {
                accepted(&mut connection, &mut pusher).await?;
            }
            anyhow::Ok(())
        }));
    }
    let most = watch(&sent, arguments.deliveries, server, start).await?;
    for sender in senders {
        sender.await??;
    }
    Ok((arguments.deliveries as f64 / start.elapsed().as_secs_f64(), most))
}

/// Looks at the server's memory until everything is sent; says a line for each tenth.
async fn watch(sent: &AtomicU64, all: u64, server: &Server, start: Instant) -> Result<f64> {
    let (mut most, mut tenth) = (server.rss_mb()?, 1);
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let done = sent.load(Ordering::Relaxed).min(all);
        let rss = server.rss_mb()?;
        most = most.max(rss);
        if done * 10 >= all * tenth {
            let seconds = start.elapsed().as_secs_f64();
            say(&format!("{done} deliveries in {seconds:.0} s: rss_mb={rss:.1}"));
            tenth = done * 10 / all + 1;
        }
        if done == all {
            return Ok(most);
        }
    }
}

async fn accepted(connection: &mut Connection, pusher: &mut Pusher) -> Result<()> {
    let (head, body) = pusher.next_push();
    let status = connection.send(&head, body).await?;
    ensure!(status == 202, "a delivery was answered {status}");
    Ok(())
}
