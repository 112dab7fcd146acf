//! A shell that plays the test runner: its children carry the run's id, it does not.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A run whose runner is ours to end.
pub(crate) struct Runner {
    pub(crate) shell: Child,
    lines: BufReader<ChildStdout>,
    id: String,
}

impl Runner {
    /// Starts a runner that runs `script`, in which `part NAME…` is a process of the run that asks for parts.
    pub(crate) fn running(script: &str) -> Self {
        let id = format!("{:016x}", rand::random::<u64>());
        let part = "part() { NEXTEST_RUN_ID=$RUN \"$0\" \"$@\" </dev/null; }";
        let mut shell = Command::new("sh")
            .args([
                "-c",
                &format!("{part}\n{script}"),
                env!("CARGO_BIN_EXE_slipway-parts"),
            ])
            .env("RUN", &id)
            .env_remove("NEXTEST_RUN_ID")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, lines, id }
    }

    /// The next line that the script prints: a part's address.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(
            line.ends_with('\n'),
            "the runner ended without printing an address"
        );
        line.trim().to_owned()
    }

    /// Where the parts of this run are kept.
    pub(crate) fn directory(&self) -> PathBuf {
        format!("/var/tmp/slipway-parts-{}-{}", nix::unistd::geteuid(), self.id).into()
    }

    /// Kills the runner, and nobody else, without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A failed test must not leave its run behind; one that passed has ended it already.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Waits until `holds`, for as long as a busy machine may take.
#[expect(
    clippy::disallowed_methods,
    reason = "what other processes leave behind gives no event"
)]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
