//! Changes: the only thing that makes builds from pushes.
//!
//! Invariant kept here: a head never changes without its change, written in the same transaction
//! ([`RefChanges::accept`] is the one place that writes either), and a change stays `observed` until the
//! transaction that queues its builds marks it decided. A crash anywhere leaves a row to take up again.
//!
//! The rows are also the memory of what a ref ever held, by which late deliveries are told from news.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_types::{
    ChangeId, CommitSha, ConfigurationId, DeliveryId, RefName, RuleId, Seq, SourceId, Timestamp, UserId,
    build::Cause,
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, parse_option, to_json},
    heads::Known,
    sql::DUE,
};

aggregate!(/// Changes of heads, and the memory of what refs held.
    RefChanges, ref_changes);

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ref_changes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub source_id: Uuid,
        #[sea_orm(column_name = "ref")]
        pub subject: String,
        pub pull_request: Option<i64>,
        pub old_sha: Option<String>,
        pub new_sha: Option<String>,
        pub seq: i64,
        pub cause: String,
        pub delivery_id: Option<Uuid>,
        pub actor: Option<Uuid>,
        pub configuration_id: Option<Uuid>,
        pub rule_id: Option<Uuid>,
        pub build_seq: Option<i64>,
        pub follows: Option<Uuid>,
        pub state: String,
        pub enrichment: Option<String>,
        pub attempts: i32,
        pub next_attempt_at: i64,
        pub created_at: i64,
        pub decided_at: Option<i64>,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// What has a head: a branch, a tag, or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A branch or a tag.
    Ref(RefName),
    /// A pull request, by its number.
    PullRequest(i64),
}

impl Subject {
    /// As it is stored and shown: the full ref, or `refs/pull/7/head`.
    pub fn full(&self) -> String {
        match self {
            Self::Ref(name) => name.full().to_owned(),
            Self::PullRequest(number) => format!("refs/pull/{number}/head"),
        }
    }

    /// The pull request's number.
    pub const fn pull_request(&self) -> Option<i64> {
        match self {
            Self::Ref(_) => None,
            Self::PullRequest(number) => Some(*number),
        }
    }

    pub(crate) fn read(what: &'static str, full: &str, number: Option<i64>) -> Result<Self, StoreError> {
        match number {
            Some(number) => Ok(Self::PullRequest(number)),
            None => Ok(Self::Ref(parse(what, full)?)),
        }
    }
}

/// What is known of a pull request besides its head commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestFacts {
    /// The branch that it comes from.
    pub head: RefName,
    /// The provider's id of the repository that `head` is in; none when it is gone.
    pub head_repository: Option<String>,
    /// The branch that it would be merged into.
    pub base: RefName,
    /// Whether both are in one repository, by the provider's ids.
    pub internal: bool,
    /// Its title.
    pub title: String,
    /// Who opened it, by login.
    pub author: String,
}

/// What rules look at beyond commit and name (order.md, "Enrich").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Enrichment {
    /// The head commit's message.
    pub message: Option<String>,
    /// The head commit's author.
    pub author: Option<String>,
    /// The files that were changed; none while it is not known.
    pub paths: Option<Vec<String>>,
    /// Of a pull request.
    pub pull_request: Option<PullRequestFacts>,
}

/// A head to be accepted.
#[derive(Debug, Clone)]
pub struct NewHead {
    /// Where.
    pub source: SourceId,
    /// What moved.
    pub subject: Subject,
    /// Where it is now; none when it is gone.
    pub sha: Option<CommitSha>,
    /// Who said so.
    pub cause: Cause,
    /// The delivery that said so.
    pub delivery: Option<DeliveryId>,
    /// The person who had it looked at.
    pub actor: Option<UserId>,
    /// What is known already.
    pub enrichment: Enrichment,
}

/// A wish to build what a head is, or was, without a change of it: a trigger, or a replay.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What to build.
    pub head: NewHead,
    /// For this configuration only.
    pub configuration: Option<ConfigurationId>,
    /// For this rule only.
    pub rule: Option<RuleId>,
    /// What its builds carry in place of the wish's own place in the order.
    pub build_seq: Option<Seq>,
    /// The change that the wish's own look at the forge found; its builds need not be made twice.
    pub follows: Option<ChangeId>,
}

