//! Observing heads: the one door through which *ref R of repository S is at commit C* enters.
//!
//! Webhooks, polling, reconciliation and triggers all come here. None of them may start a build by itself:
//! providers repeat, reorder and lose deliveries, so only a *change of a recorded head* counts (order.md).
//! Losing a wake-up therefore costs time, never a build, and hearing the same news twice costs nothing.
//!
//! What somebody says is a **hint**: believed only where it follows from the record, else the forge is asked.
//! What the forge says is an **answer**: believed unless the head has moved since it was asked.
//!
//! Invariant kept here: a head never changes without a change, written in the same transaction, that the
//! deciding loop will find.

use std::{collections::HashMap, sync::Arc};

use slipway_forge::{
    ChangedPaths, HeadHint, PullRequest, PullRequestAction, PullRequestHint, PullRequestState, RefHint,
};
use slipway_store::{
    Change, DeliveryChange, Enrichment, Known, NewHead, PullRequestFacts, SourceRepository, Store,
    StoreError, Subject, Tx,
};
use slipway_types::{
    CommitSha, DeliveryId, RefName, SourceId, Timestamp, UserId, build::Cause, decision::ChangeResult,
};

use super::{
    ask::{AskError, AskForge},
    bells::Bells,
};

/// The longest commit message that is kept, in bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// The most changed paths that are kept; with more, path filters are not applied.
const MAX_PATHS: usize = 5000;

/// What somebody says of a head.
#[derive(Debug, Clone)]
pub struct Hint {
    /// Of which.
    pub subject: Subject,
    /// Where it was; none: it was not there, or it was not said.
    pub before: Option<CommitSha>,
    /// Where it is.
    pub after: After,
    /// What was said of the commit.
    pub enrichment: Enrichment,
}

/// Where somebody says that a head is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// At this commit.
    At(CommitSha),
    /// Nowhere: it was deleted.
    Deleted,
    /// That was not said.
    Unknown,
    /// A pull request was closed, at this commit if it was said: no news of its head.
    Closed(Option<CommitSha>),
}

impl After {
    fn sha(&self) -> Option<&CommitSha> {
        match self {
            Self::At(sha) | Self::Closed(Some(sha)) => Some(sha),
            Self::Deleted | Self::Unknown | Self::Closed(None) => None,
        }
    }
}

impl From<RefHint> for Hint {
    fn from(hint: RefHint) -> Self {
        let after = match hint.after {
            HeadHint::At(sha) => After::At(sha),
            HeadHint::Deleted => After::Deleted,
            HeadHint::Unknown => After::Unknown,
        };
        let commit = hint.head_commit.filter(|commit| after.sha() == Some(&commit.sha));
        Self {
            subject: Subject::Ref(hint.name),
            before: hint.before,
            after,
            enrichment: Enrichment {
                message: commit.as_ref().map(|commit| cut(&commit.message)),
                author: commit.map(|commit| cut(&commit.author)),
                paths: known_paths(hint.changed),
                pull_request: None,
            },
        }
    }
}

impl Hint {
    /// What a delivery says of a pull request; `None` if it is of no use to anybody: its branches have names
    /// that git does not allow.
    pub fn of_pull_request(hint: &PullRequestHint) -> Option<Self> {
        let pull = &hint.pull_request;
        let facts = pull_request_facts(pull)?;
        let after = match (hint.action, &pull.head.sha) {
            (PullRequestAction::Closed, sha) => After::Closed(sha.clone()),
            (_, Some(sha)) => After::At(sha.clone()),
            (_, None) => After::Unknown,
        };
        Some(Self {
            subject: Subject::PullRequest(i64::try_from(pull.number).ok()?),
            before: None,
            after,
            enrichment: Enrichment {
                pull_request: Some(facts),
                ..Enrichment::default()
            },
        })
    }
}

/// What came of a hint.
#[derive(Debug, Clone)]
pub struct Heard {
    /// In a word.
    pub result: ChangeResult,
    /// The change that it led to.
    pub change: Option<Change>,
    /// It begins elsewhere than the record ends: something was not told, or not yet.
    pub gap: bool,
}

