//! The host driver: no walls. The pipeline is a child process that uses the host's own engine; for one trusted
//! owner (machines.md). It keeps runs apart only as far as a private directory and a clean environment go.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio, time::Duration};

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    driver::{Driver, DriverName, Exit, Machine, MachineSpec, Started},
    error::MachineError,
    processes,
};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes machines that are processes of this host.
#[derive(Debug, Clone)]
pub struct Host {
    work: PathBuf,
}

impl Host {
    /// Work directories are made below `work`, one for each run, mode 0700, and removed with the machine.
    pub fn new(work: PathBuf) -> Self {
        Self { work }
    }

    fn directory(&self, spec: &MachineSpec) -> Result<TempDir, MachineError> {
        let failed = |source| MachineError::WorkDirectory {
            parent: self.work.clone(),
            source,
        };
        std::fs::create_dir_all(&self.work).map_err(failed)?;
        // Short, because unix sockets lie below and their paths end at 108 bytes (unix(7)).
        let id = spec.build.uuid().simple().to_string();
        tempfile::Builder::new()
            .prefix(&format!("{}-{}-", &id[id.len() - 8..], spec.lease.0))
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.work)
            .map_err(failed)
    }
}

impl Driver for Host {
    fn name(&self) -> DriverName {
        DriverName::Host
    }

    fn isolates(&self) -> bool {
        false
    }

    fn start(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Started, MachineError>> {
        Box::pin(async move {
            let directory = self.directory(&spec)?;
            let marker = directory.path().display().to_string();
            let mut child = Command::new(&spec.program)
                .args(&spec.arguments)
                .env_clear()
                .envs(spec.environment)
                .env(processes::MARKER, &marker)
                .current_dir(directory.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // Away from the terminal's signals: a builder that drains is interrupted, its builds are not.
                .process_group(0)
                .spawn()
                .map_err(|source| MachineError::Start {
                    program: spec.program.clone(),
                    source,
                })?;
            let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let (Some(stdin), Some(stdout), Some(stderr)) = taken else {
                unreachable!("all three were asked for as pipes");
            };
            Ok(Started {
                stdin: Box::new(stdin),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                machine: Box::new(HostMachine {
                    child,
                    marker,
                    directory: Some(directory),
                }),
            })
        })
    }
}

#[derive(Debug)]
struct HostMachine {
    child: Child,
    marker: String,
    directory: Option<TempDir>,
}

impl HostMachine {
    async fn end(&mut self, grace: Duration) -> Result<(), MachineError> {
        if !grace.is_zero() {
            // However it ends, what it left behind is looked for below.
            let _ = tokio::time::timeout(grace, self.child.wait()).await;
        }
        let root = self.child.id();
        let find = || {
            let mut found = processes::marked(&self.marker);
            found.extend(root.map(processes::tree).unwrap_or_default());
            found.sort_unstable();
            found.dedup();
            found
        };
        let alive = processes::kill_all(find, PATIENCE).await;
        if alive > 0 {
            return Err(MachineError::StillAlive { alive });
        }
        self.child
            .wait()
            .await
            .map_err(|source| MachineError::Wait { source })?;
        self.remove().await
    }

    async fn remove(&mut self) -> Result<(), MachineError> {
        let Some(directory) = self.directory.take() else {
            return Ok(());
        };
        let path = directory.path().to_owned();
        let removed = tokio::task::spawn_blocking(move || directory.close()).await;
        let gone = removed.map_err(std::io::Error::other).and_then(|r| r);
        gone.map_err(|source| MachineError::Remove { path, source })
    }
}

impl Machine for HostMachine {
    fn wait(&mut self) -> BoxFuture<'_, Result<Exit, MachineError>> {
        Box::pin(Exit::of(&mut self.child))
    }

    fn kill(&mut self, grace: Duration) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(self.end(grace))
    }
}
