//! What is kept to prove that an access is gone: as long as its state says, and no longer.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use slipway_store::{NewProof, Store, StoreError, db_test, testing};
use slipway_types::{
    ForgeClientId, LinkId, NamespaceId, Timestamp,
    forge::{ClientKind, ProofState},
};

use super::accounts::{forge, link, user};

const KEPT: Duration = Duration::from_hours(1);

/// A link of `ada`, and the token that is kept for it.
async fn kept(store: &Store) -> (LinkId, NamespaceId, ForgeClientId) {
    let tx = store.begin().await.unwrap();
    let (ada, own) = user(&tx, "ada").await;
    let forge = forge(&tx).await;
    let link = link(&tx, own, forge, ada).await;
    let client = tx
        .forges()
        .client_of(forge, ClientKind::Oauth)
        .await
        .unwrap()
        .unwrap()
        .id;
    let proof = NewProof {
        link,
        client,
        account_id: "7",
        refresh_token: &"first".into(),
        doubtful: false,
        kept_until: Timestamp::now().plus(KEPT),
    };
    tx.access_proofs().insert(&proof).await.unwrap();
    tx.commit().await.unwrap();
    let tx = store.begin().await.unwrap();
    let twice = tx.access_proofs().insert(&proof).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    (link, own, client)
}

async fn token(store: &Store, link: LinkId) -> Option<String> {
    let token = store.access_proofs().open_refresh_token(link).await.unwrap();
    token.map(|token| token.expose_secret().to_owned())
}

db_test! {
    async fn one_asks_at_a_time_and_the_next_token_takes_the_place_of_the_one_before(store: Store) {
        let (link, own, _) = kept(&store).await;
        let tx = store.begin().await.unwrap();
        let proofs = tx.access_proofs();
        assert!(proofs.claim(link, KEPT).await.unwrap());
        assert!(!proofs.claim(link, KEPT).await.unwrap());
        assert!(!proofs.find(link).await.unwrap().unwrap().doubtful);
        assert!(proofs.settle_granted(link, Some(&"second".into())).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(token(&store, link).await.as_deref(), Some("second"));
        let open = store.access_proofs().open_of(own).await.unwrap();
        assert_eq!((open.len(), open[0].state), (1, ProofState::Granted));

        let tx = store.begin().await.unwrap();
        let proofs = tx.access_proofs();
        assert!(proofs.claim(link, KEPT).await.unwrap());
        assert!(proofs.settle_granted(link, None).await.unwrap());
        assert!(proofs.claim(link, KEPT).await.unwrap());
        proofs.release(link, true).await.unwrap();
        assert!(proofs.find(link).await.unwrap().unwrap().doubtful);
        assert!(proofs.end(link, ProofState::Unproven, true).await.unwrap());
        assert!(!proofs.settle_granted(link, Some(&"late".into())).await.unwrap());
        assert!(!proofs.claim(link, KEPT).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(token(&store, link).await, None);
        assert!(store.access_proofs().open_of(own).await.unwrap().is_empty());
    }

    async fn a_claim_that_nobody_settled_leaves_a_doubt(store: Store) {
        let (link, ..) = kept(&store).await;
        let tx = store.begin().await.unwrap();
        assert!(tx.access_proofs().claim(link, Duration::ZERO).await.unwrap());
        tx.commit().await.unwrap();
        let tx = store.begin().await.unwrap();
        assert!(tx.access_proofs().claim(link, KEPT).await.unwrap());
        tx.commit().await.unwrap();
        assert!(store.access_proofs().find(link).await.unwrap().unwrap().doubtful);
    }

    async fn a_token_goes_when_its_time_is_over_and_when_the_account_is_linked_again(store: Store) {
        let (link, own, client) = kept(&store).await;
        let tx = store.begin().await.unwrap();
        let now = Timestamp::now();
        assert!(tx.access_proofs().lapse(now).await.unwrap().is_empty());
        assert_eq!(tx.access_proofs().lapse(now.plus(KEPT)).await.unwrap(), [(link, own)]);
        drop(tx);
        assert_eq!(token(&store, link).await.as_deref(), Some("first"), "nothing was committed");

        let tx = store.begin().await.unwrap();
        tx.access_proofs().end_of_account(client, "another").await.unwrap();
        assert!(tx.access_proofs().find(link).await.unwrap().unwrap().state.is_open());
        tx.access_proofs().end_of_account(client, "7").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(token(&store, link).await, None);
        let state = store.access_proofs().find(link).await.unwrap().unwrap().state;
        assert_eq!(state, ProofState::LinkedAgain);
    }
}

/// On PostgreSQL another replica may be asking.
#[tokio::test]
async fn only_a_server_that_is_alone_need_not_wait_for_one_that_died() {
    for (database, alone) in [
        (testing::on_sqlite().await, true),
        (testing::on_postgres().await, false),
    ] {
        let (link, ..) = kept(&database.store).await;
        let tx = database.store.begin().await.unwrap();
        assert!(tx.access_proofs().claim(link, KEPT).await.unwrap());
        tx.access_proofs().end_claims_of_the_dead().await.unwrap();
        assert_eq!(tx.access_proofs().claim(link, KEPT).await.unwrap(), alone);
        let doubtful = tx.access_proofs().find(link).await.unwrap().unwrap().doubtful;
        assert_eq!(doubtful, alone, "what became of the call is not known");
    }
}
