//! Opening the database: SQLite files below the data directory, or PostgreSQL by URL.
//!
//! On SQLite there is one connection that writes and several that only read, so that a busy database
//! shows as waiting and never as an error; build logs lie in a second file, so that they do not compete
//! with deliveries. On PostgreSQL one pool serves all.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use slipway_vault::Vault;

use crate::{StoreError, migrations};

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Options {
    /// `slipway.db` and `logs.db` in this directory, which must exist.
    Sqlite {
        /// The data directory.
        directory: PathBuf,
    },
    /// A PostgreSQL URL, as `postgres://user@host/database`; may carry a password.
    Postgres {
        /// The URL.
        url: secrecy::SecretString,
    },
}

/// Everything that Slipway remembers. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) reader: DatabaseConnection,
    pub(crate) writer: DatabaseConnection,
    pub(crate) logs: DatabaseConnection,
    pub(crate) vault: Arc<Vault>,
    /// Held while the store is open: one process owns a SQLite data directory.
    _lock: Option<std::fs::File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.inner.reader.get_database_backend())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be reached, is in use by another process (SQLite), or is newer than this program.
    pub async fn open(options: &Options, vault: Arc<Vault>) -> Result<Self, StoreError> {
        let inner = match options {
            Options::Sqlite { directory } => sqlite(directory, vault).await?,
            Options::Postgres { url } => postgres(url, vault).await?,
        };
        migrations::run(&inner).await?;
        let store = Self {
            inner: Arc::new(inner),
        };
        store.check_key().await?;
        Ok(store)
    }

    /// A database belongs to the key that sealed its first secret: a server with another one could open nothing, and what
    /// it sealed nobody else.
    async fn check_key(&self) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let sealed = tx.settings().key_check().await?;
        tx.settings().open_key_check(&sealed).map_err(|source| StoreError::Open {
            reason: "its secrets are sealed by another key; give every server the key file of the first (--key-file)"
                .to_owned(),
            source: source.into(),
        })?;
        tx.commit().await
    }

    /// Ends all connections, after what runs has ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close(&self) -> Result<(), StoreError> {
        for connection in [&self.inner.writer, &self.inner.reader, &self.inner.logs] {
            connection.close_by_ref().await?;
        }
        Ok(())
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.inner.reader.ping().await?)
    }

    /// `sqlite` or `postgres`, for people.
    pub fn backend(&self) -> &'static str {
        match self.inner.reader.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "postgres",
            _ => "sqlite",
        }
    }
}

async fn sqlite(directory: &std::path::Path, vault: Arc<Vault>) -> Result<Inner, StoreError> {
    let lock = lock(directory)?;
    let open = async |file: &str, connections: u32, read_only: bool| {
        let mut options =
            ConnectOptions::new(format!("sqlite://{}?mode=rwc", directory.join(file).display()));
        options
            .max_connections(connections)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(move |sqlite| {
                // An acknowledged delivery must be on disk: FULL. WAL lets readers go on beside the writer.
                sqlite
                    .pragma("journal_mode", "WAL")
                    .pragma("synchronous", "FULL")
                    .pragma("foreign_keys", "ON")
                    .pragma("busy_timeout", "30000")
                    .pragma("query_only", if read_only { "ON" } else { "OFF" })
            });
        Database::connect(options)
            .await
            .map_err(|source| StoreError::Open {
                reason: format!(
                    "{} could not be opened as a SQLite database",
                    directory.join(file).display()
                ),
                source: source.into(),
            })
    };
    let writer = open("slipway.db", 1, false).await?;
    Ok(Inner {
        reader: open("slipway.db", 4, true).await?,
        logs: open("logs.db", 2, false).await?,
        writer,
        vault,
        _lock: Some(lock),
    })
}

fn lock(directory: &std::path::Path) -> Result<std::fs::File, StoreError> {
    let path = directory.join("slipway.lock");
    let file = std::fs::File::create(&path).map_err(|source| StoreError::Open {
        reason: format!("{} cannot be written", path.display()),
        source: source.into(),
    })?;
    file.try_lock().map_err(|source| StoreError::Open {
        reason: format!(
            "another slipway process uses {}; several servers need PostgreSQL (--database-url)",
            directory.display()
        ),
        source: Box::new(source),
    })?;
    Ok(file)
}

async fn postgres(url: &secrecy::SecretString, vault: Arc<Vault>) -> Result<Inner, StoreError> {
    use secrecy::ExposeSecret as _;
    let mut options = ConnectOptions::new(url.expose_secret());
    options
        .max_connections(16)
        .acquire_timeout(Duration::from_secs(30))
        .sqlx_logging(false);
    let pool = Database::connect(options)
        .await
        .map_err(|source| StoreError::Open {
            reason: "PostgreSQL cannot be reached at the configured --database-url".to_owned(),
            source: source.into(),
        })?;
    Ok(Inner {
        reader: pool.clone(),
        logs: pool.clone(),
        writer: pool,
        vault,
        _lock: None,
    })
}
