//! Batches: what a machine says, numbered, until the coordinator has taken it.

use std::{path::Path, sync::Arc, time::Duration};

use slipway_types::{
    BuildId, LeaseNo,
    protocol::{Facts, Step},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{
    coordinator::{Batch, Coordinator, CoordinatorError, LogChunk, RunEvent, Stamped},
    spool::{ROOM, Spool},
};

/// A batch goes out when the one before is this old: at once, where nothing was said for a while …
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// … or this big, in bytes.
const FLUSH_AT: usize = 64 << 10;
/// Waits after a batch that was not taken.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Items that wait to be gathered; then the machine is not listened to.
const WAITING: usize = 64;
/// More events than this are not reported: a machine's word, and no build has so many.
const MOST_EVENTS: usize = 50_000;

/// What is reported.
#[derive(Debug)]
pub(super) enum Item {
    Event(Stamped),
    Log(LogChunk),
}

/// Sends items in batches until it is closed.
pub(super) struct Reporter {
    items: mpsc::Sender<Item>,
    task: AbortOnDropHandle<Result<(), CoordinatorError>>,
}

impl Reporter {
    /// Batches that are not taken wait in `spool`.
    pub(super) fn start<C: Coordinator>(
        coordinator: Arc<C>,
        build: BuildId,
        lease: LeaseNo,
        spool: &Path,
    ) -> Self {
        let (items, waiting) = mpsc::channel(WAITING);
        let spool = Arc::new(Spool::new(spool, ROOM));
        let gatherer = Gatherer { waiting, number: 0 };
        let sender = Sender {
            coordinator,
            build,
            lease,
        };
        let task = async move {
            let gathering = AbortOnDropHandle::new(tokio::spawn(gatherer.run(Arc::clone(&spool))));
            sender.run(&spool).await?;
            drop(gathering);
            Ok(())
        };
        Self {
            items,
            task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Where items go. Sending fails when the lease is lost.
    pub(super) fn items(&self) -> mpsc::Sender<Item> {
        self.items.clone()
    }

    /// Waits until all was taken. All other senders must be gone.
    pub(super) async fn close(self) -> Result<(), CoordinatorError> {
        drop(self.items);
        match self.task.await {
            Ok(outcome) => outcome,
            Err(panic) => Err(CoordinatorError::Unreachable(Box::new(panic))),
        }
    }
}

/// Makes batches of items.
struct Gatherer {
    waiting: mpsc::Receiver<Item>,
    number: u64,
}

impl Gatherer {
    async fn run(mut self, spool: Arc<Spool>) {
        let (mut events, mut next) = (0, Instant::now());
        while let Some(first) = self.waiting.recv().await {
            let mut batch = self.gather(first, next).await;
            next = Instant::now() + FLUSH_AFTER;
            events += batch.events.len();
            if events > MOST_EVENTS {
                batch.events.clear();
            }
            spool.put(batch).await;
        }
        spool.close();
    }

    /// Collects what comes after the first item, until the batch may go out.
    async fn gather(&mut self, first: Item, flush: Instant) -> Batch {
        self.number += 1;
        let mut batch = Batch {
            number: self.number,
            events: Vec::new(),
            log: Vec::new(),
        };
        let mut size = 0;
        let mut next = Some(first);
        while let Some(item) = next {
            size += add(&mut batch, item);
            if size >= FLUSH_AT {
                break;
            }
            next = tokio::time::timeout_at(flush, self.waiting.recv())
                .await
                .ok()
                .flatten();
        }
        batch
    }
}

/// Sends batches, one after another.
struct Sender<C> {
    coordinator: Arc<C>,
    build: BuildId,
    lease: LeaseNo,
}

impl<C: Coordinator> Sender<C> {
    async fn run(&self, spool: &Spool) -> Result<(), CoordinatorError> {
        loop {
            match spool.take().await {
                Ok(Some(batch)) => self.send(batch).await?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(CoordinatorError::Unreachable(Box::new(error))),
            }
        }
    }

    async fn send(&self, batch: Batch) -> Result<(), CoordinatorError> {
        let mut wait = AGAIN.0;
        loop {
            match self
                .coordinator
                .report(self.build, self.lease, batch.clone())
                .await
            {
                Ok(()) => return Ok(()),
                Err(over @ (CoordinatorError::LeaseLost | CoordinatorError::Refused(_))) => return Err(over),
                Err(CoordinatorError::Unreachable(error)) => {
                    tracing::warn!(build = %self.build, batch = batch.number, error = &*error, "a batch was not taken; trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }
}

/// Adds an item; log chunks of one phase become one. Returns the bytes that were added.
fn add(batch: &mut Batch, item: Item) -> usize {
    match item {
        Item::Event(event) => {
            batch.events.push(event);
            256
        }
        Item::Log(chunk) => {
            let size = chunk.text.len();
            match batch.log.last_mut() {
                Some(last) if last.phase == chunk.phase => last.text.push_str(&chunk.text),
                _ => batch.log.push(chunk),
            }
            size
        }
    }
}

/// Cuts what a machine says to what a page can show.
pub(super) fn bounded(event: RunEvent) -> RunEvent {
    match event {
        RunEvent::Step { step } => RunEvent::Step {
            step: Step {
                name: cut(step.name, 1 << 10),
                stage: step.stage.map(|s| cut(s, 256)),
                error: step.error.map(|e| cut(e, 8 << 10)),
                ..step
            },
        },
        RunEvent::Resolved { facts } => RunEvent::Resolved {
            facts: Facts {
                versions: cut_all(facts.versions),
                dockerfile: facts.dockerfile.map(|t| cut(t, 4 << 10)),
                context: facts.context.map(|t| cut(t, 4 << 10)),
                working_directory: facts.working_directory.map(|t| cut(t, 4 << 10)),
                variables: cut_all(facts.variables),
                hooks: cut_all(facts.hooks),
                message: facts.message.map(|t| cut(t, 1 << 10)),
                author: facts.author.map(|t| cut(t, 512)),
                warnings: cut_all(facts.warnings),
            },
        },
        other => other,
    }
}

fn cut_all(mut texts: Vec<String>) -> Vec<String> {
    texts.truncate(200);
    texts.into_iter().map(|text| cut(text, 1 << 10)).collect()
}

/// At most `max` bytes of a text, with `…` where it was longer.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}
