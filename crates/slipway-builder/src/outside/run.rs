//! One run of one build: a lease that is kept, a machine that is listened to, and an end.

use std::{sync::Arc, time::Duration};

use slipway_machine::{Driver, MachineSpec, Started};
use slipway_types::{
    DockerTag,
    build::{FailureKind, Phase},
    protocol::{FenceAnswer, FromPipeline, Outcome, ToPipeline},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    builder::{BuilderConfig, RepositoryLocks},
    coordinator::{CancelReason, Coordinator, CoordinatorError, Ended, Leased, RunEvent, Stamped},
    lease::{Kept, News, Timing, keep},
    log::{LogBound, remark},
    report::{Item, Reporter, bounded, cut},
};
use crate::{
    clock::Moment,
    protocol::{Lines, ProtocolError, write_line},
};

/// How long a pipeline may take to end, and to clean up, when it is told to or has said that it does.
const GRACE: Duration = Duration::from_secs(3);
/// How much of what a dying pipeline complains about is told, in bytes.
const COMPLAINT: usize = 2 << 10;

/// What every run of a builder uses.
pub(super) struct Shared<C> {
    pub(super) coordinator: Arc<C>,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) config: BuilderConfig,
    pub(super) repositories: RepositoryLocks,
    /// Ends all runs at once.
    pub(super) abort: CancellationToken,
}

/// Why a run is over.
#[derive(Debug)]
enum End {
    Said(Outcome),
    Failed(String),
    Canceled(CancelReason),
    TimedOut,
    Aborted,
    Lost,
}

/// Runs a leased build to its end, or until the lease is lost.
pub(super) async fn run<C: Coordinator>(shared: Arc<Shared<C>>, leased: Leased) {
    let (build, lease) = (leased.spec.build, leased.lease);
    let timing = Timing {
        term: leased.term,
        every: shared.config.renew_every,
        margin: shared.config.kill_margin,
    };
    let mut kept = match keep(Arc::clone(&shared.coordinator), build, lease, timing).await {
        Ok(kept) => kept,
        Err(error) => {
            // Nothing was started: the lease runs out and the build is given to somebody else.
            tracing::warn!(%build, error = &error as &dyn std::error::Error, "a build was leased but the lease could not be renewed");
            return;
        }
    };
    let reporter = Reporter::start(
        Arc::clone(&shared.coordinator),
        build,
        lease,
        &shared.config.spool,
    );
    let mut this = Run {
        began: Moment::now(),
        limit: Duration::from_secs(leased.spec.limits.time_s),
        leased,
        items: reporter.items(),
        shared,
    };
    let end = this.live(&mut kept).await;
    tracing::info!(%build, lease = lease.0, ?end, "a run is over");
    if matches!(end, End::Lost) {
        return;
    }
    // The machine is dead. What is left is to say so, as long as the lease can be kept.
    let saying = this.say_how(end, reporter);
    tokio::pin!(saying);
    loop {
        tokio::select! {
            () = &mut saying => return,
            news = kept.news.recv() => if matches!(news, None | Some(News::Lost)) { return },
        }
    }
}

struct Run<C> {
    shared: Arc<Shared<C>>,
    leased: Leased,
    began: Moment,
    limit: Duration,
    items: mpsc::Sender<Item>,
}

impl<C: Coordinator> Run<C> {
    /// Waits for the place, starts the machine, listens to it, and ends it.
    async fn live(&mut self, kept: &mut Kept) -> End {
        // On a machine without walls, two builds of one repository would overwrite each other's images.
        let place = self
            .shared
            .repositories
            .of(&*self.shared.driver, &self.leased.spec.image.docker_repo());
        let waiting = place.lock();
        tokio::pin!(waiting);
        let mut life = Moment::now();
        let _alone = tokio::select! {
            biased;
            end = self.stop(kept, &mut life) => return end,
            alone = &mut waiting => alone,
        };
        // Waiting is not the build's own time.
        self.began = Moment::now();
        let spec = MachineSpec {
            build: self.leased.spec.build,
            lease: self.leased.lease,
            program: self.shared.config.pipeline.program.clone(),
            arguments: self.shared.config.pipeline.arguments.clone(),
            environment: self.shared.config.pipeline.environment.clone(),
            layers: self.leased.spec.layers.map(|id| id.uuid().simple().to_string()),
        };
        let started = match self.shared.driver.start(spec).await {
            Ok(started) => started,
            Err(error) => return End::Failed(with_causes(&error)),
        };
        self.listen(started, kept, life).await
    }

