//! The engine as the pipeline itself asks it things, through the CLI that was found to work.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use slipway_types::build::FailureKind;
use tokio::{net::UnixStream, time::Instant};

use super::{
    environment::Environment,
    exec::{Program, Said},
    failure::Failure,
};

/// How long a machine's own engine may take to start. It takes half a second; a host may be busy.
const STARTS_WITHIN: Duration = Duration::from_mins(1);
/// How much of what it says is told when it does not, in bytes.
const LAST_WORDS: usize = 1 << 10;

/// Waits until the machine's own engine takes connections.
pub(super) async fn started(host: &str, log: &Path) -> Result<(), Failure> {
    let Some(socket) = host.strip_prefix("unix://") else {
        return Ok(());
    };
    let until = Instant::now() + STARTS_WITHIN;
    while UnixStream::connect(socket).await.is_err() {
        if Instant::now() > until {
            let said = std::fs::read(log).unwrap_or_default();
            let last = String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS)..]).into_owned();
            let message = format!("the machine's engine did not start: {}", last.trim());
            return Err(Failure::new(FailureKind::MACHINE, message));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// How to ask the engine.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) docker: PathBuf,
    pub(super) environment: Environment,
    pub(super) directory: PathBuf,
    /// The build's compose project.
    pub(super) project: String,
}

impl Engine {
    /// Runs `docker` for what it says.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let program = Program::new(&self.docker, &self.environment, &self.directory).args(arguments);
        program
            .captured()
            .await
            .map_err(|error| Failure::not_run("docker", &error))
    }

    /// The size of a local image, in bytes; none when it is not there.
    pub(super) async fn size_of(&self, image: &str) -> Result<Option<u64>, Failure> {
        let said = self
            .ask(&["image", "inspect", "--format", "{{.Size}}", image])
            .await?;
        Ok(said.stdout.parse().ok().filter(|_| said.status.success()))
    }

    /// `label=…`, by which all that belongs to the build's compose project is found.
    pub(super) fn project_filter(&self) -> String {
        format!("label=com.docker.compose.project={}", self.project)
    }

    /// Removes what carries the build's compose project, however it came to be left.
    pub(super) async fn remove_project(&self) {
        let filter = self.project_filter();
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "-aq"], &["rm", "--force", "--volumes"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "--force"]),
        ];
        for (list, remove) in kinds {
            let Ok(found) = self.ask(&[list, &["--filter", &filter]].concat()).await else {
                continue;
            };
            let ids: Vec<&str> = found.stdout.lines().collect();
            if ids.is_empty() {
                continue;
            }
            if let Err(error) = self.ask(&[remove, ids.as_slice()].concat()).await {
                tracing::warn!(%error, "what the build's compose project left could not be removed");
            }
        }
    }
}
