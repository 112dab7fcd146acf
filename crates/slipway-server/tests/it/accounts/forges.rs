//! Tokens are renewed once for all who wait, and source providers are tried out.

use std::time::Duration;

use slipway_devforge::Kind;
use slipway_types::forge::{Health, OwnerReach};

use super::{World, kind, slug};

#[tokio::test]
async fn an_expiring_token_is_renewed_once_for_all_who_wait() {
    let short = slipway_devforge::Config {
        bitbucket_token_lifetime: Duration::from_secs(1),
        ..slipway_devforge::Config::default()
    };
    let world = World::start(Kind::Bitbucket, short).await;
    let ada = world.administrator().await;
    let link = world.link(&ada, &slug("ada"), "octo").await;
    let credential = link.credential.unwrap();
    let issued = world.provider().tokens().len();
    let first = world
        .store()
        .credentials()
        .find(credential)
        .await
        .unwrap()
        .unwrap();
    expire(&world, &first).await;

    let waiters = futures::future::join_all((0..8).map(|_| world.forges.token(credential))).await;
    assert!(waiters.iter().all(Result::is_ok), "{waiters:?}");
    let renewed = world
        .store()
        .credentials()
        .find(credential)
        .await
        .unwrap()
        .unwrap();
    assert!(renewed.obtained_at > first.obtained_at);
    let refreshed = world.provider().tokens().len() - issued;
    assert!(
        (1..=2).contains(&refreshed),
        "one renewal for eight, not {refreshed}"
    );
}

#[tokio::test]
async fn an_organization_is_asked_about_with_another_token_where_one_ended_before_its_time() {
    let world = World::bitbucket().await;
    let ada = world.administrator().await;
    let link = world.link(&ada, &slug("ada"), "octo").await;
    let owners = world.store().link_owners().of(link.id).await.unwrap();
    let workspace = &owners.first().expect("a workspace of their own").name;
    assert!(world.provider().expire_tokens() > 0);
    let checked = world
        .health
        .check_owner(&ada, &slug("ada"), "bitbucket", workspace)
        .await
        .unwrap();
    assert_eq!(checked.reach, OwnerReach::Granted);
    assert_eq!(world.provider().refreshes(), (1, 0));
    let link = world.store().links().find(link.id).await.unwrap().unwrap();
    assert_eq!(link.health, Health::Healthy);
}

/// Says that the token that is stored has ended already.
async fn expire(world: &World, credential: &slipway_store::Credential) {
    let tokens = slipway_store::Tokens {
        access: world
            .store()
            .credentials()
            .open_access_token(credential.id)
            .await
            .unwrap(),
        refresh: world
            .store()
            .credentials()
            .open_refresh_token(credential.id)
            .await
            .unwrap(),
        expires_at: Some(credential.obtained_at),
        scopes: credential.scopes.clone(),
    };
    let tx = world.store().begin().await.unwrap();
    assert!(
        tx.credentials()
            .replace_tokens(credential.id, credential.obtained_at, &tokens)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn testing_a_source_provider_tells_a_wrong_secret_from_an_unreachable_host() {
    for world in [World::github().await, World::bitbucket().await] {
        let ada = world.administrator().await;
        let id = world.providers.list().await.unwrap()[0].record.id;
        world.providers.test(&ada, Some(id), None).await.unwrap();

        let mut form = world.form();
        form.client_secret = Some("wrong".into());
        assert_eq!(
            kind(world.providers.test(&ada, Some(id), Some(&form)).await),
            "invalid"
        );
        form = world.form();
        form.web_url = "http://127.0.0.1:1".parse().unwrap();
        assert_eq!(
            kind(world.providers.test(&ada, Some(id), Some(&form)).await),
            "unreachable"
        );
        let bob = world.person(&ada, "bob").await;
        assert_eq!(
            kind(world.providers.test(&bob, Some(id), None).await),
            "forbidden"
        );
    }
}
