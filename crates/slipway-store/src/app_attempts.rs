//! App attempts: the single-use `state` of a GitHub App's manifest, kept server-side until its code comes back.
//!
//! Only the state's hash is stored, with the browser session and the forge that it was made for, and the path that the
//! App's webhook was promised.

use slipway_types::{ForgeId, SessionId, Timestamp};

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The attempts to create a GitHub App.
    AppAttempts, app_attempts);

/// An attempt to create a GitHub App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppAttempt {
    /// The browser session that began it.
    pub session: SessionId,
    /// At which forge.
    pub forge: ForgeId,
    /// Where the App's webhook will go.
    pub hook_path: String,
    /// Until when it may come back.
    pub expires_at: Timestamp,
}

#[derive(sea_orm::FromQueryResult)]
struct Row {
    session_id: uuid::Uuid,
    forge_id: uuid::Uuid,
    hook_path: String,
    expires_at: i64,
}

impl AppAttempts<'_> {
    /// Begins an attempt.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, state_hash: &str, attempt: &AppAttempt) -> Result<(), StoreError> {
        let sql = "INSERT INTO app_attempts (state_hash, session_id, forge_id, hook_path, expires_at)
                   VALUES ($1, $2, $3, $4, $5)";
        let values = [
            state_hash.into(),
            attempt.session.uuid().into(),
            attempt.forge.uuid().into(),
            attempt.hook_path.clone().into(),
            attempt.expires_at.millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(())
    }

    /// The attempt with this state.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, state_hash: &str) -> Result<Option<AppAttempt>, StoreError> {
        let sql =
            "SELECT session_id, forge_id, hook_path, expires_at FROM app_attempts WHERE state_hash = $1";
        let row = self.0.one::<Row>(sql, [state_hash.into()]).await?;
        Ok(row.map(|row| AppAttempt {
            session: SessionId::from_uuid(row.session_id),
            forge: ForgeId::from_uuid(row.forge_id),
            hook_path: row.hook_path,
            expires_at: Timestamp::from_millis(row.expires_at),
        }))
    }

    /// Uses an attempt up. Says whether this call did: of two that come back with one state, one does.
    ///
    /// # Errors
    /// What the database says.
    pub async fn consume(&self, state_hash: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM app_attempts WHERE state_hash = $1";
        Ok(self.0.execute(sql, [state_hash.into()]).await? == 1)
    }

    /// Forgets the attempts that never came back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM app_attempts WHERE expires_at < $1";
        self.0.execute(sql, [now.millis().into()]).await
    }
}
