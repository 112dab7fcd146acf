//! The queue as people use it: trigger, cancel, retry, build as newest; what waits, where, and why.
//!
//! What a person asks for is observed first, so that what is built is what is there; and it is a change or a build
//! like any other, decided and admitted by the same rules, so that nothing jumps the order of a tag.

use std::{collections::HashMap, time::Duration};

use slipway_rules::BuildRule;
use slipway_store::{
    Build, CancelWish, Configuration, Ending, Enrichment, NewBuild, NewHead, RuleVerdict, SourceRepository,
    Store, StoreError, Subject, Wish,
};
use slipway_types::{
    BuildId, ChangeId, CommitSha, ConfigurationId, NamespaceId, RefName, RuleId, Timestamp, UserId,
    build::{BuildState, Cause, Hold},
    decision::NotAdmitted,
};

use super::{
    ask::AskError,
    bells::Bells,
    decide::{self, Decide},
    finish,
    observe::{Observe, Saying},
    plan::{self, Target},
};

/// What to trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerWhat {
    /// All rules that name one branch or tag.
    All,
    /// One rule, which must name one branch or tag.
    Rule(RuleId),
    /// The rules that write this tag and name one branch or tag.
    DockerTag(String),
    /// All rules, as if this branch or tag had been pushed.
    Ref(RefName),
}

/// What came of a trigger, for one branch or tag.
#[derive(Debug, Clone)]
pub struct Triggered {
    /// Which.
    pub git_ref: RefName,
    /// For this rule only.
    pub rule: Option<RuleId>,
    /// The commit that it is at; none: the forge has no such branch or tag, and nothing is built.
    pub commit: Option<CommitSha>,
    /// The change that was decided for it.
    pub change: Option<ChangeId>,
    /// What each rule said, and what was queued. Empty while that is still to be decided.
    pub verdicts: Vec<RuleVerdict>,
}

/// Whose configuration a repeated build gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWith {
    /// The rule as it is now.
    TodaysConfiguration,
    /// What was decided then. Variables and logins are always today's.
    AsItWas,
}

/// Why somebody's wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The build is not there, or not any more.
    #[error("there is no such build")]
    NoBuild,
    /// The configuration is not there, or not any more.
    #[error("there is no such build configuration")]
    NoConfiguration,
    /// The rule is not there, or not any more.
    #[error("the rule that this build came from is not there any more; retry it as it was")]
    NoRule,
    /// The build has ended.
    #[error("the build has ended already")]
    HasEnded,
    /// The build has not ended.
    #[error("the build has not ended yet")]
    HasNotEnded,
    /// A regular expression names no one branch.
    #[error("the rule's source is an expression: say which branch or tag to build")]
    WhichRef,
    /// It may not be queued.
    #[error("{}", refusal(*.0))]
    NotAdmitted(NotAdmitted),
    /// The forge could not be asked what is there.
    #[error("the source could not be looked at: {0}")]
    Forge(#[source] AskError),
    /// The store did not answer.
    #[error("Slipway's own records could not be read or written")]
    Store(#[from] StoreError),
}

impl From<AskError> for QueueError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Store(error) => Self::Store(error),
            error => Self::Forge(error),
        }
    }
}

impl QueueError {
    /// Stable word for the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoBuild | Self::NoConfiguration | Self::NoRule => "not_found",
            Self::HasEnded => "build_has_ended",
            Self::HasNotEnded => "build_has_not_ended",
            Self::WhichRef => "ref_needed",
            Self::NotAdmitted(why) => why.as_str(),
            Self::Forge(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

fn refusal(why: NotAdmitted) -> &'static str {
    match why {
        NotAdmitted::AlreadyQueued => "an equal build waits already",
        NotAdmitted::Superseded => "a newer build takes its place",
        NotAdmitted::QueueFull => "as many builds wait as the plan allows; try again when some have run",
        NotAdmitted::Disconnected => "the repository's link was taken apart; link the account again",
        NotAdmitted::Blocked => "the link cannot reach the source; see Linked accounts",
        NotAdmitted::PlanForbids => "the plan does not include automated builds",
        NotAdmitted::NeedsApproval => "a first-time contributor's pull request waits for a person's approval",
        NotAdmitted::NeedsIsolation => "no builder isolates builds well enough for a stranger's code",
    }
}

/// A build that runs or waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The build.
    pub build: Build,
    /// Its place among the namespace's waiting builds, from 1; none if it runs.
    pub position: Option<usize>,
    /// Why it cannot be leased yet; none if it runs, or only waits for a free builder.
    pub hold: Option<Hold>,
    /// How long builds of its rule usually run.
    pub usual: Option<Duration>,
    /// How long until it ends (running) or begins (waiting), by what is usual; none where nothing is known.
    pub estimate: Option<Duration>,
}

/// The queue.
#[derive(Debug, Clone)]
pub struct Queue {
    store: Store,
    observe: Observe,
    decide: Decide,
    bells: Bells,
}

