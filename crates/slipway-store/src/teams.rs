//! Teams: groups of an organization's members that rights on repositories are given to.

use sea_orm::FromQueryResult;
use slipway_types::{NamespaceId, SlugName, TeamId, Timestamp, UserId};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The teams of organizations.
    Teams, teams);

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Of which organization.
    pub namespace: NamespaceId,
    /// Its name there.
    pub name: SlugName,
}

impl Teams<'_> {
    /// The team of this id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: TeamId) -> Result<Option<Team>, StoreError> {
        let row: Option<Row> = self
            .0
            .one("SELECT * FROM teams WHERE id = $1", [id.uuid().into()])
            .await?;
        row.map(Team::try_from).transpose()
    }

    /// The teams of an organization, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, namespace: NamespaceId) -> Result<Vec<Team>, StoreError> {
        let sql = "SELECT * FROM teams WHERE namespace_id = $1 ORDER BY name";
        let rows: Vec<Row> = self.0.all(sql, [namespace.uuid().into()]).await?;
        rows.into_iter().map(Team::try_from).collect()
    }

    /// Makes a team.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the organization has one of this name.
    pub async fn insert(&self, namespace: NamespaceId, name: &SlugName) -> Result<TeamId, StoreError> {
        let id = TeamId::fresh();
        let sql = "INSERT INTO teams (id, namespace_id, name, created_at) VALUES ($1, $2, $3, $4)";
        let values = [
            id.uuid().into(),
            namespace.uuid().into(),
            name.as_str().into(),
            Timestamp::now().millis().into(),
        ];
        self.0.execute(sql, values).await?;
        Ok(id)
    }

    /// Deletes a team with its rights.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, id: TeamId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM teams WHERE id = $1", [id.uuid().into()])
            .await?;
        Ok(())
    }

    /// The people in a team, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn members(&self, id: TeamId) -> Result<Vec<(UserId, SlugName)>, StoreError> {
        let sql = "SELECT u.id, u.name FROM team_members t JOIN users u ON u.id = t.user_id
                   WHERE t.team_id = $1 ORDER BY u.name";
        let rows: Vec<Person> = self.0.all(sql, [id.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| Ok((UserId::from_uuid(row.id), parse("users.name", &row.name)?)))
            .collect()
    }

    /// Puts a person into a team.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add_member(&self, id: TeamId, user: UserId) -> Result<(), StoreError> {
        let sql = "INSERT INTO team_members (team_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.0
            .execute(sql, [id.uuid().into(), user.uuid().into()])
            .await?;
        Ok(())
    }

    /// Takes a person out of a team.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_member(&self, id: TeamId, user: UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2";
        self.0
            .execute(sql, [id.uuid().into(), user.uuid().into()])
            .await?;
        Ok(())
    }
}

#[derive(FromQueryResult)]
struct Person {
    id: Uuid,
    name: String,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    namespace_id: Uuid,
    name: String,
}

impl TryFrom<Row> for Team {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: TeamId::from_uuid(row.id),
            namespace: NamespaceId::from_uuid(row.namespace_id),
            name: parse("teams.name", &row.name)?,
        })
    }
}
