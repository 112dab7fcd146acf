//! Configurations: what a repository's automated builds are made from, with their rules.
//!
//! `version` counts the saved changes: a change names the version it was made from, and one that somebody
//! else's change has overtaken is refused (an ETag, to the API). A configuration outlives its link: it is
//! then `disconnected`, and linking again brings it back.

use std::time::Duration;

use sea_orm::FromQueryResult;
use slipway_types::{
    ConfigurationId, ForgeId, NamespaceId, RepositoryId, RuleId, SourceId, Timestamp,
    rule::{Autotest, ConfigurationState, DeliveryMode, RuleFields, Supersede},
};
use uuid::Uuid;

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, parse, to_json},
};

aggregate!(/// The build configurations and their rules.
    Configurations, configurations);

/// What a person sets, rules, variables and triggers apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationFields {
    /// Which pull requests are tested.
    pub autotest: Autotest,
    /// Whether a changed base image shall rebuild; kept, and not acted on yet.
    pub repository_links: bool,
    /// Whether a webhook or deploy key that got lost at the provider is made again without being asked.
    pub auto_repair: bool,
    /// How pushes become known.
    pub delivery_mode: DeliveryMode,
    /// Between two polls, where there is polling.
    pub poll_interval: Duration,
    /// Which builds a newer one makes needless.
    pub supersede: Supersede,
    /// How long a build may run, if shorter than the plan says.
    pub time_limit: Option<Duration>,
    /// What a builder must call itself to be asked.
    pub builder_labels: Vec<String>,
}

/// A repository's build configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its id.
    pub id: ConfigurationId,
    /// Whose images it makes.
    pub repository: RepositoryId,
    /// From what.
    pub source: SourceId,
    /// Whether it can build.
    pub state: ConfigurationState,
    /// Why not, for a person.
    pub state_reason: Option<String>,
    /// What a person set.
    pub fields: ConfigurationFields,
    /// Counts the saved changes, from 1.
    pub version: i64,
    /// When it was first saved.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

/// A rule of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// Its id: stays while the rule is edited.
    pub id: RuleId,
    /// As it was entered.
    pub fields: RuleFields,
}

