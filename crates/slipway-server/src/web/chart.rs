//! The bar chart of queue times and durations, laid out in numbers; the template only draws.
//!
//! Grey is waiting, colour and the sign below say how it ended. The newest bar stands at the right edge,
//! however many there are.

use std::time::Duration;

use slipway_store::Build;
use slipway_types::{Timestamp, build::BuildState};

use super::{
    view::builds::{Bar, Chart},
    words,
};

const WIDTH: u32 = 1088;
const COLUMN: u32 = 26;
const BASE: f64 = 160.0;
const TOP: f64 = 12.0;

/// The chart of these builds, the newest first; nothing when none has run.
pub fn draw(builds: &[Build], base: &str, now: Timestamp) -> Option<Chart> {
    let mut builds: Vec<&Build> = builds.iter().filter(|build| build.started_at.is_some()).collect();
    if builds.is_empty() {
        return None;
    }
    builds.reverse();
    let longest = builds
        .iter()
        .map(|b| waited(b) + took(b, now))
        .max()
        .unwrap_or_default();
    let scale = Scale::of(longest);
    let first = WIDTH - 3 - COLUMN * builds.len() as u32;
    let bars = (0..)
        .zip(&builds)
        .map(|(i, build)| bar(build, base, now, first + COLUMN * i, &scale));
    Some(Chart {
        count: builds.len(),
        width: WIDTH,
        lines: scale.lines(),
        bars: bars.collect(),
        figures: figures(&builds, now),
    })
}

fn waited(build: &Build) -> Duration {
    build.started_at.unwrap_or(build.queued_at).since(build.queued_at)
}

fn took(build: &Build, now: Timestamp) -> Duration {
    build.started_at.map_or(Duration::ZERO, |started| {
        build.ended_at.unwrap_or(now).since(started)
    })
}

fn bar(build: &Build, base: &str, now: Timestamp, x: u32, scale: &Scale) -> Bar {
    let (waits, takes) = (waited(build), took(build, now));
    let queue_top = scale.y(waits);
    let took_top = scale.y(waits + takes);
    let (tone, sign) = match build.state {
        BuildState::Success => ("ok", "m-3.5 .2 2.4 2.4L3.5-2.6"),
        BuildState::Failed | BuildState::TimedOut => ("bad", "m-3-3 6 6m0-6-6 6"),
        BuildState::Canceled => ("idle", "M-3.5 0h7"),
        BuildState::Pending | BuildState::InProgress => ("run", "M3.2 0A3.2 3.2 0 1 1 0-3.2"),
    };
    let word = words::build_state(build.state).word.to_lowercase();
    let ran = if build.state.is_final() {
        "took"
    } else {
        "running for"
    };
    Bar {
        href: format!("{base}/builds/{}", build.number),
        name: format!(
            "Build {}: {word}, waited {}, {ran} {}",
            words::number(build.number as u64),
            words::duration(waits),
            words::duration(takes),
        ),
        x,
        bar_x: x + 4,
        mid: x + 13,
        queue: (number(queue_top), number(BASE - queue_top)),
        took: (number(took_top), number(queue_top - took_top)),
        tone,
        sign,
    }
}

fn number(n: f64) -> String {
    format!("{n:.1}")
}

/// How seconds become heights.
struct Scale {
    step: u64,
    steps: u64,
}

impl Scale {
    fn of(longest: Duration) -> Self {
        const STEPS: [u64; 14] = [
            1, 2, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 86_400,
        ];
        let seconds = longest.as_secs().max(1);
        let step = STEPS
            .into_iter()
            .find(|step| step * 4 >= seconds)
            .unwrap_or(86_400);
        Self {
            step,
            steps: seconds.div_ceil(step).clamp(1, 8),
        }
    }

    fn y(&self, at: Duration) -> f64 {
        let whole = (self.step * self.steps) as f64;
        BASE - (BASE - TOP) * (at.as_secs_f64() / whole).min(1.0)
    }

    fn lines(&self) -> Vec<(String, String)> {
        (0..=self.steps)
            .map(|i| {
                let at = Duration::from_secs(self.step * i);
                (format!("{:.0}", self.y(at)), words::duration(at))
            })
            .collect()
    }
}

fn figures(builds: &[&Build], now: Timestamp) -> Vec<(&'static str, String)> {
    let ended: Vec<_> = builds.iter().filter(|build| build.state.is_final()).collect();
    let good = ended
        .iter()
        .filter(|build| build.state == BuildState::Success)
        .count();
    let mut waits: Vec<_> = builds.iter().map(|build| waited(build)).collect();
    let mut takes: Vec<_> = ended.iter().map(|build| took(build, now)).collect();
    waits.sort_unstable();
    takes.sort_unstable();
    let middle = |all: &[Duration]| {
        all.get(all.len() / 2)
            .copied()
            .map_or("–".to_owned(), words::duration)
    };
    vec![
        ("Success", format!("{good} of {}", ended.len())),
        ("Median time waited", middle(&waits)),
        ("Median duration", middle(&takes)),
        (
            "Longest wait",
            waits.last().copied().map_or("–".to_owned(), words::duration),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_few_lines_and_room_for_the_longest() {
        for seconds in [0, 1, 9, 61, 59 * 60, 13 * 3600] {
            let scale = Scale::of(Duration::from_secs(seconds));
            assert!(scale.step * scale.steps >= seconds, "{seconds}");
            assert!(scale.lines().len() <= 9);
            assert!(scale.y(Duration::from_secs(seconds)) >= TOP - 0.01);
        }
        assert!((Scale::of(Duration::from_mins(1)).y(Duration::ZERO) - BASE).abs() < 0.01);
    }
}
