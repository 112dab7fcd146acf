//! Deciding: an accepted change is enriched, evaluated and admitted, and marked decided in the transaction that
//! queues its builds. A crash anywhere before that leaves a row to take up again; after it, nothing is left to do.
//!
//! Every rule's verdict is kept, also those that say no, so that *why did this not build?* always has an answer.

use std::sync::Arc;

use slipway_forge::Commit;
use slipway_rules::{
    BuildRule, ChangedPaths, PullRequestChange, Settings, distinct_builds, evaluate, evaluate_pull_request,
};
use slipway_store::{
    Admission, Build, Change, Configuration, Ending, Enrichment, Line, NewBuild, RuleVerdict,
    SourceRepository, Store, StoreError, StoredRule, Subject, Tx,
};
use slipway_types::{
    BuildId, ChangeId, DockerTag, RefKind, RefName, Timestamp,
    build::{BuildState, Cause, Purpose},
    decision::{NotAdmitted, Verdict},
    rule::{ConfigurationState, Supersede},
};

use super::{
    ask::AskForge,
    bells::Bells,
    finish,
    observe::{cut, known_paths},
    plan::{self, Target},
};

/// How often the forge is asked for what rules would like to know, before they go without.
const ENRICH_TRIES: i32 = 4;

/// Takes changes to verdicts and builds.
#[derive(Clone)]
pub struct Decide {
    store: Store,
    ask: Arc<dyn AskForge>,
    bells: Bells,
}

impl std::fmt::Debug for Decide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decide")
    }
}

/// What enriching gave.
enum Enriched {
    /// All that can be known.
    Done(Box<Enrichment>),
    /// The forge did not answer; there is time to ask again.
    Later(Timestamp),
}

impl Decide {
    /// Decides on this store.
    pub fn new(store: Store, ask: Arc<dyn AskForge>, bells: Bells) -> Self {
        Self { store, ask, bells }
    }

    /// Takes a change as far as it goes: decides it, or puts it off because the forge does not answer. Changes that
    /// were decided already stay as they are.
    ///
    /// # Errors
    /// What the database says.
    pub async fn change(&self, change: &Change) -> Result<(), StoreError> {
        match self.enrich(change).await? {
            Enriched::Done(enrichment) => self.decide(change.id, *enrichment).await,
            Enriched::Later(at) => {
                let tx = self.store.begin().await?;
                tx.ref_changes().postpone(change.id, at).await?;
                tx.commit().await
            }
        }
    }

    /// Whether the forge has to be asked before a change can be decided.
    ///
    /// # Errors
    /// What the database says.
    pub async fn asks(&self, change: &Change) -> Result<bool, StoreError> {
        let lacks = self.lacks(change).await?;
        Ok(lacks.message || lacks.paths)
    }

    /// Finds out what rules need and the hint lacked. What cannot be had does not hold a build back.
    async fn enrich(&self, change: &Change) -> Result<Enriched, StoreError> {
        let mut enrichment = change.enrichment.clone();
        let (Some(sha), Subject::Ref(_)) = (&change.new, &change.subject) else {
            return Ok(Enriched::Done(enrichment.into()));
        };
        let lacks = self.lacks(change).await?;
        let source = self.store.source_repositories().get(change.source).await?;
        let mut missed = None;
        if lacks.message {
            match self.ask.commit(&source, sha).await {
                Ok(Commit { message, author, .. }) => {
                    enrichment.message = Some(cut(&message));
                    enrichment.author = Some(cut(&author));
                }
                Err(error) => missed = Some(error),
            }
        }
        if let (true, Some(old)) = (lacks.paths, &change.old) {
            match self.ask.changed_paths(&source, old, sha).await {
                Ok(paths) => enrichment.paths = known_paths(paths),
                Err(error) => missed = Some(error),
            }
        }
        Ok(match missed {
            Some(error) if error.is_transient() && change.attempts + 1 < ENRICH_TRIES => {
                tracing::info!(change = %change.id, error = %error, "the forge is asked again for what rules look at");
                Enriched::Later(Timestamp::now().plus(super::ask::pause_after(change.attempts)))
            }
            Some(error) => {
                tracing::warn!(change = %change.id, error = %error, "decided without what the forge did not tell");
                Enriched::Done(enrichment.into())
            }
            None => Enriched::Done(enrichment.into()),
        })
    }

