//! A real `slipway serve` process, to be visited, killed and started again.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::Mutex,
};

/// A server process. Killed when dropped.
#[derive(Debug)]
pub struct Serve {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: PathBuf,
    url: String,
    /// Where browsers and providers reach it, or the load balancer that stands before it.
    public_url: String,
    child: Mutex<Option<Child>>,
}

impl Serve {
    /// How long a start may take.
    const START: Duration = Duration::from_mins(1);

    /// A server of `program serve`, with its data below `data`, that is to listen on a free loopback port.
    /// Nothing runs yet: its address is known before, because its configuration may need it.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(program: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Result<Self> {
        let url = format!("http://127.0.0.1:{}", free_port()?);
        Ok(Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            data: data.into(),
            public_url: url.clone(),
            url,
            child: Mutex::default(),
        })
    }

    /// Another server beside this one, behind the same public URL: with the same options and the same key, but a data
    /// directory of its own. Nothing runs yet.
    ///
    /// # Errors
    /// When no port is free.
    pub fn beside(&self, data: impl Into<PathBuf>) -> Result<Self> {
        let mut other = Self::new(self.program.clone(), data)?;
        other.arguments.clone_from(&self.arguments);
        other.environment.clone_from(&self.environment);
        other.public_url.clone_from(&self.public_url);
        other.option("--key-file", self.data.join("slipway.key").display().to_string());
        Ok(other)
    }

    /// Adds an option: `--name value`; or gives it another value.
    pub fn option(&mut self, name: &str, value: impl Into<String>) {
        let there = self.arguments.iter().position(|argument| argument == name);
        match there {
            // Those may stand there often.
            Some(at) if !matches!(name, "--allow-service" | "--allow-private-host") => {
                self.arguments[at + 1] = value.into();
            }
            _ => self.arguments.extend([name.to_owned(), value.into()]),
        }
    }

    /// Sets a variable of its environment.
    pub fn environment(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
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

    /// The file with its log.
    pub fn log(&self) -> PathBuf {
        self.data.join("serve.log")
    }

    /// Its process id, while it runs.
    pub async fn pid(&self) -> Option<u32> {
        self.child.lock().await.as_ref().and_then(Child::id)
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
        self.kill().await?;
        std::fs::create_dir_all(&self.data)?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())?;
        let mut command = Command::new(&self.program);
        // What is set for tests, or for another server, is not meant for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLIPWAY_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("serve")
            .args([
                "--listen",
                self.url.trim_start_matches("http://"),
                "--public-url",
                &self.public_url,
            ])
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} could not be started", self.program.display()))?;
        *self.child.lock().await = Some(child);
        self.answers().await
    }

    /// Kills it with `SIGKILL`, as a power cut would.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill(&self) -> Result<()> {
        let Some(mut child) = self.child.lock().await.take() else {
            return Ok(());
        };
        child.kill().await.context("the server could not be killed")
    }

    /// Asks it to stop (`SIGTERM`) and waits until it has.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn stop(&self) -> Result<()> {
        let Some(mut child) = self.child.lock().await.take() else {
            return Ok(());
        };
        if let Some(pid) = child.id() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        tokio::time::timeout(Self::START, child.wait())
            .await
            .context("the server did not stop within a minute")??;
        Ok(())
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub async fn ended(&self) -> Result<std::process::ExitStatus> {
        let Some(mut child) = self.child.lock().await.take() else {
            bail!("slipway serve does not run");
        };
        tokio::time::timeout(Self::START, child.wait())
            .await
            .context("the server did not end within a minute")?
            .context("the server cannot be waited for")
    }

    async fn answers(&self) -> Result<()> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let deadline = Instant::now() + Self::START;
        loop {
            if http
                .get(self.at("/healthz"))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if let Some(status) = self
                .child
                .lock()
                .await
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
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
