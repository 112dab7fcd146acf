//! Where hooks say that they have begun, and wait until they may go on: tests act at one exact moment of a build by this,
//! without guessing how long anything takes. Over HTTP, as a build in a machine of its own sees none of a test's files.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::until;

/// The gate of one world, on loopback.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    phases: Phases,
    server: JoinHandle<()>,
}

/// What hooks have said, and what they may.
#[derive(Debug, Clone, Default)]
struct Phases(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    begun: BTreeSet<String>,
    open: BTreeSet<String>,
    all_open: bool,
}

impl Phases {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Closed for every phase.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let phases = Phases::default();
        let router = Router::new()
            .route("/begun/{phase}", post(begun))
            .route("/open/{phase}", get(open))
            .with_state(phases.clone());
        let server = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            phases,
            server,
        })
    }

    /// Where builds reach it, as `HOST:PORT`.
    pub(crate) fn service(&self) -> String {
        self.address.to_string()
    }

    /// A hook that says that `phase` has begun, waits until it may go on, and does `then`.
    pub fn hook(&self, phase: &str, then: &str) -> String {
        let (curl, gate) = ("curl --silent --fail --noproxy '*'", self.address);
        format!(
            "#!/bin/sh\nset -e\n{curl} --request POST http://{gate}/begun/{phase}\n\
             until {curl} http://{gate}/open/{phase}; do sleep 0.05; done\n{then}\n"
        )
    }

    /// Waits until a hook of `phase` has begun.
    ///
    /// # Errors
    /// When none ever does.
    pub async fn begun(&self, phase: &str) -> Result<()> {
        until(&format!("the hook {phase} runs"), async || {
            Ok(self.phases.lock().begun.contains(phase).then_some(()))
        })
        .await
    }

    /// Lets hooks of `phase` go on, from now on.
    pub fn go_on(&self, phase: &str) {
        self.phases.lock().open.insert(phase.to_owned());
    }

    /// Lets all hooks go on, from now on.
    pub fn go_on_all(&self) {
        self.phases.lock().all_open = true;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn begun(State(phases): State<Phases>, Path(phase): Path<String>) {
    phases.lock().begun.insert(phase);
}

async fn open(State(phases): State<Phases>, Path(phase): Path<String>) -> StatusCode {
    let said = phases.lock();
    if said.all_open || said.open.contains(&phase) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}
