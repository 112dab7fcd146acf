//! The audit trail: who did what, when, from where, with what outcome; never a secret.

use sea_orm::FromQueryResult;
use serde::Serialize;
use slipway_types::{AuditId, NamespaceId, RepositoryId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    StoreError,
    aggregate::aggregate,
    column::{from_json, to_json},
};

aggregate!(/// The audit trail.
    Audit, audit);

/// Something that was done.
#[derive(Debug, Clone)]
pub struct NewAct<'a> {
    /// Who, if a person.
    pub user: Option<UserId>,
    /// Their name as it was then, or the part of Slipway that acted.
    pub actor: &'a str,
    /// From which address.
    pub address: Option<&'a str>,
    /// In which namespace.
    pub namespace: Option<NamespaceId>,
    /// On which repository.
    pub repository: Option<RepositoryId>,
    /// What was done, as a stable word: `link.created`.
    pub act: &'a str,
    /// To what: an id or a name.
    pub object: &'a str,
    /// The particulars, without secrets.
    pub detail: serde_json::Value,
}

/// A line of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Act {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, if a person.
    pub user: Option<UserId>,
    /// Their name as it was then, or the part of Slipway that acted.
    pub actor: String,
    /// From which address.
    pub address: Option<String>,
    /// In which namespace.
    pub namespace: Option<NamespaceId>,
    /// On which repository.
    pub repository: Option<RepositoryId>,
    /// What was done, as a stable word.
    pub act: String,
    /// To what.
    pub object: String,
    /// The particulars.
    pub detail: serde_json::Value,
}

/// Whose lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOf {
    /// Everything.
    Everything,
    /// One namespace's.
    Namespace(NamespaceId),
    /// One repository's.
    Repository(RepositoryId),
}

impl Audit<'_> {
    /// Writes a line.
    ///
    /// # Errors
    /// What the database says.
    pub async fn record(&self, new: &NewAct<'_>) -> Result<AuditId, StoreError> {
        let id = AuditId::fresh();
        let sql = "INSERT INTO audit (id, at, user_id, actor, address, namespace_id, repository_id, act, object, detail)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let values = [
            id.uuid().into(),
            Timestamp::now().millis().into(),
            new.user.map(UserId::uuid).into(),
            new.actor.into(),
            new.address.map(str::to_owned).into(),
            new.namespace.map(NamespaceId::uuid).into(),
            new.repository.map(RepositoryId::uuid).into(),
            new.act.into(),
            new.object.into(),
            to_json("audit.detail", &new.detail)?.into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// The youngest lines first, those before `before` only.
    ///
    /// # Errors
    /// What the database says.
    pub async fn page(
        &self,
        of: AuditOf,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<Act>, StoreError> {
        let (column, id) = match of {
            AuditOf::Everything => ("$1 = $1", Uuid::nil()),
            AuditOf::Namespace(id) => ("namespace_id = $1", id.uuid()),
            AuditOf::Repository(id) => ("repository_id = $1", id.uuid()),
        };
        let sql = format!("SELECT * FROM audit WHERE {column} AND id < $2 ORDER BY id DESC LIMIT $3");
        let before = before.map_or_else(Uuid::max, AuditId::uuid);
        let rows: Vec<Row> = self.0.all(&sql, [id.into(), before.into(), limit.into()]).await?;
        rows.into_iter().map(Act::try_from).collect()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    at: i64,
    user_id: Option<Uuid>,
    actor: String,
    address: Option<String>,
    namespace_id: Option<Uuid>,
    repository_id: Option<Uuid>,
    act: String,
    object: String,
    detail: String,
}

impl TryFrom<Row> for Act {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: AuditId::from_uuid(row.id),
            at: Timestamp::from_millis(row.at),
            user: row.user_id.map(UserId::from_uuid),
            actor: row.actor,
            address: row.address,
            namespace: row.namespace_id.map(NamespaceId::from_uuid),
            repository: row.repository_id.map(RepositoryId::from_uuid),
            act: row.act,
            object: row.object,
            detail: from_json("audit.detail", &row.detail)?,
        })
    }
}
