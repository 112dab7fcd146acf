//! Buildbot, to be measured beside: its GitHub hook, a scheduler that waits for nothing, and a job of one step on a worker
//! in the master's own process, the shortest way that it has. It checks no signature: it knows only the one by SHA-1.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use slipway_testing::serve::free_port;
use tokio::process::{Child, Command};

use super::{LOOK_EVERY, PATIENCE};

/// Buildbot's documentation, "Master configuration" and "Change hooks", "GitHub hook".
const CONFIGURATION: &str = include_str!("master.cfg");

/// A running master. Killed when dropped.
pub(super) struct Buildbot {
    child: Child,
    marks: PathBuf,
    url: String,
    http: reqwest::Client,
}

impl Buildbot {
    /// Makes a master in an empty directory with the programs of `programs`, and waits until it takes changes.
    pub(super) async fn start(programs: &Path, data: &Path) -> Result<Self> {
        let (master, marks) = (data.join("master"), data.join("marks"));
        std::fs::create_dir_all(&master)?;
        std::fs::create_dir_all(&marks)?;
        let port = free_port()?;
        let configuration = CONFIGURATION
            .replace("@PORT@", &port.to_string())
            .replace("@MARKS@", &marks.display().to_string());
        std::fs::write(master.join("master.cfg"), configuration)?;
        let program = programs.join("buildbot");
        let made = Command::new(&program)
            .args(["create-master", "--quiet", "--relocatable"])
            .arg(&master)
            .stdin(Stdio::null())
            .status()
            .await
            .with_context(|| format!("{} could not be started", program.display()))?;
        ensure!(made.success(), "buildbot create-master ended with {made}");
        let child = Command::new(&program)
            .args(["start", "--nodaemon", "--quiet"])
            .arg(&master)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(data.join("log"))?)
            .kill_on_drop(true)
            .spawn()?;
        let mut this = Self {
            child,
            marks,
            url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        this.listens(&master.join("twistd.log")).await?;
        Ok(this)
    }

    async fn listens(&mut self, log: &Path) -> Result<()> {
        let start = Instant::now();
        while self.http.get(&self.url).send().await.is_err() {
            if start.elapsed() > PATIENCE || self.child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                bail!("Buildbot does not listen:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Tells it of a push, as GitHub does. Returns how long it took until its job ran.
    pub(super) async fn push(&self, payload: &[u8], commit: &str) -> Result<Duration> {
        let request = self
            .http
            .post(format!("{}/change_hook/github", self.url))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .body(payload.to_vec());
        let (sent, mark) = (SystemTime::now(), self.marks.join(commit));
        let answer = request.send().await?;
        ensure!(
            answer.status().is_success(),
            "Buildbot answered {}",
            answer.status()
        );
        let start = Instant::now();
        loop {
            if let Ok(mark) = mark.metadata() {
                return Ok(mark.modified()?.duration_since(sent).unwrap_or_default());
            }
            ensure!(start.elapsed() < PATIENCE, "Buildbot ran no job");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("Buildbot did not stop")??;
        Ok(())
    }
}