/// Who says that a head moved.
#[derive(Debug, Clone, Copy)]
pub struct Saying {
    /// In a word.
    pub cause: Cause,
    /// The delivery.
    pub delivery: Option<DeliveryId>,
    /// The person who had it looked at.
    pub actor: Option<UserId>,
}

/// What the forge answered.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where the head is; none when there is none.
    pub sha: Option<CommitSha>,
    /// What is known of the commit, or pull request.
    pub enrichment: Enrichment,
    /// A pull request that is merged or closed: its head is of no interest any more.
    pub closed: bool,
}

/// What came of an answer.
#[derive(Debug, Clone)]
pub enum Answered {
    /// The record says so already.
    Unchanged,
    /// It is the new head.
    Accepted(Box<Change>),
    /// The head has moved since the forge was asked: ask again.
    Overtaken,
}

/// The one door.
#[derive(Clone)]
pub struct Observe {
    store: Store,
    ask: Arc<dyn AskForge>,
    bells: Bells,
}

impl std::fmt::Debug for Observe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observe")
    }
}

impl Observe {
    /// The door to this store.
    pub fn new(store: Store, ask: Arc<dyn AskForge>, bells: Bells) -> Self {
        Self { store, ask, bells }
    }

    /// Hears what a delivery says at one place, and records what comes of it, in the caller's transaction. Where the
    /// forge has to be asked, the question is recorded too. A `late` delivery, asked for again after it failed, brings no
    /// news: its ref may have moved on and back since.
    ///
    /// # Errors
    /// What the database says.
    pub async fn hear(
        &self,
        tx: &Tx,
        source: SourceId,
        hint: &Hint,
        cause: Cause,
        place: (DeliveryId, i32),
        late: bool,
    ) -> Result<Heard, StoreError> {
        tx.source_repositories().lock(source).await?;
        let known = tx.heads().known(source, &hint.subject).await?;
        let judgement = match judge(tx, source, hint, &known, place).await? {
            Judgement::News if late => Judgement::Ask,
            judgement => judgement,
        };
        let gap = judgement == Judgement::Ask && hint.before.is_some() && hint.before != known.sha;
        let heard = match judgement {
            Judgement::Unchanged => Heard {
                result: ChangeResult::HeadUnchanged,
                change: None,
                gap,
            },
            Judgement::News => {
                let saying = Saying {
                    cause,
                    delivery: Some(place.0),
                    actor: None,
                };
                let head = new_head(
                    source,
                    hint.subject.clone(),
                    hint.after.sha().cloned(),
                    &saying,
                    &hint.enrichment,
                );
                let change = tx.ref_changes().accept(&head, &known).await?;
                Heard {
                    result: ChangeResult::Accepted,
                    change: Some(change),
                    gap,
                }
            }
            Judgement::Ask => {
                let about = hint
                    .after
                    .sha()
                    .map(|sha| (sha.to_string(), hint.enrichment.clone()));
                tx.head_checks()
                    .push(source, &hint.subject, cause, Some(place), about.as_ref())
                    .await?;
                Heard {
                    result: ChangeResult::AskingForge,
                    change: None,
                    gap,
                }
            }
        };
        if let (Subject::PullRequest(number), After::Closed(_)) = (&hint.subject, &hint.after) {
            tx.heads().set_open(source, *number, false).await?;
        }
        let record = DeliveryChange {
            delivery: place.0,
            position: place.1,
            source,
            subject: hint.subject.clone(),
            before: hint.before.clone(),
            after: hint.after.sha().cloned(),
            result: heard.result,
            change: heard.change.as_ref().map(|change| change.id),
        };
        tx.deliveries().insert_change(&record).await?;
        Ok(heard)
    }

