//! Storing deliveries in groups: what came while one group was written is the next one, written in one transaction and
//! made durable by one sync of the disk. So the more come, the less each costs; and a single one waits for nobody.
//!
//! Invariants kept here: whoever is answered has a row on disk; a delivery that the database refuses fails alone, not its
//! neighbours; and what waits is bounded, in number and in bytes, also where its sender has given up: when the database
//! does not keep up, senders are told so.

use std::{sync::Arc, time::Duration};

use slipway_store::{NewDelivery, Store, StoreError};
use slipway_types::{DeliveryId, decision::DeliveryOutcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::services::bells::Bells;

/// The most deliveries of one group: so that one transaction does not keep the other writers waiting for long.
const MOST: usize = 128;
/// How many deliveries may wait for the next groups.
const WAITING: usize = 1024;
/// The most bytes of bodies that are held, from before they are read until they are stored.
const ALL_BODIES: usize = 128 << 20;
/// How long a sender waits for room, or to be told. GitHub gives up after ten seconds ("Handling webhook deliveries"), Bitbucket too
/// ("Troubleshoot webhooks").
const PATIENCE: Duration = Duration::from_secs(9);

/// Why a delivery was not stored, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotStored {
    /// The database refused it, or did not answer.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// Too many wait, or it takes too long. It may be stored yet: hearing it again is harmless.
    #[error("the database does not keep up")]
    Busy,
}

/// A delivery that waits for its group.
#[derive(Debug)]
struct Waiting {
    new: NewDelivery,
    malformed: Option<String>,
    answer: oneshot::Sender<Result<DeliveryId, NotStored>>,
    _room: Room,
}

/// Room for a body. Given back when it is dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Stores deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    queue: mpsc::Sender<Waiting>,
    bodies: Arc<Semaphore>,
    gone: CancellationToken,
}

impl Group {
    /// Starts storing into this store, until the last clone of the group is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(store: Store, bells: Bells) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        tokio::spawn(async move {
            let _guard = guard;
            store_all(&store, &bells, waiting).await;
        });
        Self {
            queue,
            bodies: Arc::new(Semaphore::new(ALL_BODIES)),
            gone,
        }
    }

    /// Room for a body of `bytes`, as soon as there is.
    ///
    /// # Errors
    /// [`NotStored::Busy`]
    pub async fn room(&self, bytes: usize) -> Result<Room, NotStored> {
        let bytes = u32::try_from(bytes.min(ALL_BODIES)).map_err(|_| NotStored::Busy)?;
        let permit = Arc::clone(&self.bodies).acquire_many_owned(bytes);
        match tokio::time::timeout(PATIENCE, permit).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            Ok(Err(_)) | Err(_) => Err(NotStored::Busy),
        }
    }

    /// Stores a delivery, which is on disk after it. One that is `malformed`, with the reason, is stored as handled.
    ///
    /// # Errors
    /// [`NotStored`]
    pub async fn store(
        &self,
        new: NewDelivery,
        malformed: Option<String>,
        room: Room,
    ) -> Result<DeliveryId, NotStored> {
        let (answer, told) = oneshot::channel();
        let waiting = Waiting {
            new,
            malformed,
            answer,
            _room: room,
        };
        let stored = async {
            self.queue.send(waiting).await.map_err(|_| NotStored::Busy)?;
            told.await.map_err(|_| NotStored::Busy)?
        };
        tokio::time::timeout(PATIENCE, stored)
            .await
            .unwrap_or(Err(NotStored::Busy))
    }

    /// Until nothing is stored any more, because of a fault.
    pub async fn died(&self) {
        self.gone.cancelled().await;
    }
}

async fn store_all(store: &Store, bells: &Bells, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, MOST).await > 0 {
        write(store, std::mem::take(&mut group)).await;
        bells.deliveries.up();
    }
}

/// Writes a group, and tells everybody who waits.
async fn write(store: &Store, group: Vec<Waiting>) {
    let error = match together(store, &group).await {
        Ok(ids) => return tell(group, ids.into_iter().map(Ok)),
        Err(error) => error,
    };
    if group.len() == 1 || matches!(error, StoreError::Unavailable(_)) {
        let error = NotStored::Store(Arc::new(error));
        return tell(group, std::iter::repeat(Err(error)));
    }
    // One of them is bad: which, shows when each goes alone.
    for one in group {
        let told = match together(store, std::slice::from_ref(&one)).await {
            Ok(ids) => ids.first().copied().ok_or(NotStored::Busy),
            Err(error) => Err(NotStored::Store(Arc::new(error))),
        };
        tell(vec![one], std::iter::once(told));
    }
}

async fn together(store: &Store, group: &[Waiting]) -> Result<Vec<DeliveryId>, StoreError> {
    let mut ids = Vec::with_capacity(group.len());
    let tx = store.begin().await?;
    for Waiting { new, malformed, .. } in group {
        let id = tx.deliveries().insert(new).await?;
        if let Some(why) = malformed {
            tx.deliveries()
                .set_handled(id, DeliveryOutcome::Malformed, Some(why))
                .await?;
        }
        ids.push(id);
    }
    tx.commit().await?;
    Ok(ids)
}

fn tell(group: Vec<Waiting>, results: impl Iterator<Item = Result<DeliveryId, NotStored>>) {
    for (one, result) in group.into_iter().zip(results) {
        // Whoever has gone away meanwhile does not hear it.
        let _ = one.answer.send(result);
    }
}
