//! A coordinator in memory that can be made to fail.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::Mutex,
    time::Duration,
};

use slipway_builder::outside::{
    Batch, BuilderHello, CancelReason, Coordinator, CoordinatorError, Ended, Leased, Renewal, RunEvent,
};
use slipway_types::{BuildId, DockerTag, LeaseNo, protocol::FenceAnswer};
use tokio::sync::watch;

/// How long a test waits for something that does not happen.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) offered: VecDeque<Leased>,
    pub(crate) hellos: Vec<BuilderHello>,
    /// What was taken, by build and batch number.
    pub(crate) batches: BTreeMap<(BuildId, u64), Batch>,
    /// Batches that came again.
    pub(crate) repeated: usize,
    pub(crate) ended: Vec<(BuildId, Ended)>,
    /// What happened, in order: `log BUILD`, `ended BUILD`.
    pub(crate) order: Vec<String>,
    pub(crate) renewals: usize,
    pub(crate) cancel: Option<CancelReason>,
    /// Renewals, reports and ends fail as if the network were away.
    pub(crate) unreachable: bool,
    /// So many reports are taken, but their answers get lost.
    pub(crate) answers_lost: usize,
    /// Somebody else has the build.
    pub(crate) lost: bool,
    pub(crate) newer: Vec<DockerTag>,
}

pub(crate) struct Fake {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }
}

impl Fake {
    /// Looks at the state, or changes it.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.send_replace(());
        result
    }

    /// Waits until the state is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !so(&self.state.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        };
        let so = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(so.is_ok(), "never: {what}; {:?}", self.state.lock().unwrap());
    }

    pub(crate) async fn until_log(&self, text: &str) {
        self.until(text, |state| state.log().contains(text)).await;
    }

    /// Waits until as many builds have ended, and returns how.
    pub(crate) async fn until_ended(&self, count: usize) -> Vec<Ended> {
        self.until("ended", |state| state.ended.len() >= count).await;
        self.with(|state| state.ended.iter().map(|(_, ended)| ended.clone()).collect())
    }

    pub(crate) fn log(&self) -> String {
        self.state.lock().unwrap().log()
    }

    fn answer(&self) -> Result<(), CoordinatorError> {
        let state = self.state.lock().unwrap();
        match (state.unreachable, state.lost) {
            (true, _) => Err(away()),
            (_, true) => Err(CoordinatorError::LeaseLost),
            _ => Ok(()),
        }
    }
}

fn away() -> CoordinatorError {
    CoordinatorError::Unreachable("the network is away".into())
}

impl State {
    pub(crate) fn log(&self) -> String {
        self.batches
            .values()
            .flat_map(|b| &b.log)
            .map(|chunk| chunk.text.as_str())
            .collect()
    }

    pub(crate) fn events(&self) -> Vec<RunEvent> {
        self.batches
            .values()
            .flat_map(|b| &b.events)
            .map(|stamped| stamped.event.clone())
            .collect()
    }
}

impl Coordinator for Fake {
    async fn lease(&self, hello: BuilderHello) -> Result<Option<Leased>, CoordinatorError> {
        let mut changed = self.changed.subscribe();
        self.with(|state| state.hellos.push(hello));
        loop {
            if let Some(leased) = self.state.lock().unwrap().offered.pop_front() {
                return Ok(Some(leased));
            }
            changed.changed().await.unwrap();
        }
    }

    async fn renew(&self, _: BuildId, _: LeaseNo) -> Result<Renewal, CoordinatorError> {
        self.answer()?;
        Ok(self.with(|state| {
            state.renewals += 1;
            Renewal { cancel: state.cancel }
        }))
    }

    fn canceled(&self, _: BuildId, _: LeaseNo) -> impl Future<Output = CancelReason> + Send {
        let mut changed = self.changed.subscribe();
        async move {
            loop {
                if let Some(reason) = self.state.lock().unwrap().cancel {
                    return reason;
                }
                changed.changed().await.unwrap();
            }
        }
    }

    async fn report(&self, build: BuildId, _: LeaseNo, batch: Batch) -> Result<(), CoordinatorError> {
        self.answer()?;
        self.with(|state| {
            if !batch.log.is_empty() {
                state.order.push(format!("log {build}"));
            }
            if state.batches.insert((build, batch.number), batch).is_some() {
                state.repeated += 1;
            }
            if state.answers_lost == 0 {
                return Ok(());
            }
            state.answers_lost -= 1;
            Err(away())
        })
    }

    async fn fence(
        &self,
        _: BuildId,
        _: LeaseNo,
        tags: Vec<DockerTag>,
    ) -> Result<Vec<(DockerTag, FenceAnswer)>, CoordinatorError> {
        self.answer()?;
        Ok(self.with(|state| {
            let answer = |tag: &DockerTag| {
                let newer = state.newer.contains(tag);
                if newer {
                    FenceAnswer::NewerHoldsTag
                } else {
                    FenceAnswer::Granted
                }
            };
            tags.iter().map(|tag| (tag.clone(), answer(tag))).collect()
        }))
    }

    async fn finish(&self, build: BuildId, _: LeaseNo, ended: Ended) -> Result<(), CoordinatorError> {
        self.answer()?;
        self.with(|state| {
            state.order.push(format!("ended {build}"));
            state.ended.push((build, ended));
        });
        Ok(())
    }
}
