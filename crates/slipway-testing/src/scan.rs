//! Looks for secrets where none may be.
//!
//! A scan that finds nothing proves nothing by itself: it may be looking for the wrong thing, or in the wrong place.
//! So whoever uses this plants a canary in each place first, and has it found.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aho_corasick::AhoCorasick;
use anyhow::Result;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use tokio::task::JoinHandle;

/// What to look for: every secret, in every guise it may leak in.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Guise → what it is of.
    guises: BTreeMap<Vec<u8>, String>,
    search: OnceLock<AhoCorasick>,
}

/// A secret where it may not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// What was found; not its value.
    pub what: String,
    /// Where.
    pub place: String,
}

impl Secrets {
    /// Adds a secret under a name for messages: as it is, as Base64 and hexadecimal and in a URL. Of a text of
    /// several lines (a private key) each longer line counts by itself, because it may be written any way.
    pub fn add(&mut self, what: &str, value: &str) {
        self.guise(what, "itself", value.as_bytes());
        for line in value
            .lines()
            .filter(|line| line.len() >= 24 && !line.starts_with("-----"))
        {
            self.guise(what, "a line", line.as_bytes());
        }
        for (name, engine) in [("Base64", &STANDARD), ("Base64 for URLs", &URL_SAFE)] {
            self.guise(what, name, engine.encode(value).as_bytes());
        }
        for (name, engine) in [
            ("Base64", &STANDARD_NO_PAD),
            ("Base64 for URLs", &URL_SAFE_NO_PAD),
        ] {
            self.guise(what, name, engine.encode(value).as_bytes());
            self.within_base64(what, name, engine, value);
        }
        self.guise(what, "hexadecimal", hex::encode(value).as_bytes());
        self.guise(what, "hexadecimal", hex::encode_upper(value).as_bytes());
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        self.guise(what, "URL-encoded", encoded.as_bytes());
        self.guise(what, "URL-encoded", encoded.replace('+', "%20").as_bytes());
    }

    /// Base64 of `user:secret` holds the secret at one of three alignments; the part that does not depend on what
    /// stands around it is looked for.
    fn within_base64(
        &mut self,
        what: &str,
        name: &str,
        engine: &base64::engine::GeneralPurpose,
        value: &str,
    ) {
        for shift in 1..3 {
            let shifted = [&vec![b'x'; shift], value.as_bytes()].concat();
            let text = engine.encode(shifted);
            // The first four characters mix in what stands before, the last four what stands after.
            if text.len() > 24 {
                self.guise(what, name, &text.as_bytes()[4..text.len() - 4]);
            }
        }
    }

    /// Short texts would be found by accident.
    fn guise(&mut self, what: &str, how: &str, text: &[u8]) {
        if text.len() >= 12 {
            self.search.take();
            self.guises
                .entry(text.to_owned())
                .or_insert_with(|| format!("{what} ({how})"));
        }
    }

    /// How many guises are looked for.
    pub fn len(&self) -> usize {
        self.guises.len()
    }

    /// Whether there is nothing to look for: a scan would prove nothing.
    pub fn is_empty(&self) -> bool {
        self.guises.is_empty()
    }

    /// Looks through bytes.
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> BTreeSet<Leak> {
        self.search()
            .find_overlapping_iter(bytes)
            .filter_map(|found| self.guises.values().nth(found.pattern().as_usize()))
            .map(|what| Leak {
                what: what.clone(),
                place: place.to_owned(),
            })
            .collect()
    }

    /// The search for all guises at once, in the order of the map.
    fn search(&self) -> &AhoCorasick {
        self.search.get_or_init(|| {
            AhoCorasick::new(self.guises.keys()).expect("a few thousand short texts fit into one search")
        })
    }

    /// Looks through a file, or all files below a directory but those that `except` names. Also through their names.
    ///
    /// # Errors
    /// When a directory cannot be read. A file that is gone when its turn comes holds nothing.
    pub fn in_files(&self, root: &Path, except: &[PathBuf]) -> Result<BTreeSet<Leak>> {
        let mut found = BTreeSet::new();
        let mut left = vec![root.to_owned()];
        while let Some(path) = left.pop() {
            if except.contains(&path) {
                continue;
            }
            let place = path.display().to_string();
            found.extend(self.in_bytes("a file's name", place.as_bytes()));
            if path.is_dir() {
                for entry in std::fs::read_dir(&path)? {
                    left.push(entry?.path());
                }
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.extend(self.in_bytes(&place, &bytes));
            }
        }
        Ok(found)
    }
}

/// Samples the arguments of all processes for as long as it lives.
#[derive(Debug)]
pub struct Arguments {
    seen: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Arguments {
    /// How often. A process that lives shorter may be missed; those that get secrets by argument (a `docker login`, a
    /// `git clone`) live for tens of milliseconds at least, and there are several of each in a build.
    const EVERY: Duration = Duration::from_millis(15);

    /// Begins to look.
    pub fn watch() -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let notes = seen.clone();
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Self::EVERY);
            loop {
                tick.tick().await;
                sample(&notes);
            }
        });
        Self { seen, task }
    }

    /// Every distinct command line that was seen, arguments separated by NUL.
    pub fn seen(&self) -> BTreeSet<Vec<u8>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn sample(seen: &Mutex<BTreeSet<Vec<u8>>>) {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        if !process
            .file_name()
            .to_string_lossy()
            .starts_with(|c: char| c.is_ascii_digit())
        {
            continue;
        }
        // Gone meanwhile, or a thread of the kernel: nothing to read.
        let Ok(line) = std::fs::read(process.path().join("cmdline")) else {
            continue;
        };
        if !line.is_empty() {
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "gho_3aC/x+9=Zq~77wLmPp0aTT";

    fn found(text: &str) -> bool {
        let mut secrets = Secrets::default();
        secrets.add("a token", SECRET);
        !secrets.in_bytes("here", text.as_bytes()).is_empty()
    }

    #[test]
    fn a_secret_is_found_in_every_guise() {
        assert!(found(&format!("x{SECRET}y")));
        assert!(found(&STANDARD.encode(SECRET)));
        assert!(found(&URL_SAFE_NO_PAD.encode(SECRET)));
        assert!(found(&hex::encode(SECRET)));
        assert!(found("token=gho_3aC%2Fx%2B9%3DZq%7E77wLmPp0aTT&x=1"));
    }

    #[test]
    fn a_secret_is_found_within_a_basic_login() {
        for user in ["", "a", "ab", "abc"] {
            assert!(found(&STANDARD.encode(format!("{user}:{SECRET}:"))), "{user}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        assert!(!found("gho_ and nothing else"));
    }
}