/// A change of a head, or the wish to build one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: ChangeId,
    /// Where.
    pub source: SourceId,
    /// What moved.
    pub subject: Subject,
    /// Where it was.
    pub old: Option<CommitSha>,
    /// Where it is; none when it is gone.
    pub new: Option<CommitSha>,
    /// Its place in the one order.
    pub seq: Seq,
    /// What its builds carry.
    pub build_seq: Seq,
    /// Who said so.
    pub cause: Cause,
    /// The delivery that said so.
    pub delivery: Option<DeliveryId>,
    /// The person who asked.
    pub actor: Option<UserId>,
    /// For this configuration only.
    pub configuration: Option<ConfigurationId>,
    /// For this rule only.
    pub rule: Option<RuleId>,
    /// See [`Wish::follows`].
    pub follows: Option<ChangeId>,
    /// What is known of it.
    pub enrichment: Enrichment,
    /// How often enriching was tried.
    pub attempts: i32,
    /// When it was observed.
    pub created_at: Timestamp,
    /// When it was decided; none while it has to be.
    pub decided_at: Option<Timestamp>,
}

impl TryFrom<entity::Model> for Change {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        let enrichment = row
            .enrichment
            .as_deref()
            .map(|text| from_json("ref_changes.enrichment", text));
        Ok(Self {
            id: ChangeId::from_uuid(row.id),
            source: SourceId::from_uuid(row.source_id),
            subject: Subject::read("ref_changes.ref", &row.subject, row.pull_request)?,
            old: parse_option("ref_changes.old_sha", row.old_sha.as_deref())?,
            new: parse_option("ref_changes.new_sha", row.new_sha.as_deref())?,
            seq: Seq(row.seq),
            build_seq: Seq(row.build_seq.unwrap_or(row.seq)),
            cause: parse("ref_changes.cause", &row.cause)?,
            delivery: row.delivery_id.map(DeliveryId::from_uuid),
            actor: row.actor.map(UserId::from_uuid),
            configuration: row.configuration_id.map(ConfigurationId::from_uuid),
            rule: row.rule_id.map(RuleId::from_uuid),
            follows: row.follows.map(ChangeId::from_uuid),
            enrichment: enrichment.transpose()?.unwrap_or_default(),
            attempts: row.attempts,
            created_at: Timestamp::from_millis(row.created_at),
            decided_at: row.decided_at.map(Timestamp::from_millis),
        })
    }
}

