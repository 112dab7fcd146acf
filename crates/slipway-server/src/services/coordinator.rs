//! The server's side of a lease: what builders ask, straight from the store. The embedded one does so in this process; for
//! those on other hosts, `crate::builders` does.
//!
//! Every write names build and lease number; a stale one changes nothing and is answered with *lease lost*, at which
//! the builder kills its machine. Secrets are opened here, on their way into a build's specification, and
//! nowhere before.

use std::{sync::Arc, time::Duration};

use slipway_builder::outside::{
    Batch, BuilderHello, CancelReason, Coordinator, CoordinatorError, Ended, Leased, Renewal, RunEvent,
};
use slipway_store::{BatchState, Build, CancelWish, Ending, Fence, MAX_RUNS, Store, StoreError, Tx};
use slipway_types::{
    BuildId, BuilderId, DockerTag, LeaseNo, Timestamp,
    build::FailureKind,
    protocol::{BuildSpec, FenceAnswer},
};

use super::{
    ask::AskForge,
    bells::Bells,
    builders::facts,
    finish,
    spec::{self, SpecError},
};

/// How long a lease lives without renewal (order.md, "Lease and fence").
pub const TERM: Duration = Duration::from_secs(30);

/// How long a builder that asks for something is kept waiting for it.
pub const LONG_POLL: Duration = Duration::from_secs(20);

/// What builders in this process ask.
#[derive(Clone)]
pub struct InProcess {
    store: Store,
    ask: Arc<dyn AskForge>,
    bells: Bells,
    /// What the embedded builder is called.
    name: Arc<str>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl InProcess {
    /// Over this store; `name` is what the embedded builder is called.
    pub fn new(store: Store, ask: Arc<dyn AskForge>, bells: Bells, name: &str) -> Self {
        Self {
            store,
            ask,
            bells,
            name: name.into(),
        }
    }

    /// Gives a builder a build as soon as there is one; none: after a while, there was none.
    ///
    /// # Errors
    /// [`CoordinatorError::Unreachable`] when the database does not answer.
    pub async fn wait_for_work(&self, builder: BuilderId) -> Result<Option<Leased>, CoordinatorError> {
        let patience = tokio::time::Instant::now() + LONG_POLL;
        let mut queue = self.bells.queue.listen();
        loop {
            if let Some(leased) = self.try_lease(builder).await.map_err(answer)? {
                return Ok(Some(leased));
            }
            tokio::select! {
                () = queue.rung() => {}
                () = tokio::time::sleep(self.bells.patience.lease) => {}
                () = tokio::time::sleep_until(patience) => return Ok(None),
            }
        }
    }

    /// Gives a builder a build, if one may run now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn try_lease(&self, builder: BuilderId) -> Result<Option<Leased>, StoreError> {
        loop {
            let tx = self.store.begin().await?;
            let Some(build) = tx.leases().take(builder).await? else {
                // Ended here and now: dropped, it would keep its locks a moment longer, and whoever asks next would
                // leave the namespace out.
                tx.commit().await?;
                return Ok(None);
            };
            finish::push_status(&tx, &build).await?;
            tx.commit().await?;
            self.bells.outbox.up();
            self.bells.builds.ring(build.id);
            tracing::info!(build = %build.id, lease = build.lease.0, %builder, "build leased");
            // Without one it has ended, or waits again: there may be another.
            if let Some(spec) = self.specify(&build).await? {
                return Ok(Some(Leased {
                    spec,
                    lease: build.lease,
                    term: TERM,
                }));
            }
        }
    }

    /// Puts together what the run needs. A build that cannot be specified ends here, with its reason; where a forge
    /// only does not answer just now, it waits for its next run instead.
    async fn specify(&self, build: &Build) -> Result<Option<BuildSpec>, StoreError> {
        let error = match spec::make(&self.store, self.ask.as_ref(), build).await {
            Ok(spec) => return Ok(Some(spec)),
            Err(SpecError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(build = %build.id, kind = %error.failure(), reason = %error, "a build could not be started");
        if error.is_transient() && build.runs < MAX_RUNS {
            self.put_back(build).await?;
        } else {
            let ending = Ending::Failed {
                kind: error.failure(),
                message: error.to_string(),
            };
            self.end(build.id, build.lease, &ending).await?;
        }
        Ok(None)
    }

    async fn put_back(&self, build: &Build) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        tx.builds().lock_queue().await?;
        let held = tx.leases().hold(build.id, build.lease).await?;
        tx.leases().requeue(&held).await?;
        tx.commit().await?;
        self.ring(build.id);
        Ok(())
    }

    async fn end(&self, build: BuildId, lease: LeaseNo, how: &Ending) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        tx.builds().lock_queue().await?;
        tx.leases().hold(build, lease).await?;
        finish::end(&tx, build, how).await?;
        tx.commit().await?;
        self.ring(build);
        Ok(())
    }

