//! Questions about builds: lists, counts, and those of one rule and ref.

use std::time::Duration;

use slipway_types::{BuildId, ChangeId, ConfigurationId, NamespaceId, RefName, RepositoryId, RuleId};

use crate::{
    StoreError,
    builds::{Build, Builds, entity},
};

/// What builds of one rule and one ref, or pull request, have in common.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The configuration.
    pub configuration: ConfigurationId,
    /// The rule.
    pub rule: RuleId,
    /// The branch or tag; not looked at for a pull request.
    pub git_ref: &'a RefName,
    /// The pull request.
    pub pull_request: Option<i64>,
}

impl Builds<'_> {
    /// A repository's build by its number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_number(
        &self,
        repository: RepositoryId,
        number: i64,
    ) -> Result<Option<Build>, StoreError> {
        let sql = "SELECT * FROM builds WHERE repository_id = $1 AND number = $2";
        let row = self
            .0
            .one::<entity::Model>(sql, [repository.uuid().into(), number.into()])
            .await?;
        row.map(Build::try_from).transpose()
    }

    /// A repository's builds, the newest first; those with a lower number than `before`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_repository(
        &self,
        repository: RepositoryId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Build>, StoreError> {
        let sql =
            "SELECT * FROM builds WHERE repository_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
        let values = [
            repository.uuid().into(),
            before.unwrap_or(i64::MAX).into(),
            limit.into(),
        ];
        self.read(sql, values).await
    }

    /// The builds that came of a change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_change(&self, change: ChangeId) -> Result<Vec<Build>, StoreError> {
        self.read(
            "SELECT * FROM builds WHERE change_id = $1 ORDER BY number",
            [change.uuid().into()],
        )
        .await
    }

    /// A namespace's builds that have not ended: those that run, then those that wait, in the order in which they
    /// would be leased.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unfinished(&self, namespace: NamespaceId) -> Result<Vec<Build>, StoreError> {
        let sql = "SELECT * FROM builds WHERE namespace_id = $1 AND state IN ('pending', 'in_progress')
                   ORDER BY CASE state WHEN 'in_progress' THEN 0 ELSE 1 END, seq, id LIMIT 1000";
        self.read(sql, [namespace.uuid().into()]).await
    }

    /// The builds of one configuration that have not ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unfinished_of(&self, configuration: ConfigurationId) -> Result<Vec<BuildId>, StoreError> {
        let sql = "SELECT * FROM builds WHERE configuration_id = $1 AND state IN ('pending', 'in_progress') ORDER BY id";
        let builds = self.read(sql, [configuration.uuid().into()]).await?;
        Ok(builds.into_iter().map(|build| build.id).collect())
    }

    /// The builds of one rule and ref that have not ended, the newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unfinished_in_line(&self, line: Line<'_>) -> Result<Vec<Build>, StoreError> {
        let sql = format!(
            "SELECT * FROM builds WHERE {IN_LINE} AND state IN ('pending', 'in_progress') ORDER BY seq DESC, id DESC"
        );
        self.read(&sql, line.values()).await
    }

    /// The newest build of one rule and ref, whether it has ended or not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn newest_in_line(&self, line: Line<'_>) -> Result<Option<Build>, StoreError> {
        let sql = format!("SELECT * FROM builds WHERE {IN_LINE} ORDER BY seq DESC, id DESC LIMIT 1");
        Ok(self.read(&sql, line.values()).await?.pop())
    }

    /// How many of a namespace's builds wait.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_pending(&self, namespace: NamespaceId) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM builds WHERE namespace_id = $1 AND state = 'pending'";
        Ok(self
            .0
            .scalar::<i64>(sql, [namespace.uuid().into()])
            .await?
            .unwrap_or_default())
    }

    /// How many of a namespace's builds run.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_running(&self, namespace: NamespaceId) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM builds WHERE namespace_id = $1 AND state = 'in_progress'";
        Ok(self
            .0
            .scalar::<i64>(sql, [namespace.uuid().into()])
            .await?
            .unwrap_or_default())
    }

    /// How many builds everywhere have not ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count_unfinished(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM builds WHERE state IN ('pending', 'in_progress')";
        Ok(self.0.scalar::<i64>(sql, []).await?.unwrap_or_default())
    }

    /// How long a rule's last ten successful builds ran, on average; none before the first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn usual_duration(&self, rule: RuleId) -> Result<Option<Duration>, StoreError> {
        let sql = "SELECT CAST(AVG(ran) AS BIGINT) FROM (SELECT ended_at - started_at AS ran FROM builds
                   WHERE rule_id = $1 AND state = 'success' AND started_at IS NOT NULL
                   ORDER BY ended_at DESC LIMIT 10) AS last";
        let millis = self
            .0
            .scalar::<Option<i64>>(sql, [rule.uuid().into()])
            .await?
            .flatten();
        Ok(millis.map(|millis| Duration::from_millis(millis.max(0) as u64)))
    }

    async fn read(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<Build>, StoreError> {
        let rows = self.0.all::<entity::Model>(sql, values).await?;
        rows.into_iter().map(Build::try_from).collect()
    }
}

/// `$4` is the pull request, -1 for none.
const IN_LINE: &str = "configuration_id = $1 AND rule_id = $2 AND COALESCE(pull_request, -1) = $4
                       AND (ref = $3 OR pull_request IS NOT NULL)";

impl Line<'_> {
    fn values(&self) -> [sea_orm::Value; 4] {
        [
            self.configuration.uuid().into(),
            self.rule.uuid().into(),
            self.git_ref.full().into(),
            self.pull_request.unwrap_or(-1).into(),
        ]
    }
}
