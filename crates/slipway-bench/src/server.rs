//! The server that is measured: a process of its own.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{database::Database, figures};

/// A running `slipway serve`. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on a free loopback port, and waits until it listens.
    pub(crate) async fn start(program: &Path, database: &Database, options: &[&str]) -> Result<Self> {
        let data = &database.data;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", &address.to_string(), "--data-dir"])
            .arg(data)
            .args(options)
            .env("SLIPWAY_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(data.join("serve.log"))?)
            .kill_on_drop(true);
        if let Some(url) = &database.database_url {
            command.env("SLIPWAY_DATABASE_URL", url);
        }
        let child = command
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let pid = Pid::from_raw(child.id().context("it has ended")?.cast_signed());
        let mut server = Self { child, pid, address };
        server.listens(data).await?;
        Ok(server)
    }

    async fn listens(&mut self, data: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(self.address).await.is_err() {
            if Instant::now() > deadline || self.child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(data.join("serve.log")).unwrap_or_default();
                bail!("the server does not listen:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its resident memory, in MB of 1,000,000 bytes.
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        figures::rss_mb(self.pid.as_raw().cast_unsigned())
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(self.pid, Signal::SIGTERM)?;
        let status = tokio::time::timeout(Duration::from_mins(1), self.child.wait())
            .await
            .context("the server did not stop within a minute")??;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}
