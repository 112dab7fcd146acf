//! Build environment variables. Their values are sealed and write-only: they leave only for a build.

use sea_orm::FromQueryResult;
use secrecy::SecretString;
use slipway_types::{ConfigurationId, VariableId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate};

aggregate!(/// The build environment variables.
    Variables, variables);

/// A variable, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its id.
    pub id: VariableId,
    /// Its name.
    pub name: String,
}

impl Variables<'_> {
    /// The variables of a configuration, in their order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, configuration: ConfigurationId) -> Result<Vec<Variable>, StoreError> {
        let rows = self.rows(configuration).await?;
        Ok(rows
            .into_iter()
            .map(|row| Variable {
                id: VariableId::from_uuid(row.id),
                name: row.name,
            })
            .collect())
    }

    /// The variables of a configuration with their values, in clear, in their order.
    ///
    /// # Errors
    /// What the database or the vault says.
    pub async fn open_all(
        &self,
        configuration: ConfigurationId,
    ) -> Result<Vec<(String, SecretString)>, StoreError> {
        let rows = self.rows(configuration).await?;
        rows.into_iter()
            .map(|row| {
                let id = VariableId::from_uuid(row.id);
                let value = self.0.open("variables", "value_sealed", id, &row.value_sealed)?;
                Ok((row.name, value))
            })
            .collect()
    }

    /// Makes `wanted` the variables of a configuration, in this order: one with a value is set, one without
    /// keeps the value that it has, one that is missing goes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when one shall keep a value that there is not.
    pub async fn replace(
        &self,
        configuration: ConfigurationId,
        wanted: &[(String, Option<SecretString>)],
    ) -> Result<(), StoreError> {
        let there = self.rows(configuration).await?;
        for row in there
            .iter()
            .filter(|row| !wanted.iter().any(|(name, _)| *name == row.name))
        {
            self.0
                .execute("DELETE FROM variables WHERE id = $1", [row.id.into()])
                .await?;
        }
        for (position, (name, value)) in (0_i32..).zip(wanted) {
            let old = there.iter().find(|row| row.name == *name);
            let id = old.map_or_else(VariableId::fresh, |row| VariableId::from_uuid(row.id));
            let sealed = match (value, old) {
                (Some(value), _) => self.0.seal("variables", "value_sealed", id, value),
                (None, Some(row)) => row.value_sealed.clone(),
                (None, None) => return Err(StoreError::NotFound(format!("a value of {name}"))),
            };
            let sql = "INSERT INTO variables (id, configuration_id, position, name, value_sealed)
                       VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (id) DO UPDATE SET position = excluded.position, value_sealed = excluded.value_sealed";
            let values = [
                id.uuid().into(),
                configuration.uuid().into(),
                position.into(),
                name.clone().into(),
                sealed.into(),
            ];
            self.0.execute(sql, values).await?;
        }
        Ok(())
    }

    async fn rows(&self, configuration: ConfigurationId) -> Result<Vec<Row>, StoreError> {
        let sql =
            "SELECT id, name, value_sealed FROM variables WHERE configuration_id = $1 ORDER BY position, id";
        self.0.all(sql, [configuration.uuid().into()]).await
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    name: String,
    value_sealed: String,
}
