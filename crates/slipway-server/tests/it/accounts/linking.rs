//! linked-accounts.md, "Linking, step by step".

use std::time::Duration;

use slipway_server::services::linking::LinkOutcome;
use slipway_types::{
    Timestamp,
    forge::{Health, HealthReason, OwnerReach},
};

use super::{World, kind, query, slug};

async fn a_person_links_their_account(world: World) {
    let ada = world.administrator().await;
    let link = world.link(&ada, &slug("ada"), "octo").await;

    assert_eq!((link.login.as_str(), link.health), ("octo", Health::Healthy));
    let owners = world.store().link_owners().of(link.id).await.unwrap();
    assert!(
        owners
            .iter()
            .any(|owner| owner.name == "acme" && owner.reach == OwnerReach::Granted),
        "{owners:?}"
    );
    let page = world.links.overview(&ada, &slug("ada")).await.unwrap();
    assert_eq!(page[0].link.as_ref().unwrap().id, link.id);
    assert_eq!(world.valid_tokens().len(), 1);
}

#[tokio::test]
async fn a_person_links_their_github_account() {
    a_person_links_their_account(World::github().await).await;
}

#[tokio::test]
async fn a_person_links_their_bitbucket_account() {
    a_person_links_their_account(World::bitbucket().await).await;
}

#[tokio::test]
async fn only_an_owner_links_for_an_organization() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let bob = world.person(&ada, "bob").await;
    let eve = world.person(&ada, "eve").await;
    let org = world.organization("acme", &ada, Some(&bob)).await;

    assert_eq!(
        kind(world.linking.start(&bob, &org, "github", false).await),
        "forbidden"
    );
    assert_eq!(
        kind(world.linking.start(&eve, &org, "github", false).await),
        "not_found"
    );
    world.link(&ada, &org, "octo").await;
    let seen = world.links.overview(&bob, &org).await.unwrap();
    assert!(seen[0].link.is_some());
    assert_eq!(kind(world.links.overview(&eve, &org).await), "not_found");
}

#[tokio::test]
async fn a_state_is_good_once() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    world.back(&ada, &back).await.unwrap();

    let again = kind(world.back(&ada, &back).await);
    assert!(matches!(again, "state_used" | "state_unknown"), "{again}");
    assert_eq!(world.valid_tokens().len(), 1);
}

#[tokio::test]
async fn a_state_that_was_never_given_out_changes_nothing() {
    let world = World::github().await;
    let ada = world.administrator().await;
    for query in [
        "code=x&state=made-up",
        "code=x",
        "",
        "state=",
        "error=access_denied&state=made-up",
    ] {
        assert_eq!(kind(world.back(&ada, query).await), "state_unknown", "{query}");
    }
    assert!(world.current_link(&slug("ada")).await.is_none());
}

#[tokio::test]
async fn a_state_of_another_browser_is_refused_and_stays_good_in_its_own() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let elsewhere = world.sign_in("ada").await;
    let eve = world.person(&ada, "eve").await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;

    assert_eq!(kind(world.back(&elsewhere, &back).await), "state_foreign");
    assert_eq!(kind(world.back(&eve, &back).await), "state_foreign");
    assert!(world.current_link(&slug("ada")).await.is_none());
    world.back(&ada, &back).await.unwrap();
}

#[tokio::test]
async fn a_state_of_another_forge_is_refused() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let mut other = world.form();
    other.name = "other".to_owned();
    world.providers.add(&ada, &other).await.unwrap();
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    assert_eq!(
        kind(world.linking.callback(&ada, "other", &back).await),
        "state_foreign"
    );
}

#[tokio::test]
async fn a_state_older_than_ten_minutes_is_refused() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    let state = query_value(&back, "state");
    let hash = slipway_vault::TokenHash::of(&state);
    let tx = world.store().begin().await.unwrap();
    let past = Timestamp::now().minus(Duration::from_secs(1));
    tx.link_attempts()
        .hold_grant(hash.as_str(), &"nothing".into(), past)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(kind(world.back(&ada, &back).await), "state_expired");
    assert_eq!(world.linking.sweep().await.unwrap(), 1);
    assert_eq!(kind(world.back(&ada, &back).await), "state_unknown");
}

