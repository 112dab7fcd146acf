use std::time::Duration;

use secrecy::ExposeSecret as _;
use slipway_devforge::Kind;
use slipway_forge::{OauthError, Pkce, Revocation, Scopes, TokenCheck};

use crate::world::{BOTH, World, callback, code};

#[tokio::test]
async fn linking_yields_a_token_that_speaks_for_the_person() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let grant = world.link("ada").await;
        assert!(world.forge.missing_scopes(&grant.scopes.unwrap()).is_empty());
        let account = world.forge.account(&grant.access_token).await.unwrap();
        assert_eq!(
            (account.login.as_str(), account.name.as_deref()),
            ("ada", Some("Ada Lovelace"))
        );
        let check = world.forge.check_token(&grant.access_token).await.unwrap();
        assert!(matches!(check, TokenCheck::Valid { .. }), "{check:?}");
        assert_eq!(grant.refresh_token.is_some(), kind == Kind::Bitbucket);
        assert_eq!(grant.expires_in.is_some(), kind == Kind::Bitbucket);
    }
}

#[tokio::test]
async fn cancelling_is_told_as_such() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let query = world.ask("ada", None, &[]).await;
        let error = world.forge.callback_error(&query).unwrap();
        assert!(matches!(error, OauthError::AccessDenied { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_for_ten_minutes() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let used = code(&world.ask("ada", None, &["repo"]).await);
        world.forge.exchange(&used, &callback(), None).await.unwrap();
        let error = world.forge.exchange(&used, &callback(), None).await.unwrap_err();
        assert_eq!(error.kind(), "code_expired");

        let world = World::start(kind).await;
        let old = code(&world.ask("ada", None, &["repo"]).await);
        world.devforge.advance(Duration::from_secs(601));
        let error = world.forge.exchange(&old, &callback(), None).await.unwrap_err();
        assert_eq!(error.kind(), "code_expired");
    }
}

#[tokio::test]
async fn a_code_without_its_verifier_is_worth_nothing() {
    let world = World::start(Kind::GitHub).await;
    let pkce = Pkce::fresh();
    let stolen = code(&world.ask("ada", Some(&pkce), &["repo"]).await);
    let other = Pkce::fresh();
    let error = world
        .forge
        .exchange(&stolen, &callback(), Some(&other.verifier))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "code_expired");
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_from_an_unreachable_forge() {
    for kind in BOTH {
        let world = World::start(kind).await;
        world.forge.check_client(&callback()).await.unwrap();

        let wrong = world.configured(|config| config.client_secret = "wrong".into());
        assert_eq!(
            wrong.check_client(&callback()).await.unwrap_err().kind(),
            "client_rejected"
        );

        let closed = world.configured(|config| config.web_url = "http://127.0.0.1:9".parse().unwrap());
        let error = closed.check_client(&callback()).await.unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        assert_eq!(
            error.to_string(),
            "127.0.0.1:9 could not be reached: no connection could be made"
        );
    }
}

#[tokio::test]
async fn githubs_errors_with_status_200_are_errors() {
    let world = World::start(Kind::GitHub).await;
    let asked = code(&world.ask("ada", None, &["repo"]).await);
    let elsewhere = "http://127.0.0.1:9/elsewhere".parse().unwrap();
    let error = world.forge.exchange(&asked, &elsewhere, None).await.unwrap_err();
    assert_eq!(error.kind(), "redirect_mismatch");

    let world = World::start(Kind::GitHub).await;
    world.provider.set_email_verified("ada", false).unwrap();
    let asked = code(&world.ask("ada", None, &["repo"]).await);
    let error = world.forge.exchange(&asked, &callback(), None).await.unwrap_err();
    assert_eq!(error.kind(), "unverified_email");
}

#[tokio::test]
async fn a_person_who_grants_less_leaves_scopes_missing() {
    let world = World::start(Kind::GitHub).await;
    let asked = code(&world.ask("ada", None, &["repo"]).await);
    let grant = world.forge.exchange(&asked, &callback(), None).await.unwrap();
    let missing = world.forge.missing_scopes(&grant.scopes.unwrap());
    assert_eq!(missing, Scopes::parse("read:org"));

    let error = world.forge.owners(&grant.access_token).await.unwrap_err();
    assert_eq!(error.kind(), "needs_scope");
}

#[tokio::test]
async fn scopes_taken_away_later_show_in_the_account() {
    let world = World::start(Kind::GitHub).await;
    let token = world.token().await;
    world
        .provider
        .edit_scopes("ada", &world.client.client_id, &["read:org"])
        .unwrap();
    let account = world.forge.account(&token).await.unwrap();
    assert_eq!(
        world.forge.missing_scopes(&account.scopes.unwrap()),
        Scopes::parse("repo")
    );
}

#[tokio::test]
async fn a_revoked_token_is_found_out() {
    let world = World::start(Kind::GitHub).await;
    let token = world.token().await;
    assert_eq!(
        world.forge.revoke_token(&token).await.unwrap(),
        Revocation::Revoked
    );
    assert_eq!(
        world.forge.revoke_token(&token).await.unwrap(),
        Revocation::AlreadyGone
    );
    assert_eq!(
        world.forge.check_token(&token).await.unwrap(),
        TokenCheck::Invalid
    );
    assert_eq!(
        world.forge.account(&token).await.unwrap_err().kind(),
        "unauthorized"
    );
}

#[tokio::test]
async fn revoking_the_grant_ends_its_tokens() {
    let world = World::start(Kind::GitHub).await;
    let token = world.token().await;
    assert_eq!(
        world.forge.revoke_grant(&token).await.unwrap(),
        Revocation::Revoked
    );
    assert_eq!(
        world.forge.check_token(&token).await.unwrap(),
        TokenCheck::Invalid
    );
    assert!(world.provider.tokens().iter().all(|token| !token.valid));
}

#[tokio::test]
async fn bitbucket_offers_no_revocation_and_says_where_to_do_it() {
    let world = World::start(Kind::Bitbucket).await;
    let token = world.token().await;
    assert_eq!(
        world.forge.revoke_token(&token).await.unwrap(),
        Revocation::NotOffered
    );
    assert_eq!(
        world.forge.revoke_grant(&token).await.unwrap(),
        Revocation::NotOffered
    );
    assert!(
        world
            .forge
            .authorizations_url()
            .path()
            .ends_with("/app-authorizations/")
    );
}

#[tokio::test]
async fn a_refresh_token_is_used_up_by_its_use() {
    let world = World::start(Kind::Bitbucket).await;
    let first = world.link("ada").await;
    world
        .devforge
        .advance(first.expires_in.unwrap() + Duration::from_secs(1));
    assert_eq!(
        world.forge.check_token(&first.access_token).await.unwrap(),
        TokenCheck::Invalid
    );

    let used = first.refresh_token.unwrap();
    let second = world.forge.refresh(&used).await.unwrap();
    assert!(matches!(
        world.forge.check_token(&second.access_token).await.unwrap(),
        TokenCheck::Valid { .. }
    ));
    assert_ne!(
        second.refresh_token.unwrap().expose_secret(),
        used.expose_secret()
    );
    assert_eq!(
        world.forge.refresh(&used).await.unwrap_err().kind(),
        "refresh_refused"
    );
}

#[tokio::test]
async fn no_secret_shows_in_debug_output() {
    let world = World::start(Kind::Bitbucket).await;
    let grant = world.link("ada").await;
    let shown = format!("{grant:?} {:?}", world.config);
    assert!(!shown.contains(grant.access_token.expose_secret()));
    assert!(!shown.contains(&world.client.client_secret));
}
