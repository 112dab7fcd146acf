//! Source repositories: a repository at a forge, as one namespace sees it.
//!
//! They own webhook, deploy key and heads, per namespace, so that nobody's delivery or secret speaks for
//! another; they survive relinking and renames (order.md, "One way in"). The provider's id is the identity.

use std::time::Duration;

use slipway_types::{
    ForgeClientId, ForgeId, NamespaceId, SourceId, Timestamp,
    forge::{HealthReason, SourceState},
};

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{parse, parse_option},
};

aggregate!(/// Source repositories.
    SourceRepositories, source_repositories);

mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "source_repositories")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub namespace_id: Uuid,
        pub forge_id: Uuid,
        pub provider_id: String,
        pub owner: String,
        pub name: String,
        pub private: bool,
        pub default_branch: String,
        pub web_url: String,
        pub clone_ssh: String,
        pub clone_https: String,
        pub state: String,
        pub reason: Option<String>,
        pub detail: Option<String>,
        pub baselined_at: Option<i64>,
        pub compare_at: Option<i64>,
        pub reconciled_at: Option<i64>,
        pub checked_at: Option<i64>,
        pub created_at: i64,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// What a provider says of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// The provider's id of it: the identity.
    pub provider_id: String,
    /// The user, organization or workspace that it belongs to now.
    pub owner: String,
    /// Its name now.
    pub name: String,
    /// Whether only members see it.
    pub private: bool,
    /// Its main branch by short name; empty while the repository is.
    pub default_branch: String,
    /// Its page.
    pub web_url: String,
    /// `git@host:owner/name.git` or `ssh://…`.
    pub clone_ssh: String,
    /// `https://…`, without a user name.
    pub clone_https: String,
}

/// A repository at a forge, as one namespace sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRepository {
    /// Its id.
    pub id: SourceId,
    /// Whose it is here.
    pub namespace: NamespaceId,
    /// Where it is.
    pub forge: ForgeId,
    /// What the provider said of it last.
    pub facts: SourceFacts,
    /// Whether it can be reached.
    pub state: SourceState,
    /// Why it cannot be.
    pub reason: Option<HealthReason>,
    /// The same for a person.
    pub detail: Option<String>,
    /// When its heads were first remembered; none while nothing builds from it.
    pub baselined_at: Option<Timestamp>,
    /// When all its heads are to be compared out of turn, because something seems to have been missed.
    pub compare_at: Option<Timestamp>,
    /// When all its heads were last compared with the forge's.
    pub reconciled_at: Option<Timestamp>,
    /// When its hook and its key were last read back.
    pub checked_at: Option<Timestamp>,
    /// When it was first chosen.
    pub created_at: Timestamp,
}

impl SourceRepository {
    /// `owner/name`, as it is called now.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.facts.owner, self.facts.name)
    }
}

impl TryFrom<entity::Model> for SourceRepository {
    type Error = StoreError;