    /// What rules need and the hint lacked: the forge is asked for nothing else.
    async fn lacks(&self, change: &Change) -> Result<Lacks, StoreError> {
        let lacks = Lacks {
            message: change.enrichment.message.is_none(),
            paths: change.enrichment.paths.is_none() && change.old.is_some(),
        };
        let is_of_a_commit = change.new.is_some() && matches!(change.subject, Subject::Ref(_));
        if !is_of_a_commit || !(lacks.message || lacks.paths) {
            return Ok(Lacks::default());
        }
        let needs = self.needs(change).await?;
        Ok(Lacks {
            message: lacks.message && needs.anything,
            paths: lacks.paths && needs.anything && needs.paths,
        })
    }

    async fn needs(&self, change: &Change) -> Result<Needs, StoreError> {
        let mut needs = Needs::default();
        for configuration in self.store.configurations().of_source(change.source).await? {
            if !concerns(change, &configuration) || configuration.state != ConfigurationState::Active {
                continue;
            }
            for rule in parse(self.store.configurations().rules(configuration.id).await?, change) {
                let Subject::Ref(name) = &change.subject else {
                    continue;
                };
                needs.anything |= rule.tags_for(name).is_some();
                needs.paths |= rule.filter().is_set() && change.cause != Cause::Triggered;
            }
        }
        Ok(needs)
    }

    async fn decide(&self, id: ChangeId, enrichment: Enrichment) -> Result<(), StoreError> {
        let tx = self.store.begin().await?;
        let Some(mut change) = tx.ref_changes().take_observed(id).await? else {
            return Ok(());
        };
        tx.builds().lock_queue().await?;
        if change.enrichment != enrichment {
            tx.ref_changes().enrich(id, &enrichment).await?;
            change.enrichment = enrichment;
        }
        let source = tx.source_repositories().get(change.source).await?;
        let mut queued = 0;
        for configuration in tx.configurations().of_source(change.source).await? {
            if concerns(&change, &configuration) {
                queued += configuration_decides(&tx, &source, &change, &configuration).await?;
            }
        }
        tx.ref_changes().set_decided(id).await?;
        tx.commit().await?;
        tracing::info!(change = %id, subject = change.subject.full(), seq = %change.seq, queued, "change decided");
        if queued > 0 {
            self.bells.queue.ring();
            self.bells.outbox.up();
        }
        Ok(())
    }
}

/// What rules need of a change, and its hint lacked.
#[derive(Debug, Default)]
struct Lacks {
    message: bool,
    paths: bool,
}

#[derive(Default)]
struct Needs {
    anything: bool,
    paths: bool,
}

/// A wish of a trigger speaks to one configuration only.
fn concerns(change: &Change, configuration: &Configuration) -> bool {
    change.configuration.is_none_or(|only| only == configuration.id)
}

/// The rules that a change speaks to. One that was stored and does not parse any more is left out: saving it again
/// tells what is wrong.
fn parse(rules: Vec<StoredRule>, change: &Change) -> Vec<BuildRule> {
    let wanted = |rule: &StoredRule| change.rule.is_none_or(|only| only == rule.id);
    let parse = |rule: StoredRule| {
        BuildRule::parse(rule.id, rule.fields)
            .inspect_err(
                |error| tracing::error!(rule = %rule.id, error = %error, "a stored rule does not parse"),
            )
            .ok()
    };
    rules.into_iter().filter(wanted).filter_map(parse).collect()
}

/// Asks every rule of one configuration, admits what they want built, and keeps what they said. Returns how many
/// builds were queued.
async fn configuration_decides(
    tx: &Tx,
    source: &SourceRepository,
    change: &Change,
    configuration: &Configuration,
) -> Result<usize, StoreError> {
    let rules = parse(tx.configurations().rules(configuration.id).await?, change);
    let settings = Settings {
        autotest: configuration.fields.autotest,
        rules,
    };
    let (verdicts, shared) = match &change.subject {
        Subject::Ref(name) => (evaluate(&ref_change(change, name), &settings), Vec::new()),
        Subject::PullRequest(number) => {
            let Some(pull) = pull_request_change(source, change, *number) else {
                return Ok(0);
            };
            let verdicts = evaluate_pull_request(&pull, &settings);
            let shared = distinct_builds(&settings.rules, &verdicts);
            let shared = shared.into_iter().flat_map(|one| {
                let first = one.rule.id();
                one.same.into_iter().map(move |same| (same, first))
            });
            (verdicts, shared.collect())
        }
    };
    let mut made: Vec<(slipway_types::RuleId, BuildId)> = Vec::new();
    let mut queued = 0;
    for (position, (rule, verdict)) in (0i32..).zip(verdicts) {
        let Some(parsed) = settings.rules.iter().find(|parsed| parsed.id() == rule) else {
            continue;
        };
        let stands_in = shared
            .iter()
            .find(|(same, _)| *same == rule)
            .map(|(_, first)| *first);
        let admitted = match (&verdict, stands_in) {
            (Verdict::No { .. }, _) => None,
            (Verdict::Build { .. }, Some(first)) => {
                let build = made.iter().find(|(of, _)| *of == first).map(|(_, build)| *build);
                Some(Admitted::not(NotAdmitted::AlreadyQueued, build))
            }
            (Verdict::Build { tags, push, .. }, None) => {
                Some(admit(tx, source, change, configuration, parsed, tags, *push).await?)
            }
        };
        if let Some(Admitted {
            build: Some(build),
            admission,
        }) = &admitted
        {
            made.push((rule, *build));
            queued += usize::from(*admission == Admission::Queued);
        }
        tx.verdicts()
            .insert(&RuleVerdict {
                change: change.id,
                configuration: configuration.id,
                rule,
                position,
                rule_text: plan::rule_text(parsed.fields()),
                verdict,
                admission: admitted.as_ref().map(|admitted| admitted.admission),
                build: admitted.and_then(|admitted| admitted.build),
                at: Timestamp::now(),
            })
            .await?;
    }
    Ok(queued)
}

