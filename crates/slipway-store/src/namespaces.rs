//! Namespaces: a user's own, and organizations with their members.
//!
//! A user's namespace has that user for its only owner, without a row in `members`.

use sea_orm::FromQueryResult;
use slipway_types::{NamespaceId, SlugName, Timestamp, UserId, rights::Role};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The namespaces and the members of organizations.
    Namespaces, namespaces);

/// A user's or an organization's space of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its id.
    pub id: NamespaceId,
    /// Its name.
    pub name: SlugName,
    /// Whose own it is; none for an organization.
    pub user: Option<UserId>,
    /// Its plan's name.
    pub plan: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Namespace {
    /// Whether it is an organization.
    pub const fn is_organization(&self) -> bool {
        self.user.is_none()
    }
}

/// Somebody in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: SlugName,
    /// What they are there.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

impl Namespaces<'_> {
    /// The namespace of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: NamespaceId) -> Result<Option<Namespace>, StoreError> {
        self.one("SELECT * FROM namespaces WHERE id = $1", [id.uuid().into()])
            .await
    }

    /// The namespace of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_name(&self, name: &SlugName) -> Result<Option<Namespace>, StoreError> {
        self.one("SELECT * FROM namespaces WHERE name = $1", [name.as_str().into()])
            .await
    }

    /// A user's own namespace.
    ///
    /// # Errors
    /// What the database says.
    pub async fn own(&self, user: UserId) -> Result<Option<Namespace>, StoreError> {
        self.one(
            "SELECT * FROM namespaces WHERE user_id = $1",
            [user.uuid().into()],
        )
        .await
    }

    /// What a user belongs to: their own namespace first, then organizations by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_user(&self, user: UserId) -> Result<Vec<(Namespace, Role)>, StoreError> {
        let sql = "SELECT n.*, 'owner' AS role, 0 AS place FROM namespaces n WHERE n.user_id = $1
                   UNION ALL
                   SELECT n.*, m.role AS role, 1 AS place FROM namespaces n
                   JOIN members m ON m.namespace_id = n.id WHERE m.user_id = $1
                   ORDER BY place, name";
        let rows: Vec<WithRole> = self.0.all(sql, [user.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| {
                let role = parse("members.role", &row.role)?;
                let namespace = Row {
                    id: row.id,
                    name: row.name,
                    user_id: row.user_id,
                    plan: row.plan,
                    created_at: row.created_at,
                };
                Ok((namespace.try_into()?, role))
            })
            .collect()
    }

    /// What a user is in a namespace; nothing for a stranger.
    ///
    /// # Errors
    /// What the database says.
    pub async fn role_of(&self, user: UserId, namespace: NamespaceId) -> Result<Option<Role>, StoreError> {
        let sql = "SELECT 'owner' FROM namespaces WHERE id = $1 AND user_id = $2
                   UNION ALL SELECT role FROM members WHERE namespace_id = $1 AND user_id = $2";
        let word: Option<String> = self
            .0
            .scalar(sql, [namespace.uuid().into(), user.uuid().into()])
            .await?;
        word.map(|word| parse("members.role", &word)).transpose()
    }

    /// Makes a namespace: a user's own, or an organization without members.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn insert(
        &self,
        name: &SlugName,
        of: Option<UserId>,
        plan: &str,
    ) -> Result<NamespaceId, StoreError> {
        let id = NamespaceId::fresh();
        let sql = "INSERT INTO namespaces (id, name, user_id, plan, created_at) VALUES ($1, $2, $3, $4, $5)";
        let values = [
            id.uuid().into(),
            name.as_str().into(),
            of.map(UserId::uuid).into(),
            plan.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Gives a namespace another plan.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a plan.
    pub async fn set_plan(&self, id: NamespaceId, plan: &str) -> Result<(), StoreError> {
        self.0
            .execute(
                "UPDATE namespaces SET plan = $2 WHERE id = $1",
                [id.uuid().into(), plan.into()],
            )
            .await?;
        Ok(())
    }

    /// The members of an organization, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn members(&self, namespace: NamespaceId) -> Result<Vec<Member>, StoreError> {
        let sql =
            "SELECT m.user_id, u.name, m.role, m.created_at FROM members m JOIN users u ON u.id = m.user_id
                   WHERE m.namespace_id = $1 ORDER BY u.name";
        let rows: Vec<MemberRow> = self.0.all(sql, [namespace.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Member {
                    user: UserId::from_uuid(row.user_id),
                    name: parse("users.name", &row.name)?,
                    role: parse("members.role", &row.role)?,
                    since: Timestamp::from_millis(row.created_at),
                })
            })
            .collect()
    }

    /// How many owners an organization has, held so until the end of the transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_owners(&self, namespace: NamespaceId) -> Result<Vec<UserId>, StoreError> {
        let lock = self.0.for_update();
        let sql = format!("SELECT user_id FROM members WHERE namespace_id = $1 AND role = 'owner'{lock}");
        let rows: Vec<OwnerRow> = self.0.all(&sql, [namespace.uuid().into()]).await?;
        Ok(rows
            .into_iter()
            .map(|row| UserId::from_uuid(row.user_id))
            .collect())
    }

    /// Makes a user a member, or changes what they are.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_member(
        &self,
        namespace: NamespaceId,
        user: UserId,
        role: Role,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO members (namespace_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (namespace_id, user_id) DO UPDATE SET role = excluded.role";
        let values = [
            namespace.uuid().into(),
            user.uuid().into(),
            role.as_str().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Removes a member, from the organization's teams too. Says whether they were one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_member(&self, namespace: NamespaceId, user: UserId) -> Result<bool, StoreError> {
        let teams = "DELETE FROM team_members WHERE user_id = $2
                     AND team_id IN (SELECT id FROM teams WHERE namespace_id = $1)";
        self.0
            .execute(teams, [namespace.uuid().into(), user.uuid().into()])
            .await?;
        let sql = "DELETE FROM members WHERE namespace_id = $1 AND user_id = $2";
        Ok(self
            .0
            .execute(sql, [namespace.uuid().into(), user.uuid().into()])
            .await?
            == 1)
    }

    async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Option<Namespace>, StoreError> {
        self.0
            .one::<Row>(sql, values)
            .await?
            .map(Namespace::try_from)
            .transpose()
    }
}

#[derive(FromQueryResult)]
struct OwnerRow {
    user_id: Uuid,
}

#[derive(FromQueryResult)]
struct MemberRow {
    user_id: Uuid,
    name: String,
    role: String,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct WithRole {
    id: Uuid,
    name: String,
    user_id: Option<Uuid>,
    plan: String,
    created_at: i64,
    role: String,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    name: String,
    user_id: Option<Uuid>,
    plan: String,
    created_at: i64,
}

impl TryFrom<Row> for Namespace {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: NamespaceId::from_uuid(row.id),
            name: parse("namespaces.name", &row.name)?,
            user: row.user_id.map(UserId::from_uuid),
            plan: row.plan,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}
