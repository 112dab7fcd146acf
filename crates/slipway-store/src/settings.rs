//! Settings of the installation that are neither configuration nor secret, by name.

use crate::{StoreError, aggregate::aggregate};

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
