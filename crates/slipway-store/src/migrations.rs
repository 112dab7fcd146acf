//! Migrations: dated, append-only, each one SQL text that both databases understand.
//!
//! They run at start under a lock (PostgreSQL: an advisory lock; SQLite: the data directory's lock), so
//! that replicas started together do not race. A database newer than this program is refused.

use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait,
};

use crate::{StoreError, connect::Inner};

/// Name and text, in order. Never change one that was released: add another.
const MAIN: &[(&str, &str)] = &[(
    "20261122_000001_initial",
    include_str!("migrations/m20261122_000001_initial.sql"),
)];
const LOGS: &[(&str, &str)] = &[(
    "20261122_000001_logs",
    include_str!("migrations/m20261122_000001_logs.sql"),
)];

/// Any number will do; it must only be the same in every version.
const ADVISORY_LOCK: i64 = 0x0051_1977_a700_0001;

pub(crate) async fn run(inner: &Inner) -> Result<(), StoreError> {
    migrate(&inner.writer, "migrations", MAIN).await?;
    migrate(&inner.logs, "log_migrations", LOGS).await
}

async fn migrate(
    connection: &DatabaseConnection,
    table: &str,
    migrations: &[(&str, &str)],
) -> Result<(), StoreError> {
    // One transaction for all: both databases can roll back changes of tables, and PostgreSQL holds the
    // lock until its end.
    let tx = connection.begin().await?;
    if tx.get_database_backend() == DatabaseBackend::Postgres {
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            .await?;
    }
    tx.execute_unprepared(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (name TEXT NOT NULL PRIMARY KEY)"
    ))
    .await?;
    let done = applied(&tx, table).await?;
    if let Some(unknown) = done
        .iter()
        .find(|name| !migrations.iter().any(|(known, _)| known == name))
    {
        return Err(StoreError::Open {
            reason: "it was written by a newer version of Slipway; start that one".to_owned(),
            source: format!("unknown migration {unknown}").into(),
        });
    }
    for (name, text) in migrations {
        if done.iter().any(|applied| applied == name) {
            continue;
        }
        tx.execute_unprepared(text).await?;
        tx.execute_unprepared(&format!("INSERT INTO {table} (name) VALUES ('{name}')"))
            .await?;
        tracing::info!(migration = name, "tables brought up to date");
    }
    tx.commit().await?;
    Ok(())
}

async fn applied(tx: &DatabaseTransaction, table: &str) -> Result<Vec<String>, StoreError> {
    let statement = Statement::from_string(
        tx.get_database_backend(),
        format!("SELECT name FROM {table} ORDER BY name"),
    );
    let rows = tx.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| Ok(row.try_get::<String>("", "name")?))
        .collect()
}