impl RefChanges<'_> {
    /// The next place in the one order of the installation. Held until the transaction ends, so that places
    /// become visible in their order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_seq(&self) -> Result<Seq, StoreError> {
        let sql = "UPDATE counters SET value = value + 1 WHERE name = 'seq' RETURNING value";
        let value = self.0.scalar::<i64>(sql, []).await?;
        value
            .map(Seq)
            .ok_or_else(|| StoreError::NotFound("the counter seq".to_owned()))
    }

    /// Accepts a head, which was `known` until now: writes it together with its change. The caller holds the
    /// source's lock ([`SourceRepositories::lock`](crate::SourceRepositories::lock)). A baseline is decided at
    /// once: it is remembered, never built.
    ///
    /// # Errors
    /// What the database says.
    pub async fn accept(&self, head: &NewHead, known: &Known) -> Result<Change, StoreError> {
        let seq = self.next_seq().await?;
        match &head.subject {
            Subject::Ref(name) => self.write_ref(head, name, seq).await?,
            Subject::PullRequest(number) => self.write_pull_request(head, *number, seq).await?,
        }
        let wish = Wish {
            head: head.clone(),
            configuration: None,
            rule: None,
            build_seq: None,
            follows: None,
        };
        self.write_change(&wish, known.sha.clone(), seq).await
    }

    /// Records the wish to build what is, or was, a head. No head changes by it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn wish(&self, wish: &Wish, old: Option<CommitSha>) -> Result<Change, StoreError> {
        let seq = self.next_seq().await?;
        self.write_change(wish, old, seq).await
    }

    async fn write_ref(&self, head: &NewHead, name: &RefName, seq: Seq) -> Result<(), StoreError> {
        let sql = "INSERT INTO ref_heads (source_id, ref, sha, seq, changed_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (source_id, ref) DO UPDATE
                   SET sha = excluded.sha, seq = excluded.seq, changed_at = excluded.changed_at";
        let values = [
            head.source.uuid().into(),
            name.full().into(),
            head.sha.as_ref().map(CommitSha::to_string).into(),
            seq.0.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    async fn write_pull_request(&self, head: &NewHead, number: i64, seq: Seq) -> Result<(), StoreError> {
        let missing = || StoreError::NotFound(format!("what is known of pull request {number}"));
        let facts = head.enrichment.pull_request.as_ref().ok_or_else(missing)?;
        let sha = head.sha.as_ref().ok_or_else(missing)?;
        let sql = "INSERT INTO pull_request_heads (source_id, number, sha, head_ref, head_repository, base_ref,
                   internal, title, author, is_open, seq, changed_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, TRUE, $10, $11)
                   ON CONFLICT (source_id, number) DO UPDATE
                   SET sha = excluded.sha, head_ref = excluded.head_ref, head_repository = excluded.head_repository,
                       base_ref = excluded.base_ref, internal = excluded.internal, title = excluded.title,
                       author = excluded.author, is_open = TRUE, seq = excluded.seq, changed_at = excluded.changed_at";
        let values = [
            head.source.uuid().into(),
            number.into(),
            sha.as_str().into(),
            facts.head.full().into(),
            facts.head_repository.clone().unwrap_or_default().into(),
            facts.base.full().into(),
            facts.internal.into(),
            facts.title.clone().into(),
            facts.author.clone().into(),
            seq.0.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    async fn write_change(
        &self,
        wish: &Wish,
        old: Option<CommitSha>,
        seq: Seq,
    ) -> Result<Change, StoreError> {
        let head = &wish.head;
        let now = Timestamp::now().millis();
        let decided = head.cause == Cause::Baseline;
        let row = entity::Model {
            id: ChangeId::fresh().uuid(),
            source_id: head.source.uuid(),
            subject: head.subject.full(),
            pull_request: head.subject.pull_request(),
            old_sha: old.map(String::from),
            new_sha: head.sha.clone().map(String::from),
            seq: seq.0,
            cause: head.cause.as_str().to_owned(),
            delivery_id: head.delivery.map(DeliveryId::uuid),
            actor: head.actor.map(UserId::uuid),
            configuration_id: wish.configuration.map(ConfigurationId::uuid),
            rule_id: wish.rule.map(RuleId::uuid),
            build_seq: wish.build_seq.map(|seq| seq.0),
            follows: wish.follows.map(ChangeId::uuid),
            state: if decided { "decided" } else { "observed" }.to_owned(),
            enrichment: Some(to_json("ref_changes.enrichment", &head.enrichment)?),
            attempts: 0,
            next_attempt_at: now,
            created_at: now,
            decided_at: decided.then_some(now),
        };
        self.0.insert::<entity::Entity>(row.clone()).await?;
        row.try_into()
    }

    /// Whether anybody ever said that this subject held, or came from, this commit (none: that it was not
    /// there), leaving out what one delivery says at one place.
    ///
    /// A hint *from our head to X* is news only if nobody ever spoke of X here: else it may be an old one, told
    /// late. Also what was not believed counts as said; without that, a push and a roll-back that arrive in the
    /// wrong order would end at the wrong commit.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ever_said(
        &self,
        source: SourceId,
        subject: &Subject,
        sha: Option<&CommitSha>,
        except: Option<(DeliveryId, i32)>,
    ) -> Result<bool, StoreError> {
        let (held, said) = match sha {
            Some(_) => (
                "(new_sha = $3 OR old_sha = $3)",
                "(before_sha = $3 OR after_sha = $3)",
            ),
            None => (
                "(new_sha IS NULL OR old_sha IS NULL) AND $3 = ''",
                "(before_sha IS NULL OR after_sha IS NULL) AND $3 = ''",
            ),
        };
        let sql = format!(
            "SELECT 1 FROM ref_changes WHERE source_id = $1 AND ref = $2 AND {held}
             UNION ALL
             SELECT 1 FROM delivery_changes WHERE source_id = $1 AND ref = $2 AND {said}
             AND NOT (delivery_id = $4 AND position = $5)
             LIMIT 1"
        );
        let (delivery, position) = except.unwrap_or((DeliveryId::from_uuid(uuid::Uuid::nil()), -1));
        let values = [
            source.uuid().into(),
            subject.full().into(),
            sha.map(CommitSha::as_str).unwrap_or_default().into(),
            delivery.uuid().into(),
            position.into(),
        ];
        self.0.exists(&sql, values).await
    }

    /// The change of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        let sql = "SELECT * FROM ref_changes WHERE id = $1";
        let row = self.0.one::<entity::Model>(sql, [id.uuid().into()]).await?;
        row.map(Change::try_from).transpose()
    }

    /// The oldest change that has to be decided now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_observed(&self, now: Timestamp) -> Result<Option<Change>, StoreError> {
        let sql = format!(
            "SELECT * FROM ref_changes WHERE state = 'observed' AND {DUE} AND NOT EXISTS (
                 SELECT 1 FROM ref_changes earlier WHERE earlier.state = 'observed'
                 AND earlier.source_id = ref_changes.source_id AND earlier.seq <= ref_changes.seq
                 AND earlier.asking_until > {})
             ORDER BY seq LIMIT 1",
            self.0.clock()
        );
        let row = self.0.one::<entity::Model>(&sql, [now.millis().into()]).await?;
        row.map(Change::try_from).transpose()
    }

    /// Takes the asking of the forge about a change for this process, for so long by the database's clock. `false` if
    /// another server was faster. Meanwhile it, and later changes of its source, are nobody's next.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_asking(&self, id: ChangeId, term: Duration) -> Result<bool, StoreError> {
        let clock = self.0.clock();
        let sql = format!(
            "UPDATE ref_changes SET asking_until = {clock} + $2
             WHERE id = $1 AND state = 'observed' AND (asking_until IS NULL OR asking_until <= {clock})"
        );
        let term = i64::try_from(term.as_millis()).unwrap_or(i64::MAX);
        Ok(self.0.execute(&sql, [id.uuid().into(), term.into()]).await? == 1)
    }

    /// How many changes wait to be decided, whether their time has come or not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_observed(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM ref_changes WHERE state = 'observed'";
        Ok(self.0.scalar::<i64>(sql, []).await?.unwrap_or_default())
    }

    /// Takes a change to decide it, unless somebody has decided it meanwhile.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_observed(&self, id: ChangeId) -> Result<Option<Change>, StoreError> {
        let sql = format!(
            "SELECT * FROM ref_changes WHERE id = $1 AND state = 'observed'{}",
            self.0.for_update()
        );
        let row = self.0.one::<entity::Model>(&sql, [id.uuid().into()]).await?;
        row.map(Change::try_from).transpose()
    }

    /// Marks a change decided: in the transaction that queues its builds.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_decided(&self, id: ChangeId) -> Result<(), StoreError> {
        let sql = "UPDATE ref_changes SET state = 'decided', decided_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }

    /// Keeps what was found out about a change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn enrich(&self, id: ChangeId, enrichment: &Enrichment) -> Result<(), StoreError> {
        let text = to_json("ref_changes.enrichment", enrichment)?;
        let sql = "UPDATE ref_changes SET enrichment = $2 WHERE id = $1 AND state = 'observed'";
        self.0.execute(sql, [id.uuid().into(), text.into()]).await?;
        Ok(())
    }

    /// Puts a change off, because something that rules need could not be asked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn postpone(&self, id: ChangeId, until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE ref_changes SET attempts = attempts + 1, next_attempt_at = $2, asking_until = NULL
                   WHERE id = $1 AND state = 'observed'";
        self.0
            .execute(sql, [id.uuid().into(), until.millis().into()])
            .await?;
        Ok(())
    }

    /// A source's changes, the newest first, older than `before`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_source(
        &self,
        source: SourceId,
        before: Option<Seq>,
        limit: i64,
    ) -> Result<Vec<Change>, StoreError> {
        let sql = "SELECT * FROM ref_changes WHERE source_id = $1 AND seq < $2 AND cause <> 'baseline'
                   ORDER BY seq DESC LIMIT $3";
        let before = before.map_or(i64::MAX, |seq| seq.0);
        let rows = self
            .0
            .all::<entity::Model>(sql, [source.uuid().into(), before.into(), limit.into()])
            .await?;
        rows.into_iter().map(Change::try_from).collect()
    }

    /// The change, if any, that first set this subject to this commit; for a replay's place in the order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn that_set(
        &self,
        source: SourceId,
        subject: &Subject,
        sha: &CommitSha,
    ) -> Result<Option<Change>, StoreError> {
        let sql = "SELECT * FROM ref_changes WHERE source_id = $1 AND ref = $2 AND new_sha = $3
                   AND cause NOT IN ('replayed', 'triggered') ORDER BY seq DESC LIMIT 1";
        let values = [source.uuid().into(), subject.full().into(), sha.as_str().into()];
        let row = self.0.one::<entity::Model>(sql, values).await?;
        row.map(Change::try_from).transpose()
    }
}