    /// Waits for anything that ends a run before it began. What renewals say is kept in `life`.
    async fn stop(&self, kept: &mut Kept, life: &mut Moment) -> End {
        loop {
            tokio::select! {
                () = self.shared.abort.cancelled() => return End::Aborted,
                news = kept.news.recv() => match news {
                    None | Some(News::Lost) => return End::Lost,
                    Some(News::Cancel(reason)) => return End::Canceled(reason),
                    Some(News::Renewed(until)) => *life = until,
                },
            }
        }
    }

    async fn listen(&mut self, started: Started, kept: &mut Kept, life: Moment) -> End {
        let Started {
            stdin,
            stdout,
            stderr,
            mut machine,
        } = started;
        let (say, to_say) = mpsc::unbounded_channel();
        let talker = AbortOnDropHandle::new(tokio::spawn(talk(stdin, to_say)));
        let (heard, mut hear) = mpsc::channel(8);
        let listener = Listener {
            items: self.items.clone(),
            heard,
            began: self.began,
            log: LogBound::new(self.leased.spec.limits.log_bytes),
            phase: Phase::Checkout,
        };
        let listening = AbortOnDropHandle::new(tokio::spawn(listener.run(stdout)));
        let complaints = AbortOnDropHandle::new(tokio::spawn(last_of(stderr)));

        let start = ToPipeline::Start {
            spec: Box::new(self.leased.spec.clone()),
        };
        tell(&say, start);
        tell(&say, renewed(life));
        let end = self.attend(kept, &say, &mut hear).await;

        // The pipeline ends everything when its input does; what it does not manage in time is done from outside.
        drop((say, talker));
        let grace = match &end {
            End::Failed(_) => Duration::ZERO,
            // The rest of the margin is for the killing itself.
            End::Lost => (self.shared.config.kill_margin * 2 / 5).min(GRACE),
            End::Said(_) | End::Canceled(_) | End::TimedOut | End::Aborted => GRACE,
        };
        hear.close();
        if let Err(error) = machine.kill(grace).await {
            tracing::error!(build = %self.leased.spec.build, error = &error as &dyn std::error::Error, "a machine was not ended cleanly");
        }
        if matches!(end, End::Lost) {
            // What is still to be reported nobody would take.
            return end;
        }
        let phase = tokio::select! {
            phase = listening => phase.unwrap_or(Phase::Checkout),
            // Taking the rest is worth waiting for only while the lease lives.
            () = lost(kept) => return End::Lost,
        };
        self.remark(phase, &end).await;
        match end {
            End::Failed(why) => {
                let complaint = complaints.await.unwrap_or_default();
                End::Failed(if complaint.is_empty() {
                    why
                } else {
                    format!("{why}: {complaint}")
                })
            }
            other => other,
        }
    }

    /// Answers the machine until something ends the run.
    async fn attend(
        &self,
        kept: &mut Kept,
        say: &mpsc::UnboundedSender<ToPipeline>,
        hear: &mut mpsc::Receiver<Heard>,
    ) -> End {
        let limit = self.began.plus(self.limit);
        let mut fence = None;
        loop {
            tokio::select! {
                () = self.shared.abort.cancelled() => return End::Aborted,
                () = limit.come() => return End::TimedOut,
                news = kept.news.recv() => match news {
                    None | Some(News::Lost) => return End::Lost,
                    Some(News::Cancel(reason)) => return End::Canceled(reason),
                    Some(News::Renewed(life)) => tell(say, renewed(life)),
                },
                heard = hear.recv() => match heard {
                    None => return End::Failed("the machine ended without saying how".to_owned()),
                    Some(Heard::Fence(tags)) => fence = Some(self.ask_fence(tags)),
                    Some(Heard::Ended(outcome)) => return End::Said(outcome),
                    Some(Heard::Broke(error)) => return End::Failed(format!("the machine said something that is not understood ({error})")),
                    Some(Heard::Unheard) => return End::Lost,
                },
                answer = answered(&mut fence) => {
                    fence = None;
                    match answer {
                        Some(grants) => tell(say, ToPipeline::Fence { grants }),
                        None => return End::Lost,
                    }
                }
            }
        }
    }

