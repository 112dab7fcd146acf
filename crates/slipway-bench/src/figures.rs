//! Figures, and how they are said.

use std::time::Duration;

use anyhow::{Context as _, Result};

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Times of one thing done again and again.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Result<Self> {
        times.sort_unstable();
        times.first().context("nothing was measured")?;
        Ok(Self(times))
    }

    /// A percentile in milliseconds.
    pub(crate) fn ms(&self, percent: usize) -> f64 {
        self.0[(self.0.len() - 1) * percent / 100].as_secs_f64() * 1000.0
    }
}

/// How many there are, and how they spread.
impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, [least, p50, p99, most]) = (self.0.len(), [0, 50, 99, 100].map(|p| self.ms(p)));
        write!(
            f,
            "{count} times: min={least:.1} ms p50={p50:.1} ms p99={p99:.1} ms max={most:.1} ms"
        )
    }
}

/// The resident memory of a process (proc_pid_status(5), `VmRSS`), in MB of 1,000,000 bytes.
pub(crate) fn rss_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("the process has no memory: it has ended")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}
