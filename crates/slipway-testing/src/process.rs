//! A real `slipway` process that stays, to be killed and started again.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
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

/// A process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// How long a start or a stop may take.
    pub const PATIENCE: Duration = Duration::from_mins(1);

    /// A process of `program command`, with its log in this file. Nothing runs yet.
    pub fn new(program: impl Into<PathBuf>, command: &str, log: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: vec![command.to_owned()],
            environment: Vec::new(),
            log: log.into(),
            child: Mutex::default(),
        }
    }

    /// Another process beside this one, of the same program, options and environment, with a log of its own. Nothing runs yet.
    #[must_use]
    pub fn beside(&self, log: impl Into<PathBuf>) -> Self {
        Self {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            log: log.into(),
            child: Mutex::default(),
        }
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

    /// The file with its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id, while it runs.
    pub async fn pid(&self) -> Option<u32> {
        self.child.lock().await.as_ref().and_then(Child::id)
    }

    /// Starts it, or kills it and starts it again, with these variables more in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_with(&self, environment: &[(&str, &str)]) -> Result<()> {
        self.kill().await?;
        if let Some(directory) = self.log.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(&self.program);
        // What is set for tests, or for another process, is not meant for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLIPWAY_") {
                command.env_remove(name);
            }
        }
        let child = command
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
        Ok(())
    }

    /// Kills it with `SIGKILL`, as a power cut would.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill(&self) -> Result<()> {
        let Some(mut child) = self.child.lock().await.take() else {
            return Ok(());
        };
        child.kill().await.context("the process could not be killed")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().await.context("the process does not run")?;
        kill(Pid::from_raw(pid.cast_signed()), signal)?;
        Ok(())
    }

    /// Asks it to stop (`SIGTERM`) and waits until it has.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn stop(&self) -> Result<()> {
        if self.pid().await.is_none() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM).await?;
        self.ended().await.map(drop)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub async fn ended(&self) -> Result<ExitStatus> {
        let Some(mut child) = self.child.lock().await.take() else {
            bail!("the process does not run");
        };
        tokio::time::timeout(Self::PATIENCE, child.wait())
            .await
            .context("the process did not end within a minute")?
            .context("the process cannot be waited for")
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn has_ended(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().await;
        Ok(child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}