impl Queue {
    /// The queue of this store.
    pub fn new(store: Store, observe: Observe, decide: Decide, bells: Bells) -> Self {
        Self {
            store,
            observe,
            decide,
            bells,
        }
    }

    /// Builds what is there now, also if it was built before. For *Trigger*, *Save and build* and build triggers.
    ///
    /// # Errors
    /// [`QueueError`]; what was triggered before it stays so.
    pub async fn trigger(
        &self,
        configuration: ConfigurationId,
        what: &TriggerWhat,
        by: Option<UserId>,
    ) -> Result<Vec<Triggered>, QueueError> {
        let configuration = self
            .store
            .configurations()
            .find(configuration)
            .await?
            .ok_or(QueueError::NoConfiguration)?;
        let source = self.store.source_repositories().get(configuration.source).await?;
        let saying = Saying {
            cause: Cause::Reconciled,
            delivery: None,
            actor: by,
        };
        if source.baselined_at.is_none() {
            // First sight: what is there is remembered, and nothing but what was asked for is built.
            self.observe.look_at_all(&source, &saying).await?;
        }
        let mut looked: HashMap<RefName, Looked> = HashMap::new();
        let mut all = Vec::new();
        for (git_ref, rule) in self.wishes(&configuration, what).await? {
            if !looked.contains_key(&git_ref) {
                looked.insert(git_ref.clone(), self.look(&source, &git_ref, &saying).await?);
            }
            let found = &looked[&git_ref];
            all.push(self.trigger_one(&configuration, git_ref, rule, found, by).await?);
        }
        Ok(all)
    }

    /// Looks where a branch or tag is. What that finds is decided like any other change, for everybody; the trigger
    /// then need not build it a second time.
    async fn look(
        &self,
        source: &SourceRepository,
        git_ref: &RefName,
        saying: &Saying,
    ) -> Result<Looked, QueueError> {
        let (commit, found) = self.observe.look_at_ref(source, git_ref, saying).await?;
        if let Some(found) = &found {
            self.decide.change(found).await?;
        }
        Ok(Looked {
            commit,
            found: found.map(|change| change.id),
        })
    }

    /// Which branches and tags a trigger means, and for which rule each.
    async fn wishes(
        &self,
        configuration: &Configuration,
        what: &TriggerWhat,
    ) -> Result<Vec<(RefName, Option<RuleId>)>, QueueError> {
        if let TriggerWhat::Ref(name) = what {
            return Ok(vec![(name.clone(), None)]);
        }
        let mut wishes = Vec::new();
        for stored in self.store.configurations().rules(configuration.id).await? {
            let Ok(rule) = BuildRule::parse(stored.id, stored.fields) else {
                continue;
            };
            let literal = rule
                .source()
                .literal()
                .and_then(|name| RefName::new(rule.source().kind(), name).ok());
            match (what, literal) {
                (TriggerWhat::Rule(id), None) if *id == rule.id() => return Err(QueueError::WhichRef),
                (TriggerWhat::Rule(id), Some(name)) if *id == rule.id() => {
                    wishes.push((name, Some(rule.id())));
                }
                (TriggerWhat::All, Some(name)) => wishes.push((name, Some(rule.id()))),
                (TriggerWhat::DockerTag(tag), Some(name)) if writes(&rule, &name, tag) => {
                    wishes.push((name, Some(rule.id())));
                }
                _ => {}
            }
        }
        if wishes.is_empty() && matches!(what, TriggerWhat::Rule(_)) {
            return Err(QueueError::NoRule);
        }
        Ok(wishes)
    }

    async fn trigger_one(
        &self,
        configuration: &Configuration,
        git_ref: RefName,
        rule: Option<RuleId>,
        looked: &Looked,
        by: Option<UserId>,
    ) -> Result<Triggered, QueueError> {
        let Some(sha) = looked.commit.clone() else {
            return Ok(Triggered {
                git_ref,
                rule,
                commit: None,
                change: None,
                verdicts: Vec::new(),
            });
        };
        let head = NewHead {
            source: configuration.source,
            subject: Subject::Ref(git_ref.clone()),
            sha: Some(sha.clone()),
            cause: Cause::Triggered,
            delivery: None,
            actor: by,
            enrichment: Enrichment::default(),
        };
        let wish = Wish {
            head,
            configuration: Some(configuration.id),
            rule,
            build_seq: None,
            follows: looked.found,
        };
        let tx = self.store.begin().await?;
        let change = tx.ref_changes().wish(&wish, Some(sha.clone())).await?;
        tx.commit().await?;
        self.bells.changes.up();
        self.decide.change(&change).await?;
        let verdicts = self.store.verdicts().of_change(change.id).await?;
        Ok(Triggered {
            git_ref,
            rule,
            commit: Some(sha),
            change: Some(change.id),
            verdicts,
        })
    }

