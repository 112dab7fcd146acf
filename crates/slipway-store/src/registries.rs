//! Registries: places that images are pushed to, shared by all or one namespace's own.

use sea_orm::FromQueryResult;
use secrecy::SecretString;
use slipway_types::{NamespaceId, RegistryId, Timestamp};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The registries.
    Registries, registries);

const TABLE: &str = "registries";
const PASSWORD: &str = "password_sealed";

/// A registry, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its id.
    pub id: RegistryId,
    /// Whose it is; none: everybody's here.
    pub namespace: Option<NamespaceId>,
    /// Its name for people.
    pub name: String,
    /// Host and port, as `registry.example:5000`.
    pub host: String,
    /// What image paths begin with there, as `team`; may be empty.
    pub path_prefix: String,
    /// Who logs in; empty where nobody has to.
    pub username: String,
    /// Whether there is a password.
    pub has_password: bool,
    /// When the login last worked.
    pub verified_at: Option<Timestamp>,
    /// When it was entered.
    pub created_at: Timestamp,
}

/// A registry as it is entered.
#[derive(Debug, Clone)]
pub struct RegistryFields<'a> {
    /// Its name for people.
    pub name: &'a str,
    /// Host and port.
    pub host: &'a str,
    /// What image paths begin with there.
    pub path_prefix: &'a str,
    /// Who logs in.
    pub username: &'a str,
    /// The password; none keeps the one there is.
    pub password: Option<&'a SecretString>,
    /// When the login was seen to work.
    pub verified_at: Option<Timestamp>,
}

impl Registries<'_> {
    /// The registry of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: RegistryId) -> Result<Option<Registry>, StoreError> {
        let row: Option<Row> = self
            .0
            .one("SELECT * FROM registries WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(row.map(Registry::from))
    }

    /// What a namespace may push to: the shared ones and its own, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn usable_by(&self, namespace: NamespaceId) -> Result<Vec<Registry>, StoreError> {
        let sql =
            "SELECT * FROM registries WHERE namespace_id IS NULL OR namespace_id = $1 ORDER BY name, id";
        let rows: Vec<Row> = self.0.all(sql, [namespace.uuid().into()]).await?;
        Ok(rows.into_iter().map(Registry::from).collect())
    }

    /// The shared ones, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn shared(&self) -> Result<Vec<Registry>, StoreError> {
        let sql = "SELECT * FROM registries WHERE namespace_id IS NULL ORDER BY name, id";
        let rows: Vec<Row> = self.0.all(sql, []).await?;
        Ok(rows.into_iter().map(Registry::from).collect())
    }

    /// Adds a registry.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn insert(
        &self,
        namespace: Option<NamespaceId>,
        fields: &RegistryFields<'_>,
    ) -> Result<RegistryId, StoreError> {
        let id = RegistryId::fresh();
        let sealed = self.sealed(id, fields);
        let sql =
            "INSERT INTO registries (id, namespace_id, name, host, path_prefix, username, password_sealed,
                   verified_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            id.uuid().into(),
            namespace.map(NamespaceId::uuid).into(),
            fields.name.into(),
            fields.host.into(),
            fields.path_prefix.into(),
            fields.username.into(),
            sealed.into(),
            fields.verified_at.map(Timestamp::millis).into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Changes a registry.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn update(&self, id: RegistryId, fields: &RegistryFields<'_>) -> Result<(), StoreError> {
        let sealed = self.sealed(id, fields);
        let sql = "UPDATE registries SET name = $2, host = $3, path_prefix = $4, username = $5,
                   password_sealed = COALESCE($6, password_sealed), verified_at = $7 WHERE id = $1";
        let values = [
            id.uuid().into(),
            fields.name.into(),
            fields.host.into(),
            fields.path_prefix.into(),
            fields.username.into(),
            sealed.into(),
            fields.verified_at.map(Timestamp::millis).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Forgets a registry.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when a repository still points at it.
    pub async fn delete(&self, id: RegistryId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM registries WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(())
    }

    /// The password, in clear, where there is one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a registry; what the vault says.
    pub async fn open_password(&self, id: RegistryId) -> Result<Option<SecretString>, StoreError> {
        let row: Option<Row> = self
            .0
            .one("SELECT * FROM registries WHERE id = $1", [id.uuid().into()])
            .await?;
        let row = row.ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        row.password_sealed
            .map(|sealed| self.0.open(TABLE, PASSWORD, id, &sealed))
            .transpose()
    }

    fn sealed(&self, id: RegistryId, fields: &RegistryFields<'_>) -> Option<String> {
        fields
            .password
            .map(|password| self.0.seal(TABLE, PASSWORD, id, password))
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    namespace_id: Option<Uuid>,
    name: String,
    host: String,
    path_prefix: String,
    username: String,
    password_sealed: Option<String>,
    verified_at: Option<i64>,
    created_at: i64,
}

impl From<Row> for Registry {
    fn from(row: Row) -> Self {
        Self {
            id: RegistryId::from_uuid(row.id),
            namespace: row.namespace_id.map(NamespaceId::from_uuid),
            name: row.name,
            host: row.host,
            path_prefix: row.path_prefix,
            username: row.username,
            has_password: row.password_sealed.is_some(),
            verified_at: row.verified_at.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.created_at),
        }
    }
}
