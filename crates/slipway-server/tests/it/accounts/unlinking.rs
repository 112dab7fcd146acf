//! linked-accounts.md, "Unlinking": ends at nothing left.

use std::time::Duration;

use slipway_server::services::{
    Caller,
    access_proofs::{self, KEPT_FOR},
    unlinking::UnlinkChoices,
};
use slipway_store::AccessProof;
use slipway_types::{
    LinkId, Timestamp,
    forge::{LinkState, OutboxKind, OutboxState, ProofState, ResourceState},
    rule::ConfigurationState,
};

use super::{World, kind, slug};

const ALL: UnlinkChoices = UnlinkChoices {
    revoke_grant: true,
    cancel_running: true,
};

#[tokio::test]
async fn unlinking_leaves_no_hook_no_key_and_no_grant_at_github() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let first = world.source("octo/app").await;
    let second = world.source("acme/web").await;
    let app = world.repository(&slug("ada"), "app").await;
    let web = world.repository(&slug("ada"), "web").await;
    let link = world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world
        .configure(&ada, &slug("ada"), &web, "acme/web")
        .await
        .unwrap();
    world.settle().await;

    let preview = world
        .unlinking
        .preview(&ada, &slug("ada"), "github")
        .await
        .unwrap();
    assert!(preview.may_revoke);
    let named: Vec<_> = preview.sources.iter().map(|it| it.source.full_name()).collect();
    assert_eq!(named, ["octo/app", "acme/web"]);
    assert!(
        preview
            .sources
            .iter()
            .all(|it| it.hook.is_some() && it.key.is_some())
    );

    world
        .unlinking
        .unlink(&ada, &slug("ada"), "github", ALL)
        .await
        .unwrap();
    let view = world
        .configuring
        .view(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.configuration.state, ConfigurationState::Disconnected);
    assert!(
        world.current_link(&slug("ada")).await.is_none(),
        "from now on it builds nothing"
    );
    let ledger = world
        .unlinking
        .ledger(&ada, &slug("ada"), "github", None)
        .await
        .unwrap();
    assert_eq!((ledger.steps.len(), ledger.remaining), (5, 4));

    world.settle().await;
    for source in [&first, &second] {
        assert_eq!((source.hooks().len(), source.keys().len()), (0, 0));
    }
    assert!(world.valid_tokens().is_empty(), "the grant is revoked");
    let ledger = world
        .unlinking
        .ledger(&ada, &slug("ada"), "github", Some(link.id))
        .await
        .unwrap();
    assert!(ledger.is_finished() && ledger.remaining == 0, "{ledger:?}");
    assert_eq!(ledger.link.state, LinkState::Unlinked);
    let credential = link.credential.unwrap();
    assert!(
        world
            .store()
            .credentials()
            .find(credential)
            .await
            .unwrap()
            .is_none(),
        "the tokens are erased"
    );

    // Linking again brings the configurations back, with hooks and keys.
    world.link(&ada, &slug("ada"), "octo").await;
    world.settle().await;
    assert_eq!((first.hooks().len(), first.keys().len()), (1, 1));
    let view = world
        .configuring
        .view(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.configuration.state, ConfigurationState::Active);
}

#[tokio::test]
async fn unlinking_bitbucket_names_the_page_where_the_access_is_ended() {
    let world = World::bitbucket().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));

    world
        .unlinking
        .unlink(&ada, &slug("ada"), "bitbucket", ALL)
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (0, 0));
    let ledger = world
        .unlinking
        .ledger(&ada, &slug("ada"), "bitbucket", None)
        .await
        .unwrap();
    assert_eq!(ledger.remaining, 0);
    let last = ledger.steps.last().unwrap();
    assert_eq!(
        (last.kind, last.state),
        (OutboxKind::RevokeCredential, OutboxState::GivenUp)
    );
    assert!(
        last.detail
            .as_deref()
            .unwrap()
            .contains(world.provider().web_url()),
        "{last:?}"
    );
}

/// An account at Bitbucket that was unlinked, and whose access is to be proven gone.
async fn to_be_proven(world: &World) -> (Caller, LinkId) {
    let ada = world.administrator().await;
    let link = world.link(&ada, &slug("ada"), "octo").await;
    world
        .unlinking
        .unlink(&ada, &slug("ada"), "bitbucket", ALL)
        .await
        .unwrap();
    world.settle().await;
    (ada, link.id)
}

async fn proof(world: &World, link: LinkId) -> AccessProof {
    world.store().access_proofs().find(link).await.unwrap().unwrap()
}

async fn kept(world: &World, link: LinkId) -> bool {
    let token = world.store().access_proofs().open_refresh_token(link).await;
    token.unwrap().is_some()
}

#[tokio::test]
async fn a_token_that_may_have_been_spent_proves_nothing_and_is_erased() {
    let world = World::bitbucket().await;
    let (ada, link) = to_be_proven(&world).await;
    // A server died while it asked: what it was answered is not known.
    let tx = world.store().begin().await.unwrap();
    assert!(tx.access_proofs().claim(link, Duration::ZERO).await.unwrap());
    tx.commit().await.unwrap();
    let client = &world.client.client_id;
    world.provider().revoke_grant("octo", client).unwrap();
    let checked = world
        .access_proofs
        .check(&ada, &slug("ada"), "bitbucket", Some(link))
        .await
        .unwrap();
    assert_eq!(checked.state, ProofState::Unproven);
    assert!(!kept(&world, link).await);
}

