//! The pipeline's voice: everything that leaves the machine goes through here, masked.

use slipway_types::{
    Digest, DockerTag,
    build::Phase,
    protocol::{Facts, FromPipeline, Outcome, Step},
};
use slipway_vault::mask::Masker;
use tokio::{io::AsyncWrite, sync::mpsc, task::JoinHandle};

use crate::protocol::write_line;

/// Lines that wait to be written. Whoever says more waits: so a chatty hook is slowed, not collected.
const WAITING: usize = 64;

/// Says lines to the builder. Clones say to the same one.
#[derive(Debug, Clone)]
pub(super) struct Say {
    lines: mpsc::Sender<FromPipeline>,
    masker: Masker,
}

impl Say {
    /// A voice, and the task that writes what it says until all clones are gone or nobody listens.
    pub(super) fn new(
        stdout: impl AsyncWrite + Send + Unpin + 'static,
        masker: Masker,
    ) -> (Self, JoinHandle<()>) {
        let (lines, waiting) = mpsc::channel(WAITING);
        (Self { lines, masker }, tokio::spawn(write(stdout, waiting)))
    }

    /// A masker of its own for another stream of text.
    pub(super) fn masker(&self) -> Masker {
        self.masker.fresh()
    }

    /// Says a line as it is: what is in it must be masked.
    pub(super) async fn line(&self, line: FromPipeline) {
        // A builder that is gone is noticed by the input ending.
        let _ = self.lines.send(line).await;
    }

    /// A remark of the pipeline's own in the log.
    pub(super) async fn remark(&self, phase: Phase, text: &str) {
        let text = format!("{}\n", self.masker.mask(text));
        self.line(FromPipeline::Log { phase, text }).await;
    }

    pub(super) async fn step(&self, step: Step) {
        let mask = |text: String| self.masker.mask(&text);
        let step = Step {
            name: mask(step.name),
            stage: step.stage.map(mask),
            error: step.error.map(mask),
            ..step
        };
        self.line(FromPipeline::Step { step }).await;
    }

    pub(super) async fn facts(&self, facts: Facts) {
        let mask = |text: String| self.masker.mask(&text);
        let facts = Facts {
            message: facts.message.map(mask),
            author: facts.author.map(mask),
            warnings: facts.warnings.into_iter().map(mask).collect(),
            ..facts
        };
        self.line(FromPipeline::Resolved { facts }).await;
    }

    /// Something worth a person's attention: in the log, and in the report.
    pub(super) async fn warn(&self, phase: Phase, text: &str) {
        self.remark(phase, &format!("Warning: {text}")).await;
        self.facts(Facts {
            warnings: vec![text.to_owned()],
            ..Facts::default()
        })
        .await;
    }

    pub(super) async fn pushed(&self, tag: DockerTag, digest: Digest, size: Option<u64>) {
        self.line(FromPipeline::Pushed { tag, digest, size }).await;
    }

    /// The last line.
    pub(super) async fn ended(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Failed { kind, message } => Outcome::Failed {
                kind,
                message: self.masker.mask(&message),
            },
            success @ Outcome::Success { .. } => success,
        };
        self.line(FromPipeline::Ended { outcome }).await;
    }
}

async fn write(mut stdout: impl AsyncWrite + Send + Unpin, mut lines: mpsc::Receiver<FromPipeline>) {
    while let Some(line) = lines.recv().await {
        if write_line(&mut stdout, &line).await.is_err() {
            return;
        }
    }
}