    /// Records what the forge answered, in the caller's transaction. `asked` is what was known *before* the forge
    /// was asked: an answer that was overtaken by news would put a head back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn answered(
        &self,
        tx: &Tx,
        source: SourceId,
        subject: &Subject,
        asked: &Known,
        found: &Found,
        saying: &Saying,
    ) -> Result<Answered, StoreError> {
        tx.source_repositories().lock(source).await?;
        let known = tx.heads().known(source, subject).await?;
        if known.seq != asked.seq {
            return Ok(Answered::Overtaken);
        }
        if let Subject::PullRequest(number) = subject {
            tx.heads().set_open(source, *number, !found.closed).await?;
        }
        if known.sha == found.sha || found.closed {
            return Ok(Answered::Unchanged);
        }
        if matches!(subject, Subject::PullRequest(_)) && found.sha.is_none() {
            return Ok(Answered::Unchanged);
        }
        let head = new_head(
            source,
            subject.clone(),
            found.sha.clone(),
            saying,
            &found.enrichment,
        );
        let change = tx.ref_changes().accept(&head, &known).await?;
        Ok(Answered::Accepted(Box::new(change)))
    }

    /// Asks the forge where a head is. No transaction is open meanwhile.
    ///
    /// # Errors
    /// [`AskError`]; then nothing is known.
    pub async fn look(&self, source: &SourceRepository, subject: &Subject) -> Result<Found, AskError> {
        match subject {
            Subject::Ref(name) => {
                let sha = self.ask.head(source, name).await?;
                Ok(Found {
                    sha,
                    enrichment: Enrichment::default(),
                    closed: false,
                })
            }
            Subject::PullRequest(number) => {
                let pull = self.ask.pull_request(source, (*number).max(0) as u64).await?;
                Ok(pull.map_or_else(Found::nothing, |pull| Found::from(&pull)))
            }
        }
    }

    /// Looks at one branch or tag now, and records where it is. For triggers, which observe first.
    ///
    /// # Errors
    /// [`AskError`] when the forge does not answer.
    pub async fn look_at_ref(
        &self,
        source: &SourceRepository,
        name: &RefName,
        saying: &Saying,
    ) -> Result<(Option<CommitSha>, Option<Change>), AskError> {
        let subject = Subject::Ref(name.clone());
        loop {
            let asked = self.store.heads().known(source.id, &subject).await?;
            let found = self.look(source, &subject).await?;
            let tx = self.store.begin().await?;
            match self
                .answered(&tx, source.id, &subject, &asked, &found, saying)
                .await?
            {
                Answered::Overtaken => {}
                Answered::Unchanged => {
                    tx.commit().await?;
                    return Ok((found.sha, None));
                }
                Answered::Accepted(change) => {
                    tx.commit().await?;
                    self.bells.changes.up();
                    return Ok((found.sha, Some(*change)));
                }
            }
        }
    }

    /// Compares all heads with the forge's, and records what differs. Where the heads were never remembered, what
    /// is there now is the baseline, and builds nothing. Returns how many heads had moved.
    ///
    /// To be called after the first configuration of a source was saved, on a schedule, and after a start.
    ///
    /// # Errors
    /// [`AskError`] when the forge does not answer; nothing is recorded then.
    pub async fn look_at_all(&self, source: &SourceRepository, saying: &Saying) -> Result<usize, AskError> {
        let asked = self.store.heads().versions(source.id).await?;
        let heads = self.ask.heads(source).await?;
        let mut found: HashMap<Subject, Found> = heads
            .into_iter()
            .map(|head| {
                (
                    Subject::Ref(head.name),
                    Found {
                        sha: Some(head.commit),
                        ..Found::nothing()
                    },
                )
            })
            .collect();
        for (subject, known) in &asked {
            if matches!(subject, Subject::Ref(_)) && known.sha.is_some() {
                found.entry(subject.clone()).or_insert_with(Found::nothing);
            }
        }
        for pull in self.ask.pull_requests(source).await? {
            if let Ok(number) = i64::try_from(pull.number)
                && pull_request_facts(&pull).is_some()
            {
                found.insert(Subject::PullRequest(number), Found::from(&pull));
            }
        }
        let first = source.baselined_at.is_none();
        let saying = if first {
            Saying {
                cause: Cause::Baseline,
                ..*saying
            }
        } else {
            *saying
        };
        self.record_all(source, &asked, found, &saying).await
    }

    async fn record_all(
        &self,
        source: &SourceRepository,
        asked: &HashMap<Subject, Known>,
        found: HashMap<Subject, Found>,
        saying: &Saying,
    ) -> Result<usize, AskError> {
        let differs = |(subject, found): &(Subject, Found)| {
            asked.get(subject).and_then(|known| known.sha.as_ref()) != found.sha.as_ref()
        };
        let mut moved: Vec<(Subject, Found)> = found.into_iter().filter(differs).collect();
        // Branches before tags, and names in order: the order in which people expect their builds.
        moved.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut accepted = 0;
        let mut complete = true;
        for some in moved.chunks(200) {
            let tx = self.store.begin().await?;
            for (subject, found) in some {
                let version = asked.get(subject).cloned().unwrap_or_default();
                match self
                    .answered(&tx, source.id, subject, &version, found, saying)
                    .await?
                {
                    Answered::Accepted(_) => accepted += 1,
                    Answered::Unchanged => {}
                    // Somebody knows better; the next look will tell.
                    Answered::Overtaken => complete = false,
                }
            }
            tx.commit().await?;
        }
        let tx = self.store.begin().await?;
        let now = Timestamp::now();
        if source.baselined_at.is_none() {
            tx.source_repositories()
                .set_baselined(source.id, Some(now))
                .await?;
        }
        if complete {
            tx.source_repositories().set_reconciled(source.id, now).await?;
        }
        tx.commit().await?;
        self.bells.changes.up();
        Ok(accepted)
    }
}