#[tokio::test]
async fn only_one_asks_at_a_time() {
    let world = World::bitbucket().await;
    let (ada, link) = to_be_proven(&world).await;
    let tx = world.store().begin().await.unwrap();
    let claimed = tx.access_proofs().claim(link, Duration::from_mins(1)).await;
    assert!(claimed.unwrap());
    tx.commit().await.unwrap();
    let busy = world
        .access_proofs
        .check(&ada, &slug("ada"), "bitbucket", None)
        .await;
    assert_eq!(kind(busy), "being_checked");
    assert_eq!(world.provider().refreshes(), (0, 0));
    assert!(kept(&world, link).await);
}

#[tokio::test]
async fn a_token_is_kept_for_seven_days_at_most() {
    let world = World::bitbucket().await;
    let (ada, link) = to_be_proven(&world).await;
    let until = proof(&world, link).await.kept_until;
    assert!(until <= Timestamp::now().plus(KEPT_FOR));
    for (now, is_kept) in [(until.minus(Duration::from_millis(1)), true), (until, false)] {
        let tx = world.store().begin().await.unwrap();
        access_proofs::lapse(&tx, now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(kept(&world, link).await, is_kept);
    }
    assert_eq!(proof(&world, link).await.state, ProofState::Lapsed);
    let late = world
        .access_proofs
        .forget(&ada, &slug("ada"), "bitbucket", None)
        .await;
    assert_eq!(kind(late), "nothing_kept");
}

#[tokio::test]
async fn only_an_owner_has_an_access_checked_or_forgotten() {
    let world = World::bitbucket().await;
    let (ada, link) = to_be_proven(&world).await;
    let bob = world.person(&ada, "bob").await;
    let (ada, proofs) = (slug("ada"), &world.access_proofs);
    assert_eq!(
        kind(proofs.check(&bob, &ada, "bitbucket", Some(link)).await),
        "not_found"
    );
    assert_eq!(
        kind(proofs.forget(&bob, &ada, "bitbucket", Some(link)).await),
        "not_found"
    );
    assert!(kept(&world, link).await);
}

#[tokio::test]
async fn a_shared_account_is_let_go_of_but_not_revoked() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let org = world.organization("acme", &ada, None).await;
    let app = world.repository(&slug("ada"), "app").await;
    let theirs = world.repository(&org, "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world.link(&ada, &org, "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world.configure(&ada, &org, &theirs, "octo/app").await.unwrap();
    world.settle().await;
    assert_eq!(
        (source.hooks().len(), source.keys().len()),
        (2, 2),
        "nobody's secret or fate is shared"
    );

    let preview = world
        .unlinking
        .preview(&ada, &slug("ada"), "github")
        .await
        .unwrap();
    assert!(!preview.may_revoke);
    assert_eq!(preview.others, std::slice::from_ref(&org));
    world
        .unlinking
        .unlink(&ada, &slug("ada"), "github", ALL)
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
    assert_eq!(world.valid_tokens().len(), 1);

    world.unlinking.unlink(&ada, &org, "github", ALL).await.unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (0, 0));
    assert!(world.valid_tokens().is_empty());
}

#[tokio::test]
async fn what_cannot_be_removed_is_left_behind_and_named() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("acme/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    let link = world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "acme/app")
        .await
        .unwrap();
    world.settle().await;
    // The person has left the organization: nobody is there to remove anything.
    world.provider().set_member("acme", "octo", None).unwrap();
    source.set_private(true);

    world
        .unlinking
        .unlink(&ada, &slug("ada"), "github", ALL)
        .await
        .unwrap();
    world.settle().await;
    let ledger = world
        .unlinking
        .ledger(&ada, &slug("ada"), "github", None)
        .await
        .unwrap();
    assert!(ledger.is_finished());
    assert_eq!(ledger.remaining, 2);
    let left = world.store().provider_resources().of_link(link.id).await.unwrap();
    assert!(left.iter().all(|it| it.state == ResourceState::LeftBehind));
    let hook = left.iter().find(|it| it.hook_path.is_some()).unwrap();
    assert!(
        hook.detail
            .as_deref()
            .unwrap()
            .ends_with("/acme/app/settings/hooks"),
        "{hook:?}"
    );
    assert_eq!(ledger.link.state, LinkState::Unlinked);
}

#[tokio::test]
async fn unlinking_before_anything_was_made_leaves_nothing() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world
        .unlinking
        .unlink(&ada, &slug("ada"), "github", ALL)
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (0, 0));
    let ledger = world
        .unlinking
        .ledger(&ada, &slug("ada"), "github", None)
        .await
        .unwrap();
    assert_eq!(ledger.remaining, 0);
    assert_eq!(
        kind(world.unlinking.preview(&ada, &slug("ada"), "github").await),
        "not_found"
    );
}

#[tokio::test]
async fn only_an_owner_unlinks() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let bob = world.person(&ada, "bob").await;
    let org = world.organization("acme", &ada, Some(&bob)).await;
    world.link(&ada, &org, "octo").await;
    assert_eq!(
        kind(world.unlinking.unlink(&bob, &org, "github", ALL).await),
        "forbidden"
    );
    assert_eq!(
        kind(world.unlinking.unlink(&bob, &slug("ada"), "github", ALL).await),
        "not_found"
    );
    assert!(world.current_link(&org).await.is_some());
}
