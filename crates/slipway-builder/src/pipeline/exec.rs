//! Running programs: in a process group of their own, with nothing of the pipeline's environment, standard output
//! and error merged in the order in which they were written.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use slipway_types::build::Phase;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    process::Command,
    sync::watch,
};

use super::{
    environment::Environment,
    log::{LogStream, Watch},
    say::Say,
};

/// How long output may pause after a program's end, before what still holds its output is taken for a daemon.
const DAEMON_PAUSE: Duration = Duration::from_millis(100);
/// How long a daemon's chatter can hold up what comes next.
const DAEMON_CHATTER: Duration = Duration::from_secs(2);
/// The most that is kept of what a program says to the pipeline itself, in bytes.
const MOST_CAPTURED: u64 = 4 << 20;

/// A program to run.
#[derive(Debug)]
pub(super) struct Program<'a> {
    command: Command,
    input: Option<&'a [u8]>,
}

/// What a program said to the pipeline itself.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    /// Without blanks at the ends.
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl<'a> Program<'a> {
    /// `program` with exactly this environment. It sees no input.
    pub(super) fn new(program: impl AsRef<OsStr>, environment: &Environment, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(environment.iter())
            .current_dir(directory)
            .stdin(Stdio::null())
            .process_group(0);
        Self { command, input: None }
    }

    pub(super) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it this on its standard input: for secrets, which must be in no argument and in no file.
    pub(super) fn input(mut self, input: &'a [u8]) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(input);
        self
    }

    /// Runs it into the log. Returns when it has ended, even if something that it started still holds its output:
    /// that goes on being read, so that a daemon is not killed by a closed pipe.
    pub(super) async fn logged(self, say: &Say, phase: Phase) -> io::Result<ExitStatus> {
        self.watched::<NoWatch>(say, phase, None).await
    }

    /// As [`Self::logged`], shown to `watch` line by line.
    pub(super) async fn watched<W: Watch + 'static>(
        mut self,
        say: &Say,
        phase: Phase,
        watch: Option<W>,
    ) -> io::Result<ExitStatus> {
        let (output, writer) = io::pipe()?;
        self.command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = self.command.spawn()?;
        // The command holds the write ends: without this the pipe would never end.
        drop(self.command);
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
        let (progress, progressed) = watch::channel(());
        let reading = tokio::spawn(read(output, LogStream::new(say, phase, watch), progress));
        let status = child.wait().await?;
        let rest = drain(progressed);
        tokio::select! {
            _ = reading => {}
            () = rest => {}
        }
        Ok(status)
    }

    /// Runs it for what it says.
    pub(super) async fn captured(mut self) -> io::Result<Said> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = self.input.unwrap_or_default();
        let ((), stdout, stderr) = tokio::join!(
            async {
                let Some(mut stdin) = stdin else { return };
                // A program that does not read to the end says why in its own words.
                let _ = stdin.write_all(input).await;
            },
            text_of(stdout),
            text_of(stderr),
        );
        Ok(Said {
            status: child.wait().await?,
            stdout: stdout?,
            stderr: stderr?,
        })
    }
}

/// Watches nothing.
struct NoWatch;

impl Watch for NoWatch {
    fn line(&mut self, _: &str) -> Vec<slipway_types::protocol::Step> {
        Vec::new()
    }
}

async fn text_of(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST_CAPTURED).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

async fn read<W: Watch>(mut output: pipe::Receiver, mut stream: LogStream<W>, progress: watch::Sender<()>) {
    let mut buffer = vec![0; 16 << 10];
    // An error is an end like any other.
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        stream.push(&buffer[..read]).await;
        progress.send_replace(());
    }
    stream.finish().await;
}

/// Waits until output pauses.
async fn drain(mut progressed: watch::Receiver<()>) {
    let pause = async {
        while tokio::time::timeout(DAEMON_PAUSE, progressed.changed())
            .await
            .is_ok_and(|r| r.is_ok())
        {}
    };
    // Chatter without a pause is the other end.
    let _ = tokio::time::timeout(DAEMON_CHATTER, pause).await;
}

/// How a program ended, for people: `code 3`, `signal 9`.
pub(super) fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
