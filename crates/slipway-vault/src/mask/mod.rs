//! Takes secrets out of text that leaves a machine: logs, step names, error messages.
//!
//! Text comes in pieces, and a secret may be cut anywhere, so a [`Masker`] holds back the end of what it was given
//! as long as that could be the beginning of a secret, and not a byte more. What comes out does not depend on where
//! the pieces were cut. Every occurrence is replaced, overlapping ones too, each run of them by one mark that tells
//! no length; the mark has no character in common with any secret, so that it cannot complete one. Linear in time.
//!
//! What is searched for (see `forms`): the secret, each of its lines, and what base64, hexadecimal, URL-encoding and
//! JSON make of it. A build that takes its secrets apart in another way can print them; masking guards against
//! accidents, not against the build's author.
//!
//! The search tables hold the secrets in clear and are not wiped; a masker lives as long as its build.

mod forms;

use std::{collections::HashMap, fmt, mem, ops::Range, sync::Arc};

use aho_corasick::{
    Anchored,
    automaton::{Automaton as _, StateID},
    nfa::contiguous::NFA,
};
use secrecy::SecretString;

pub use forms::{MIN_LINE, MIN_SECRET};

/// Masks one stream of text. [`Masker::fresh`] gives another for the same secrets.
#[derive(Clone)]
pub struct Masker {
    tables: Arc<Tables>,
    state: StateID,
    /// What was given and not yet given back.
    held: String,
    /// Where secrets are in `held`: in order, neither overlapping nor touching.
    found: Vec<Range<usize>>,
    /// Whether the last thing given back was the mark, and nothing has followed it yet.
    after_mark: bool,
}

/// What all streams of one set of secrets share.
struct Tables {
    automaton: NFA,
    start: StateID,
    states: HashMap<StateID, Reached>,
    mark: String,
}

/// What it means to be in a state of the automaton.
#[derive(Clone, Copy, Default)]
struct Reached {
    /// How many of the last bytes could be the beginning of a secret (the state's depth).
    begun: usize,
    /// The length of the longest secret that ends here, or 0.
    ended: usize,
}

impl Masker {
    /// A masker for these secrets.
    ///
    /// Secrets of fewer than [`MIN_SECRET`] characters are not masked (`1`, `on`): they would blot out the log, and whoever
    /// sees it could guess them anyway. Nor are the words `true`, `false`, `null` and `none`.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let tables = Arc::new(Tables::build(&forms::of_all(secrets)));
        Self::on(tables)
    }

    /// Another stream for the same secrets, with nothing held back.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::on(Arc::clone(&self.tables))
    }

    fn on(tables: Arc<Tables>) -> Self {
        Self {
            state: tables.start,
            tables,
            held: String::new(),
            found: Vec::new(),
            after_mark: false,
        }
    }

    /// Takes the next piece and gives back what can be given: all of it, unless its end may begin a secret.
    pub fn push(&mut self, piece: &str) -> String {
        let before = self.held.len();
        self.held.push_str(piece);
        for (index, byte) in piece.bytes().enumerate() {
            self.state = self.tables.automaton.next_state(Anchored::No, self.state, byte);
            if self.tables.automaton.is_match(self.state) {
                let end = before + index + 1;
                self.note(end - self.tables.reached(self.state).ended..end);
            }
        }
        self.release(self.held.len() - self.tables.reached(self.state).begun)
    }

    /// Gives back what was held: no more will come, so it was not the beginning of a secret. The next piece
    /// begins a new stream.
    pub fn finish(&mut self) -> String {
        let rest = self.release(self.held.len());
        self.state = self.tables.start;
        self.after_mark = false;
        rest
    }

    /// Masks a text that is whole, as a message. The stream is not touched.
    pub fn mask(&self, text: &str) -> String {
        let mut whole = self.fresh();
        let mut masked = whole.push(text);
        masked.push_str(&whole.finish());
        masked
    }

    /// What stands in place of secrets: `***`, unless a secret has a `*`.
    pub fn mark(&self) -> &str {
        &self.tables.mark
    }

    /// Notes a secret. They come in the order of their ends, so it can only swallow or join the last ones.
    fn note(&mut self, mut secret: Range<usize>) {
        while let Some(last) = self.found.pop_if(|last| last.end >= secret.start) {
            secret.start = secret.start.min(last.start);
        }
        self.found.push(secret);
    }

    /// Gives back the first `until` bytes of what is held, masked. No secret can begin before `until` any more,
    /// but one that ended behind it may have begun before.
    fn release(&mut self, until: usize) -> String {
        let mut out = String::with_capacity(until);
        let mut from = 0;
        let mut keep = Vec::new();
        for secret in mem::take(&mut self.found) {
            if secret.start >= until {
                keep.push(secret.start - until..secret.end - until);
                continue;
            }
            if secret.start > from {
                self.after_mark = false;
                out.push_str(&self.held[from..secret.start]);
            }
            if !self.after_mark {
                out.push_str(&self.tables.mark);
                self.after_mark = true;
            }
            from = secret.end.min(until);
            if secret.end > until {
                keep.push(0..secret.end - until);
            }
        }
        if from < until {
            self.after_mark = false;
            out.push_str(&self.held[from..until]);
        }
        self.held.drain(..until);
        self.found = keep;
        out
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} forms)", self.tables.automaton.patterns_len())
    }
}

impl Tables {
    fn build(forms: &[Vec<u8>]) -> Self {
        let automaton = NFA::builder()
            .prefilter(false)
            .build(forms)
            .expect("the secrets of one build are far below two thousand million bytes");
        let start = automaton
            .start_state(Anchored::No)
            .expect("unanchored search is always built");
        let mut states = HashMap::new();
        for form in forms {
            let mut state = start;
            for (index, &byte) in form.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, byte);
                states.entry(state).or_insert_with(|| Reached {
                    begun: index + 1,
                    ended: longest_match(&automaton, state),
                });
            }
        }
        let mark = mark_for(forms);
        Self {
            automaton,
            start,
            states,
            mark,
        }
    }

    fn reached(&self, state: StateID) -> Reached {
        // Only the start is not in the map.
        self.states.get(&state).copied().unwrap_or_default()
    }
}

fn longest_match(automaton: &NFA, state: StateID) -> usize {
    if !automaton.is_match(state) {
        return 0;
    }
    let lengths = (0..automaton.match_len(state))
        .map(|index| automaton.pattern_len(automaton.match_pattern(state, index)));
    lengths.max().unwrap_or(0)
}

/// Three times the first character that no secret has.
fn mark_for(forms: &[Vec<u8>]) -> String {
    let has = |c: char| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        forms
            .iter()
            .any(|form| form.windows(bytes.len()).any(|window| window == bytes))
    };
    let free = ['*', '•', '█', '▒']
        .into_iter()
        .chain('\u{e000}'..='\u{f8ff}')
        .find(|c| !has(*c));
    free.unwrap_or(char::REPLACEMENT_CHARACTER).to_string().repeat(3)
}

#[cfg(test)]
mod tests;
