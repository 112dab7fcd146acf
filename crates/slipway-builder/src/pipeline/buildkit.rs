//! Reading the build's progress as it comes: BuildKit's plain form (`#5 [2/3] RUN make`, `#5 DONE 1.2s`) and the legacy
//! builder's (`Step 2/3 : RUN make`). What is not understood is only log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use slipway_types::protocol::Step;

use super::log::Watch;

/// More steps than this are not told.
const MOST_STEPS: usize = 5_000;

/// What was read of a build's progress. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    began: Instant,
    read: Arc<Mutex<Read>>,
}

#[derive(Debug, Default)]
struct Read {
    steps: BTreeMap<u32, Step>,
    /// The last line that says what went wrong.
    error: Option<String>,
    /// The legacy builder's step, which only the next one ends.
    open: Option<u32>,
}

impl Progress {
    /// `began` is the start of the run.
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            read: Arc::default(),
        }
    }

    /// What went wrong, in the build's words: the step, and the error.
    pub(super) fn failure(&self) -> Option<String> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let step = read
            .steps
            .values()
            .find(|s| s.error.is_some() && s.error.as_deref() != Some("canceled"));
        match (step, &read.error) {
            (Some(step), _) => Some(format!(
                "{}: {}",
                step.name,
                step.error.as_deref().unwrap_or_default()
            )),
            (None, error) => error.clone(),
        }
    }
}

impl Watch for Progress {
    fn line(&mut self, line: &str) -> Vec<Step> {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.line(line, now)
    }
}

impl Read {
    fn line(&mut self, line: &str, now: u64) -> Vec<Step> {
        if let Some((number, text)) = vertex(line) {
            return self.vertex(number, text, now).into_iter().collect();
        }
        if let Some((number, text)) = legacy(line) {
            let ended = self.end_open(now);
            let begun = self.begin(number, text, now);
            self.open = Some(number);
            return ended.into_iter().chain(begun).collect();
        }
        if line.trim() == "---> Using cache" {
            if let Some(step) = self.open.and_then(|open| self.steps.get_mut(&open)) {
                step.cached = true;
            }
        } else if line.starts_with("Successfully built ") {
            return self.end_open(now).into_iter().collect();
        } else if let Some(error) = error_of(line) {
            self.error = Some(error.to_owned());
        }
        Vec::new()
    }

    fn vertex(&mut self, number: u32, text: &str, now: u64) -> Option<Step> {
        let Some(step) = self.steps.get_mut(&number) else {
            // Headers and interleaving marks say nothing new.
            return if text.starts_with("sha256:") || text == "..." {
                None
            } else {
                self.begin(number, text, now)
            };
        };
        if let Some(seconds) = text.strip_prefix("DONE") {
            // A vertex that was cached is done as well: that was said already.
            if step.ended_ms.is_some() || !is_seconds(seconds) {
                return None;
            }
        } else if text == "CACHED" {
            step.cached = true;
        } else if text == "CANCELED" {
            step.error = Some("canceled".to_owned());
        } else if let Some(error) = text.strip_prefix("ERROR") {
            step.error = Some(error.trim_start_matches([':', ' ']).to_owned());
        } else {
            return None;
        }
        step.ended_ms = Some(now);
        Some(step.clone())
    }

    fn begin(&mut self, number: u32, name: &str, now: u64) -> Option<Step> {
        if self.steps.len() >= MOST_STEPS {
            return None;
        }
        let step = Step {
            number,
            name: name.to_owned(),
            stage: stage(name),
            cached: false,
            started_ms: Some(now),
            ended_ms: None,
            error: None,
        };
        self.steps.insert(number, step.clone());
        Some(step)
    }

    fn end_open(&mut self, now: u64) -> Option<Step> {
        let step = self.steps.get_mut(&self.open.take()?)?;
        step.ended_ms = Some(now);
        Some(step.clone())
    }
}

/// `#12 text`
fn vertex(line: &str) -> Option<(u32, &str)> {
    let (number, text) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, text.trim_end()))
}

