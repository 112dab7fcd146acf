//! Notices between the processes that share one PostgreSQL: its `NOTIFY` and `LISTEN` (PostgreSQL's documentation,
//! "Asynchronous Notification").
//!
//! They wake, and nothing else: a notice is not kept for who does not listen just then, so that nobody may need one.
//! On SQLite one process owns the database, and there is nobody to tell.

use std::time::Duration;

use sea_orm::{
    DatabaseBackend, DbErr, RuntimeErr,
    sqlx::{
        self, Executor as _,
        postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    },
};

use crate::{Store, StoreError};

/// Where all processes listen. A channel belongs to one database.
const CHANNEL: &str = "slipway";

/// How a connection that listens is called in `pg_stat_activity`.
const NAME: &str = "slipway wake-ups";

/// How long a connection may be silent, before it is asked whether it is still there: one that a firewall dropped, or
/// whose server lost its power, says nothing for ever.
const SILENCE: Duration = Duration::from_secs(30);

/// How long it may take to answer that, and to be made.
const ANSWER: Duration = Duration::from_secs(10);

/// The longest notice, in bytes: PostgreSQL takes no payload of 8000 or more.
pub const MAX_NOTICE: usize = 7_999;

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This notice.
    Notice(String),
    /// Listening begins now, for the first time or again: anything may have been said before.
    Anything,
}

/// Hears notices of all processes, this one's too. Not for ever silent: a connection that is lost is made again.
pub struct Notices {
    options: PgConnectOptions,
    listener: Option<PgListener>,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold a password.
        f.write_str("Notices")
    }
}

impl Store {
    /// Whether several processes may share this database.
    pub fn is_shared(&self) -> bool {
        self.inner.reader.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Tells this notice, of at most [`MAX_NOTICE`] bytes, to every process that listens. On SQLite, to nobody.
    ///
    /// # Errors
    /// What the database says.
    pub async fn notify(&self, notice: &str) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        // Nothing is lost with it: the commit that it costs need not wait for the disk.
        let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
        let values = [CHANNEL.into(), notice.into()];
        self.db().exists(sql, values).await.map(drop)
    }

    /// Notices of all processes, from now on; `None` on SQLite. It has a connection of its own, made at the first
    /// [`Notices::next`].
    pub fn notices(&self) -> Option<Notices> {
        if !self.is_shared() {
            return None;
        }
        let pool = self.inner.reader.get_postgres_connection_pool();
        let options = PgConnectOptions::clone(&pool.connect_options()).application_name(NAME);
        Some(Notices {
            options,
            listener: None,
        })
    }
}

impl Notices {
    /// Until there is a notice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached. Asked again, it is tried again.
    pub async fn next(&mut self) -> Result<Heard, StoreError> {
        loop {
            let Some(mut listener) = self.listener.take() else {
                self.listener = Some(listen(&self.options).await?);
                return Ok(Heard::Anything);
            };
            match tokio::time::timeout(SILENCE, listener.try_recv()).await {
                Ok(heard) => {
                    let heard = heard.map_err(unavailable)?;
                    self.listener = Some(listener);
                    // Nothing: the connection was lost, and has been made again.
                    let notice = heard.map(|notice| Heard::Notice(notice.payload().to_owned()));
                    return Ok(notice.unwrap_or(Heard::Anything));
                }
                Err(_silent) => {
                    within(async { listener.execute("SELECT 1").await.map(drop) }).await?;
                    self.listener = Some(listener);
                }
            }
        }
    }
}

/// Listens on a connection of its own: it must not take one from those who ask, and must not be closed for its age.
async fn listen(options: &PgConnectOptions) -> Result<PgListener, StoreError> {
    within(async {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ANSWER)
            .connect_with(options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    })
    .await
}

async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER, work).await {
        Ok(done) => done.map_err(unavailable),
        Err(_late) => Err(StoreError::Unavailable(DbErr::Conn(RuntimeErr::Internal(
            "PostgreSQL does not answer".to_owned(),
        )))),
    }
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}
