//! A build's log, by lines.
//!
//! The store keeps it in chunks by bytes, which may end anywhere, also within a line. Here a line is found
//! by halving, so that the last lines of a log of a million cost as little as the first.

use slipway_store::{Build, LogChunk, Store};
use slipway_types::{LeaseNo, SlugName, Timestamp, build::Phase, rights::Level};

use super::{Access, Caller, ServiceError};

/// The most lines that one question is answered with.
pub const LINES: u64 = 1_000;
/// The longest line that is kept whole; the raw log has the rest.
const LINE_BYTES: usize = 64 << 10;
/// How many chunks are read at a time.
const CHUNKS: i64 = 8;
/// Near enough to a line's start to read on from there, in bytes.
const NEAR: i64 = 64 << 10;
/// How much text one question reads at most, in bytes.
const READ_BYTES: usize = 8 << 20;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// From 1.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// Where it came from.
    pub phase: Phase,
    /// Without its end.
    pub text: String,
}

/// Where a log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// The run whose log it is.
    pub run: LeaseNo,
    /// How many lines there are; the last may be unfinished.
    pub lines: u64,
    /// How many bytes.
    pub bytes: i64,
}

/// Logs, to be read.
#[derive(Debug, Clone)]
pub struct BuildLogs {
    store: Store,
    access: Access,
}

impl BuildLogs {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// The build whose log is wanted.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for those who may not read it.
    pub async fn build(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        number: i64,
    ) -> Result<Build, ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, name, Level::Read)
            .await?;
        let build = self
            .store
            .builds()
            .by_number(granted.repository.id, number)
            .await?;
        build.ok_or(ServiceError::NotFound { what: "the build" })
    }

    /// The build as it is now. The caller was let in when they asked for it first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn again(&self, build: &Build) -> Result<Build, ServiceError> {
        Ok(self.store.builds().get(build.id).await?)
    }

    /// Where the log of the last run stands.
    ///
    /// # Errors
    /// What the store says.
    pub async fn head(&self, build: &Build) -> Result<LogHead, ServiceError> {
        let runs = self.store.logs().runs(build.id).await?;
        let run = runs.last().copied().unwrap_or(build.lease);
        let size = self.store.logs().size(build.id, run).await?;
        let unfinished = match size.bytes {
            0 => 0,
            bytes => {
                let end = self.store.logs().read(build.id, run, bytes - 1, 1).await?;
                u64::from(!end.last().is_some_and(|chunk| chunk.text.ends_with('\n')))
            }
        };
        Ok(LogHead {
            run,
            lines: u64::try_from(size.lines).unwrap_or(0) + unfinished,
            bytes: size.bytes,
        })
    }

    /// Up to `limit` lines from line `from` on (from 1).
    ///
    /// # Errors
    /// What the store says.
    pub async fn lines(
        &self,
        build: &Build,
        head: LogHead,
        from: u64,
        limit: u64,
    ) -> Result<Vec<LogLine>, ServiceError> {
        let from = from.max(1);
        let limit = limit.min(LINES);
        let mut lines = Lines::new(from, from.saturating_add(limit));
        let mut at = self.start_of(build, head, from).await?;
        let mut read = 0;
        while at < head.bytes && !lines.is_full() && read < READ_BYTES {
            let chunks = self.store.logs().read(build.id, head.run, at, CHUNKS).await?;
            let Some(last) = chunks.last() else { break };
            at = last.end();
            for chunk in &chunks {
                read += chunk.text.len();
                lines.add(chunk);
            }
        }
        Ok(lines.into_found())
    }

    /// The first line that holds `words`, whatever their case.
    ///
    /// # Errors
    /// What the store says.
    pub async fn find(&self, build: &Build, head: LogHead, words: &str) -> Result<Option<u64>, ServiceError> {
        let words = words.to_lowercase();
        let mut from = 1;
        while from <= head.lines {
            let lines = self.lines(build, head, from, LINES).await?;
            let Some(last) = lines.last() else { break };
            let hit = lines
                .iter()
                .find(|line| line.text.to_lowercase().contains(&words));
            if let Some(hit) = hit {
                return Ok(Some(hit.number));
            }
            from = last.number + 1;
        }
        Ok(None)
    }

    /// A piece of the raw log from byte `from` on, and where the next begins; none at the end.
    ///
    /// # Errors
    /// What the store says.
    pub async fn raw(
        &self,
        build: &Build,
        head: LogHead,
        from: i64,
    ) -> Result<Option<(String, i64)>, ServiceError> {
        let chunks = self.store.logs().read(build.id, head.run, from, CHUNKS).await?;
        let Some(next) = chunks.last().map(LogChunk::end) else {
            return Ok(None);
        };
        Ok(Some((chunks.into_iter().map(|chunk| chunk.text).collect(), next)))
    }

    /// A byte, not far before the start of line `from`, from which reading meets it.
    async fn start_of(&self, build: &Build, head: LogHead, from: u64) -> Result<i64, ServiceError> {
        let ended = i64::try_from(from - 1).unwrap_or(i64::MAX);
        // Fewer than `ended` lines have ended before `low`; `ended` or more before `high`.
        let (mut low, mut high) = (0, head.bytes);
        while ended > 0 && high - low > NEAR {
            let middle = low + (high - low) / 2;
            let chunks = self.store.logs().read(build.id, head.run, middle, 1).await?;
            // The store counts the lines that have ended before the byte that was asked for.
            match chunks.first() {
                Some(chunk) if chunk.first_line < ended => low = middle,
                Some(_) => high = middle,
                None => break,
            }
        }
        Ok(low)
    }
}