/// `Step 2/5 : RUN make`
fn legacy(line: &str) -> Option<(u32, &str)> {
    let (place, text) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = place.split_once('/')?;
    of.parse::<u32>().ok()?;
    Some((number.parse().ok()?, text.trim_end()))
}

/// `DONE 1.2s`, and not a line of output that begins so.
fn is_seconds(text: &str) -> bool {
    text.trim()
        .strip_suffix('s')
        .is_some_and(|n| n.parse::<f64>().is_ok())
}

/// The stage in `[builder 2/5] RUN make` or `[linux/amd64 builder 2/5] …`, where the Dockerfile names one: BuildKit
/// calls others `stage-N`.
fn stage(name: &str) -> Option<String> {
    let inside = name.strip_prefix('[')?.split_once(']')?.0;
    let mut words: Vec<&str> = inside.split_whitespace().collect();
    words.pop().filter(|place| place.contains('/'))?;
    let last = words.pop()?;
    let unnamed = last.contains('/')
        || last
            .strip_prefix("stage-")
            .is_some_and(|n| n.parse::<u32>().is_ok());
    (!unnamed && last != "internal").then(|| last.to_owned())
}

/// The words with which CLIs say why a build failed.
fn error_of(line: &str) -> Option<&str> {
    let line = line.trim();
    ["ERROR: ", "error: ", "Error: ", "Error response from daemon: "]
        .iter()
        .find_map(|prefix| line.strip_prefix(prefix))
        .or_else(|| line.starts_with("failed to solve").then_some(line))
        .or_else(|| {
            (line.starts_with("The command '") && line.contains("returned a non-zero code")).then_some(line)
        })
        .or_else(|| line.starts_with("unable to prepare context").then_some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(lines: &[&str]) -> Vec<Step> {
        let mut read = Read::default();
        for line in lines {
            read.line(line, 7);
        }
        read.steps.into_values().collect()
    }

    #[test]
    fn vertices_become_steps() {
        let steps = steps(&[
            "#1 [internal] load build definition from Dockerfile",
            "#1 sha256:aaaa",
            "#1 transferring dockerfile: 31B done",
            "#1 DONE 0.1s",
            "#2 [builder 1/2] FROM base",
            "#2 CACHED",
            "#2 DONE 0.0s",
            "#3 [stage-1 2/2] RUN false",
            "#3 0.100 DONE is what my script says",
            "#3 ERROR: executor failed running [/bin/sh -c false]: exit code: 1",
            "#4 [linux/arm64 deps 2/2] RUN true",
            "#4 CANCELED",
        ]);
        let seen: Vec<_> = steps
            .iter()
            .map(|s| (s.stage.as_deref(), s.cached, s.error.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                (None, false, None),
                (Some("builder"), true, None),
                (
                    None,
                    false,
                    Some("executor failed running [/bin/sh -c false]: exit code: 1")
                ),
                (Some("deps"), false, Some("canceled")),
            ]
        );
        assert!(steps.iter().all(|s| s.ended_ms == Some(7)));
    }

    #[test]
    fn the_legacy_builder_is_read_too() {
        let steps = steps(&[
            "Step 1/2 : FROM scratch",
            " ---> abc",
            "Step 2/2 : RUN make",
            " ---> Using cache",
            "Successfully built abc",
        ]);
        let seen: Vec<_> = steps
            .iter()
            .map(|s| (s.name.as_str(), s.cached, s.ended_ms))
            .collect();
        assert_eq!(
            seen,
            [("FROM scratch", false, Some(7)), ("RUN make", true, Some(7))]
        );
    }

    #[test]
    fn a_failure_is_told_in_the_build_s_words() {
        let mut progress = Progress::new(Instant::now());
        progress.line("ERROR: failed to solve: Dockerfile parse error on line 1");
        assert_eq!(
            progress.failure().unwrap(),
            "failed to solve: Dockerfile parse error on line 1"
        );
        progress.line("#3 [2/2] RUN false");
        progress.line("#3 ERROR: exit code: 1");
        assert_eq!(progress.failure().unwrap(), "[2/2] RUN false: exit code: 1");
    }
}
