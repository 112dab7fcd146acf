//! Batches on their way to the coordinator: a few in memory, more in a file, and then no more.
//!
//! While a server restarts, a machine goes on talking, and must not stand still for it. What waits in the file is good only as
//! long as its lease, which no builder outlives: so the file has no name, and is gone with the builder that wrote it.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::coordinator::Batch;

/// How much a spool takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Batches in memory.
    pub(super) batches: usize,
    /// Bytes in the file; one batch may reach beyond.
    pub(super) file: u64,
}

/// What a run's reports may take while nobody takes them: about what a busy build says in a lease's term.
pub(super) const ROOM: Room = Room {
    batches: 8,
    file: 64 << 20,
};

/// A spool, for one writer and one reader.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    room: Room,
    state: Mutex<State>,
    /// A batch was put in, or the last one.
    put: Notify,
    /// A batch was taken.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest.
    memory: VecDeque<Batch>,
    /// All that came after them.
    file: Option<Arc<File>>,
    /// Where each batch in the file begins and ends.
    places: VecDeque<(u64, u64)>,
    end: u64,
    closed: bool,
}

/// Where the next batch goes.
enum Place {
    Memory,
    File(Arc<File>, u64),
    Nowhere,
}

impl Spool {
    /// A spool whose file, if it needs one, lies in `directory`.
    pub(super) fn new(directory: &Path, room: Room) -> Self {
        Self {
            directory: directory.to_owned(),
            room,
            state: Mutex::default(),
            put: Notify::new(),
            taken: Notify::new(),
        }
    }

    /// Puts a batch in; waits while there is no room.
    pub(super) async fn put(&self, batch: Batch) {
        loop {
            let taken = self.taken.notified();
            match self.place() {
                Place::Memory => {
                    self.state().memory.push_back(batch);
                    break;
                }
                Place::File(file, at) => match write(file, at, batch.clone()).await {
                    Ok(end) => {
                        let mut state = self.state();
                        state.places.push_back((at, end));
                        state.end = end;
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, directory = %self.directory.display(),
                            "reports cannot wait on disk; the machine has to wait");
                    }
                },
                Place::Nowhere => {}
            }
            taken.await;
        }
        self.put.notify_one();
    }

    /// Says that nothing more comes.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.put.notify_one();
    }

    /// The oldest batch; none when nothing more comes.
    ///
    /// # Errors
    /// When what was written cannot be read.
    pub(super) async fn take(&self) -> io::Result<Option<Batch>> {
        loop {
            let put = self.put.notified();
            let place = {
                let mut state = self.state();
                if let Some(batch) = state.memory.pop_front() {
                    self.taken.notify_one();
                    return Ok(Some(batch));
                }
                match (state.places.front(), &state.file) {
                    (Some(place), Some(file)) => Some((*place, Arc::clone(file))),
                    _ if state.closed => return Ok(None),
                    _ => None,
                }
            };
            if let Some((place, file)) = place {
                let batch = read(file, place).await?;
                let mut state = self.state();
                state.places.pop_front();
                if state.places.is_empty() {
                    state.end = 0;
                }
                self.taken.notify_one();
                return Ok(Some(batch));
            }
            put.await;
        }
    }

    fn place(&self) -> Place {
        let mut state = self.state();
        if state.places.is_empty() && state.memory.len() < self.room.batches {
            return Place::Memory;
        }
        if state.end >= self.room.file {
            return Place::Nowhere;
        }
        if state.file.is_none() {
            match tempfile::tempfile_in(&self.directory) {
                Ok(file) => state.file = Some(Arc::new(file)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, directory = %self.directory.display(),
                        "no file can be made for reports that wait; the machine has to wait");
                }
            }
        }
        match &state.file {
            Some(file) => Place::File(Arc::clone(file), state.end),
            None => Place::Nowhere,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns where the batch ends.
async fn write(file: Arc<File>, at: u64, batch: Batch) -> io::Result<u64> {
    blocking(move || {
        let bytes = serde_json::to_vec(&batch)?;
        file.write_all_at(&bytes, at)?;
        Ok(at + bytes.len() as u64)
    })
    .await
}

async fn read(file: Arc<File>, (begin, end): (u64, u64)) -> io::Result<Batch> {
    blocking(move || {
        let mut bytes = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, begin)?;
        Ok(serde_json::from_slice(&bytes)?)
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(io::Error::other(panic)),
    }
}

#[cfg(test)]
mod tests {
    use slipway_types::build::Phase;

    use super::*;
    use crate::outside::LogChunk;

    const SMALL: Room = Room {
        batches: 2,
        file: 300,
    };

    fn batch(number: u64) -> Batch {
        let chunk = LogChunk {
            phase: Phase::Build,
            at_ms: 0,
            text: format!("line {number}\n"),
        };
        Batch {
            number,
            events: Vec::new(),
            log: vec![chunk],
        }
    }

    /// Puts as many as there is room for.
    async fn fill(spool: &Spool, from: u64) -> u64 {
        let mut number = from;
        while !matches!(spool.place(), Place::Nowhere) {
            spool.put(batch(number)).await;
            number += 1;
        }
        number
    }

    #[tokio::test]
    async fn batches_come_out_in_their_order_from_memory_and_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::new(directory.path(), SMALL);
        let next = fill(&spool, 1).await;
        assert!(next > 4, "some are in the file: {next}");
        assert!(spool.state().end >= SMALL.file);
        for number in 1..next {
            assert_eq!(spool.take().await.unwrap(), Some(batch(number)));
        }
        // The file's room is had again, and nothing of it has a name.
        let again = fill(&spool, next).await;
        assert_eq!(again - next, next - 1);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        spool.close();
        for number in next..again {
            assert_eq!(spool.take().await.unwrap(), Some(batch(number)));
        }
        assert_eq!(spool.take().await.unwrap(), None);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_something_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(directory.path(), SMALL));
        let next = fill(&spool, 1).await;
        let writer = tokio::spawn({
            let spool = Arc::clone(&spool);
            async move { spool.put(batch(next)).await }
        });
        for number in 1..=next {
            assert_eq!(spool.take().await.unwrap(), Some(batch(number)));
        }
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn without_a_disk_memory_alone_is_used() {
        let spool = Spool::new(Path::new("/nowhere/at/all"), SMALL);
        spool.put(batch(1)).await;
        spool.put(batch(2)).await;
        assert!(matches!(spool.place(), Place::Nowhere));
        assert_eq!(spool.take().await.unwrap(), Some(batch(1)));
        spool.put(batch(3)).await;
        for number in 2..=3 {
            assert_eq!(spool.take().await.unwrap(), Some(batch(number)));
        }
    }
}