/// Puts lines together from chunks.
struct Lines {
    from: u64,
    until: u64,
    number: Option<u64>,
    open: Option<LogLine>,
    found: Vec<LogLine>,
}

impl Lines {
    const fn new(from: u64, until: u64) -> Self {
        Self {
            from,
            until,
            number: None,
            open: None,
            found: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.found
            .last()
            .is_some_and(|line| line.number + 1 >= self.until)
    }

    fn add(&mut self, chunk: &LogChunk) {
        let mut number = self
            .number
            .unwrap_or_else(|| u64::try_from(chunk.first_line).unwrap_or(0) + 1);
        let mut rest = chunk.text.as_str();
        while !rest.is_empty() {
            let (piece, ends) = match rest.find('\n') {
                Some(end) => (&rest[..end], true),
                None => (rest, false),
            };
            rest = &rest[piece.len() + usize::from(ends)..];
            if (self.from..self.until).contains(&number) {
                let line = self.open.get_or_insert_with(|| LogLine {
                    number,
                    at: chunk.at,
                    phase: chunk.phase,
                    text: String::new(),
                });
                push_bounded(&mut line.text, piece);
            }
            if ends {
                self.found.extend(self.open.take());
                number += 1;
            }
        }
        self.number = Some(number);
    }

    fn into_found(mut self) -> Vec<LogLine> {
        self.found.extend(self.open.take());
        self.found
    }
}

fn push_bounded(line: &mut String, piece: &str) {
    let mut room = LINE_BYTES.saturating_sub(line.len()).min(piece.len());
    while !piece.is_char_boundary(room) {
        room -= 1;
    }
    line.push_str(&piece[..room]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(n: i64, byte_offset: i64, first_line: i64, text: &str) -> LogChunk {
        LogChunk {
            lease: LeaseNo(1),
            n,
            phase: Phase::Build,
            byte_offset,
            first_line,
            at: Timestamp::from_millis(n),
            text: text.to_owned(),
        }
    }

    fn texts(lines: Lines) -> Vec<(u64, String)> {
        lines
            .into_found()
            .into_iter()
            .map(|line| (line.number, line.text))
            .collect()
    }

    #[test]
    fn lines_are_put_together_over_the_ends_of_chunks() {
        let mut lines = Lines::new(1, 100);
        lines.add(&chunk(1, 0, 0, "one\ntw"));
        lines.add(&chunk(2, 6, 1, "o\n\nfo"));
        lines.add(&chunk(3, 11, 3, "ur"));
        let found = texts(lines);
        let expected = [(1, "one"), (2, "two"), (3, ""), (4, "four")];
        assert_eq!(found, expected.map(|(n, text)| (n, text.to_owned())));
    }

    #[test]
    fn only_the_wanted_lines_are_kept() {
        let mut lines = Lines::new(3, 4);
        lines.add(&chunk(2, 6, 1, "o\nthree\nfour\n"));
        assert!(lines.is_full());
        assert_eq!(texts(lines), [(3, "three".to_owned())]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let mut lines = Lines::new(1, 2);
        for n in 0..100 {
            lines.add(&chunk(n, n * 4096, 0, &"é".repeat(2048)));
        }
        let found = texts(lines);
        assert!(found[0].1.len() <= LINE_BYTES);
    }
}
