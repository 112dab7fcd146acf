//! Builds: what is to be built, in which order, and how it ended.
//!
//! Invariants kept here:
//! - builds that write one tag run one after another in `seq` order: a build is `ready` when its predecessors for
//!   all of its tags have ended. That is set when they end, so that leasing is one look at a small index;
//! - exactly one place moves a build to a final state: [`Builds::end`]. It also closes its tags, gives back its
//!   grants and makes its successors ready.
//!
//! Whoever changes the shape of the queue (admits, ends, re-queues) holds one lock for the rest of its short
//! transaction: otherwise one could end a predecessor while another queues its successor, and neither would
//! see the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_types::{
    BuildId, BuilderId, ChangeId, CommitSha, ConfigurationId, DockerTag, ImagePath, LeaseNo, NamespaceId,
    RefName, RegistryId, RepositoryId, RuleId, Seq, SourceId, Timestamp, UserId,
    build::{BuildState, Cause, FailureKind, Purpose},
    protocol::{Facts, RuleSpec},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, parse_option, to_json},
};

aggregate!(/// Builds and their order.
    Builds, builds);

/// How long a build waits after its builder was lost, before it may be leased again: its machine may have
/// a few seconds to live yet (order.md, "Lease and fence").
pub const COOLING: Duration = Duration::from_secs(10);

/// Of waiting builds: whether they have cooled, where `$1` is now. A moment further ahead than any is set says
/// that the clock was set back, and must not be waited for.
pub(crate) const COOLED: &str = "(not_before <= $1 OR not_before > $1 + 10000)";

pub(crate) mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "builds")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub namespace_id: Uuid,
        pub repository_id: Uuid,
        pub number: i64,
        pub configuration_id: Option<Uuid>,
        pub rule_id: Option<Uuid>,
        pub source_id: Uuid,
        pub change_id: Option<Uuid>,
        pub seq: i64,
        #[sea_orm(column_name = "ref")]
        pub git_ref: String,
        pub pull_request: Option<i64>,
        pub sha: String,
        pub cause: String,
        pub purpose: String,
        pub actor: Option<Uuid>,
        pub retry_of: Option<Uuid>,
        pub plan: String,
        pub docker_repo: String,
        pub isolate: bool,
        pub state: String,
        pub failure_kind: Option<String>,
        pub message: Option<String>,
        pub superseded_by: Option<Uuid>,
        pub canceled_by: Option<Uuid>,
        pub ready: bool,
        pub not_before: i64,
        pub runs: i32,
        pub lease_no: i32,
        pub builder_id: Option<Uuid>,
        pub heartbeat: i64,
        pub batch_no: i64,
        pub cancel: Option<String>,
        pub time_limit_s: i64,
        pub facts: String,
        pub queued_at: i64,
        pub started_at: Option<i64>,
        pub ended_at: Option<i64>,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// What was decided when a build was queued. Secrets are looked up when it is leased.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildPlan {
    /// The rule as it was then, for people: `Branch main → latest`.
    pub rule_text: String,
    /// What the rule says of the build itself.
    pub rule: RuleSpec,
    /// Where the image goes.
    pub registry_id: RegistryId,
    /// The registry's host, as in image names.
    pub registry: String,
    /// The image's path there.
    pub path: ImagePath,
    /// The tags, in the rule's order; `this` for a test.
    pub tags: Vec<DockerTag>,
    /// The comma list as the rule writes it, after substitution.
    pub tags_as_written: String,
    /// The full ref to fetch where the server refuses to send a commit by its id.
    pub fetch_ref: String,
    /// Labels that its builder must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// A stranger's pull request: it gets no secrets, and an isolating machine only.
    #[serde(default)]
    pub external: bool,
    /// The commit's message, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The commit's author, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl BuildPlan {
    /// `DOCKER_REPO`: registry and path.
    pub fn docker_repo(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// Whether a build of this plan would do the very same. What is only shown to people does not count.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let bare = |plan: &Self| {
            serde_json::to_value(Self {
                message: None,
                author: None,
                rule_text: String::new(),
                ..plan.clone()
            })
            .ok()
        };
        bare(self) == bare(other)
    }
}

