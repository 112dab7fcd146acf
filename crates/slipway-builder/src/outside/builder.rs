//! A builder: slots, and asking for work whenever one is free.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use slipway_machine::Driver;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    coordinator::{BuilderHello, Coordinator, CoordinatorError, Leased},
    run::{Shared, run},
};

/// Waits after the server could not be asked for work: from, and up to.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What a builder is.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// The name of the host that it runs on.
    pub host: String,
    /// Platforms it builds for, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// Runs at once.
    pub slots: usize,
    /// The machines' first process.
    pub pipeline: PipelineProgram,
    /// How often a lease is renewed.
    pub renew_every: Duration,
    /// How long before a lease's term ends its machine must be dead.
    pub kill_margin: Duration,
    /// Where what the server does not take yet waits, once it is more than a little; on a disk.
    pub spool: PathBuf,
}

impl BuilderConfig {
    /// A builder of one slot and of this host's own platform, with the times of order.md.
    pub fn new(pipeline: PipelineProgram) -> Self {
        Self {
            host: nix::unistd::gethostname()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            platforms: vec![own_platform()],
            slots: 1,
            pipeline,
            renew_every: Duration::from_secs(10),
            kill_margin: Duration::from_secs(5),
            spool: std::env::temp_dir(),
        }
    }
}

/// This host's platform, in the words of images (OCI image specification, "Image Index").
fn own_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm/v7",
        other => other,
    };
    format!("linux/{architecture}")
}

/// The program that is a machine's first process.
#[derive(Debug, Clone)]
pub struct PipelineProgram {
    /// An absolute path.
    pub program: PathBuf,
    /// As `machine pipeline`.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing of the builder's own reaches a build otherwise.
    pub environment: Vec<(OsString, OsString)>,
}

impl PipelineProgram {
    /// Variables of this process that a pipeline on the same host needs: where programs, the engine and the
    /// network's proxies are.
    pub fn environment_of_this_host() -> Vec<(OsString, OsString)> {
        const KEPT: &[&str] = &[
            "PATH",
            "LANG",
            "TMPDIR",
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "RUST_LOG",
        ];
        let found = KEPT
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        found.collect()
    }
}

/// A builder.
pub struct Builder<C> {
    shared: Arc<Shared<C>>,
    /// Ends when no more work is wanted.
    drain: CancellationToken,
}

impl<C: Coordinator> Builder<C> {
    /// A builder that asks `coordinator` for work and runs it in machines of `driver`.
    ///
    /// When `drain` is cancelled no more builds are taken, and what runs is run to its end. When `abort` is
    /// cancelled, what runs is killed and given back.
    pub fn new(
        coordinator: Arc<C>,
        driver: Arc<dyn Driver>,
        config: BuilderConfig,
        drain: CancellationToken,
        abort: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                coordinator,
                driver,
                config,
                repositories: RepositoryLocks::default(),
                abort,
            }),
            drain,
        }
    }

    /// Takes and runs builds until it is drained or aborted and nothing runs any more.
    ///
    /// # Errors
    /// [`CoordinatorError::Refused`]: the server does not have this builder any more; what ran is over.
    pub async fn run(self) -> Result<(), CoordinatorError> {
        let slots = Arc::new(Semaphore::new(self.shared.config.slots));
        let mut runs = JoinSet::new();
        let stopped = async || {
            tokio::select! {
                () = self.drain.cancelled() => {}
                () = self.shared.abort.cancelled() => {}
            }
        };
        let outcome = loop {
            let slot = tokio::select! {
                biased;
                () = stopped() => break Ok(()),
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { break Ok(()) };
            while let Some(ended) = runs.try_join_next() {
                log_panic(ended);
            }
            let leased = tokio::select! {
                biased;
                () = stopped() => break Ok(()),
                leased = self.ask() => match leased {
                    Ok(leased) => leased,
                    Err(refused) => break Err(refused),
                },
            };
            let shared = Arc::clone(&self.shared);
            runs.spawn(async move {
                run(shared, leased).await;
                drop(slot);
            });
        };
        while let Some(ended) = runs.join_next().await {
            log_panic(ended);
        }
        outcome
    }

    /// Asks until there is a build, or no use in asking.
    async fn ask(&self) -> Result<Leased, CoordinatorError> {
        let mut wait = AGAIN.0;
        loop {
            match self.shared.coordinator.lease(self.hello()).await {
                Ok(Some(leased)) => return Ok(leased),
                Ok(None) => wait = AGAIN.0,
                Err(refused @ CoordinatorError::Refused(_)) => return Err(refused),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the server could not be asked for work; trying again"
                    );
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
    }

    fn hello(&self) -> BuilderHello {
        let config = &self.shared.config;
        BuilderHello {
            host: config.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platforms: config.platforms.clone(),
            driver: self.shared.driver.name().to_string(),
            isolates: self.shared.driver.isolates(),
            slots: config.slots,
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // Its machine's input has closed with it, so the pipeline ends; the lease runs out.
        tracing::error!(error = &error as &dyn std::error::Error, "a run broke off");
    }
}

/// One lock for each image repository that is being built without walls.
#[derive(Debug, Default)]
pub(super) struct RepositoryLocks {
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl RepositoryLocks {
    /// The lock of a repository; one of nobody else's where machines have walls.
    pub(super) fn of(&self, driver: &dyn Driver, repository: &str) -> Arc<tokio::sync::Mutex<()>> {
        if driver.isolates() {
            return Arc::default();
        }
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(repository).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(repository.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