    /// A build let go of its place and its tags.
    fn ring(&self, build: BuildId) {
        self.bells.queue.ring();
        self.bells.tags.up();
        self.bells.outbox.up();
        self.bells.builds.ring(build);
    }

    /// Appends a batch's log before the batch is counted in: written twice, it is there once.
    async fn append_log(&self, build: BuildId, lease: LeaseNo, batch: &Batch) -> Result<(), StoreError> {
        let number = i64::try_from(batch.number).unwrap_or(i64::MAX >> CHUNK_BITS);
        for (i, chunk) in (0i64..1 << CHUNK_BITS).zip(&batch.log) {
            let n = (number << CHUNK_BITS) | i;
            self.store
                .logs()
                .append(build, lease, n, chunk.phase, &chunk.text)
                .await?;
        }
        Ok(())
    }

    async fn take_batch(
        &self,
        build: BuildId,
        lease: LeaseNo,
        batch: &Batch,
    ) -> Result<(), CoordinatorError> {
        let number = i64::try_from(batch.number).unwrap_or(i64::MAX);
        let now = self.store.builds().get(build).await.map_err(answer)?;
        if now.lease != lease || now.state.is_final() {
            return Err(CoordinatorError::LeaseLost);
        }
        if number <= now.batch_no {
            return Ok(());
        }
        if number > now.batch_no + 1 {
            // Before its log is appended: its place follows from what lies before it.
            return Err(gap(number, now.batch_no));
        }
        self.append_log(build, lease, batch).await.map_err(answer)?;
        let tx = self.store.begin().await.map_err(answer)?;
        let held = tx.leases().hold(build, lease).await.map_err(answer)?;
        match tx.leases().count_batch(&held, number).await.map_err(answer)? {
            BatchState::Repeated => return Ok(()),
            BatchState::Gap { last } => return Err(gap(number, last)),
            BatchState::Next => {}
        }
        for stamped in &batch.events {
            let at = held
                .started_at
                .unwrap_or(held.queued_at)
                .plus(Duration::from_millis(stamped.at_ms));
            keep(&tx, &held, at, &stamped.event).await.map_err(answer)?;
        }
        tx.commit().await.map_err(answer)?;
        self.bells.builds.ring(build);
        Ok(())
    }

    async fn ask_fence(
        &self,
        build: BuildId,
        lease: LeaseNo,
        tags: &[DockerTag],
    ) -> Result<Fence, StoreError> {
        let tx = self.store.begin().await?;
        let held = tx.leases().hold(build, lease).await?;
        // Where it has to wait nothing was granted, and the locks are let go at once.
        let fence = tx.tag_heads().fence(&held, tags).await?;
        tx.commit().await?;
        Ok(fence)
    }

    async fn end_run(&self, build: BuildId, lease: LeaseNo, ended: &Ended) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        tx.builds().lock_queue().await?;
        let held = match tx.leases().hold(build, lease).await {
            Ok(held) => held,
            // Said again after its answer was lost.
            Err(StoreError::LeaseLost) if has_ended(&tx, build, lease).await? => return Ok(()),
            Err(error) => return Err(error),
        };
        match ending(&held, ended) {
            Some(how) => drop(finish::end(&tx, build, &how).await?),
            None => tx.leases().give_back(&held).await?,
        }
        tx.commit().await?;
        self.ring(build);
        Ok(())
    }
}

/// How many bits of a chunk's number say which of its batch's chunks it is.
const CHUNK_BITS: u32 = 20;

async fn has_ended(tx: &Tx, build: BuildId, lease: LeaseNo) -> Result<bool, StoreError> {
    let now = tx.builds().get(build).await?;
    Ok(now.lease == lease && now.state.is_final())
}

/// Keeps one event of a build that is held.
async fn keep(tx: &Tx, build: &Build, at: Timestamp, event: &RunEvent) -> Result<(), StoreError> {
    match event {
        RunEvent::PhaseStarted { phase } => tx.reports().phase_started(build, *phase, at).await,
        RunEvent::PhaseEnded { phase, ok } => tx.reports().phase_ended(build, *phase, *ok, at).await,
        RunEvent::Step { step } => tx.reports().step(build, step).await,
        RunEvent::Resolved { facts } => tx.reports().add_facts(build.id, facts).await,
        RunEvent::Pushed { tag, digest, size } => {
            let size = size.and_then(|size| i64::try_from(size).ok());
            tx.tag_heads().pushed(build, tag, digest, size).await.map(drop)
        }
        RunEvent::Unknown => Ok(()),
    }
}

