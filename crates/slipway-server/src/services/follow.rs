//! Following a build: its log as it comes, from any place on, and that something changed.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use slipway_store::{LogChunk, Store, StoreError};
use slipway_types::{BuildId, LeaseNo, build::BuildState};

use super::bells::{Bells, BuildListener};

/// The most chunks that are read at once. They wait in memory until the reader takes them, for each reader.
const CHUNKS: i64 = 4;

/// A place in a build's log. In text `run:byte`, as in SSE's `Last-Event-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The run.
    pub run: LeaseNo,
    /// How many bytes of it lie before.
    pub byte: i64,
}

impl LogPlace {
    /// The beginning of everything.
    pub const START: Self = Self {
        run: LeaseNo(0),
        byte: 0,
    };
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.run.0, self.byte)
    }
}

impl std::str::FromStr for LogPlace {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (run, byte) = text.split_once(':').ok_or(BadPlace)?;
        let place = Self {
            run: LeaseNo(run.parse().map_err(|_| BadPlace)?),
            byte: byte.parse().map_err(|_| BadPlace)?,
        };
        if place.run.0 < 0 || place.byte < 0 {
            return Err(BadPlace);
        }
        Ok(place)
    }
}

/// A text is not a place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a log: expected `run:byte`")]
pub struct BadPlace;

/// What somebody who follows a build hears.
#[derive(Debug, Clone)]
pub enum LogEvent {
    /// More log. `place` is behind it: to go on from there.
    Chunk {
        /// The text.
        chunk: LogChunk,
        /// Where to go on.
        place: LogPlace,
    },
    /// A run began; what came before it is of a lost one.
    Run(LeaseNo),
    /// State, phases or steps changed: read the report again.
    Changed(BuildState),
    /// The build has ended, and all of its log was told. The last event.
    Ended(BuildState),
}

/// A build that is followed.
pub type LogEvents = Pin<Box<dyn Stream<Item = Result<LogEvent, StoreError>> + Send>>;

/// Follows builds.
#[derive(Debug, Clone)]
pub struct Follow {
    store: Store,
    bells: Bells,
}

impl Follow {
    /// Of this store.
    pub fn new(store: Store, bells: Bells) -> Self {
        Self { store, bells }
    }

    /// Follows a build from a place in its log on: what is there already, then what comes, until it has ended. A slow
    /// reader loses nothing: everything is read from the store. Dropping the stream ends it.
    pub fn build(&self, build: BuildId, from: LogPlace) -> LogEvents {
        let follower = Follower {
            store: self.store.clone(),
            // Before the first look, so that nothing falls between.
            bell: self.bells.builds.listen(build),
            patience: self.bells.patience.log,
            build,
            place: from,
            said: None,
            ready: Vec::new(),
            ended: false,
        };
        Box::pin(stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|event| (event, follower)))
        }))
    }
}

struct Follower {
    store: Store,
    bell: BuildListener,
    patience: Duration,
    build: BuildId,
    place: LogPlace,
    said: Option<BuildState>,
    /// What was read and not yet told, the next one last.
    ready: Vec<LogEvent>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<LogEvent>, StoreError> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if self.look().await? {
                continue;
            }
            tokio::select! {
                () = self.bell.rung() => self.ready.extend(self.said.map(LogEvent::Changed)),
                () = tokio::time::sleep(self.patience) => {}
            }
        }
    }

    /// Reads what is new. `false` if nothing is.
    async fn look(&mut self) -> Result<bool, StoreError> {
        // The state first: if it is final, all log was written before.
        let Some(build) = self.store.builds().find(self.build).await? else {
            self.ended = true;
            return Ok(true);
        };
        let mut news = Vec::new();
        if self.said != Some(build.state) {
            self.said = Some(build.state);
            news.push(LogEvent::Changed(build.state));
        }
        if let Some(run) = self.newer_run().await? {
            self.place = LogPlace { run, byte: 0 };
            news.push(LogEvent::Run(run));
        }
        let mut chunks = 0;
        for chunk in self
            .store
            .logs()
            .read(self.build, self.place.run, self.place.byte, CHUNKS)
            .await?
        {
            self.place.byte = chunk.end();
            chunks += 1;
            news.push(LogEvent::Chunk {
                chunk,
                place: self.place,
            });
        }
        if build.state.is_final() && chunks < CHUNKS && self.newer_run().await?.is_none() {
            self.ended = true;
            news.push(LogEvent::Ended(build.state));
        }
        news.reverse();
        self.ready = news;
        Ok(!self.ready.is_empty())
    }

    /// The last run that wrote anything, if it is not the one that is being told.
    async fn newer_run(&self) -> Result<Option<LeaseNo>, StoreError> {
        let runs = self.store.logs().runs(self.build).await?;
        Ok(runs.last().copied().filter(|run| *run > self.place.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_log_survives_its_text() {
        let place = LogPlace {
            run: LeaseNo(2),
            byte: 1234,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "2", "2:", "-1:0", "1:-5", "a:b"] {
            assert_eq!(bad.parse::<LogPlace>(), Err(BadPlace), "{bad:?}");
        }
    }
}