#[tokio::test]
async fn pressing_cancel_at_the_provider_changes_nothing_and_says_so() {
    for world in [World::github().await, World::bitbucket().await] {
        let ada = world.administrator().await;
        let url = world
            .linking
            .start(&ada, &slug("ada"), world.forge(), false)
            .await
            .unwrap();
        let back = world.browser("octo").await.cancel(url.as_str()).await.unwrap();
        assert_eq!(kind(world.back(&ada, &query(&back)).await), "access_denied");
        assert!(world.current_link(&slug("ada")).await.is_none());
    }
}

#[tokio::test]
async fn a_wrong_client_secret_and_an_old_code_each_say_what_they_are() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    world.devforge.advance(Duration::from_mins(11));
    assert_eq!(kind(world.back(&ada, &back).await), "code_expired");

    let mut wrong = world.form();
    wrong.client_secret = Some("not it".into());
    let provider = world.providers.list().await.unwrap()[0].record.id;
    world.providers.change(&ada, provider, &wrong).await.unwrap();
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    assert_eq!(kind(world.back(&ada, &back).await), "client_rejected");
}

#[tokio::test]
async fn while_the_forge_cannot_be_reached_the_state_stays_good() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    let provider = world.providers.list().await.unwrap()[0].record.id;
    let mut away = world.form();
    away.web_url = "http://127.0.0.1:1/".parse().unwrap();
    world.providers.change(&ada, provider, &away).await.unwrap();
    assert_eq!(kind(world.back(&ada, &back).await), "unreachable");

    world
        .providers
        .change(&ada, provider, &world.form())
        .await
        .unwrap();
    world.back(&ada, &back).await.unwrap();
}

#[tokio::test]
async fn fewer_scopes_than_wanted_link_but_need_attention() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let url = world
        .linking
        .start(&ada, &slug("ada"), "github", false)
        .await
        .unwrap();
    let back = world
        .browser("octo")
        .await
        .authorize_only(url.as_str(), &["read:org"])
        .await
        .unwrap();
    world.back(&ada, &query(&back)).await.unwrap();

    let link = world.current_link(&slug("ada")).await.unwrap();
    assert_eq!(
        (link.health, link.health_reason),
        (Health::NeedsAttention, Some(HealthReason::ScopesMissing))
    );
    assert!(link.health_detail.unwrap().contains("repo"));
    assert_eq!(world.links.needing_attention(&ada).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_account_replaces_the_one_before_only_after_a_yes() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let before = world.link(&ada, &slug("ada"), "octo").await;

    let back = world.authorized(&ada, &slug("ada"), "mona").await;
    let LinkOutcome::OtherAccount(asked) = world.back(&ada, &back).await.unwrap() else {
        panic!("nobody was asked");
    };
    assert_eq!((asked.old.as_str(), asked.new.as_str()), ("octo", "mona"));
    assert_eq!(world.linking.pending(&ada, &asked.pending).await.unwrap(), asked);
    let elsewhere = world.sign_in("ada").await;
    assert_eq!(
        kind(world.linking.answer(&elsewhere, &asked.pending, true).await),
        "state_unknown"
    );

    assert!(
        world
            .linking
            .answer(&ada, &asked.pending, false)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(world.current_link(&slug("ada")).await.unwrap().login, "octo");
    world.settle().await;
    assert_eq!(world.valid_tokens().len(), 1, "the new token was given back");
    assert_eq!(
        kind(world.linking.answer(&ada, &asked.pending, true).await),
        "state_unknown"
    );

    let back = world.authorized(&ada, &slug("ada"), "mona").await;
    let LinkOutcome::OtherAccount(asked) = world.back(&ada, &back).await.unwrap() else {
        panic!("nobody was asked");
    };
    world.linking.answer(&ada, &asked.pending, true).await.unwrap();
    world.settle().await;
    let after = world.current_link(&slug("ada")).await.unwrap();
    assert_eq!((after.id, after.login.as_str()), (before.id, "mona"));
    assert_eq!(world.valid_tokens().len(), 1, "the account before was let go");
}

#[tokio::test]
async fn one_account_serves_two_namespaces_with_one_token() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let org = world.organization("acme", &ada, None).await;
    let own = world.link(&ada, &slug("ada"), "octo").await;
    let theirs = world.link(&ada, &org, "octo").await;

    assert_eq!(own.credential, theirs.credential);
    world.settle().await;
    assert_eq!(world.valid_tokens().len(), 1, "the second token was given back");
}

