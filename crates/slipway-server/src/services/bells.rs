//! Who is told when something has happened. All of it is courtesy: whoever waits also looks at the database
//! by itself, so that a lost ring costs time, never work.
//!
//! Where several servers share one database, what is rung in one is [told to the others](rings::Told), and rings there
//! as well.

use std::{sync::Arc, time::Duration};

use slipway_store::Store;
use slipway_types::BuildId;
use tokio::sync::{broadcast, watch};

use super::wake::Wake;

pub mod rings;

use rings::{Ring, Rings, Untold};

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
    /// How long whoever waits for a ring does so.
    pub patience: Arc<Patience>,
    untold: Option<Untold>,
}

impl Default for Bells {
    fn default() -> Self {
        Self::with(None)
    }
}

impl Bells {
    /// Bells of a server on this store.
    pub fn of(store: &Store) -> Self {
        Self::with(store.is_shared().then(Untold::default))
    }

    fn with(untold: Option<Untold>) -> Self {
        let wake = |ring| Wake::told(untold.clone().map(|untold| (untold, ring)));
        Self {
            deliveries: wake(Ring::Deliveries),
            checks: wake(Ring::Checks),
            changes: wake(Ring::Changes),
            tags: wake(Ring::Tags),
            outbox: wake(Ring::Outbox),
            queue: Bell {
                rings: watch::Sender::new(0),
                untold: untold.clone(),
            },
            builds: BuildBell {
                rings: broadcast::Sender::new(256),
                untold: untold.clone(),
            },
            patience: Arc::default(),
            untold,
        }
    }

    /// What other servers have not been told; `None` where there can be no others.
    pub fn untold(&self) -> Option<&Untold> {
        self.untold.as_ref()
    }

    /// Rings here what was rung at another server.
    pub fn hear(&self, rings: &Rings) {
        for ring in rings.bells() {
            match ring {
                Ring::Deliveries => self.deliveries.up_here(),
                Ring::Checks => self.checks.up_here(),
                Ring::Changes => self.changes.up_here(),
                Ring::Tags => self.tags.up_here(),
                Ring::Outbox => self.outbox.up_here(),
                Ring::Queue => self.queue.ring_here(),
            }
        }
        for went_on in rings.builds() {
            self.builds.ring_here(went_on);
        }
    }
}

/// How long whoever waits for a ring does so, before looking by itself: where a ring was lost.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a build that may be leased.
    pub lease: Duration,
    /// For a tag that was let go.
    pub fence: Duration,
    /// For a build's cancellation.
    pub cancel: Duration,
    /// For more of a build's log.
    pub log: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(2),
            fence: Duration::from_secs(1),
            cancel: Duration::from_secs(3),
            log: Duration::from_secs(2),
        }
    }
}

/// Wakes everybody who listens.
#[derive(Debug, Clone)]
pub struct Bell {
    rings: watch::Sender<u64>,
    untold: Option<Untold>,
}

impl Bell {
    /// Wakes everybody who listens, at every server.
    pub fn ring(&self) {
        self.ring_here();
        if let Some(untold) = &self.untold {
            untold.add(Ring::Queue);
        }
    }

    fn ring_here(&self) {
        self.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Listens from now on; a ring between this and [`Listener::rung`] is not lost.
    pub fn listen(&self) -> Listener {
        Listener(self.rings.subscribe())
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

/// Tells who listens which build went on; `None`: any may have.
#[derive(Debug, Clone)]
pub struct BuildBell {
    rings: broadcast::Sender<Option<BuildId>>,
    untold: Option<Untold>,
}

impl BuildBell {
    /// This build went on: at every server.
    pub fn ring(&self, build: BuildId) {
        self.ring_here(Some(build));
        if let Some(untold) = &self.untold {
            untold.add_build(build);
        }
    }

    fn ring_here(&self, build: Option<BuildId>) {
        // Nobody listening is well.
        let _ = self.rings.send(build);
    }

    /// Listens for one build from now on.
    pub fn listen(&self, build: BuildId) -> BuildListener {
        BuildListener {
            build,
            rings: self.rings.subscribe(),
        }
    }
}

/// Hears of one build.
#[derive(Debug)]
pub struct BuildListener {
    build: BuildId,
    rings: broadcast::Receiver<Option<BuildId>>,
}

impl BuildListener {
    /// Until the build went on since the last time, or may have.
    pub async fn rung(&mut self) {
        loop {
            match self.rings.recv().await {
                Ok(Some(build)) if build != self.build => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            }
        }
    }
}
