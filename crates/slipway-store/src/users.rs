//! Users: people who can sign in. A password is kept as its argon2id hash (PHC string) only.

use sea_orm::FromQueryResult;
use slipway_types::{SlugName, Timestamp, UserId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The users.
    Users, users);

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The name that they sign in with; also the name of their namespace.
    pub name: SlugName,
    /// Their name for people.
    pub display_name: String,
    /// Where to write to them.
    pub email: Option<String>,
    /// Whether they administer this installation.
    pub is_admin: bool,
    /// When they came.
    pub created_at: Timestamp,
    /// Since when they cannot sign in any more.
    pub disabled_at: Option<Timestamp>,
}

/// A user to be added.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// The name to sign in with.
    pub name: &'a SlugName,
    /// Their name for people.
    pub display_name: &'a str,
    /// Where to write to them.
    pub email: Option<&'a str>,
    /// The argon2id hash of their password, as a PHC string.
    pub password_hash: &'a str,
    /// Whether they administer this installation.
    pub is_admin: bool,
}

impl Users<'_> {
    /// The user of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.one("SELECT * FROM users WHERE id = $1", [id.uuid().into()])
            .await
    }

    /// The user of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_name(&self, name: &SlugName) -> Result<Option<User>, StoreError> {
        self.one("SELECT * FROM users WHERE name = $1", [name.as_str().into()])
            .await
    }

    /// Every user, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<Row> = self.0.all("SELECT * FROM users ORDER BY name", []).await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// How many there are: none before the first run is finished.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count(&self) -> Result<i64, StoreError> {
        Ok(self
            .0
            .scalar("SELECT COUNT(*) FROM users", [])
            .await?
            .unwrap_or(0))
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn insert(&self, new: &NewUser<'_>) -> Result<UserId, StoreError> {
        let id = UserId::fresh();
        let sql = "INSERT INTO users (id, name, display_name, email, password_hash, is_admin, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = [
            id.uuid().into(),
            new.name.as_str().into(),
            new.display_name.into(),
            new.email.map(str::to_owned).into(),
            new.password_hash.into(),
            new.is_admin.into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// The argon2id hash of a user's password.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without such a user.
    pub async fn password_hash(&self, id: UserId) -> Result<String, StoreError> {
        self.0
            .scalar(
                "SELECT password_hash FROM users WHERE id = $1",
                [id.uuid().into()],
            )
            .await?
            .ok_or_else(|| StoreError::NotFound(id.to_string()))
    }

    /// Replaces a password.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_password_hash(&self, id: UserId, hash: &str) -> Result<(), StoreError> {
        let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
        self.0.execute(sql, [id.uuid().into(), hash.into()]).await?;
        Ok(())
    }

    /// Replaces what a person says of themselves.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_profile(
        &self,
        id: UserId,
        display_name: &str,
        email: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE users SET display_name = $2, email = $3 WHERE id = $1";
        let values = [
            id.uuid().into(),
            display_name.into(),
            email.map(str::to_owned).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Lets a user in again, or not any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_disabled(&self, id: UserId, at: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE users SET disabled_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), at.map(Timestamp::millis).into()])
            .await?;
        Ok(())
    }

    async fn one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Option<User>, StoreError> {
        self.0
            .one::<Row>(sql, values)
            .await?
            .map(User::try_from)
            .transpose()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    name: String,
    display_name: String,
    email: Option<String>,
    is_admin: bool,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            name: parse("users.name", &row.name)?,
            display_name: row.display_name,
            email: row.email,
            is_admin: row.is_admin,
            created_at: Timestamp::from_millis(row.created_at),
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
        })
    }
}
