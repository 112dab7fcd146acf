//! The plan's limit on a build's log: the beginning is passed on as it comes, then only the end is kept, with a
//! mark where the middle was (autobuild.md, "Limits").

use std::collections::VecDeque;

use slipway_types::build::Phase;

use super::coordinator::LogChunk;

/// The most that is kept for the end, in bytes; a quarter of the limit where that is less.
const MOST_TAIL: u64 = 1 << 20;

/// Bounds one log.
#[derive(Debug)]
pub(super) struct LogBound {
    limit: u64,
    /// What may still be passed on.
    head_left: u64,
    tail: VecDeque<LogChunk>,
    tail_bytes: u64,
    most_tail: u64,
    cut: u64,
}

impl LogBound {
    pub(super) fn new(limit: u64) -> Self {
        let most_tail = (limit / 4).min(MOST_TAIL);
        Self {
            limit,
            head_left: limit - most_tail,
            tail: VecDeque::new(),
            tail_bytes: 0,
            most_tail,
            cut: 0,
        }
    }

    /// Takes a chunk and gives back what may be passed on now.
    pub(super) fn push(&mut self, mut chunk: LogChunk) -> Option<LogChunk> {
        let rest = self.take_head(&mut chunk);
        if let Some(rest) = rest {
            self.keep(LogChunk {
                text: rest,
                ..chunk.clone()
            });
        }
        (!chunk.text.is_empty()).then_some(chunk)
    }

    /// Shortens the chunk to what the head still takes, and gives back the rest.
    fn take_head(&mut self, chunk: &mut LogChunk) -> Option<String> {
        let length = chunk.text.len() as u64;
        if length <= self.head_left {
            self.head_left -= length;
            return None;
        }
        let at = chunk.text.floor_char_boundary(self.head_left as usize);
        let rest = chunk.text.split_off(at);
        // The head is full from now on, also where a character did not fit.
        self.head_left = 0;
        Some(rest)
    }

    fn keep(&mut self, chunk: LogChunk) {
        self.tail_bytes += chunk.text.len() as u64;
        self.tail.push_back(chunk);
        while self.tail_bytes > self.most_tail {
            let excess = (self.tail_bytes - self.most_tail) as usize;
            let Some(oldest) = self.tail.front_mut() else {
                return;
            };
            if oldest.text.len() <= excess {
                let gone = oldest.text.len() as u64;
                self.tail.pop_front();
                self.tail_bytes -= gone;
                self.cut += gone;
                continue;
            }
            let at = oldest.text.ceil_char_boundary(excess);
            oldest.text.drain(..at);
            self.tail_bytes -= at as u64;
            self.cut += at as u64;
        }
    }

    /// The end that was kept, with the mark in front where something is missing.
    pub(super) fn finish(mut self) -> Vec<LogChunk> {
        let Some(first) = self.tail.front() else {
            return Vec::new();
        };
        let (phase, at_ms) = (first.phase, first.at_ms);
        if self.cut > 0 {
            self.tail.push_front(LogChunk {
                phase,
                at_ms,
                text: mark(self.cut, self.limit),
            });
        }
        self.tail.into()
    }
}

/// What stands where the middle was.
fn mark(cut: u64, limit: u64) -> String {
    format!("\n[… {cut} bytes cut here: the plan allows a log of {limit} bytes …]\n")
}

/// A line of the builder's own, in a phase.
pub(super) fn remark(phase: Phase, at_ms: u64, text: &str) -> LogChunk {
    LogChunk {
        phase,
        at_ms,
        text: format!("\n{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> LogChunk {
        LogChunk {
            phase: Phase::Build,
            at_ms: 0,
            text: text.to_owned(),
        }
    }

    fn through(limit: u64, pieces: &[&str]) -> String {
        let mut bound = LogBound::new(limit);
        let mut all: Vec<LogChunk> = pieces.iter().filter_map(|p| bound.push(chunk(p))).collect();
        all.extend(bound.finish());
        all.into_iter().map(|c| c.text).collect()
    }

    #[test]
    fn a_log_within_its_limit_is_untouched() {
        assert_eq!(through(8, &["abcd", "ef", "gh"]), "abcdefgh");
    }

    #[test]
    fn the_middle_is_cut_and_the_end_is_kept() {
        assert_eq!(
            through(8, &["abcd", "efgh", "ijklmn", "op"]),
            format!("abcdef{}op", mark(8, 8))
        );
    }

    #[test]
    fn characters_are_never_cut_in_two() {
        let text = through(8, &["äöüßéèêëàâ", "çñ"]);
        assert!(text.starts_with("äöü") && text.ends_with('ñ'), "{text}");
    }
}