    fn try_from(row: entity::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: SourceId::from_uuid(row.id),
            namespace: NamespaceId::from_uuid(row.namespace_id),
            forge: ForgeId::from_uuid(row.forge_id),
            state: parse("source_repositories.state", &row.state)?,
            reason: parse_option("source_repositories.reason", row.reason.as_deref())?,
            detail: row.detail,
            facts: SourceFacts {
                provider_id: row.provider_id,
                owner: row.owner,
                name: row.name,
                private: row.private,
                default_branch: row.default_branch,
                web_url: row.web_url,
                clone_ssh: row.clone_ssh,
                clone_https: row.clone_https,
            },
            baselined_at: row.baselined_at.map(Timestamp::from_millis),
            compare_at: row.compare_at.map(Timestamp::from_millis),
            reconciled_at: row.reconciled_at.map(Timestamp::from_millis),
            checked_at: row.checked_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl SourceRepositories<'_> {
    /// The record of a provider's repository in a namespace, made now if it is new; what the provider says
    /// of it replaces what was known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ensure(
        &self,
        namespace: NamespaceId,
        forge: ForgeId,
        facts: &SourceFacts,
    ) -> Result<SourceRepository, StoreError> {
        let id = SourceId::fresh();
        let sql =
            "INSERT INTO source_repositories (id, namespace_id, forge_id, provider_id, owner, name, private,
                   default_branch, web_url, clone_ssh, clone_https, state, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                   ON CONFLICT (namespace_id, forge_id, provider_id) DO NOTHING";
        let values = [
            id.uuid().into(),
            namespace.uuid().into(),
            forge.uuid().into(),
            facts.provider_id.clone().into(),
            facts.owner.clone().into(),
            facts.name.clone().into(),
            facts.private.into(),
            facts.default_branch.clone().into(),
            facts.web_url.clone().into(),
            facts.clone_ssh.clone().into(),
            facts.clone_https.clone().into(),
            SourceState::Present.as_str().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        let source = self
            .by_provider_id(namespace, forge, &facts.provider_id)
            .await?
            .ok_or_else(|| StoreError::NotFound(facts.provider_id.clone()))?;
        if source.facts == *facts && source.state == SourceState::Present {
            return Ok(source);
        }
        self.describe(source.id, facts).await?;
        Ok(SourceRepository {
            facts: facts.clone(),
            state: SourceState::Present,
            ..source
        })
    }

    /// Replaces what is known of a repository by what the provider says now: it can be reached. Whoever learns that of
    /// one that could not also lets build what was blocked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn describe(&self, id: SourceId, facts: &SourceFacts) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET owner = $2, name = $3, private = $4, default_branch = $5,
                   web_url = $6, clone_ssh = $7, clone_https = $8, state = $9, reason = NULL, detail = NULL
                   WHERE id = $1";
        let values = [
            id.uuid().into(),
            facts.owner.clone().into(),
            facts.name.clone().into(),
            facts.private.into(),
            facts.default_branch.clone().into(),
            facts.web_url.clone().into(),
            facts.clone_ssh.clone().into(),
            facts.clone_https.clone().into(),
            SourceState::Present.as_str().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Says that a repository cannot be reached, and why.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_lost(
        &self,
        id: SourceId,
        state: SourceState,
        reason: HealthReason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET state = $2, reason = $3, detail = $4 WHERE id = $1";
        let values = [
            id.uuid().into(),
            state.as_str().into(),
            reason.as_str().into(),
            detail.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Notes that hook and key were read back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_checked(&self, id: SourceId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET checked_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), at.millis().into()])
            .await?;
        Ok(())
    }

    /// What a namespace's link at a forge is to read back: repositories that something builds from, or would if they
    /// could be reached; the longest ago first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn to_be_checked(
        &self,
        namespace: NamespaceId,
        forge: ForgeId,
        limit: i64,
    ) -> Result<Vec<SourceRepository>, StoreError> {
        let sql = "SELECT s.* FROM source_repositories s
                   WHERE s.namespace_id = $1 AND s.forge_id = $2 AND EXISTS (
                       SELECT 1 FROM configurations c WHERE c.source_id = s.id AND c.state <> 'disconnected')
                   ORDER BY COALESCE(s.checked_at, 0), s.id LIMIT $3";
        let values = [namespace.uuid().into(), forge.uuid().into(), limit.into()];
        let rows = self.0.all::<entity::Model>(sql, values).await?;
        rows.into_iter().map(SourceRepository::try_from).collect()
    }

