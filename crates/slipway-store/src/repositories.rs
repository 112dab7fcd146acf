//! Repositories: where images of one name go. `last_number` counts a repository's builds.

use sea_orm::FromQueryResult;
use slipway_types::{ImagePath, NamespaceId, RegistryId, RepositoryId, SlugName, Timestamp, UserId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The repositories.
    Repositories, repositories);

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// Whose it is.
    pub namespace: NamespaceId,
    /// Its name there.
    pub name: SlugName,
    /// What it is, for people.
    pub description: String,
    /// Whether only people with a right see it.
    pub private: bool,
    /// Where its images go.
    pub registry: RegistryId,
    /// Under which path there.
    pub image_path: ImagePath,
    /// The number of its last build.
    pub last_number: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A repository as it is entered.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryFields<'a> {
    /// What it is, for people.
    pub description: &'a str,
    /// Whether only people with a right see it.
    pub private: bool,
    /// Where its images go.
    pub registry: RegistryId,
    /// Under which path there.
    pub image_path: &'a ImagePath,
}

impl Repositories<'_> {
    /// The repository of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.one("SELECT * FROM repositories WHERE id = $1", [id.uuid().into()])
            .await
    }

    /// The repository of this name in a namespace.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_name(
        &self,
        namespace: NamespaceId,
        name: &SlugName,
    ) -> Result<Option<Repository>, StoreError> {
        let sql = "SELECT * FROM repositories WHERE namespace_id = $1 AND name = $2";
        self.one(sql, [namespace.uuid().into(), name.as_str().into()])
            .await
    }

    /// All repositories of a namespace, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, namespace: NamespaceId) -> Result<Vec<Repository>, StoreError> {
        let sql = "SELECT * FROM repositories WHERE namespace_id = $1 ORDER BY name";
        self.list(sql, [namespace.uuid().into()]).await
    }

    /// How many repositories point at a registry.
    ///
    /// # Errors
    /// What the database says.
    pub async fn at_registry(&self, registry: RegistryId) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM repositories WHERE registry_id = $1";
        Ok(self.0.scalar(sql, [registry.uuid().into()]).await?.unwrap_or(0))
    }

    /// Whether a repository of another namespace sends its images to this place.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_elsewheres(
        &self,
        namespace: NamespaceId,
        host: &str,
        path: &ImagePath,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM repositories r JOIN registries g ON g.id = r.registry_id
                   WHERE r.namespace_id <> $1 AND g.host = $2 AND r.image_path = $3";
        let values = [namespace.uuid().into(), host.into(), path.as_str().into()];
        Ok(self.0.scalar(sql, values).await?.unwrap_or(0_i64) > 0)
    }

    /// What a person sees on My Hub: everything in their own namespace and in organizations that they own,
    /// and what they were given a right on; with `search`, only names that hold this text. By id after
    /// `after`, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn visible_to(
        &self,
        user: UserId,
        search: &str,
        after: Option<RepositoryId>,
        limit: i64,
    ) -> Result<Vec<Repository>, StoreError> {
        let sql = "SELECT r.* FROM repositories r JOIN namespaces n ON n.id = r.namespace_id
                   WHERE r.id > $2 AND ($3 = '' OR r.name LIKE $4 ESCAPE '!' OR n.name LIKE $4 ESCAPE '!') AND (
                     n.user_id = $1
                     OR EXISTS (SELECT 1 FROM members m WHERE m.namespace_id = n.id AND m.user_id = $1
                                AND (m.role = 'owner' OR NOT r.private))
                     OR EXISTS (SELECT 1 FROM user_permissions p WHERE p.repository_id = r.id AND p.user_id = $1)
                     OR EXISTS (SELECT 1 FROM team_permissions p JOIN team_members t ON t.team_id = p.team_id
                                WHERE p.repository_id = r.id AND t.user_id = $1))
                   ORDER BY r.id LIMIT $5";
        let search = search.to_lowercase();
        let values = [
            user.uuid().into(),
            after.map_or_else(Uuid::nil, RepositoryId::uuid).into(),
            search.clone().into(),
            contains(&search).into(),
            limit.into(),
        ];
        self.list(sql, values).await
    }

    /// Makes a repository.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the namespace has one of this name.
    pub async fn insert(
        &self,
        namespace: NamespaceId,
        name: &SlugName,
        fields: &RepositoryFields<'_>,
    ) -> Result<RepositoryId, StoreError> {
        let id = RepositoryId::fresh();
        let sql =
            "INSERT INTO repositories (id, namespace_id, name, description, private, registry_id, image_path,
                   last_number, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)";
        let values = [
            id.uuid().into(),
            namespace.uuid().into(),
            name.as_str().into(),
            fields.description.into(),
            fields.private.into(),
            fields.registry.uuid().into(),
            fields.image_path.as_str().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Changes a repository.
    ///
    /// # Errors
    /// What the database says.
    pub async fn update(&self, id: RepositoryId, fields: &RepositoryFields<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE repositories SET description = $2, private = $3, registry_id = $4, image_path = $5
                   WHERE id = $1";
        let values = [
            id.uuid().into(),
            fields.description.into(),
            fields.private.into(),
            fields.registry.uuid().into(),
            fields.image_path.as_str().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Deletes a repository with its configuration and builds. Images at the registry stay.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, id: RepositoryId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM repositories WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(())
    }

    async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Option<Repository>, StoreError> {
        self.0
            .one::<Row>(sql, values)
            .await?
            .map(Repository::try_from)
            .transpose()
    }

    async fn list(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<Repository>, StoreError> {
        self.0
            .all::<Row>(sql, values)
            .await?
            .into_iter()
            .map(Repository::try_from)
            .collect()
    }
}

/// A `LIKE` pattern for texts that hold `text`, with `!` before what would mean something.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    namespace_id: Uuid,
    name: String,
    description: String,
    private: bool,
    registry_id: Uuid,
    image_path: String,
    last_number: i64,
    created_at: i64,
}

impl TryFrom<Row> for Repository {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: RepositoryId::from_uuid(row.id),
            namespace: NamespaceId::from_uuid(row.namespace_id),
            name: parse("repositories.name", &row.name)?,
            description: row.description,
            private: row.private,
            registry: RegistryId::from_uuid(row.registry_id),
            image_path: parse("repositories.image_path", &row.image_path)?,
            last_number: row.last_number,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}
