//! Who is told when something has happened. All of it is courtesy: whoever waits also looks at the database
//! by itself, so that a lost ring costs time, never work; and other replicas hear nothing of it.

use slipway_types::BuildId;
use tokio::sync::{broadcast, watch};

use super::wake::Wake;

/// Everything that the way from a webhook to a build, and back, rings.
#[derive(Debug, Clone)]
pub struct Bells {
    /// A delivery was stored.
    pub deliveries: Wake,
    /// A forge has to be asked.
    pub checks: Wake,
    /// A change has to be decided.
    pub changes: Wake,
    /// A tag has to be read back.
    pub tags: Wake,
    /// Something has to be done at an outer system.
    pub outbox: Wake,
    /// A build may be leased, or a tag was let go: for everybody who waits.
    pub queue: Bell,
    /// A build went on: state, phases or log.
    pub builds: BuildBell,
}

impl Default for Bells {
    fn default() -> Self {
        Self::new(Wake::default())
    }
}

impl Bells {
    /// Bells, with the outbox's.
    pub fn new(outbox: Wake) -> Self {
        Self {
            deliveries: Wake::default(),
            checks: Wake::default(),
            changes: Wake::default(),
            tags: Wake::default(),
            outbox,
            queue: Bell::default(),
            builds: BuildBell::default(),
        }
    }
}

/// Wakes everybody who listens.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<u64>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Bell {
    /// Wakes everybody who listens.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Listens from now on; a ring between this and [`Listener::rung`] is not lost.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// Hears a [`Bell`].
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Until the bell has rung since the last time.
    pub async fn rung(&mut self) {
        // The bell outlives its listeners; without it, nobody will ring again.
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Tells who listens which build went on.
#[derive(Debug, Clone)]
pub struct BuildBell(broadcast::Sender<BuildId>);

impl Default for BuildBell {
    fn default() -> Self {
        Self(broadcast::Sender::new(256))
    }
}

impl BuildBell {
    /// This build went on.
    pub fn ring(&self, build: BuildId) {
        // Nobody listening is well.
        let _ = self.0.send(build);
    }

    /// Listens for one build from now on.
    pub fn listen(&self, build: BuildId) -> BuildListener {
        BuildListener {
            build,
            rings: self.0.subscribe(),
        }
    }
}

/// Hears of one build.
#[derive(Debug)]
pub struct BuildListener {
    build: BuildId,
    rings: broadcast::Receiver<BuildId>,
}

impl BuildListener {
    /// Until the build went on since the last time, or may have.
    pub async fn rung(&mut self) {
        loop {
            match self.rings.recv().await {
                Ok(build) if build != self.build => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }
}