/// What to make of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Unchanged,
    News,
    Ask,
}

/// A hint is news only if it starts where the record ends, and leads where nobody ever said this ref was:
/// providers reorder, anybody can be late, and refs are rolled back.
async fn judge(
    tx: &Tx,
    source: SourceId,
    hint: &Hint,
    known: &Known,
    place: (DeliveryId, i32),
) -> Result<Judgement, StoreError> {
    let after = match &hint.after {
        After::At(sha) => Some(sha),
        After::Deleted => None,
        After::Unknown => return Ok(Judgement::Ask),
        After::Closed(_) => return Ok(Judgement::Unchanged),
    };
    if known.sha.as_ref() == after {
        if let Subject::PullRequest(number) = hint.subject {
            tx.heads().set_open(source, number, true).await?;
        }
        return Ok(Judgement::Unchanged);
    }
    let follows = hint.before == known.sha;
    if follows
        && !tx
            .ref_changes()
            .ever_said(source, &hint.subject, after, Some(place))
            .await?
    {
        return Ok(Judgement::News);
    }
    Ok(Judgement::Ask)
}

fn new_head(
    source: SourceId,
    subject: Subject,
    sha: Option<CommitSha>,
    saying: &Saying,
    enrichment: &Enrichment,
) -> NewHead {
    NewHead {
        source,
        subject,
        sha,
        cause: saying.cause,
        delivery: saying.delivery,
        actor: saying.actor,
        enrichment: enrichment.clone(),
    }
}

impl Found {
    fn nothing() -> Self {
        Self {
            sha: None,
            enrichment: Enrichment::default(),
            closed: false,
        }
    }
}

impl From<&PullRequest> for Found {
    fn from(pull: &PullRequest) -> Self {
        let facts = pull_request_facts(pull);
        Self {
            // Without names that git allows, nothing can be built of it.
            sha: pull.head.sha.clone().filter(|_| facts.is_some()),
            enrichment: Enrichment {
                pull_request: facts,
                ..Enrichment::default()
            },
            closed: pull.state != PullRequestState::Open,
        }
    }
}

fn pull_request_facts(pull: &PullRequest) -> Option<PullRequestFacts> {
    Some(PullRequestFacts {
        head: RefName::branch(&pull.head.branch).ok()?,
        head_repository: pull.head.repository.as_ref().map(ToString::to_string),
        base: RefName::branch(&pull.base.branch).ok()?,
        internal: !pull.is_external(),
        title: cut(&pull.title),
        author: cut(&pull.author),
    })
}

/// Every path that was changed, if all are known, and not more than are kept.
pub(crate) fn known_paths(changed: ChangedPaths) -> Option<Vec<String>> {
    match changed {
        ChangedPaths::Complete(paths) if paths.len() <= MAX_PATHS => Some(paths),
        ChangedPaths::Complete(_) | ChangedPaths::Truncated(_) | ChangedPaths::Unknown => None,
    }
}

/// Strangers' words, cut to what is kept.
pub(crate) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_MESSAGE)].to_owned()
}
