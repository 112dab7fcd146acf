//! Sessions: signed-in browsers. The cookie's token is kept as a hash.

use sea_orm::FromQueryResult;
use slipway_types::{SessionId, Timestamp, UserId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The sessions.
    Sessions, sessions);

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who is signed in.
    pub user: UserId,
    /// What a form of this session must carry.
    pub csrf_token: String,
    /// What the browser calls itself.
    pub user_agent: String,
    /// From where it signed in.
    pub address: String,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A session to be begun.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// The hash of the cookie's token.
    pub token_hash: &'a str,
    /// Who signs in.
    pub user: UserId,
    /// What a form of this session must carry.
    pub csrf_token: &'a str,
    /// What the browser calls itself.
    pub user_agent: &'a str,
    /// From where.
    pub address: &'a str,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Sessions<'_> {
    /// The session of this token, if it has not ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_token_hash(&self, token_hash: &str) -> Result<Option<Session>, StoreError> {
        let sql = "SELECT * FROM sessions WHERE token_hash = $1 AND expires_at > $2";
        let row: Option<Row> = self
            .0
            .one(sql, [token_hash.into(), Timestamp::now().millis().into()])
            .await?;
        Ok(row.map(Session::from))
    }

    /// A user's sessions, the last seen first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_user(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let sql =
            "SELECT * FROM sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY last_seen_at DESC, id";
        let rows: Vec<Row> = self
            .0
            .all(sql, [user.uuid().into(), Timestamp::now().millis().into()])
            .await?;
        Ok(rows.into_iter().map(Session::from).collect())
    }

    /// Begins a session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, new: &NewSession<'_>) -> Result<SessionId, StoreError> {
        let id = SessionId::fresh();
        let now = Timestamp::now().millis();
        let sql =
            "INSERT INTO sessions (id, token_hash, user_id, csrf_token, user_agent, address, created_at,
                   last_seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            id.uuid().into(),
            new.token_hash.into(),
            new.user.uuid().into(),
            new.csrf_token.into(),
            new.user_agent.into(),
            new.address.into(),
            now.into(),
            now.into(),
            new.expires_at.millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Notes that a session was seen, and until when it lives.
    ///
    /// # Errors
    /// What the database says.
    pub async fn touch(&self, id: SessionId, expires_at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen_at = $2, expires_at = $3 WHERE id = $1";
        let values = [
            id.uuid().into(),
            Timestamp::now().millis().into(),
            expires_at.millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// Ends a session of this user. Says whether it was there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2";
        Ok(self
            .0
            .execute(sql, [id.uuid().into(), user.uuid().into()])
            .await?
            == 1)
    }

    /// Ends all sessions of a user but one. Says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_others(&self, user: UserId, but: Option<SessionId>) -> Result<u64, StoreError> {
        let but = but.map_or_else(Uuid::nil, SessionId::uuid);
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
        self.0.execute(sql, [user.uuid().into(), but.into()]).await
    }

    /// Forgets sessions that have ended. Says how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.0
            .execute(
                "DELETE FROM sessions WHERE expires_at <= $1",
                [now.millis().into()],
            )
            .await
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    csrf_token: String,
    user_agent: String,
    address: String,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: SessionId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            csrf_token: row.csrf_token,
            user_agent: row.user_agent,
            address: row.address,
            created_at: Timestamp::from_millis(row.created_at),
            last_seen_at: Timestamp::from_millis(row.last_seen_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        }
    }
}
