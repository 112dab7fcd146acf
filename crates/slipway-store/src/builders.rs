//! Builders: the processes that run builds, what they say they are, and what they may have.
//!
//! Invariant kept here: what a builder may have – its name, labels and namespaces – is what administrators said, never its
//! own word: a builder sees the secrets of what it builds.

use sea_orm::FromQueryResult;
use slipway_types::{BuilderId, NamespaceId, Timestamp};

use crate::{
    StoreError,
    aggregate::aggregate,
    builds::Build,
    column::{from_json, to_json},
};

aggregate!(/// The processes that run builds.
    Builders, builders);

/// What a builder says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderFacts {
    /// The host that it runs on, by name.
    pub host: String,
    /// How it makes machines: `host`, `rootless`, `docker`.
    pub driver: String,
    /// Whether its machines hold a stranger's code.
    pub isolates: bool,
    /// Platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// Builds at once.
    pub slots: i32,
    /// Slipway's version that it runs.
    pub version: String,
}

/// What administrators say of a builder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuilderTerms {
    /// Labels that configurations can ask for.
    pub labels: Vec<String>,
    /// Whose builds alone it gets; empty: everybody's.
    pub namespaces: Vec<NamespaceId>,
    /// Whether it gets no builds but those that ask for one of its labels.
    pub only_labelled: bool,
}

/// A builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Its id.
    pub id: BuilderId,
    /// What people call it; unique among those that are not removed.
    pub name: String,
    /// What it may have.
    pub terms: BuilderTerms,
    /// What it says it is.
    pub facts: BuilderFacts,
    /// Whether it gets work.
    pub state: BuilderState,
    /// Where it is.
    pub place: BuilderPlace,
    /// When it was heard of last; never, before it has come in.
    pub last_seen_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Builder {
    /// Whether it gets a namespace's builds at all.
    pub fn serves(&self, namespace: NamespaceId) -> bool {
        self.terms.namespaces.is_empty() || self.terms.namespaces.contains(&namespace)
    }

    /// Whether it may run a build: it has the labels, platforms and walls that the build asks for, and gets builds that ask for
    /// no label.
    pub fn may_run(&self, build: &Build) -> bool {
        let plan = &build.new.plan;
        self.serves(build.new.namespace)
            && (self.facts.isolates || !plan.external)
            && plan.labels.iter().all(|label| self.terms.labels.contains(label))
            && !(self.terms.only_labelled && plan.labels.is_empty())
            && plan
                .rule
                .platforms
                .iter()
                .all(|platform| self.facts.platforms.contains(platform))
    }
}

/// Where a builder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderPlace {
    /// In a server's own process.
    Embedded,
    /// On a host from which it is to come in, with a token that is good until then.
    Expected(Timestamp),
    /// On a host of its own.
    Remote,
}

/// Whether a builder gets work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderState {
    /// It does.
    Active,
    /// It does not, until it is resumed.
    Paused,
    /// It ends what it has, and gets nothing more until it starts again.
    Draining,
    /// It is gone.
    Removed,
}