/// A build to be queued.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// Whose it is.
    pub namespace: NamespaceId,
    /// Whose image it makes.
    pub repository: RepositoryId,
    /// The configuration that it comes from.
    pub configuration: Option<ConfigurationId>,
    /// The rule that it comes from.
    pub rule: Option<RuleId>,
    /// What it builds.
    pub source: SourceId,
    /// The change that it comes from.
    pub change: Option<ChangeId>,
    /// Its place in the one order.
    pub seq: Seq,
    /// The branch or tag; of a pull request the head's branch.
    pub git_ref: RefName,
    /// The pull request.
    pub pull_request: Option<i64>,
    /// The commit.
    pub sha: CommitSha,
    /// What made it come to be.
    pub cause: Cause,
    /// Build, test, push; or only build and test.
    pub purpose: Purpose,
    /// The person who asked.
    pub actor: Option<UserId>,
    /// The build that it repeats.
    pub retry_of: Option<BuildId>,
    /// What was decided.
    pub plan: BuildPlan,
    /// Seconds it may run.
    pub time_limit_s: i64,
}

/// A build.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// Its number within the repository, from 1.
    pub number: i64,
    /// Where it comes from, and what was decided.
    pub new: NewBuild,
    /// Where it is in its life.
    pub state: BuildState,
    /// Why it failed.
    pub failure: Option<FailureKind>,
    /// How it ended, in a sentence for people.
    pub message: Option<String>,
    /// The newer build that took its place.
    pub superseded_by: Option<BuildId>,
    /// The person who canceled it.
    pub canceled_by: Option<UserId>,
    /// Whether its predecessors for all of its tags have ended.
    pub ready: bool,
    /// Not to be leased before.
    pub not_before: Timestamp,
    /// How often it was leased.
    pub runs: i32,
    /// Its present, or last, lease; 0 before the first.
    pub lease: LeaseNo,
    /// Who has it.
    pub builder: Option<BuilderId>,
    /// The number of the last batch that was taken in under this lease.
    pub batch_no: i64,
    /// Whether it was asked to end.
    pub cancel: Option<CancelWish>,
    /// What was found out on the way.
    pub facts: Facts,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When its present, or last, run began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Why a running build was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelWish {
    /// A person wants it.
    Canceled,
    /// A newer build takes its place.
    Superseded,
    /// Its repository's link was taken apart.
    Disconnected,
}

impl CancelWish {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "cancel",
            Self::Superseded => "supersede",
            Self::Disconnected => "disconnect",
        }
    }
}

/// How a build ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Success {
        /// A sentence for people, where there is something to say.
        message: Option<String>,
    },
    /// Badly.
    Failed {
        /// Why.
        kind: FailureKind,
        /// A sentence for the owner.
        message: String,
    },
    /// By a person.
    Canceled {
        /// Who, where it is known.
        by: Option<UserId>,
    },
    /// By a newer build.
    Superseded {
        /// Which.
        by: BuildId,
    },
    /// Because its repository's link was taken apart.
    Disconnected,
    /// By its time limit.
    TimedOut,
}