    /// Asks until there is an answer; none when the lease is lost.
    fn ask_fence(&self, mut tags: Vec<DockerTag>) -> Asking {
        // A machine's word: it gets no answer for tags that are not its build's.
        tags.retain(|tag| self.leased.spec.image.tags.contains(tag));
        let coordinator = Arc::clone(&self.shared.coordinator);
        let (build, lease) = (self.leased.spec.build, self.leased.lease);
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                match coordinator.fence(build, lease, tags.clone()).await {
                    Ok(grants) => return Some(grants),
                    Err(CoordinatorError::LeaseLost | CoordinatorError::Refused(_)) => return None,
                    Err(CoordinatorError::Unreachable(error)) => {
                        tracing::warn!(%build, error = &*error, "the fence could not be asked; trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }))
    }

    /// Writes into the log what only the builder knows.
    async fn remark(&self, phase: Phase, end: &End) {
        let text = match end {
            End::Said(_) | End::Lost | End::Aborted => return,
            End::Failed(why) => format!("The machine failed: {why}."),
            End::Canceled(CancelReason::Requested) => "Canceled.".to_owned(),
            End::Canceled(CancelReason::Superseded) => "Canceled: a newer build takes its place.".to_owned(),
            End::Canceled(CancelReason::Disconnected) => {
                "Canceled: the source is not linked any more.".to_owned()
            }
            End::TimedOut => format!("Ended: the time limit of {} s is reached.", self.limit.as_secs()),
        };
        let chunk = remark(phase, at_ms(self.began), &text);
        let _ = self.items.send(Item::Log(chunk)).await;
    }

    /// Hands over what is left and says how it ended; asked again as long as nobody answers.
    async fn say_how(self, end: End, reporter: Reporter) {
        let ended = match end {
            End::Said(Outcome::Success { skipped }) => Ended::Success { skipped },
            End::Said(Outcome::Failed { kind, message }) => Ended::Failed {
                kind,
                message: cut(message, 4 << 10),
            },
            End::Failed(message) => Ended::Failed {
                kind: FailureKind::MACHINE,
                message: cut(message, 4 << 10),
            },
            End::Canceled(reason) => Ended::Canceled { reason },
            End::TimedOut => Ended::TimedOut {
                limit_s: self.limit.as_secs(),
            },
            End::Aborted => Ended::GivenBack,
            End::Lost => return,
        };
        let (coordinator, build, lease) = (
            Arc::clone(&self.shared.coordinator),
            self.leased.spec.build,
            self.leased.lease,
        );
        drop(self);
        if let Err(error) = reporter.close().await {
            tracing::warn!(%build, error = &error as &dyn std::error::Error, "a run ended after its lease");
            return;
        }
        loop {
            match coordinator.finish(build, lease, ended.clone()).await {
                Ok(()) | Err(CoordinatorError::LeaseLost | CoordinatorError::Refused(_)) => return,
                Err(CoordinatorError::Unreachable(error)) => {
                    tracing::warn!(%build, error = &*error, "a run's end could not be told; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
}

type Asking = AbortOnDropHandle<Option<Vec<(DockerTag, FenceAnswer)>>>;

/// The fence's answer; never, when nothing was asked.
async fn answered(fence: &mut Option<Asking>) -> Option<Vec<(DockerTag, FenceAnswer)>> {
    match fence {
        Some(asking) => asking.await.unwrap_or(None),
        None => std::future::pending().await,
    }
}

async fn lost(kept: &mut Kept) {
    while !matches!(kept.news.recv().await, None | Some(News::Lost)) {}
}

fn tell(say: &mpsc::UnboundedSender<ToPipeline>, line: ToPipeline) {
    // A pipeline that does not listen any more is noticed by its output ending.
    let _ = say.send(line);
}

/// How long the machine may live from now.
fn renewed(until: Moment) -> ToPipeline {
    ToPipeline::Renewed {
        for_ms: millis(until.since(Moment::now())),
    }
}

/// Writes lines until there are no more, then closes the pipeline's input.
async fn talk(mut stdin: Box<dyn AsyncWrite + Send + Unpin>, mut lines: mpsc::UnboundedReceiver<ToPipeline>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = write_line(&mut stdin, &line).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the pipeline does not listen"
            );
            return;
        }
    }
}

/// What a machine says that has to be acted upon.
#[derive(Debug)]
enum Heard {
    Fence(Vec<DockerTag>),
    Ended(Outcome),
    Broke(ProtocolError),
    /// The reporter is gone: the lease is lost.
    Unheard,
}

/// Reads what a machine says: reports most of it, passes on the rest.
struct Listener {
    items: mpsc::Sender<Item>,
    heard: mpsc::Sender<Heard>,
    began: Moment,
    log: LogBound,
    phase: Phase,
}

impl Listener {
    /// Returns the phase that was last heard of.
    async fn run(mut self, stdout: Box<dyn AsyncRead + Send + Unpin>) -> Phase {
        let mut lines = Lines::new(stdout);
        loop {
            let heard = match lines.next::<FromPipeline>().await {
                Ok(Some(FromPipeline::FenceWanted { tags })) => Some(Heard::Fence(tags)),
                Ok(Some(FromPipeline::Ended { outcome })) => Some(Heard::Ended(outcome)),
                Ok(Some(line)) => match self.report(line).await {
                    Ok(()) => None,
                    Err(_) => Some(Heard::Unheard),
                },
                Ok(None) => break,
                Err(error) => Some(Heard::Broke(error)),
            };
            let Some(heard) = heard else { continue };
            let last = !matches!(heard, Heard::Fence(_));
            // Once the run is ending, nobody hears, and only the log still counts.
            let _ = self.heard.send(heard).await;
            if last {
                break;
            }
        }
        for chunk in self.log.finish() {
            let _ = self.items.send(Item::Log(chunk)).await;
        }
        self.phase
    }

    async fn report(&mut self, line: FromPipeline) -> Result<(), mpsc::error::SendError<Item>> {
        let at_ms = at_ms(self.began);
        let event = match line {
            FromPipeline::Log { phase, text } => {
                self.phase = phase;
                let chunk = super::coordinator::LogChunk { phase, at_ms, text };
                return match self.log.push(chunk) {
                    Some(chunk) => self.items.send(Item::Log(chunk)).await,
                    None => Ok(()),
                };
            }
            FromPipeline::PhaseStarted { phase } => {
                self.phase = phase;
                RunEvent::PhaseStarted { phase }
            }
            FromPipeline::PhaseEnded { phase, ok } => RunEvent::PhaseEnded { phase, ok },
            FromPipeline::Step { step } => RunEvent::Step { step },
            FromPipeline::Resolved { facts } => RunEvent::Resolved { facts },
            FromPipeline::Pushed { tag, digest, size } => RunEvent::Pushed { tag, digest, size },
            FromPipeline::FenceWanted { .. } | FromPipeline::Ended { .. } => return Ok(()),
        };
        let event = bounded(event);
        self.items.send(Item::Event(Stamped { at_ms, event })).await
    }
}

/// The end of what a stream says, on one line.
async fn last_of(mut stream: Box<dyn AsyncRead + Send + Unpin>) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(COMPLAINT);
        kept.drain(..excess);
    }
    let text = String::from_utf8_lossy(&kept);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines.join(" · ")
}

fn at_ms(began: Moment) -> u64 {
    millis(Moment::now().since(began))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An error and its causes, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