impl BuilderState {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "paused" => Self::Paused,
            "draining" => Self::Draining,
            _ => Self::Removed,
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    registration_ends_at: Option<i64>,
    token_hash: Option<String>,
    state: String,
    labels: String,
    namespaces: String,
    only_labelled: bool,
    host: String,
    driver: String,
    isolates: bool,
    platforms: String,
    slots: i32,
    version: String,
    last_seen_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<Row> for Builder {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let place = match (row.token_hash, row.registration_ends_at) {
            (Some(_), _) => BuilderPlace::Remote,
            (None, Some(until)) => BuilderPlace::Expected(Timestamp::from_millis(until)),
            (None, None) => BuilderPlace::Embedded,
        };
        Ok(Self {
            id: BuilderId::from_uuid(row.id),
            name: row.name,
            state: BuilderState::read(&row.state),
            place,
            terms: BuilderTerms {
                labels: from_json("builders.labels", &row.labels)?,
                namespaces: from_json("builders.namespaces", &row.namespaces)?,
                only_labelled: row.only_labelled,
            },
            facts: BuilderFacts {
                host: row.host,
                driver: row.driver,
                isolates: row.isolates,
                platforms: from_json("builders.platforms", &row.platforms)?,
                slots: row.slots,
                version: row.version,
            },
            last_seen_at: row.last_seen_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl Builders<'_> {
    /// Notes what an embedded builder says it is, by its name; one that was paused stays so.
    ///
    /// # Errors
    /// What the database says.
    pub async fn embedded(&self, name: &str, facts: &BuilderFacts) -> Result<BuilderId, StoreError> {
        let sql = "INSERT INTO builders (id, name, state, labels, namespaces, only_labelled, host, driver, isolates,
                   platforms, slots, version, created_at)
                   VALUES ($1, $2, 'active', '[]', '[]', FALSE, '', '', FALSE, '[]', 0, '', $3)
                   ON CONFLICT (name) WHERE state <> 'removed' DO UPDATE SET name = excluded.name RETURNING id";
        let values = [
            BuilderId::fresh().uuid().into(),
            name.into(),
            Timestamp::now().millis().into(),
        ];
        let id = self.0.scalar::<uuid::Uuid>(sql, values).await?;
        let id = id
            .map(BuilderId::from_uuid)
            .ok_or_else(|| StoreError::NotFound(name.to_owned()))?;
        self.report(id, facts).await?;
        Ok(id)
    }

    /// Notes what a builder that asks for work says it is; one that drained has started again, one that was paused stays so.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report(&self, id: BuilderId, facts: &BuilderFacts) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET host = $2, driver = $3, isolates = $4, platforms = $5, slots = $6, version = $7,
                   last_seen_at = $8, state = CASE state WHEN 'draining' THEN 'active' ELSE state END WHERE id = $1";
        let values = [
            id.uuid().into(),
            facts.host.clone().into(),
            facts.driver.clone().into(),
            facts.isolates.into(),
            to_json("builders.platforms", &facts.platforms)?.into(),
            facts.slots.into(),
            facts.version.clone().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Makes a builder that is still to come in, by the token of this hash, until `ends_at`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a name that another has.
    pub async fn expect(
        &self,
        name: &str,
        terms: &BuilderTerms,
        token_hash: &str,
        ends_at: Timestamp,
    ) -> Result<BuilderId, StoreError> {
        let id = BuilderId::fresh();
        let sql = "INSERT INTO builders (id, name, registration_hash, registration_ends_at, state, labels, namespaces,
                   only_labelled, host, driver, isolates, platforms, slots, version, created_at)
                   VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, '', '', FALSE, '[]', 0, '', $8)";
        let values = [
            id.uuid().into(),
            name.into(),
            token_hash.into(),
            ends_at.millis().into(),
            to_json("builders.labels", &terms.labels)?.into(),
            to_json("builders.namespaces", &terms.namespaces)?.into(),
            terms.only_labelled.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Gives a builder another one-time token: what it came in with before is good for nothing any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expect_again(
        &self,
        id: BuilderId,
        token_hash: &str,
        ends_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET registration_hash = $2, registration_ends_at = $3, token_hash = NULL WHERE id = $1";
        let values = [id.uuid().into(), token_hash.into(), ends_at.millis().into()];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Lets a builder in that shows its one-time token, and keeps the hash of the credential that it will show from now on.
    /// None: the token is unknown, used or too old.
    ///
    /// # Errors
    /// What the database says.
    pub async fn come_in(
        &self,
        registration_hash: &str,
        token_hash: &str,
    ) -> Result<Option<BuilderId>, StoreError> {
        let sql = "UPDATE builders SET registration_hash = NULL, registration_ends_at = NULL, token_hash = $2
                   WHERE registration_hash = $1 AND registration_ends_at > $3 AND state <> 'removed' RETURNING id";
        let values = [
            registration_hash.into(),
            token_hash.into(),
            Timestamp::now().millis().into(),
        ];
        let id = self.0.scalar::<uuid::Uuid>(sql, values).await?;
        Ok(id.map(BuilderId::from_uuid))
    }

    /// The builder whose credential has this hash, if it was not removed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_token_hash(&self, token_hash: &str) -> Result<Option<Builder>, StoreError> {
        let sql = "SELECT * FROM builders WHERE token_hash = $1 AND state <> 'removed'";
        let row = self.0.one::<Row>(sql, [token_hash.into()]).await?;
        row.map(Builder::try_from).transpose()
    }

    /// Notes that a builder was heard of.
    ///
    /// # Errors
    /// What the database says.
    pub async fn seen(&self, id: BuilderId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET last_seen_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), at.millis().into()])
            .await?;
        Ok(())
    }