impl TryFrom<entity::Model> for Build {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: BuildId::from_uuid(row.id),
            number: row.number,
            new: NewBuild {
                namespace: NamespaceId::from_uuid(row.namespace_id),
                repository: RepositoryId::from_uuid(row.repository_id),
                configuration: row.configuration_id.map(ConfigurationId::from_uuid),
                rule: row.rule_id.map(RuleId::from_uuid),
                source: SourceId::from_uuid(row.source_id),
                change: row.change_id.map(ChangeId::from_uuid),
                seq: Seq(row.seq),
                git_ref: parse("builds.ref", &row.git_ref)?,
                pull_request: row.pull_request,
                sha: parse("builds.sha", &row.sha)?,
                cause: parse("builds.cause", &row.cause)?,
                purpose: parse("builds.purpose", &row.purpose)?,
                actor: row.actor.map(UserId::from_uuid),
                retry_of: row.retry_of.map(BuildId::from_uuid),
                plan: from_json("builds.plan", &row.plan)?,
                time_limit_s: row.time_limit_s,
            },
            state: parse("builds.state", &row.state)?,
            failure: parse_option("builds.failure_kind", row.failure_kind.as_deref())?,
            message: row.message,
            superseded_by: row.superseded_by.map(BuildId::from_uuid),
            canceled_by: row.canceled_by.map(UserId::from_uuid),
            ready: row.ready,
            not_before: Timestamp::from_millis(row.not_before),
            runs: row.runs,
            lease: LeaseNo(row.lease_no),
            builder: row.builder_id.map(BuilderId::from_uuid),
            batch_no: row.batch_no,
            cancel: row.cancel.as_deref().map(|word| match word {
                "supersede" => CancelWish::Superseded,
                "disconnect" => CancelWish::Disconnected,
                _ => CancelWish::Canceled,
            }),
            facts: from_json("builds.facts", &row.facts)?,
            queued_at: Timestamp::from_millis(row.queued_at),
            started_at: row.started_at.map(Timestamp::from_millis),
            ended_at: row.ended_at.map(Timestamp::from_millis),
        })
    }
}

