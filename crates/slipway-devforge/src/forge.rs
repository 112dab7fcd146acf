//! Starting and stopping, and what all parts share.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::conformance::{Recorder, Report};
use crate::error::{DevForgeError, Result};
use crate::mishaps::Mishap;
use crate::people::Kind;
use crate::provider::Provider;
use crate::secrets::{IssuedSecret, Ledger, lock};
use crate::state::World;
use crate::webhooks::courier::Courier;
use crate::{bitbucket, control, git, github};

/// What handlers and handles share.
pub(crate) type Shared = Arc<Inner>;

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) data: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) ledger: Ledger,
    pub(crate) courier: Courier,
    pub(crate) recorder: Recorder,
    /// Tokens that git was given, by id: a test can see that a clone used the product's token.
    pub(crate) git_tokens_used: Mutex<HashSet<u64>>,
    world: Mutex<World>,
    pub(crate) mishaps: Mutex<Vec<(Kind, Mishap)>>,
    turns: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>,
    clock_ahead: Mutex<Duration>,
}

/// Where the simulated forge is reached.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Addresses {
    /// GitHub's web URL, `http://127.0.0.1:PORT`.
    pub github: String,
    /// GitHub's API URL: the web URL and `/api/v3`.
    pub github_api: String,
    /// Bitbucket's web URL.
    pub bitbucket: String,
    /// Bitbucket's API URL: the web URL and `/2.0`.
    pub bitbucket_api: String,
    /// Host and port of the SSH listener.
    pub ssh: SocketAddr,
    /// The SSH host's public key, `ssh-ed25519 AAAA…`.
    pub ssh_host_key: String,
}

impl Addresses {
    /// Web URL of one kind, without a slash at the end.
    pub fn web(&self, kind: Kind) -> &str {
        match kind {
            Kind::GitHub => &self.github,
            Kind::Bitbucket => &self.bitbucket,
        }
    }

    /// API URL of one kind, without a slash at the end.
    pub fn api(&self, kind: Kind) -> &str {
        match kind {
            Kind::GitHub => &self.github_api,
            Kind::Bitbucket => &self.bitbucket_api,
        }
    }

    /// The line for a `known_hosts` file: `[127.0.0.1]:PORT ssh-ed25519 AAAA…`.
    pub fn known_hosts_line(&self) -> String {
        format!("[{}]:{} {}", self.ssh.ip(), self.ssh.port(), self.ssh_host_key)
    }
}

impl Inner {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The simulation's clock: the machine's, put forward by [`DevForge::advance`].
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + *lock(&self.clock_ahead)
    }

    /// The lock that orders pushes to one repository.
    pub(crate) fn turn_of(&self, repo: u64) -> Arc<tokio::sync::Mutex<()>> {
        lock(&self.turns).entry(repo).or_default().clone()
    }
}

fn or_away(routes: Router, shared: &Shared, kind: Kind) -> Router {
    let state = (shared.clone(), kind);
    routes.layer(axum::middleware::from_fn_with_state(state, crate::faults::outage))
}

/// A running simulation of both forges. Stops when dropped.
pub struct DevForge {
    shared: Shared,
    stop: CancellationToken,
    /// Keeps the temporary data directory for as long as the forge runs.
    _temporary: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for DevForge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevForge")
            .field("addresses", &self.shared.addresses)
            .finish_non_exhaustive()
    }
}

impl DevForge {
    /// Binds the listeners and serves them in the current tokio runtime.
    ///
    /// # Errors
    /// When an address is taken, the data directory cannot be used, or the conformance check is
    /// asked for and a description is missing.
    pub async fn start(config: Config) -> Result<Self> {
        let (data, temporary) = data_directory(&config).await?;
        let recorder = Recorder::new(config.conformance.clone())?;
        let host_key = git::ssh::host_key()?;
        let host_key_text = host_key
            .public_key()
            .to_openssh()
            .map_err(|error| DevForgeError::HostKey(error.to_string()))?
            .trim()
            .to_owned();
        let (github, github_at) = listen(config.listen_github).await?;
        let (bitbucket, bitbucket_at) = listen(config.listen_bitbucket).await?;
        let (ssh, ssh_at) = listen(config.listen_ssh).await?;
        let addresses = Addresses {
            github: format!("http://{github_at}"),
            github_api: format!("http://{github_at}/api/v3"),
            bitbucket: format!("http://{bitbucket_at}"),
            bitbucket_api: format!("http://{bitbucket_at}/2.0"),
            ssh: ssh_at,
            ssh_host_key: host_key_text,
        };
        let courier = Courier::new(config.delivery_timeout);
        let shared = Arc::new(Inner {
            config,
            data,
            addresses,
            ledger: Ledger::default(),
            courier,
            recorder,
            git_tokens_used: Mutex::default(),
            world: Mutex::default(),
            mishaps: Mutex::default(),
            turns: Mutex::default(),
            clock_ahead: Mutex::default(),
        });
        let stop = CancellationToken::new();
        serve(
            github,
            or_away(github::router(&shared), &shared, Kind::GitHub).merge(control::router(&shared)),
            &stop,
        );
        serve(
            bitbucket,
            or_away(bitbucket::router(&shared), &shared, Kind::Bitbucket),
            &stop,
        );
        tokio::spawn(git::ssh::serve(shared.clone(), ssh, host_key, stop.clone()));
        Ok(Self {
            shared,
            stop,
            _temporary: temporary,
        })
    }

    /// Stops listening. Connections that are open end with the runtime.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Where everything is reached.
    pub fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }

    /// The GitHub side.
    pub fn github(&self) -> Provider {
        self.provider(Kind::GitHub)
    }

    /// The Bitbucket side.
    pub fn bitbucket(&self) -> Provider {
        self.provider(Kind::Bitbucket)
    }

    /// The side of the given kind.
    pub fn provider(&self, kind: Kind) -> Provider {
        Provider::new(self.shared.clone(), kind)
    }

    /// Control over webhook deliveries, and their log.
    pub fn deliveries(&self) -> crate::webhooks::Deliveries {
        crate::webhooks::Deliveries::new(self.shared.clone())
    }

    /// Every secret value that was issued by the simulation or configured at it.
    pub fn secrets(&self) -> Vec<IssuedSecret> {
        self.shared.ledger.all()
    }

    /// Puts the simulation's clock forward: codes and tokens age at once, nobody sleeps.
    pub fn advance(&self, by: Duration) {
        *lock(&self.shared.clock_ahead) += by;
    }

    /// Validates everything recorded so far. Empty when the check was not enabled.
    pub fn conformance_report(&self) -> Report {
        self.shared.recorder.report()
    }
}

impl Drop for DevForge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn data_directory(config: &Config) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(data) = &config.data {
        tokio::fs::create_dir_all(data)
            .await
            .map_err(DevForgeError::file(data))?;
        let data = tokio::fs::canonicalize(data)
            .await
            .map_err(DevForgeError::file(data))?;
        return Ok((data, None));
    }
    let temporary = tempfile::Builder::new()
        .prefix("devforge-")
        .tempdir()
        .map_err(DevForgeError::file(std::env::temp_dir()))?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| DevForgeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) {
    let stop = stop.clone();
    tokio::spawn(async move {
        let server = axum::serve(listener, router).into_future();
        tokio::select! {
            () = stop.cancelled() => {}
            ended = server => if let Err(error) = ended { tracing::error!(%error, "listener ended") },
        }
    });
}
