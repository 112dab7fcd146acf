//! What can go wrong with the store.

use slipway_vault::VaultError;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, ended the connection, or broke off one of two transactions that waited for
    /// each other. Worth another try.
    #[error("the database cannot be reached, or broke the transaction off")]
    Unavailable(#[source] sea_orm::DbErr),
    /// A row that must be unique is there already.
    #[error("it exists already")]
    Conflict(#[source] sea_orm::DbErr),
    /// The row that was to be changed is not there.
    #[error("{0} is not there")]
    NotFound(String),
    /// Another builder has the build, or it has ended; whoever asked must kill its machine.
    #[error("the lease was lost")]
    LeaseLost,
    /// A stored value is not of the shape that this version writes.
    #[error("{what} holds what this version cannot read")]
    Unreadable {
        /// Table and column.
        what: &'static str,
        /// What was wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A secret could not be sealed or opened.
    #[error("a stored secret could not be sealed or opened")]
    Vault(#[from] VaultError),
    /// The database or its log file could not be opened.
    #[error("the database could not be opened: {reason}")]
    Open {
        /// Why, and what to do.
        reason: String,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database refused a statement: a fault of Slipway.
    #[error("the database refused a statement")]
    Database(#[source] sea_orm::DbErr),
}

impl StoreError {
    /// Stable word for logs, the API and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "database_unavailable",
            Self::Conflict(_) => "conflict",
            Self::NotFound(_) => "not_found",
            Self::LeaseLost => "lease_lost",
            Self::Unreadable { .. } => "unreadable",
            Self::Vault(_) => "secrets",
            Self::Open { .. } => "database_open",
            Self::Database(_) => "database",
        }
    }

    /// For a stored value that does not parse.
    pub(crate) fn unreadable(
        what: &'static str,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Unreadable { what, source }
    }
}

impl From<sea_orm::DbErr> for StoreError {
    fn from(error: sea_orm::DbErr) -> Self {
        use sea_orm::{DbErr, SqlErr};
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => return Self::Conflict(error),
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => {
                return Self::NotFound("what the row refers to".to_owned());
            }
            _ => {}
        }
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error),
            error if passes(&error) => Self::Unavailable(error),
            other => Self::Database(other),
        }
    }
}

/// Whether the same statement may succeed soon: the connection broke, or PostgreSQL says so by the class of its code
/// (its manual, "PostgreSQL Error Codes").
fn passes(error: &sea_orm::DbErr) -> bool {
    use sea_orm::{DbErr, RuntimeErr, sqlx};
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    match error.as_ref() {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, broken-off transactions (deadlocks), too few resources, an operator's doing.
            ["08", "40", "53", "57"]
                .iter()
                .any(|class| code.len() == 5 && code.starts_with(class))
        }),
        _ => false,
    }
}
