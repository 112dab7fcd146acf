//! Building a commit once more: a retry at its old place in the order, or as the newest.

use slipway_rules::BuildRule;
use slipway_store::{Build, Configuration, NewBuild, SourceRepository, Tx};
use slipway_types::{
    BuildId, UserId,
    build::{Cause, Purpose},
    decision::NotAdmitted,
};

use super::{
    decide, finish,
    plan::{self, Target},
    queue::{Queue, QueueError},
};

/// Whose configuration a repeated build gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWith {
    /// The rule as it is now.
    TodaysConfiguration,
    /// What was decided then. Variables and logins are always today's.
    AsItWas,
}

impl Queue {
    /// Repeats a build: the same commit, at the same place in the order. Tags that a newer build has moved since stay
    /// where they are.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn retry(
        &self,
        build: BuildId,
        with: RetryWith,
        by: Option<UserId>,
    ) -> Result<Build, QueueError> {
        self.again(build, with, by, false).await
    }

    /// Builds a commit once more as if it were the newest: with a fresh place in the order, so that its tags move to
    /// it whatever was built since.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn build_as_newest(
        &self,
        build: BuildId,
        with: RetryWith,
        by: Option<UserId>,
    ) -> Result<Build, QueueError> {
        self.again(build, with, by, true).await
    }

    async fn again(
        &self,
        id: BuildId,
        with: RetryWith,
        by: Option<UserId>,
        newest: bool,
    ) -> Result<Build, QueueError> {
        let tx = self.store.begin().await?;
        tx.builds().lock_queue().await?;
        let old = tx.builds().find(id).await?.ok_or(QueueError::NoBuild)?;
        if !old.state.is_final() {
            return Err(QueueError::HasNotEnded);
        }
        let id = old.new.configuration.ok_or(QueueError::NoConfiguration)?;
        let configuration = tx
            .configurations()
            .find(id)
            .await?
            .ok_or(QueueError::NoConfiguration)?;
        let source = tx.source_repositories().get(old.new.source).await?;
        if let Some(why) = decide::forbidden(&tx, &source, &configuration, old.new.plan.external).await? {
            return Err(QueueError::NotAdmitted(why));
        }
        let mut new = NewBuild {
            cause: Cause::Retried,
            actor: by,
            retry_of: Some(old.id),
            ..old.new.clone()
        };
        if with == RetryWith::TodaysConfiguration {
            todays(&tx, &source, &configuration, &mut new).await?;
        }
        let pending = tx.builds().count_pending(new.namespace).await?;
        if pending >= tx.plans().of(new.namespace).await?.pending.into() {
            return Err(QueueError::NotAdmitted(NotAdmitted::QueueFull));
        }
        if newest {
            new.seq = tx.ref_changes().next_seq().await?;
        }
        let build = tx.builds().queue(&new).await?;
        finish::push_status(&tx, &build).await?;
        tx.commit().await?;
        self.bells.queue.ring();
        self.bells.outbox.up();
        Ok(build)
    }
}

/// Puts today's rule in place of the one that a build had.
async fn todays(
    tx: &Tx,
    source: &SourceRepository,
    configuration: &Configuration,
    new: &mut NewBuild,
) -> Result<(), QueueError> {
    let rules = tx.configurations().rules(configuration.id).await?;
    let stored = rules
        .into_iter()
        .find(|rule| Some(rule.id) == new.rule)
        .ok_or(QueueError::NoRule)?;
    let rule = BuildRule::parse(stored.id, stored.fields).map_err(|_| QueueError::NoRule)?;
    let mut target = Target {
        git_ref: new.git_ref.clone(),
        fetch_ref: new.plan.fetch_ref.clone(),
        tags: new.plan.tags.clone(),
        tags_as_written: new.plan.tags_as_written.clone(),
        external: new.plan.external,
        message: new.plan.message.clone(),
        author: new.plan.author.clone(),
    };
    // A test keeps `this`; a rule that does not match any more keeps what it gave then.
    if let (None, Purpose::Push, Some(tags)) = (new.pull_request, new.purpose, rule.tags_for(&new.git_ref))
        && !tags.tags.is_empty()
    {
        target.tags = tags.tags;
        target.tags_as_written = tags.as_written;
    }
    let made = plan::make(tx, source, configuration, &rule, &target).await?;
    new.plan = made.plan;
    new.time_limit_s = made.time_limit_s;
    Ok(())
}