    /// Cancels a build: one that waits at once; one that runs as soon as its builder hears of it, which kills its
    /// machine. Returns the build as it is then.
    ///
    /// # Errors
    /// [`QueueError::HasEnded`], [`QueueError::NoBuild`].
    pub async fn cancel(&self, build: BuildId, by: Option<UserId>) -> Result<Build, QueueError> {
        self.end_early(build, CancelWish::Canceled, by, &Ending::Canceled { by })
            .await
    }

    /// Ends everything that a configuration has running or waiting, because its link was taken apart or it is
    /// deleted. Returns how many builds that were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn disconnect(&self, configuration: ConfigurationId) -> Result<usize, QueueError> {
        let unfinished = self.store.builds().unfinished_of(configuration).await?;
        let mut ended = 0;
        for build in unfinished {
            match self
                .end_early(build, CancelWish::Disconnected, None, &Ending::Disconnected)
                .await
            {
                Ok(_) => ended += 1,
                Err(QueueError::HasEnded) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    async fn end_early(
        &self,
        id: BuildId,
        wish: CancelWish,
        by: Option<UserId>,
        ending: &Ending,
    ) -> Result<Build, QueueError> {
        let tx = self.store.begin().await?;
        tx.builds().lock_queue().await?;
        let build = tx.builds().find(id).await?.ok_or(QueueError::NoBuild)?;
        if build.state.is_final() {
            return Err(QueueError::HasEnded);
        }
        let build = if tx.builds().ask_to_end(id, wish, by, None).await? {
            tx.builds().get(id).await?
        } else {
            finish::end(&tx, id, ending).await?.ok_or(QueueError::HasEnded)?
        };
        tx.commit().await?;
        self.bells.queue.ring();
        self.bells.outbox.up();
        self.bells.builds.ring(id);
        Ok(build)
    }

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

    /// A namespace's builds that run or wait, in the order in which they would be leased, with what keeps them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting(&self, namespace: NamespaceId) -> Result<Vec<Waiting>, StoreError> {
        let plan = self.store.plans().of(namespace).await?;
        let builds = self.store.builds().unfinished(namespace).await?;
        let running = builds
            .iter()
            .filter(|build| build.state == BuildState::InProgress)
            .count();
        let full = running as i64 >= plan.concurrency.into();
        let now = Timestamp::now();
        let mut all = Vec::new();
        let mut position = 0;
        let mut ahead = Ahead::new(plan.concurrency.max(1) as usize);
        for build in builds {
            let usual = match build.new.rule {
                Some(rule) => self.store.builds().usual_duration(rule).await?,
                None => None,
            };
            let runs = build.state == BuildState::InProgress;
            let estimate = if runs {
                let left = build
                    .started_at
                    .zip(usual)
                    .map(|(at, usual)| usual.saturating_sub(now.since(at)));
                ahead.takes(left);
                left
            } else {
                ahead.begins(usual)
            };
            position += usize::from(!runs);
            let hold = if runs { None } else { hold(&build, full, now) };
            all.push(Waiting {
                position: (!runs).then_some(position),
                hold,
                usual,
                estimate,
                build,
            });
        }
        Ok(all)
    }
}

/// Where a branch or tag is, and the change, if that is news.
struct Looked {
    commit: Option<CommitSha>,
    found: Option<ChangeId>,
}

/// Whether a rule gives this branch or tag that Docker tag.
fn writes(rule: &BuildRule, name: &RefName, tag: &str) -> bool {
    rule.tags_for(name)
        .is_some_and(|tags| tags.tags.iter().any(|one| one.as_str() == tag))
}

/// Puts today's rule in place of the one that a build had.
async fn todays(
    tx: &slipway_store::Tx,
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
    if let (None, slipway_types::build::Purpose::Push, Some(tags)) =
        (new.pull_request, new.purpose, rule.tags_for(&new.git_ref))
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

/// Why a build that waits cannot be leased yet.
fn hold(build: &Build, full: bool, now: Timestamp) -> Option<Hold> {
    if !build.ready {
        return Some(Hold::Predecessor);
    }
    if build.not_before > now {
        return Some(Hold::Cooling);
    }
    full.then_some(Hold::Concurrency)
}

/// When places become free, as far as is known.
struct Ahead {
    /// Until when each place is taken, from now; none: nobody knows.
    places: Vec<Option<Duration>>,
    size: usize,
}

impl Ahead {
    fn new(size: usize) -> Self {
        Self {
            places: Vec::new(),
            size,
        }
    }

    /// A build takes a place for so long.
    fn takes(&mut self, left: Option<Duration>) {
        self.places.push(left);
    }

    /// When a build that waits begins, if it takes the next free place for as long as is usual.
    fn begins(&mut self, usual: Option<Duration>) -> Option<Duration> {
        if self.places.len() < self.size {
            self.places.push(usual);
            return Some(Duration::ZERO);
        }
        let known: Option<Vec<Duration>> = self.places.iter().copied().collect();
        let (place, begins) = known?.into_iter().enumerate().min_by_key(|(_, until)| *until)?;
        self.places[place] = usual.map(|usual| begins + usual);
        Some(begins)
    }
}
