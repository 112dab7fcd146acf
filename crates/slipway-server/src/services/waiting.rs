//! What runs and what waits: where, for what, and for how long still.

use std::time::Duration;

use slipway_store::{Build, Builder, BuilderState, StoreError};
use slipway_types::{
    NamespaceId, Timestamp,
    build::{BuildState, Hold},
};

use super::{builders::AWAY_AFTER, queue::Queue};

/// A build that runs or waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The build.
    pub build: Build,
    /// Its place among the namespace's waiting builds, from 1; none if it runs.
    pub position: Option<usize>,
    /// Why it cannot be leased yet; none if it runs, or only waits for a free builder.
    pub hold: Option<Hold>,
    /// How long builds of its rule usually run.
    pub usual: Option<Duration>,
    /// How long until it ends (running) or begins (waiting), by what is usual; none where nothing is known.
    pub estimate: Option<Duration>,
}

impl Queue {
    /// A namespace's builds that run or wait, in the order in which they would be leased, with what keeps them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting(&self, namespace: NamespaceId) -> Result<Vec<Waiting>, StoreError> {
        let plan = self.store.plans().of(namespace).await?;
        let builds = self.store.builds().unfinished(namespace).await?;
        let running = builds
            .iter()
            .filter(|build| build.state == BuildState::InProgress)
            .count();
        let full = running as i64 >= plan.concurrency.into();
        let now = Timestamp::now();
        let builders = self.store.builders().all().await?;
        let at_work: Vec<&Builder> = builders
            .iter()
            .filter(|builder| takes_work(builder, now))
            .collect();
        let mut all = Vec::new();
        let mut position = 0;
        let mut ahead = Ahead::new(plan.concurrency.max(1) as usize);
        for build in builds {
            let usual = match build.new.rule {
                Some(rule) => self.store.builds().usual_duration(rule).await?,
                None => None,
            };
            let runs = build.state == BuildState::InProgress;
            let estimate = if runs {
                let left = build
                    .started_at
                    .zip(usual)
                    .map(|(at, usual)| usual.saturating_sub(now.since(at)));
                ahead.takes(left);
                left
            } else {
                ahead.begins(usual)
            };
            position += usize::from(!runs);
            let hold = if runs {
                None
            } else {
                hold(&build, &at_work, full, now)
            };
            all.push(Waiting {
                position: (!runs).then_some(position),
                hold,
                usual,
                estimate,
                build,
            });
        }
        Ok(all)
    }
}

/// Whether a builder takes work now, as far as is known.
fn takes_work(builder: &Builder, now: Timestamp) -> bool {
    builder.state == BuilderState::Active
        && builder.last_seen_at.is_some_and(|at| now.since(at) <= AWAY_AFTER)
}

/// Why a build that waits cannot be leased yet: first what no waiting helps against.
fn hold(build: &Build, at_work: &[&Builder], full: bool, now: Timestamp) -> Option<Hold> {
    if at_work.is_empty() {
        return Some(Hold::NoBuilder);
    }
    if !at_work.iter().any(|builder| builder.may_run(build)) {
        return Some(Hold::NoBuilderFits);
    }
    if !build.ready {
        return Some(Hold::Predecessor);
    }
    if build.not_before > now {
        return Some(Hold::Cooling);
    }
    full.then_some(Hold::Concurrency)
}

/// When places become free, as far as is known.
struct Ahead {
    /// Until when each place is taken, from now; none: nobody knows.
    places: Vec<Option<Duration>>,
    size: usize,
}

impl Ahead {
    fn new(size: usize) -> Self {
        Self {
            places: Vec::new(),
            size,
        }
    }

    /// A build takes a place for so long.
    fn takes(&mut self, left: Option<Duration>) {
        self.places.push(left);
    }

    /// When a build that waits begins, if it takes the next free place for as long as is usual.
    fn begins(&mut self, usual: Option<Duration>) -> Option<Duration> {
        if self.places.len() < self.size {
            self.places.push(usual);
            return Some(Duration::ZERO);
        }
        let known: Option<Vec<Duration>> = self.places.iter().copied().collect();
        let (place, begins) = known?.into_iter().enumerate().min_by_key(|(_, until)| *until)?;
        self.places[place] = usual.map(|usual| begins + usual);
        Some(begins)
    }
}