/// A crash, or a provider that went away, between the exchange and the link.
#[tokio::test]
async fn coming_back_again_goes_on_with_what_the_exchange_gave() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let back = world.authorized(&ada, &slug("ada"), "octo").await;
    let provider = world.providers.list().await.unwrap()[0].record.id;
    let mut away = world.form();
    away.api_url = "http://127.0.0.1:1/api/v3".parse().unwrap();
    world.providers.change(&ada, provider, &away).await.unwrap();
    assert_eq!(kind(world.back(&ada, &back).await), "unreachable");
    assert_eq!(world.valid_tokens().len(), 1, "the code was exchanged");
    let elsewhere = world.sign_in("ada").await;
    assert_eq!(kind(world.back(&elsewhere, &back).await), "state_foreign");

    world
        .providers
        .change(&ada, provider, &world.form())
        .await
        .unwrap();
    world.back(&ada, &back).await.unwrap();
    world.settle().await;
    assert_eq!(world.valid_tokens().len(), 1);
    assert_eq!(kind(world.back(&ada, &back).await), "state_used");
}

#[tokio::test]
async fn what_nobody_comes_back_for_is_given_back() {
    let world = World::github().await;
    let ada = world.administrator().await;
    world.link(&ada, &slug("ada"), "octo").await;
    let back = world.authorized(&ada, &slug("ada"), "mona").await;
    let LinkOutcome::OtherAccount(asked) = world.back(&ada, &back).await.unwrap() else {
        panic!("nobody was asked");
    };
    assert_eq!(world.valid_tokens().len(), 2);
    // Signing out ends the question, not what it holds.
    world
        .accounts
        .end_session(&ada, ada.session().unwrap())
        .await
        .unwrap();
    let held = world
        .store()
        .link_attempts()
        .open_grant(&asked.pending)
        .await
        .unwrap();
    let tx = world.store().begin().await.unwrap();
    let past = Timestamp::now().minus(Duration::from_secs(1));
    tx.link_attempts()
        .hold_grant(&asked.pending, &held.unwrap(), past)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(world.linking.sweep().await.unwrap(), 1);
    world.settle().await;
    assert_eq!(world.valid_tokens().len(), 1);
}

/// linked-accounts.md: "on replacement the keys are made anew under the new token before the old one is given up".
#[tokio::test]
async fn a_wider_token_replaces_a_narrower_one_and_its_keys() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let narrow = world
        .linking
        .start(&ada, &slug("ada"), "github", false)
        .await
        .unwrap();
    let mut browser = world.browser("octo").await;
    let back = browser.authorize_only(narrow.as_str(), &["repo"]).await.unwrap();
    world.back(&ada, &query(&back)).await.unwrap();
    let source = world.source("octo/app").await;
    let repository = world.repository(&slug("ada"), "app").await;
    world
        .configure(&ada, &slug("ada"), &repository, "octo/app")
        .await
        .unwrap();
    world.settle().await;
    let before = source.keys();
    assert_eq!(before.len(), 1);

    world.link(&ada, &slug("ada"), "octo").await;
    world.settle().await;
    let after = source.keys();
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(after[0].key, before[0].key, "made anew under the new token");
    assert_eq!(world.valid_tokens().len(), 1, "the narrow one was given back");
    let link = world.current_link(&slug("ada")).await.unwrap();
    assert_eq!(link.health, Health::Healthy);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_linking_again() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let before = world.link(&ada, &slug("ada"), "octo").await;
    world
        .provider()
        .revoke_grant("octo", &world.client.client_id)
        .unwrap();

    let checked = world.health.check(&ada, &slug("ada"), "github").await.unwrap();
    assert_eq!(
        (checked.health, checked.health_reason),
        (Health::Broken, Some(HealthReason::TokenRevoked))
    );
    let after = world.link(&ada, &slug("ada"), "octo").await;
    assert_eq!((after.id, after.health), (before.id, Health::Healthy));
}

fn query_value(query: &str, name: &str) -> String {
    let value = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    value.unwrap().1.into_owned()
}
