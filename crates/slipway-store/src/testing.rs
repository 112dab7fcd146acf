//! A store for a test. Every story of the store is told on both databases.

use std::sync::Arc;

use slipway_vault::{KeyRing, Vault};

use crate::{Options, Store};

/// A store, and what must live as long as it.
#[derive(Debug)]
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// How to open it again.
    pub options: Options,
    vault: Arc<Vault>,
    _directory: tempfile::TempDir,
}

impl TestStore {
    /// The same database as another server sees it, with connections of its own. On PostgreSQL.
    pub async fn again(&self) -> Store {
        Store::open(&self.options, Arc::clone(&self.vault))
            .await
            .expect("the store opens again")
    }
}

/// An empty database on SQLite, in a directory of its own.
pub async fn on_sqlite() -> TestStore {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = Options::Sqlite {
        directory: directory.path().to_owned(),
    };
    open(options, directory).await
}

/// An empty database on the test run's PostgreSQL.
pub async fn on_postgres() -> TestStore {
    let url = tokio::task::spawn_blocking(|| slipway_parts::Postgres::shared().fresh_database())
        .await
        .expect("PostgreSQL starts");
    let directory = tempfile::tempdir().expect("a temporary directory");
    open(Options::Postgres { url: url.into() }, directory).await
}

async fn open(options: Options, directory: tempfile::TempDir) -> TestStore {
    let vault = Arc::new(Vault::new(KeyRing::generate()));
    let store = Store::open(&options, Arc::clone(&vault))
        .await
        .expect("the store opens");
    TestStore {
        store,
        options,
        vault,
        _directory: directory,
    }
}

/// Tells one story on both databases: `db_test! { async fn name(store: Store) { … } }` makes the tests
/// `name::on_sqlite` and `name::on_postgres`.
#[macro_export]
macro_rules! db_test {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident: Store) $body:block)+) => {
        $($(#[$doc])* mod $name {
            #[allow(unused_imports, reason = "what the story needs differs")]
            use super::*;

            async fn story($store: $crate::Store) $body

            #[tokio::test]
            async fn on_sqlite() {
                let database = $crate::testing::on_sqlite().await;
                story(database.store.clone()).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                let database = $crate::testing::on_postgres().await;
                story(database.store.clone()).await;
            }
        })+
    };
}