impl Configurations<'_> {
    /// The configuration of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: ConfigurationId) -> Result<Option<Configuration>, StoreError> {
        self.one("SELECT * FROM configurations WHERE id = $1", [id.uuid().into()])
            .await
    }

    /// The configuration of a repository.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_repository(&self, repository: RepositoryId) -> Result<Option<Configuration>, StoreError> {
        self.one(
            "SELECT * FROM configurations WHERE repository_id = $1",
            [repository.uuid().into()],
        )
        .await
    }

    /// The configurations that build from a source, in any state, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_source(&self, source: SourceId) -> Result<Vec<Configuration>, StoreError> {
        self.list(
            "SELECT * FROM configurations WHERE source_id = $1 ORDER BY id",
            [source.uuid().into()],
        )
        .await
    }

    /// The configurations that a namespace's link at a forge serves, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_forge(
        &self,
        namespace: NamespaceId,
        forge: ForgeId,
    ) -> Result<Vec<Configuration>, StoreError> {
        let sql = "SELECT c.* FROM configurations c JOIN source_repositories s ON s.id = c.source_id
                   WHERE s.namespace_id = $1 AND s.forge_id = $2 ORDER BY c.id";
        self.list(sql, [namespace.uuid().into(), forge.uuid().into()])
            .await
    }

    /// Makes a configuration. It is active from the start.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the repository has one.
    pub async fn insert(
        &self,
        repository: RepositoryId,
        source: SourceId,
        fields: &ConfigurationFields,
    ) -> Result<ConfigurationId, StoreError> {
        let id = ConfigurationId::fresh();
        let now = Timestamp::now().millis();
        let sql = "INSERT INTO configurations (autotest, repository_links, delivery_mode, poll_interval_s, supersede,
                   time_limit_s, builder_labels, auto_repair, id, repository_id, source_id, state, version, created_at,
                   updated_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'active', 1, $12, $13)";
        let more = [
            id.uuid().into(),
            repository.uuid().into(),
            source.uuid().into(),
            now.into(),
            now.into(),
        ];
        self.0
            .execute(sql, values(fields)?.into_iter().chain(more))
            .await?;
        Ok(id)
    }

    /// Saves a configuration again, and makes it active, if `version` is still the newest. Says whether it was.
    ///
    /// # Errors
    /// What the database says.
    pub async fn update(
        &self,
        id: ConfigurationId,
        version: i64,
        source: SourceId,
        fields: &ConfigurationFields,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE configurations SET autotest = $1, repository_links = $2, delivery_mode = $3,
                   poll_interval_s = $4, supersede = $5, time_limit_s = $6, builder_labels = $7, auto_repair = $8,
                   source_id = $11, state = 'active', state_reason = NULL, version = version + 1, updated_at = $12
                   WHERE id = $9 AND version = $10";
        let more = [
            id.uuid().into(),
            version.into(),
            source.uuid().into(),
            Timestamp::now().millis().into(),
        ];
        Ok(self
            .0
            .execute(sql, values(fields)?.into_iter().chain(more))
            .await?
            == 1)
    }

    /// Says whether a configuration can build, and why not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_state(
        &self,
        id: ConfigurationId,
        state: ConfigurationState,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE configurations SET state = $2, state_reason = $3 WHERE id = $1";
        let values = [
            id.uuid().into(),
            state.as_str().into(),
            reason.map(str::to_owned).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Blocks what builds from a source, for the reason that a person is told. Says how many were not blocked before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn block(&self, source: SourceId, reason: &str) -> Result<u64, StoreError> {
        let reworded =
            "UPDATE configurations SET state_reason = $2 WHERE source_id = $1 AND state = 'blocked'";
        let values: [sea_orm::Value; 2] = [source.uuid().into(), reason.into()];
        self.0.execute(reworded, values.clone()).await?;
        let sql = "UPDATE configurations SET state = 'blocked', state_reason = $2
                   WHERE source_id = $1 AND state = 'active'";
        self.0.execute(sql, values).await
    }

    /// Lets everything build again that was blocked because of its source. Says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unblock(&self, source: SourceId) -> Result<u64, StoreError> {
        let sql = "UPDATE configurations SET state = 'active', state_reason = NULL
                   WHERE source_id = $1 AND state = 'blocked'";
        self.0.execute(sql, [source.uuid().into()]).await
    }

    /// Deletes a configuration with its rules, variables and triggers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, id: ConfigurationId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM configurations WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(())
    }

    /// The rules, in their order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rules(&self, id: ConfigurationId) -> Result<Vec<StoredRule>, StoreError> {
        let sql = "SELECT id, fields FROM rules WHERE configuration_id = $1 ORDER BY position";
        let rows: Vec<RuleRow> = self.0.all(sql, [id.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredRule {
                    id: RuleId::from_uuid(row.id),
                    fields: from_json("rules.fields", &row.fields)?,
                })
            })
            .collect()
    }

    /// Replaces the rules. A rule that keeps its id keeps its history.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_rules(&self, id: ConfigurationId, rules: &[StoredRule]) -> Result<(), StoreError> {
        self.0
            .execute(
                "DELETE FROM rules WHERE configuration_id = $1",
                [id.uuid().into()],
            )
            .await?;
        for (position, rule) in (0_i32..).zip(rules) {
            let sql = "INSERT INTO rules (id, configuration_id, position, fields) VALUES ($1, $2, $3, $4)";
            let fields = to_json("rules.fields", &rule.fields)?;
            let values = [
                rule.id.uuid().into(),
                id.uuid().into(),
                position.into(),
                fields.into(),
            ];
            self.0.execute(sql, values).await?;
        }
        Ok(())
    }

    async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Option<Configuration>, StoreError> {
        self.0
            .one::<Row>(sql, values)
            .await?
            .map(Configuration::try_from)
            .transpose()
    }

    async fn list(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<Configuration>, StoreError> {
        self.0
            .all::<Row>(sql, values)
            .await?
            .into_iter()
            .map(Configuration::try_from)
            .collect()
    }
}

/// `$1` to `$8` of both statements that save.
fn values(fields: &ConfigurationFields) -> Result<[sea_orm::Value; 8], StoreError> {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Ok([
        fields.autotest.as_str().into(),
        fields.repository_links.into(),
        fields.delivery_mode.as_str().into(),
        seconds(fields.poll_interval).into(),
        fields.supersede.as_str().into(),
        fields.time_limit.map(seconds).into(),
        to_json("configurations.builder_labels", &fields.builder_labels)?.into(),
        fields.auto_repair.into(),
    ])
}

#[derive(FromQueryResult)]
struct RuleRow {
    id: Uuid,
    fields: String,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    repository_id: Uuid,
    source_id: Uuid,
    state: String,
    state_reason: Option<String>,
    autotest: String,
    repository_links: bool,
    auto_repair: bool,
    delivery_mode: String,
    poll_interval_s: i64,
    supersede: String,
    time_limit_s: Option<i64>,
    builder_labels: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Configuration {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let duration = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Ok(Self {
            id: ConfigurationId::from_uuid(row.id),
            repository: RepositoryId::from_uuid(row.repository_id),
            source: SourceId::from_uuid(row.source_id),
            state: parse("configurations.state", &row.state)?,
            state_reason: row.state_reason,
            fields: ConfigurationFields {
                autotest: parse("configurations.autotest", &row.autotest)?,
                repository_links: row.repository_links,
                auto_repair: row.auto_repair,
                delivery_mode: parse("configurations.delivery_mode", &row.delivery_mode)?,
                poll_interval: duration(row.poll_interval_s),
                supersede: parse("configurations.supersede", &row.supersede)?,
                time_limit: row.time_limit_s.map(duration),
                builder_labels: from_json("configurations.builder_labels", &row.builder_labels)?,
            },
            version: row.version,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}
