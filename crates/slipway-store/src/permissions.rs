//! Rights on single repositories, given to people and to teams. Owners of the namespace need none.

use sea_orm::FromQueryResult;
use slipway_types::{RepositoryId, TeamId, UserId, rights::Level};
use uuid::Uuid;

use crate::{StoreError, aggregate::aggregate, column::parse};

aggregate!(/// The rights on repositories.
    Permissions, permissions);

/// To whom a right was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantee {
    /// A person.
    User(UserId),
    /// Everybody in a team.
    Team(TeamId),
}

/// A right on a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// To whom.
    pub grantee: Grantee,
    /// The person's or the team's name.
    pub name: String,
    /// What they may do.
    pub level: Level,
}

impl Permissions<'_> {
    /// The most that a person was given on a repository, by name or through a team.
    ///
    /// # Errors
    /// What the database says.
    pub async fn level_of(
        &self,
        user: UserId,
        repository: RepositoryId,
    ) -> Result<Option<Level>, StoreError> {
        let sql = "SELECT level FROM user_permissions WHERE repository_id = $1 AND user_id = $2
                   UNION ALL
                   SELECT p.level FROM team_permissions p JOIN team_members m ON m.team_id = p.team_id
                   WHERE p.repository_id = $1 AND m.user_id = $2";
        let rows: Vec<LevelRow> = self
            .0
            .all(sql, [repository.uuid().into(), user.uuid().into()])
            .await?;
        let levels = rows
            .iter()
            .map(|row| parse::<Level>("permissions.level", &row.level));
        Ok(levels.collect::<Result<Vec<_>, _>>()?.into_iter().max())
    }

    /// All rights on a repository: people by name, then teams by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, repository: RepositoryId) -> Result<Vec<Permission>, StoreError> {
        let sql = "SELECT 0 AS is_team, u.id, u.name, p.level FROM user_permissions p JOIN users u ON u.id = p.user_id
                   WHERE p.repository_id = $1
                   UNION ALL
                   SELECT 1 AS is_team, t.id, t.name, p.level FROM team_permissions p JOIN teams t ON t.id = p.team_id
                   WHERE p.repository_id = $1
                   ORDER BY is_team, name";
        let rows: Vec<Row> = self.0.all(sql, [repository.uuid().into()]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Permission {
                    grantee: if row.is_team == 0 {
                        Grantee::User(UserId::from_uuid(row.id))
                    } else {
                        Grantee::Team(TeamId::from_uuid(row.id))
                    },
                    name: row.name,
                    level: parse("permissions.level", &row.level)?,
                })
            })
            .collect()
    }

    /// Gives a right, or another one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set(
        &self,
        repository: RepositoryId,
        grantee: Grantee,
        level: Level,
    ) -> Result<(), StoreError> {
        let (sql, id) = match grantee {
            Grantee::User(user) => (
                "INSERT INTO user_permissions (repository_id, user_id, level) VALUES ($1, $2, $3)
                 ON CONFLICT (repository_id, user_id) DO UPDATE SET level = excluded.level",
                user.uuid(),
            ),
            Grantee::Team(team) => (
                "INSERT INTO team_permissions (repository_id, team_id, level) VALUES ($1, $2, $3)
                 ON CONFLICT (repository_id, team_id) DO UPDATE SET level = excluded.level",
                team.uuid(),
            ),
        };
        self.0
            .execute(sql, [repository.uuid().into(), id.into(), level.as_str().into()])
            .await?;
        Ok(())
    }

    /// Takes a right away.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove(&self, repository: RepositoryId, grantee: Grantee) -> Result<(), StoreError> {
        let (sql, id) = match grantee {
            Grantee::User(user) => (
                "DELETE FROM user_permissions WHERE repository_id = $1 AND user_id = $2",
                user.uuid(),
            ),
            Grantee::Team(team) => (
                "DELETE FROM team_permissions WHERE repository_id = $1 AND team_id = $2",
                team.uuid(),
            ),
        };
        self.0.execute(sql, [repository.uuid().into(), id.into()]).await?;
        Ok(())
    }
}

#[derive(FromQueryResult)]
struct LevelRow {
    level: String,
}

#[derive(FromQueryResult)]
struct Row {
    is_team: i32,
    id: Uuid,
    name: String,
    level: String,
}