    /// The repository of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: SourceId) -> Result<Option<SourceRepository>, StoreError> {
        let sql = "SELECT * FROM source_repositories WHERE id = $1";
        let row = self.0.one::<entity::Model>(sql, [id.uuid().into()]).await?;
        row.map(SourceRepository::try_from).transpose()
    }

    /// The repository of this id, which must be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not.
    pub async fn get(&self, id: SourceId) -> Result<SourceRepository, StoreError> {
        self.find(id)
            .await?
            .ok_or_else(|| StoreError::NotFound(id.to_string()))
    }

    /// A provider's repository as this namespace sees it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_provider_id(
        &self,
        namespace: NamespaceId,
        forge: ForgeId,
        provider_id: &str,
    ) -> Result<Option<SourceRepository>, StoreError> {
        let sql = "SELECT * FROM source_repositories WHERE namespace_id = $1 AND forge_id = $2 AND provider_id = $3";
        let values = [namespace.uuid().into(), forge.uuid().into(), provider_id.into()];
        let row = self.0.one::<entity::Model>(sql, values).await?;
        row.map(SourceRepository::try_from).transpose()
    }

    /// A provider's repository as each namespace sees it whose link in use goes through this client.
    ///
    /// # Errors
    /// What the database says.
    pub async fn through_client(
        &self,
        client: ForgeClientId,
        provider_id: &str,
    ) -> Result<Vec<SourceRepository>, StoreError> {
        let sql = "SELECT s.* FROM source_repositories s
                   JOIN links l ON l.namespace_id = s.namespace_id AND l.forge_id = s.forge_id AND l.state = 'linked'
                   JOIN credentials c ON c.id = l.credential_id
                   WHERE c.forge_client_id = $1 AND s.provider_id = $2 ORDER BY s.id";
        let rows = self
            .0
            .all::<entity::Model>(sql, [client.uuid().into(), provider_id.into()])
            .await?;
        rows.into_iter().map(SourceRepository::try_from).collect()
    }

    /// Everything that a namespace builds from, or did.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_namespace(&self, namespace: NamespaceId) -> Result<Vec<SourceRepository>, StoreError> {
        let sql = "SELECT * FROM source_repositories WHERE namespace_id = $1 ORDER BY owner, name";
        let rows = self
            .0
            .all::<entity::Model>(sql, [namespace.uuid().into()])
            .await?;
        rows.into_iter().map(SourceRepository::try_from).collect()
    }

    /// Keeps everybody else from observing this repository's heads until the transaction ends. Whoever decides
    /// by what a head is takes it first: a head that is not there yet has no row to lock.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a repository.
    pub async fn lock(&self, id: SourceId) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT id FROM source_repositories WHERE id = $1{}",
            self.0.for_update()
        );
        if !self.0.exists(&sql, [id.uuid().into()]).await? {
            return Err(StoreError::NotFound(id.to_string()));
        }
        Ok(())
    }

    /// Forgets, or remembers, that the heads are known: without it the next look is a baseline.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_baselined(&self, id: SourceId, at: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET baselined_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), at.map(Timestamp::millis).into()])
            .await?;
        Ok(())
    }

    /// Has all heads compared out of turn; at the earliest moment that was asked for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn want_compared(&self, id: SourceId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET compare_at = $2
                   WHERE id = $1 AND (compare_at IS NULL OR compare_at > $2)";
        self.0
            .execute(sql, [id.uuid().into(), at.millis().into()])
            .await?;
        Ok(())
    }

    /// Takes the comparing of a repository's heads for this process, for so long by the database's clock: it is not
    /// [to be compared](Self::to_be_compared) until then. `false` if another server was faster, or is done already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_comparing(
        &self,
        source: &SourceRepository,
        term: Duration,
    ) -> Result<bool, StoreError> {
        let clock = self.0.clock();
        let sql = format!(
            "UPDATE source_repositories SET comparing_until = {clock} + $2
             WHERE id = $1 AND (comparing_until IS NULL OR comparing_until <= {clock})
             AND COALESCE(reconciled_at, 0) = $3"
        );
        let seen = source.reconciled_at.map_or(0, Timestamp::millis);
        let values = [source.id.uuid().into(), millis(term).into(), seen.into()];
        Ok(self.0.execute(&sql, values).await? == 1)
    }

    /// Gives back what [`Self::claim_comparing`] took; after a pause, where comparing failed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release_comparing(&self, id: SourceId, pause: Duration) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE source_repositories SET comparing_until = {} + $2 WHERE id = $1",
            self.0.clock()
        );
        self.0
            .execute(&sql, [id.uuid().into(), millis(pause).into()])
            .await
            .map(drop)
    }

    /// Remembers that all heads were compared with the forge's. What is wanted for later still is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_reconciled(&self, id: SourceId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE source_repositories SET reconciled_at = $2,
                   compare_at = CASE WHEN compare_at > $2 THEN compare_at END WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), at.millis().into()])
            .await?;
        Ok(())
    }

    /// Repositories that something builds from and whose heads are to be compared with the forge's: those that were
    /// not since `before`, those that are to be out of turn by `now`, and those that are polled and due at `now`. One
    /// without a working webhook is polled, whatever its configurations say. The longest ago first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn to_be_compared(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SourceRepository>, StoreError> {
        let sql = "SELECT s.* FROM source_repositories s
                   WHERE s.state <> 'gone' AND (s.comparing_until IS NULL OR s.comparing_until <= ~CLOCK~) AND EXISTS (
                       SELECT 1 FROM configurations c WHERE c.source_id = s.id AND c.state = 'active' AND (
                           s.baselined_at IS NULL OR s.reconciled_at IS NULL OR s.reconciled_at < $1
                           OR s.compare_at <= $2
                           OR (s.reconciled_at < $2 - c.poll_interval_s * 1000 AND (
                               c.delivery_mode <> 'webhook' OR NOT EXISTS (
                                   SELECT 1 FROM provider_resources r WHERE r.source_id = s.id
                                   AND r.kind = 'webhook' AND r.state = 'active' AND r.reason IS NULL)
                               AND NOT EXISTS (
                                   SELECT 1 FROM links l JOIN credentials k ON k.id = l.credential_id
                                   JOIN forge_clients f ON f.id = k.forge_client_id AND f.kind = 'app'
                                   WHERE l.namespace_id = s.namespace_id AND l.forge_id = s.forge_id
                                   AND l.state = 'linked')))))
                   ORDER BY COALESCE(s.reconciled_at, 0), s.id LIMIT 100"
            .replace("~CLOCK~", self.0.clock());
        let rows = self
            .0
            .all::<entity::Model>(&sql, [before.millis().into(), now.millis().into()])
            .await?;
        rows.into_iter().map(SourceRepository::try_from).collect()
    }
}

fn millis(term: Duration) -> i64 {
    i64::try_from(term.as_millis()).unwrap_or(i64::MAX)
}
