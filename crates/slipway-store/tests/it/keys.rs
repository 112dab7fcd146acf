//! One database, one key.

use std::sync::Arc;

use slipway_store::{Store, StoreError, testing::on_postgres};
use slipway_vault::{KeyRing, Vault};

/// Its secrets would be sealed by two keys, and neither server could open them all.
#[tokio::test]
async fn a_server_with_another_key_does_not_start_on_a_database() {
    let database = on_postgres().await;
    let other = Arc::new(Vault::new(KeyRing::generate()));
    let refused = Store::open(&database.options, other).await;
    let Err(StoreError::Open { reason, .. }) = refused else {
        panic!("opened with another key: {refused:?}");
    };
    assert!(reason.contains("--key-file"), "{reason}");
    // With its own key, any number.
    database.again().await.ping().await.unwrap();
}
