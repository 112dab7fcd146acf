//! The line between a builder and a launcher: a socket in the lane's directory, a line of JSON each. Its end is the
//! machine's: a builder that dies takes its machines along.

use std::{fs::File, os::fd::AsRawFd as _, path::Path, process::Stdio, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    process::{Child, Command},
};

use super::{Stage, lanes::Lane};
use crate::error::MachineError;

/// How long a launcher may take for one step.
const STEP: Duration = Duration::from_secs(20);

/// The builder's end.
#[derive(Debug)]
pub(super) struct Control {
    stream: BufReader<UnixStream>,
}

/// Listens at a file name in a directory whose path may be too long for sockets (unix(7) allows 108 bytes).
pub(super) fn listen(directory: &Path, name: &str) -> std::io::Result<UnixListener> {
    let handle = File::open(directory)?;
    let short = format!("/proc/self/fd/{}/{name}", handle.as_raw_fd());
    match std::fs::remove_file(directory.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(short)
}

impl Control {
    /// Starts a launcher in a lane, and waits for its call.
    pub(super) async fn start(
        launcher: &Path,
        stage: Stage,
        lane: &Lane,
        stdin: Option<File>,
    ) -> Result<(Child, Self), MachineError> {
        let failed = |source| MachineError::Start {
            program: launcher.to_owned(),
            source,
        };
        let listener = listen(&lane.directory, "control").map_err(failed)?;
        let mut child = Command::new(launcher)
            .args(["machine", stage.word()])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(&lane.directory)
            .stdin(stdin.map_or_else(Stdio::piped, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Away from the terminal's signals: a builder that drains is interrupted, its builds are not.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        match called(&listener, &mut child).await {
            Some(Ok(stream)) => Ok((
                child,
                Self {
                    stream: BufReader::new(stream),
                },
            )),
            Some(Err(source)) => Err(failed(source)),
            None => Err(MachineError::Refused {
                what: "the launcher",
                why: complaint(&mut child).await,
            }),
        }
    }

    /// Says a line.
    pub(super) async fn say(&mut self, what: &(impl Serialize + ?Sized)) -> Result<(), MachineError> {
        let mut line = serde_json::to_vec(what).map_err(|error| broken(error.into()))?;
        line.push(b'\n');
        self.stream.write_all(&line).await.map_err(broken)
    }

    /// Waits for a word. Anything else is the reason why it does not come.
    pub(super) async fn hear(&mut self, word: &str) -> Result<(), MachineError> {
        let mut line = String::new();
        let read = tokio::time::timeout(STEP, self.stream.read_line(&mut line)).await;
        read.map_err(|error| broken(error.into()))?.map_err(broken)?;
        let said: String = serde_json::from_str(&line).map_err(|error| broken(error.into()))?;
        if said == word {
            return Ok(());
        }
        Err(MachineError::Refused {
            what: "the launcher",
            why: said,
        })
    }
}

/// The launcher's call; none when it ends without, or does not come.
async fn called(listener: &UnixListener, child: &mut Child) -> Option<std::io::Result<UnixStream>> {
    let until = tokio::time::Instant::now() + STEP;
    // Not by waiting for the child, which would close its input.
    while matches!(child.try_wait(), Ok(None)) && tokio::time::Instant::now() < until {
        let call = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        if let Ok(accepted) = call {
            return Some(accepted.map(|(stream, _)| stream));
        }
    }
    None
}

fn broken(source: std::io::Error) -> MachineError {
    MachineError::Wait { source }
}

/// A child's process id.
pub(super) fn pid_of(child: &Child) -> Result<u32, MachineError> {
    child
        .id()
        .ok_or_else(|| broken(std::io::Error::other("the launcher has ended already")))
}

/// What a child that has ended, or is to end, says on its standard error.
pub(super) async fn complaint(child: &mut Child) -> String {
    use tokio::io::AsyncReadExt as _;
    let _ = child.start_kill();
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let reading = stderr.take(4096);
        tokio::pin!(reading);
        let _ = tokio::time::timeout(Duration::from_secs(2), reading.read_to_end(&mut text)).await;
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}
