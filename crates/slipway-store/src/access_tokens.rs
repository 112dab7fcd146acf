//! Personal access tokens of the API, kept as hashes.

use sea_orm::FromQueryResult;
use slipway_types::{AccessTokenId, Timestamp, UserId, rights::TokenScope};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The access tokens.
    AccessTokens, access_tokens);

/// An access token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Its id.
    pub id: AccessTokenId,
    /// Whose rights it has, at most.
    pub user: UserId,
    /// What the person called it.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// An access token to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewAccessToken<'a> {
    /// Whose.
    pub user: UserId,
    /// What the person calls it.
    pub name: &'a str,
    /// The hash of the token.
    pub token_hash: &'a str,
    /// What it may do.
    pub scope: TokenScope,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
}

impl AccessTokens<'_> {
    /// The access token of this hash, if it has not ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_token_hash(&self, token_hash: &str) -> Result<Option<AccessToken>, StoreError> {
        let sql =
            "SELECT * FROM access_tokens WHERE token_hash = $1 AND (expires_at IS NULL OR expires_at > $2)";
        let row: Option<Row> = self
            .0
            .one(sql, [token_hash.into(), Timestamp::now().millis().into()])
            .await?;
        row.map(AccessToken::try_from).transpose()
    }

    /// A user's access tokens, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_user(&self, user: UserId) -> Result<Vec<AccessToken>, StoreError> {
        let sql = "SELECT * FROM access_tokens WHERE user_id = $1 ORDER BY id";
        let rows: Vec<Row> = self.0.all(sql, [user.uuid().into()]).await?;
        rows.into_iter().map(AccessToken::try_from).collect()
    }

    /// Makes an access token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, new: &NewAccessToken<'_>) -> Result<AccessTokenId, StoreError> {
        let id = AccessTokenId::fresh();
        let sql = "INSERT INTO access_tokens (id, user_id, name, token_hash, scope, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = [
            id.uuid().into(),
            new.user.uuid().into(),
            new.name.into(),
            new.token_hash.into(),
            new.scope.as_str().into(),
            Timestamp::now().millis().into(),
            new.expires_at.map(Timestamp::millis).into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// What the database says.
    pub async fn used(&self, id: AccessTokenId) -> Result<(), StoreError> {
        let sql = "UPDATE access_tokens SET last_used_at = $2 WHERE id = $1";
        self.0
            .execute(sql, [id.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(())
    }

    /// Revokes a token of this user. Says whether it was there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, user: UserId, id: AccessTokenId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM access_tokens WHERE id = $1 AND user_id = $2";
        Ok(self
            .0
            .execute(sql, [id.uuid().into(), user.uuid().into()])
            .await?
            == 1)
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    name: String,
    scope: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
}

impl TryFrom<Row> for AccessToken {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: AccessTokenId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            name: row.name,
            scope: parse("access_tokens.scope", &row.scope)?,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_millis),
            last_used_at: row.last_used_at.map(Timestamp::from_millis),
        })
    }
}
