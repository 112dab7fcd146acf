//! The queue as people use it: trigger and cancel; [`retry`](super::retry) and [`waiting`](super::waiting) are its too.
//!
//! What a person asks for is observed first, so that what is built is what is there; and it is a change or a build
//! like any other, decided and admitted by the same rules, so that nothing jumps the order of a tag.

use std::collections::HashMap;

use slipway_rules::BuildRule;
use slipway_store::{
    Build, CancelWish, Configuration, Ending, Enrichment, NewHead, RuleVerdict, SourceRepository, Store,
    StoreError, Subject, Tx, Wish,
};
use slipway_types::{
    BuildId, ChangeId, CommitSha, ConfigurationId, RefName, RuleId, UserId,
    build::{BuildState, Cause},
    decision::NotAdmitted,
};

use super::{
    ask::AskError,
    bells::Bells,
    decide::Decide,
    finish,
    observe::{Observe, Saying},
};
pub use super::{retry::RetryWith, waiting::Waiting};

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

/// The queue.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(super) store: Store,
    observe: Observe,
    decide: Decide,
    pub(super) bells: Bells,
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

    /// Ends what waits of these configurations, and with `running_too` what runs, in the transaction that takes their
    /// link apart: no crash can come between. [`Self::rang`] afterwards.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn end_with_link(
        &self,
        tx: &Tx,
        configurations: &[Configuration],
        by: UserId,
        running_too: bool,
    ) -> Result<Vec<BuildId>, QueueError> {
        tx.builds().lock_queue().await?;
        let mut ended = Vec::new();
        for configuration in configurations {
            for id in tx.builds().unfinished_of(configuration.id).await? {
                let done = if running_too {
                    end_early(tx, id, CancelWish::Disconnected, None, &Ending::Disconnected).await
                } else if tx.builds().get(id).await?.state == BuildState::Pending {
                    let by = Some(by);
                    end_early(tx, id, CancelWish::Canceled, by, &Ending::Canceled { by }).await
                } else {
                    continue;
                };
                match done {
                    Ok(_) => ended.push(id),
                    Err(QueueError::HasEnded) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(ended)
    }

    /// Wakes who waits for these builds.
    pub(super) fn rang(&self, builds: &[BuildId]) {
        self.bells.queue.ring();
        self.bells.outbox.up();
        for id in builds {
            self.bells.builds.ring(*id);
        }
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
        let build = end_early(&tx, id, wish, by, ending).await?;
        tx.commit().await?;
        self.rang(&[id]);
        Ok(build)
    }
}

/// Ends a build, or asks its builder to. The caller holds the queue.
async fn end_early(
    tx: &Tx,
    id: BuildId,
    wish: CancelWish,
    by: Option<UserId>,
    ending: &Ending,
) -> Result<Build, QueueError> {
    let build = tx.builds().find(id).await?.ok_or(QueueError::NoBuild)?;
    if build.state.is_final() {
        return Err(QueueError::HasEnded);
    }
    if tx.builds().ask_to_end(id, wish, by, None).await? {
        return Ok(tx.builds().get(id).await?);
    }
    finish::end(tx, id, ending).await?.ok_or(QueueError::HasEnded)
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
