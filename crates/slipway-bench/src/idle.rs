//! The memory of a server that has nothing to do: resident, once it has stood still for a while. Somebody has
//! configured a repository, and its loops and its embedded builder run.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{database::Database, figures::say, seed::Ground, server::Server};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program
    #[arg(long, value_name = "FILE")]
    slipway: PathBuf,
    #[command(flatten)]
    database: Database,
    /// How long it stands, in seconds
    #[arg(long, value_name = "S", default_value_t = 30)]
    seconds: u64,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let store = arguments.database.open().await?;
    let tx = store.begin().await?;
    Ground::lay(&tx).await?.place(&tx, "acme", 4711).await?;
    tx.commit().await?;
    store.close().await?;
    let server = Server::start(&arguments.slipway, &arguments.database, &["--driver", "host"]).await?;
    let start = Instant::now();
    let mut serve = server.rss_mb()?;
    say(&format!("serve at its start: {serve:.1} MB"));
    while start.elapsed() < Duration::from_secs(arguments.seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        serve = serve.max(server.rss_mb()?);
    }
    server.stop().await?;
    say(&format!("db={} serve_mb={serve:.1}", arguments.database.name()));
    Ok(())
}