fn ref_change(change: &Change, name: &RefName) -> slipway_rules::Change {
    slipway_rules::Change {
        git_ref: name.clone(),
        old: change.old.clone(),
        new: change.new.clone(),
        message: change.enrichment.message.clone(),
        paths: match &change.enrichment.paths {
            Some(paths) => ChangedPaths::Known(paths.clone()),
            None => ChangedPaths::Unknown,
        },
        asked_for: change.cause == Cause::Triggered,
    }
}

fn pull_request_change(source: &SourceRepository, change: &Change, number: i64) -> Option<PullRequestChange> {
    let facts = change.enrichment.pull_request.as_ref()?;
    let base_repository = source.facts.provider_id.clone();
    // The forge crate compared the ids; a head in the base's own repository is told by its id again.
    let head_repository = if facts.internal {
        Some(base_repository.clone())
    } else {
        facts.head_repository.clone()
    };
    Some(PullRequestChange {
        number: u64::try_from(number).ok()?,
        base: facts.base.clone(),
        head: facts.head.clone(),
        base_repository,
        head_repository,
        head_sha: change.new.clone()?,
        closed: false,
    })
}

/// What came of a verdict to build.
struct Admitted {
    admission: Admission,
    build: Option<BuildId>,
}

impl Admitted {
    const fn not(why: NotAdmitted, build: Option<BuildId>) -> Self {
        Self {
            admission: Admission::Not(why),
            build,
        }
    }
}

/// Queues what a rule wants built, or says why not. The queue is locked.
async fn admit(
    tx: &Tx,
    source: &SourceRepository,
    change: &Change,
    configuration: &Configuration,
    rule: &BuildRule,
    tags: &[DockerTag],
    push: bool,
) -> Result<Admitted, StoreError> {
    let Some(sha) = change.new.clone() else {
        return Ok(Admitted::not(NotAdmitted::Superseded, None));
    };
    let external = change
        .enrichment
        .pull_request
        .as_ref()
        .is_some_and(|facts| !facts.internal);
    if let Some(why) = forbidden(tx, source, configuration, external).await? {
        return Ok(Admitted::not(why, None));
    }
    let target = target(change, rule, tags, push)?;
    let made = plan::make(tx, source, configuration, rule, &target).await?;
    let new = NewBuild {
        namespace: source.namespace,
        repository: configuration.repository,
        configuration: Some(configuration.id),
        rule: Some(rule.id()),
        source: source.id,
        change: Some(change.id),
        seq: change.build_seq,
        git_ref: target.git_ref,
        pull_request: change.subject.pull_request(),
        sha,
        cause: change.cause,
        purpose: if push { Purpose::Push } else { Purpose::Test },
        actor: change.actor,
        retry_of: None,
        plan: made.plan,
        time_limit_s: made.time_limit_s,
    };
    queue_in_line(tx, change, configuration, &new).await
}

/// What speaks against any build of a configuration, whatever it is.
///
/// # Errors
/// What the database says.
pub(crate) async fn forbidden(
    tx: &Tx,
    source: &SourceRepository,
    configuration: &Configuration,
    external: bool,
) -> Result<Option<NotAdmitted>, StoreError> {
    match configuration.state {
        ConfigurationState::Disconnected => return Ok(Some(NotAdmitted::Disconnected)),
        ConfigurationState::Blocked => return Ok(Some(NotAdmitted::Blocked)),
        ConfigurationState::Active => {}
    }
    if !tx.plans().of(source.namespace).await?.autobuild {
        return Ok(Some(NotAdmitted::PlanForbids));
    }
    if external && !tx.builders().any_isolates().await? {
        return Ok(Some(NotAdmitted::NeedsIsolation));
    }
    Ok(None)
}

