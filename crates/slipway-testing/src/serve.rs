//! A real `slipway serve` process, to be visited, killed and started again.

use std::{
    net::TcpListener,
    ops::Deref,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::Process;

/// A server process. Killed when dropped.
#[derive(Debug)]
pub struct Serve {
    process: Process,
    data: PathBuf,
    url: String,
}

impl Deref for Serve {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Serve {
    /// A server of `program serve`, with its data below `data`, that is to listen on a free loopback port.
    /// Nothing runs yet: its address is known before, because its configuration may need it.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(program: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Result<Self> {
        let data = data.into();
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = Process::new(program, "serve", data.join("serve.log"));
        process.option("--listen", &address);
        process.option("--public-url", format!("http://{address}"));
        process.option("--data-dir", data.display().to_string());
        Ok(Self {
            process,
            url: format!("http://{address}"),
            data,
        })
    }

    /// Another server beside this one, behind the same public URL: with the same options and the same key, but a data
    /// directory of its own. Nothing runs yet.
    ///
    /// # Errors
    /// When no port is free.
    pub fn beside(&self, data: impl Into<PathBuf>) -> Result<Self> {
        let data = data.into();
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = self.process.beside(data.join("serve.log"));
        process.option("--listen", &address);
        process.option("--data-dir", data.display().to_string());
        process.option("--key-file", self.data.join("slipway.key").display().to_string());
        Ok(Self {
            process,
            url: format!("http://{address}"),
            data,
        })
    }

    /// Adds an option: `--name value`; or gives it another value.
    pub fn option(&mut self, name: &str, value: impl Into<String>) {
        self.process.option(name, value);
    }

    /// Sets a variable of its environment.
    pub fn environment(&mut self, name: &str, value: impl Into<String>) {
        self.process.environment(name, value);
    }

    /// Where it answers, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A page's address.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it, or kills it and starts it again, with the same data on the same port; and waits until it
    /// answers.
    ///
    /// # Errors
    /// When it ends or does not answer; the error shows the end of its log.
    pub async fn start(&self) -> Result<()> {
        self.start_with(&[]).await
    }

    /// As [`Serve::start`], with more variables in its environment, this time only.
    ///
    /// # Errors
    /// As [`Serve::start`].
    pub async fn start_with(&self, environment: &[(&str, &str)]) -> Result<()> {
        self.process.start_with(environment).await?;
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let deadline = Instant::now() + Process::PATIENCE;
        loop {
            if http
                .get(self.at("/healthz"))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if let Some(status) = self.has_ended().await? {
                bail!("slipway serve ended with {status}:\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "slipway serve does not answer at {}:\n{}",
                    self.url,
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A port that nobody listens on. Not one of those that the system gives to outgoing connections
/// (ip-sysctl(7), `ip_local_port_range`: from 32768): such a one could be taken while the server is down.
///
/// # Errors
/// When a hundred were tried and none was free.
pub fn free_port() -> Result<u16> {
    (0..100)
        .map(|_| rand::random_range(20_000..32_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no port is free")
}
