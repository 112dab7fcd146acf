//! Limits on tries: signing in, calling build triggers.
//!
//! Memory is bounded: strangers choose the keys, so at most [`KEYS`] are remembered, and the one whose window
//! ends first gives way. What is forgotten that way can only be tried again as often as if it were new.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many keys one limit remembers.
const KEYS: usize = 10_000;

/// At most so many tries for each key in each window of time.
#[derive(Debug)]
pub struct Limit<K> {
    tries: u32,
    window: Duration,
    seen: Mutex<HashMap<K, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    tries: u32,
    until: Instant,
}

/// No more tries until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// How long to wait.
    pub wait: Duration,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// A limit of `tries` in `window`.
    pub fn new(tries: u32, window: Duration) -> Self {
        Self {
            tries,
            window,
            seen: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one try. Says how many are left after it.
    ///
    /// # Errors
    /// [`Exceeded`] when none was left.
    pub fn take(&self, key: &K, now: Instant) -> Result<u32, Exceeded> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get_mut(key).filter(|known| known.until > now) {
            if known.tries >= self.tries {
                return Err(Exceeded {
                    wait: known.until - now,
                });
            }
            known.tries += 1;
            return Ok(self.tries - known.tries);
        }
        if seen.len() >= KEYS {
            make_room(&mut seen, now);
        }
        let fresh = Seen {
            tries: 1,
            until: now + self.window,
        };
        seen.insert(key.clone(), fresh);
        Ok(self.tries - 1)
    }

    /// Forgets a key: it was who it said it was.
    pub fn forget(&self, key: &K) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

fn make_room<K: Hash + Eq + Clone>(seen: &mut HashMap<K, Seen>, now: Instant) {
    seen.retain(|_, known| known.until > now);
    if seen.len() < KEYS {
        return;
    }
    let first = seen
        .iter()
        .min_by_key(|(_, known)| known.until)
        .map(|(key, _)| key.clone());
    if let Some(key) = first {
        seen.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_run_out_and_come_back_with_the_next_window() {
        let limit = Limit::new(2, Duration::from_mins(1));
        let start = Instant::now();
        assert_eq!(limit.take(&"a", start), Ok(1));
        assert_eq!(limit.take(&"a", start), Ok(0));
        assert_eq!(limit.take(&"b", start), Ok(1), "another key is another matter");
        let later = start + Duration::from_secs(20);
        assert_eq!(
            limit.take(&"a", later),
            Err(Exceeded {
                wait: Duration::from_secs(40)
            })
        );
        assert_eq!(limit.take(&"a", start + Duration::from_secs(61)), Ok(1));
    }

    #[test]
    fn success_forgets_the_tries() {
        let limit = Limit::new(1, Duration::from_mins(1));
        let now = Instant::now();
        limit.take(&"a", now).unwrap();
        limit.forget(&"a");
        assert!(limit.take(&"a", now).is_ok());
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let limit = Limit::new(1, Duration::from_mins(1));
        let now = Instant::now();
        for key in 0..KEYS + 100 {
            limit.take(&key, now).unwrap();
        }
        assert!(limit.seen.lock().unwrap().len() <= KEYS);
    }
}