    /// Says what a builder may have.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_terms(&self, id: BuilderId, terms: &BuilderTerms) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET labels = $2, namespaces = $3, only_labelled = $4 WHERE id = $1";
        let values = [
            id.uuid().into(),
            to_json("builders.labels", &terms.labels)?.into(),
            to_json("builders.namespaces", &terms.namespaces)?.into(),
            terms.only_labelled.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Says whether a builder gets work. One that is removed loses its credential, for good.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_state(&self, id: BuilderId, state: BuilderState) -> Result<(), StoreError> {
        let sql = match state {
            BuilderState::Removed => {
                "UPDATE builders SET state = $2, token_hash = NULL, registration_hash = NULL, registration_ends_at = NULL
                 WHERE id = $1"
            }
            _ => "UPDATE builders SET state = $2 WHERE id = $1 AND state <> 'removed'",
        };
        self.0
            .execute(sql, [id.uuid().into(), state.as_str().into()])
            .await?;
        Ok(())
    }

    /// All builders that are not gone, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&self) -> Result<Vec<Builder>, StoreError> {
        let rows = self
            .0
            .all::<Row>(
                "SELECT * FROM builders WHERE state <> 'removed' ORDER BY name",
                [],
            )
            .await?;
        rows.into_iter().map(Builder::try_from).collect()
    }

    /// The builder of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: BuilderId) -> Result<Option<Builder>, StoreError> {
        let row = self
            .0
            .one::<Row>("SELECT * FROM builders WHERE id = $1", [id.uuid().into()])
            .await?;
        row.map(Builder::try_from).transpose()
    }

    /// The builder of this name, if it was not removed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_name(&self, name: &str) -> Result<Option<Builder>, StoreError> {
        let sql = "SELECT * FROM builders WHERE name = $1 AND state <> 'removed'";
        let row = self.0.one::<Row>(sql, [name.into()]).await?;
        row.map(Builder::try_from).transpose()
    }

    /// How many builds each builder runs now; those that run none are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn running(&self) -> Result<Vec<(BuilderId, i64)>, StoreError> {
        #[derive(FromQueryResult)]
        struct Running {
            builder_id: uuid::Uuid,
            n: i64,
        }
        let sql =
            "SELECT builder_id, COUNT(*) AS n FROM builds WHERE state = 'in_progress' GROUP BY builder_id";
        let rows = self.0.all::<Running>(sql, []).await?;
        Ok(rows
            .into_iter()
            .map(|row| (BuilderId::from_uuid(row.builder_id), row.n))
            .collect())
    }

    /// Keeps others from giving this builder work until the transaction ends, and reads it.
    pub(crate) async fn lock(&self, id: BuilderId) -> Result<Option<Builder>, StoreError> {
        let sql = format!("SELECT * FROM builders WHERE id = $1{}", self.0.for_update());
        let row = self.0.one::<Row>(&sql, [id.uuid().into()]).await?;
        row.map(Builder::try_from).transpose()
    }

    /// Whether any builder's machines hold a stranger's code.
    ///
    /// # Errors
    /// What the database says.
    pub async fn any_isolates(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM builders WHERE isolates AND state IN ('active', 'paused') LIMIT 1";
        self.0.exists(sql, []).await
    }
}