impl Builds<'_> {
    /// Keeps everybody else from changing the shape of the queue until the transaction ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_queue(&self) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT value FROM counters WHERE name = 'queue'{}",
            self.0.for_update()
        );
        self.0.exists(&sql, []).await?;
        Ok(())
    }

    /// Queues a build: numbers it, claims its tags, and finds out whether it may run at once.
    ///
    /// # Errors
    /// What the database says.
    pub async fn queue(&self, new: &NewBuild) -> Result<Build, StoreError> {
        self.lock_queue().await?;
        let id = BuildId::fresh();
        let row = self.row(id, new).await?;
        self.0.insert::<entity::Entity>(row).await?;
        if new.purpose == Purpose::Push {
            self.claim_tags(id, new).await?;
        }
        self.refresh_ready(id).await?;
        self.get(id).await
    }

    async fn row(&self, id: BuildId, new: &NewBuild) -> Result<entity::Model, StoreError> {
        let sql = "UPDATE repositories SET last_number = last_number + 1 WHERE id = $1 RETURNING last_number";
        let number = self.0.scalar::<i64>(sql, [new.repository.uuid().into()]).await?;
        let now = Timestamp::now().millis();
        Ok(entity::Model {
            id: id.uuid(),
            namespace_id: new.namespace.uuid(),
            repository_id: new.repository.uuid(),
            number: number.ok_or_else(|| StoreError::NotFound(new.repository.to_string()))?,
            configuration_id: new.configuration.map(ConfigurationId::uuid),
            rule_id: new.rule.map(RuleId::uuid),
            source_id: new.source.uuid(),
            change_id: new.change.map(ChangeId::uuid),
            seq: new.seq.0,
            git_ref: new.git_ref.full().to_owned(),
            pull_request: new.pull_request,
            sha: new.sha.to_string(),
            cause: new.cause.as_str().to_owned(),
            purpose: new.purpose.as_str().to_owned(),
            actor: new.actor.map(UserId::uuid),
            retry_of: new.retry_of.map(BuildId::uuid),
            plan: to_json("builds.plan", &new.plan)?,
            docker_repo: new.plan.docker_repo(),
            isolate: new.plan.external,
            state: BuildState::Pending.as_str().to_owned(),
            failure_kind: None,
            message: None,
            superseded_by: None,
            canceled_by: None,
            ready: true,
            not_before: 0,
            runs: 0,
            lease_no: 0,
            builder_id: None,
            heartbeat: 0,
            batch_no: 0,
            cancel: None,
            time_limit_s: new.time_limit_s,
            facts: "{}".to_owned(),
            queued_at: now,
            started_at: None,
            ended_at: None,
        })
    }

    /// Finds out anew whether a waiting build, and those that wait behind it, may run. Asks for the queue's lock.
    pub(crate) async fn refresh_ready(&self, around: BuildId) -> Result<(), StoreError> {
        // Equal places (two rules of one change, a retry) go by id: ids made later sort later.
        let sql = "UPDATE builds SET ready = NOT EXISTS (
                       SELECT 1 FROM build_tags mine
                       JOIN build_tags other ON other.registry = mine.registry AND other.path = mine.path
                            AND other.tag = mine.tag AND other.open
                            AND (other.seq < mine.seq OR (other.seq = mine.seq AND other.build_id < mine.build_id))
                       WHERE mine.build_id = builds.id)
                   WHERE state = 'pending' AND (id = $1 OR id IN (
                       SELECT behind.build_id FROM build_tags behind
                       JOIN build_tags its ON its.registry = behind.registry AND its.path = behind.path
                            AND its.tag = behind.tag
                       WHERE its.build_id = $1 AND behind.open))";
        self.0.execute(sql, [around.uuid().into()]).await?;
        Ok(())
    }

    /// Ends a build. This is the one place that moves a build to a final state; it asks for the queue's lock.
    /// `None`, and nothing is changed, if it has ended already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(&self, id: BuildId, how: &Ending) -> Result<Option<Build>, StoreError> {
        self.lock_queue().await?;
        if !self.write_end(id, how).await? {
            return Ok(None);
        }
        self.0
            .execute(
                "UPDATE build_tags SET open = FALSE WHERE build_id = $1",
                [id.uuid().into()],
            )
            .await?;
        self.give_back_grants(id).await?;
        self.refresh_ready(id).await?;
        self.get(id).await.map(Some)
    }

    async fn write_end(&self, id: BuildId, how: &Ending) -> Result<bool, StoreError> {
        let (state, kind, message, superseded_by, canceled_by) = match how {
            Ending::Success { message } => (BuildState::Success, None, message.clone(), None, None),
            Ending::Failed { kind, message } => (
                BuildState::Failed,
                Some(kind.to_string()),
                Some(message.clone()),
                None,
                None,
            ),
            Ending::Canceled { by } => (BuildState::Canceled, None, None, None, by.map(UserId::uuid)),
            Ending::Superseded { by } => (BuildState::Canceled, None, None, Some(by.uuid()), None),
            Ending::Disconnected => {
                let message = "the repository's link was taken apart".to_owned();
                (BuildState::Canceled, None, Some(message), None, None)
            }
            Ending::TimedOut => (BuildState::TimedOut, None, None, None, None),
        };
        let sql = "UPDATE builds SET state = $2, failure_kind = $3, message = $4,
                   superseded_by = COALESCE($5, superseded_by), canceled_by = COALESCE($6, canceled_by),
                   ready = FALSE, ended_at = $7 WHERE id = $1 AND state IN ('pending', 'in_progress')";
        let values = [
            id.uuid().into(),
            state.as_str().into(),
            kind.into(),
            message.into(),
            superseded_by.into(),
            canceled_by.into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// Asks a running build to end; its builder hears of it with its next renewal. `false` if it does not run.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ask_to_end(
        &self,
        id: BuildId,
        wish: CancelWish,
        canceled_by: Option<UserId>,
        superseded_by: Option<BuildId>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE builds SET cancel = $2, canceled_by = COALESCE($3, canceled_by),
                   superseded_by = COALESCE($4, superseded_by) WHERE id = $1 AND state = 'in_progress'";
        let values = [
            id.uuid().into(),
            wish.as_str().into(),
            canceled_by.map(UserId::uuid).into(),
            superseded_by.map(BuildId::uuid).into(),
        ];
        Ok(self.0.execute(sql, values).await? == 1)
    }

    /// The build of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        let row = self
            .0
            .one::<entity::Model>("SELECT * FROM builds WHERE id = $1", [id.uuid().into()])
            .await?;
        row.map(Build::try_from).transpose()
    }

    /// The build of this id, which must be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not.
    pub async fn get(&self, id: BuildId) -> Result<Build, StoreError> {
        self.find(id)
            .await?
            .ok_or_else(|| StoreError::NotFound(id.to_string()))
    }
}
