//! Transactions, and the handle that all aggregates ask through.

use sea_orm::{
    DatabaseBackend, DatabaseExecutor, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use secrecy::SecretString;
use slipway_vault::{Place, Sealed, Vault};

use crate::{Store, StoreError};

/// A transaction. Dropped without [`Tx::commit`], it changes nothing.
///
/// On SQLite it is `IMMEDIATE`: whoever has one is the only writer, so what it read stays true. On
/// PostgreSQL, a change that depends on what was read locks that row first (`SELECT … FOR UPDATE`).
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    store: Store,
}

impl Store {
    /// Begins a transaction. Keep it short, and do nothing in it but ask the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.inner.writer.begin_with_options(options).await?;
        Ok(Tx {
            inner,
            store: self.clone(),
        })
    }

    pub(crate) fn db(&self) -> Db<'_> {
        Db {
            conn: DatabaseExecutor::Connection(&self.inner.reader),
            vault: &self.inner.vault,
        }
    }
}

impl Tx {
    /// Makes it true, and durable.
    ///
    /// # Errors
    /// What the database says; nothing was changed then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(crate) fn db(&self) -> Db<'_> {
        Db {
            conn: DatabaseExecutor::Transaction(&self.inner),
            vault: &self.store.inner.vault,
        }
    }
}

/// What an aggregate asks through: the pool, or a transaction.
pub struct Db<'a> {
    pub(crate) conn: DatabaseExecutor<'a>,
    vault: &'a Vault,
}

impl std::fmt::Debug for Db<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

impl Db<'_> {
    /// The same, for another aggregate of the same transaction.
    pub(crate) fn again(&self) -> Db<'_> {
        let conn = match &self.conn {
            DatabaseExecutor::Connection(conn) => DatabaseExecutor::Connection(conn),
            DatabaseExecutor::Transaction(tx) => DatabaseExecutor::Transaction(tx),
            DatabaseExecutor::OwnedTransaction(tx) => DatabaseExecutor::Transaction(tx),
        };
        Db {
            conn,
            vault: self.vault,
        }
    }

    /// Whether rows have to be locked one by one.
    pub(crate) fn is_postgres(&self) -> bool {
        use sea_orm::ConnectionTrait as _;
        self.conn.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Seals a secret for exactly this table, column and row.
    pub(crate) fn seal(
        &self,
        table: &'static str,
        column: &'static str,
        id: impl std::fmt::Display,
        secret: &SecretString,
    ) -> String {
        self.vault
            .seal(&Place::new(table, column, id), secret)
            .to_string()
    }

    /// Opens what [`Self::seal`] sealed for this table, column and row.
    pub(crate) fn open(
        &self,
        table: &'static str,
        column: &'static str,
        id: impl std::fmt::Display,
        sealed: &str,
    ) -> Result<SecretString, StoreError> {
        let sealed: Sealed = sealed.parse()?;
        Ok(self.vault.open(&Place::new(table, column, id), &sealed)?)
    }
}