/// How a run ends its build; `None`: it does not.
fn ending(build: &Build, ended: &Ended) -> Option<Ending> {
    Some(match ended {
        Ended::Success { skipped } if skipped.is_empty() => Ending::Success { message: None },
        Ended::Success { skipped } => {
            let tags: Vec<&str> = skipped.iter().map(DockerTag::as_str).collect();
            let message = format!("Left out because a newer build holds them: {}", tags.join(", "));
            Ending::Success {
                message: Some(message),
            }
        }
        Ended::Failed { kind, message } => Ending::Failed {
            kind: *kind,
            message: message.clone(),
        },
        Ended::Canceled {
            reason: CancelReason::Disconnected,
        } => Ending::Disconnected,
        Ended::Canceled { .. } => match build.superseded_by {
            Some(by) => Ending::Superseded { by },
            None => Ending::Canceled {
                by: build.canceled_by,
            },
        },
        Ended::TimedOut { .. } => Ending::TimedOut,
        Ended::GivenBack if build.cancel.is_some() => Ending::Canceled {
            by: build.canceled_by,
        },
        Ended::GivenBack => return None,
    })
}

fn reason(wish: CancelWish) -> CancelReason {
    match wish {
        CancelWish::Canceled => CancelReason::Requested,
        CancelWish::Superseded => CancelReason::Superseded,
        CancelWish::Disconnected => CancelReason::Disconnected,
    }
}

fn answer(error: StoreError) -> CoordinatorError {
    match error {
        StoreError::LeaseLost | StoreError::NotFound(_) => CoordinatorError::LeaseLost,
        other => CoordinatorError::Unreachable(other.into()),
    }
}

fn gap(number: i64, last: i64) -> CoordinatorError {
    CoordinatorError::Unreachable(format!("batch {number} came after batch {last}").into())
}

impl Coordinator for InProcess {
    async fn lease(&self, hello: BuilderHello) -> Result<Option<Leased>, CoordinatorError> {
        let tx = self.store.begin().await.map_err(answer)?;
        let builder = tx
            .builders()
            .embedded(&self.name, &facts(&hello))
            .await
            .map_err(answer)?;
        tx.commit().await.map_err(answer)?;
        self.wait_for_work(builder).await
    }

    async fn renew(&self, build: BuildId, lease: LeaseNo) -> Result<Renewal, CoordinatorError> {
        let tx = self.store.begin().await.map_err(answer)?;
        let wish = tx.leases().renew(build, lease).await.map_err(answer)?;
        tx.commit().await.map_err(answer)?;
        Ok(Renewal {
            cancel: wish.map(reason),
        })
    }

    async fn canceled(&self, build: BuildId, lease: LeaseNo) -> CancelReason {
        let mut bell = self.bells.builds.listen(build);
        loop {
            // The next look, or the next renewal, will tell.
            if let Ok(Some(now)) = self.store.builds().find(build).await
                && now.lease == lease
                && let Some(wish) = now.cancel
            {
                return reason(wish);
            }
            tokio::select! {
                () = bell.rung() => {}
                () = tokio::time::sleep(self.bells.patience.cancel) => {}
            }
        }
    }

    async fn report(&self, build: BuildId, lease: LeaseNo, batch: Batch) -> Result<(), CoordinatorError> {
        self.take_batch(build, lease, &batch).await
    }

    async fn fence(
        &self,
        build: BuildId,
        lease: LeaseNo,
        tags: Vec<DockerTag>,
    ) -> Result<Vec<(DockerTag, FenceAnswer)>, CoordinatorError> {
        let mut queue = self.bells.queue.listen();
        loop {
            match self.ask_fence(build, lease, &tags).await.map_err(answer)? {
                Fence::Answered(answers) => return Ok(answers),
                Fence::Wait => {}
            }
            tokio::select! {
                () = queue.rung() => {}
                () = tokio::time::sleep(self.bells.patience.fence) => {}
            }
        }
    }

    async fn finish(&self, build: BuildId, lease: LeaseNo, ended: Ended) -> Result<(), CoordinatorError> {
        self.end_run(build, lease, &ended).await.map_err(answer)
    }
}

/// What a build that was lost for good is told.
pub(crate) fn lost(runs: i32) -> Ending {
    Ending::Failed {
        kind: FailureKind::BUILDER_LOST,
        message: format!(
            "its builder was lost {runs} times in a row; look at the builders' health, then retry the build"
        ),
    }
}
