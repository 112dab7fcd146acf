//! Builders: the processes that run builds, and what they say they can.

use sea_orm::FromQueryResult;
use slipway_types::{BuilderId, Timestamp};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, to_json},
};

aggregate!(/// The processes that run builds.
    Builders, builders);

/// What a builder says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderFacts {
    /// Its name, unique here.
    pub name: String,
    /// How it makes machines: `host`, `rootless`, `docker`.
    pub driver: String,
    /// Whether its machines hold a stranger's code.
    pub isolates: bool,
    /// Labels that configurations can ask for.
    pub labels: Vec<String>,
    /// Platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// Builds at once.
    pub slots: i32,
    /// Slipway's version that it runs.
    pub version: String,
}

/// A builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Its id.
    pub id: BuilderId,
    /// What it says it is.
    pub facts: BuilderFacts,
    /// Whether it gets work.
    pub state: BuilderState,
    /// When it was heard of last.
    pub last_seen_at: Option<Timestamp>,
    /// When it was first heard of.
    pub created_at: Timestamp,
}

/// Whether a builder gets work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderState {
    /// It does.
    Active,
    /// It does not, until it is resumed.
    Paused,
    /// It ends what it has, and gets nothing more.
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
    state: String,
    driver: String,
    isolates: bool,
    labels: String,
    platforms: String,
    slots: i32,
    version: String,
    last_seen_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<Row> for Builder {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: BuilderId::from_uuid(row.id),
            state: BuilderState::read(&row.state),
            facts: BuilderFacts {
                name: row.name,
                driver: row.driver,
                isolates: row.isolates,
                labels: from_json("builders.labels", &row.labels)?,
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
    /// Notes what a builder says it is, by its name; one that was paused stays so.
    ///
    /// # Errors
    /// What the database says.
    pub async fn register(&self, facts: &BuilderFacts) -> Result<BuilderId, StoreError> {
        let sql =
            "INSERT INTO builders (id, name, state, driver, isolates, labels, platforms, slots, version,
                   last_seen_at, created_at) VALUES ($1, $2, 'active', $3, $4, $5, $6, $7, $8, $9, $9)
                   ON CONFLICT (name) DO UPDATE SET driver = excluded.driver, isolates = excluded.isolates,
                   labels = excluded.labels, platforms = excluded.platforms, slots = excluded.slots,
                   version = excluded.version, last_seen_at = excluded.last_seen_at,
                   state = CASE builders.state WHEN 'paused' THEN 'paused' ELSE 'active' END
                   RETURNING id";
        let values = [
            BuilderId::fresh().uuid().into(),
            facts.name.clone().into(),
            facts.driver.clone().into(),
            facts.isolates.into(),
            to_json("builders.labels", &facts.labels)?.into(),
            to_json("builders.platforms", &facts.platforms)?.into(),
            facts.slots.into(),
            facts.version.clone().into(),
            Timestamp::now().millis().into(),
        ];
        let id = self.0.scalar::<uuid::Uuid>(sql, values).await?;
        id.map(BuilderId::from_uuid)
            .ok_or_else(|| StoreError::NotFound(facts.name.clone()))
    }

    /// Notes that a builder was heard of.
    ///
    /// # Errors
    /// What the database says.
    pub async fn seen(&self, id: BuilderId) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET last_seen_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }

    /// Says whether a builder gets work.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_state(&self, id: BuilderId, state: BuilderState) -> Result<(), StoreError> {
        let sql = "UPDATE builders SET state = $2 WHERE id = $1";
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
