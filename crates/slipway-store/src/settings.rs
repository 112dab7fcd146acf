//! Settings of the installation that are neither configuration nor secret, by name.

use crate::{StoreError, aggregate::aggregate};

/// A sealed word, by which a key is known to be this database's.
const KEY_CHECK: &str = "key_check";

aggregate!(/// The settings.
    Settings, settings);

impl Settings<'_> {
    /// The value of a setting.
    ///
    /// # Errors
    /// What the database says.
    pub async fn get(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.0
            .scalar("SELECT value FROM settings WHERE name = $1", [name.into()])
            .await
    }

    /// The word that the database's own key sealed; sealed now, where there is none.
    pub(crate) async fn key_check(&self) -> Result<String, StoreError> {
        let sealed = self.0.seal("settings", "value", KEY_CHECK, &KEY_CHECK.into());
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.0.execute(sql, [KEY_CHECK.into(), sealed.into()]).await?;
        let there = self.get(KEY_CHECK).await?;
        there.ok_or_else(|| StoreError::NotFound(KEY_CHECK.to_owned()))
    }

    /// Whether this process's key opens it.
    pub(crate) fn open_key_check(&self, sealed: &str) -> Result<(), StoreError> {
        self.0.open("settings", "value", KEY_CHECK, sealed).map(drop)
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.0.execute(sql, [name.into(), value.into()]).await?;
        Ok(())
    }
}
