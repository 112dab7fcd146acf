//! The pipeline's ears: its input, and what ends it before its time.
//!
//! Input that ends, renewals that stop coming, a signal: each ends the pipeline and everything it started. A builder
//! that is frozen or gone is thus covered from inside the machine.

use std::time::Duration;

use slipway_types::{
    DockerTag,
    protocol::{BuildSpec, FenceAnswer, ToPipeline},
};
use tokio::{
    io::AsyncRead,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use crate::{
    clock::Moment,
    protocol::{Lines, ProtocolError},
};

/// How long the first renewal may take to come.
const FIRST_RENEWAL: Duration = Duration::from_secs(30);

/// Why a pipeline ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the builder is gone")]
    InputEnded,
    #[error("the builder's lease was not renewed in time")]
    NotRenewed,
    #[error("asked to end by a signal")]
    Signal,
    #[error("the builder said something that is not understood")]
    Junk(#[source] ProtocolError),
}

/// Answers to the fence, as they come.
pub(super) type Grants = mpsc::Receiver<Vec<(DockerTag, FenceAnswer)>>;

/// What is heard after the start.
pub(super) struct Ears<R> {
    lines: Lines<R>,
    grants: mpsc::Sender<Vec<(DockerTag, FenceAnswer)>>,
}

/// Reads the first line, which says what to build.
///
/// # Errors
/// [`Stopped`] when it does not come, or is another one.
pub(super) async fn started<R: AsyncRead + Unpin>(input: R) -> Result<(BuildSpec, Ears<R>, Grants), Stopped> {
    let mut lines = Lines::new(input);
    match lines.next().await.map_err(Stopped::Junk)? {
        Some(ToPipeline::Start { spec }) => {
            let (grants, given) = mpsc::channel(1);
            Ok((*spec, Ears { lines, grants }, given))
        }
        Some(_) | None => Err(Stopped::InputEnded),
    }
}

impl<R: AsyncRead + Unpin> Ears<R> {
    /// Listens until something ends the pipeline.
    pub(super) async fn stopped(self) -> Stopped {
        let (renewed, deadline) = watch::channel(Moment::now().plus(FIRST_RENEWAL));
        tokio::select! {
            why = self.hear(renewed) => why,
            () = passed(deadline) => Stopped::NotRenewed,
            () = signalled() => Stopped::Signal,
        }
    }

    async fn hear(mut self, renewed: watch::Sender<Moment>) -> Stopped {
        loop {
            match self.lines.next().await {
                Ok(None) => return Stopped::InputEnded,
                Ok(Some(ToPipeline::Renewed { for_ms })) => {
                    renewed.send_replace(Moment::now().plus(Duration::from_millis(for_ms)));
                }
                Ok(Some(ToPipeline::Fence { grants })) => {
                    // An answer that nobody waits for any more is let go.
                    let _ = self.grants.try_send(grants);
                }
                // A second start is as good as junk, but harmless.
                Ok(Some(ToPipeline::Start { .. })) => {}
                Err(error) => return Stopped::Junk(error),
            }
        }
    }
}

/// Resolves when the deadline passes without having been moved.
async fn passed(mut deadline: watch::Receiver<Moment>) {
    loop {
        let until = *deadline.borrow_and_update();
        tokio::select! {
            () = until.come() => return,
            moved = deadline.changed() => if moved.is_err() {
                return std::future::pending().await;
            },
        }
    }
}

async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process as ever.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
