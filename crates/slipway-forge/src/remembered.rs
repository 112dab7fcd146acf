//! Answers that are remembered, so that asking again costs nothing while nothing has changed.
//!
//! GitHub does not count a question that is answered 304 against the rate limit ("Best practices for using the REST API",
//! Use conditional requests). What is read again and again – accounts, repositories, hooks, keys, heads – is asked for
//! with the `ETag` of the last answer. An answer is remembered for the very token that got it: nobody is shown what
//! somebody else may see. Nothing is ever taken from here without asking.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::http::Answer;

/// The most that is remembered of one forge, in bytes of bodies.
const MOST: usize = 8 << 20;
/// The longest body that is remembered, in bytes.
const LONGEST: usize = 256 << 10;

/// Whose question, by a hash of the token, and which.
type Key = ([u8; 32], String);

/// What was answered.
pub(crate) struct Known {
    pub(crate) etag: HeaderValue,
    answer: Answer,
}

#[derive(Default)]
struct Inner {
    known: HashMap<Key, Arc<Known>>,
    /// In the order they came, to forget the oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// The answers of one forge.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Inner>);

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered")
    }
}

impl Remembered {
    /// What was answered to this question the last time.
    pub(crate) fn of(&self, token: &SecretString, url: &Url) -> Option<Arc<Known>> {
        self.inner().known.get(&key(token, url)).cloned()
    }

    /// Remembers an answer that can be asked for again by its `ETag`.
    pub(crate) fn keep(&self, token: &SecretString, url: &Url, answer: &Answer) {
        let key = key(token, url);
        let mut inner = self.inner();
        inner.forget(&key);
        let Some(etag) = answer.headers.get(header::ETAG) else {
            return;
        };
        if answer.size() > LONGEST {
            return;
        }
        inner.bytes += answer.size();
        let known = Known {
            etag: etag.clone(),
            answer: answer.clone(),
        };
        inner.known.insert(key.clone(), Arc::new(known));
        inner.order.push_back(key);
        while inner.bytes > MOST {
            let Some(oldest) = inner.order.front().cloned() else {
                break;
            };
            inner.forget(&oldest);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            self.bytes -= known.answer.size();
            self.order.retain(|there| there != key);
        }
    }
}

impl Known {
    /// The answer, said to be the same still; with the headers of today, where there are any.
    pub(crate) fn again(&self, unchanged: &Answer) -> Answer {
        let mut answer = self.answer.clone();
        for (name, value) in &unchanged.headers {
            answer.headers.insert(name.clone(), value.clone());
        }
        answer
    }
}

fn key(token: &SecretString, url: &Url) -> Key {
    (
        Sha256::digest(token.expose_secret()).into(),
        url.as_str().to_owned(),
    )
}