fn target(change: &Change, rule: &BuildRule, tags: &[DockerTag], push: bool) -> Result<Target, StoreError> {
    let facts = change.enrichment.pull_request.as_ref();
    let missing = || StoreError::NotFound(format!("what is known of {}", change.subject.full()));
    let (git_ref, fetch_ref) = match &change.subject {
        Subject::Ref(name) => (name.clone(), name.full().to_owned()),
        Subject::PullRequest(_) => {
            let facts = facts.ok_or_else(missing)?;
            // A stranger's head is only there under the pull request's own name; Bitbucket has no such names.
            let fetch = if facts.internal {
                facts.head.full().to_owned()
            } else {
                change.subject.full()
            };
            (facts.head.clone(), fetch)
        }
    };
    let as_written = rule
        .tags_for(&git_ref)
        .map(|tags| tags.as_written)
        .filter(|_| push);
    let list = || tags.iter().map(DockerTag::as_str).collect::<Vec<_>>().join(",");
    Ok(Target {
        fetch_ref,
        tags: tags.to_vec(),
        tags_as_written: as_written.unwrap_or_else(list),
        git_ref,
        external: facts.is_some_and(|facts| !facts.internal),
        message: change
            .enrichment
            .message
            .clone()
            .or_else(|| facts.map(|facts| facts.title.clone())),
        author: change
            .enrichment
            .author
            .clone()
            .or_else(|| facts.map(|facts| facts.author.clone())),
    })
}

/// Queues a build among those of its rule and ref: an equal one that waits is enough, a newer one makes it needless,
/// and it makes older ones needless.
async fn queue_in_line(
    tx: &Tx,
    change: &Change,
    configuration: &Configuration,
    new: &NewBuild,
) -> Result<Admitted, StoreError> {
    let Some(rule) = new.rule else {
        return Ok(Admitted::not(NotAdmitted::Superseded, None));
    };
    let line = Line {
        configuration: configuration.id,
        rule,
        git_ref: &new.git_ref,
        pull_request: new.pull_request,
    };
    let newest = tx.builds().newest_in_line(line).await?;
    if let Some(newest) = &newest
        && is_enough(newest, new, change)
    {
        return Ok(Admitted::not(NotAdmitted::AlreadyQueued, Some(newest.id)));
    }
    let supersedes = supersedes(configuration.fields.supersede, new);
    if let Some(newest) = &newest
        && supersedes
        && newest.new.seq > new.seq
        && change.cause != Cause::Replayed
    {
        return Ok(Admitted::not(NotAdmitted::Superseded, Some(newest.id)));
    }
    let mut older: Vec<Build> = Vec::new();
    if supersedes {
        older = tx.builds().unfinished_in_line(line).await?;
        older.retain(|build| build.state == BuildState::Pending && build.new.seq <= new.seq);
    }
    let plan = tx.plans().of(new.namespace).await?;
    let pending = tx.builds().count_pending(new.namespace).await? - older.len() as i64;
    if pending >= plan.pending.into() {
        return Ok(Admitted::not(NotAdmitted::QueueFull, None));
    }
    let build = tx.builds().queue(new).await?;
    for old in older {
        finish::end(tx, old.id, &Ending::Superseded { by: build.id }).await?;
    }
    finish::push_status(tx, &build).await?;
    Ok(Admitted {
        admission: Admission::Queued,
        build: Some(build.id),
    })
}

/// Whether a build that is there already is what was to be queued. What a person asked for is always built, unless
/// their own look at the forge has just queued it.
fn is_enough(newest: &Build, new: &NewBuild, change: &Change) -> bool {
    let same = newest.new.sha == new.sha
        && newest.new.purpose == new.purpose
        && newest.new.plan.is_same_as(&new.plan);
    if change.cause == Cause::Triggered {
        return same
            && change.follows.is_some()
            && newest.new.change == change.follows
            && !newest.state.is_final();
    }
    same && newest.state == BuildState::Pending
}

/// Whether a newer build of one line makes waiting older ones needless. Of pull requests always.
fn supersedes(policy: Supersede, new: &NewBuild) -> bool {
    match policy {
        _ if new.pull_request.is_some() => true,
        Supersede::Branches => new.git_ref.kind() == RefKind::Branch,
        Supersede::All => true,
        Supersede::Never => false,
    }
}
