//! Asking in SQL that both databases understand.
//!
//! Statements are written with `$1`, `$2`, …: PostgreSQL's own form, which SQLite's driver reads as well. An
//! entity says how a row is read and inserted; the question itself is SQL, so that what is locked and what
//! is ordered can be seen.

use crate::{StoreError, tx::Db};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, EntityTrait, FromQueryResult, IntoActiveModel, Statement, Value,
};

/// Of rows with a `next_attempt_at`: whether their time has come, where `$1` is now. No time lies further ahead
/// than an hour; one that does says that the clock was set back, and must not be waited for.
pub(crate) const DUE: &str = "(next_attempt_at <= $1 OR next_attempt_at > $1 + 3600000)";

/// As [`DUE`], of another column.
pub(crate) fn due(column: &str) -> String {
    format!("({column} <= $1 OR {column} > $1 + 3600000)")
}

impl Db<'_> {
    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.conn.get_database_backend(), sql, values)
    }

    /// Changes rows; says how many.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        let done = self.conn.execute_raw(self.statement(sql, values)).await?;
        Ok(done.rows_affected())
    }

    /// Rows of one shape.
    pub(crate) async fn all<M: FromQueryResult + Send>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<M>, StoreError> {
        let rows = self.conn.query_all_raw(self.statement(sql, values)).await?;
        Ok(rows
            .iter()
            .map(|row| M::from_query_result(row, ""))
            .collect::<Result<_, _>>()?)
    }

    /// The first row, if there is one.
    pub(crate) async fn one<M: FromQueryResult + Send>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<M>, StoreError> {
        let row = self.conn.query_one_raw(self.statement(sql, values)).await?;
        Ok(row.map(|row| M::from_query_result(&row, "")).transpose()?)
    }

    /// The first row's first column, if there is one.
    pub(crate) async fn scalar<T: sea_orm::TryGetable>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, StoreError> {
        let row = self.conn.query_one_raw(self.statement(sql, values)).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
    }

    /// Whether a question has any row for an answer.
    pub(crate) async fn exists(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<bool, StoreError> {
        Ok(self
            .conn
            .query_one_raw(self.statement(sql, values))
            .await?
            .is_some())
    }

    /// Inserts a row.
    pub(crate) async fn insert<E>(&self, row: E::Model) -> Result<(), StoreError>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
        E::ActiveModel: Send,
    {
        E::insert(row.into_active_model().reset_all())
            .exec_without_returning(&self.conn)
            .await?;
        Ok(())
    }

    /// The database's clock at this moment, in milliseconds: what several processes agree on.
    pub(crate) fn clock(&self) -> &'static str {
        if self.is_postgres() {
            "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT"
        } else {
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
        }
    }

    /// A lock where rows have to be locked one by one; nothing on SQLite, whose writer is alone. Keys stay free, so that rows
    /// which refer to a locked one can be inserted meanwhile.
    pub(crate) fn for_update(&self) -> &'static str {
        if self.is_postgres() {
            " FOR NO KEY UPDATE"
        } else {
            ""
        }
    }

    /// As [`Self::for_update`], leaving out rows that somebody else has locked.
    pub(crate) fn for_update_skip_locked(&self) -> &'static str {
        if self.is_postgres() {
            " FOR NO KEY UPDATE SKIP LOCKED"
        } else {
            ""
        }
    }
}
