//! Bitbucket's OAuth: expiring tokens, rotating refresh tokens.

use std::time::Duration;

use slipway_devforge::{Config, Kind, ScopeField};

use crate::support::{Api, World, parameters, text};

async fn tokens(world: &World) -> (String, String) {
    let code = world.bitbucket_code(&mut world.browser("ada").await).await;
    let (status, answer) = world
        .bitbucket_exchange(&[("grant_type", "authorization_code"), ("code", &code)])
        .await;
    assert_eq!((status, &answer["expires_in"]), (200, &serde_json::json!(7200)));
    assert!(text(&answer["scopes"]).contains("repository:admin"));
    (text(&answer["access_token"]), text(&answer["refresh_token"]))
}

async fn refresh(world: &World, token: &str) -> (u16, serde_json::Value) {
    world
        .bitbucket_exchange(&[("grant_type", "refresh_token"), ("refresh_token", token)])
        .await
}

#[tokio::test]
async fn a_refresh_token_works_once_and_hands_out_its_successor() {
    let world = World::bitbucket().await;
    let (_, first) = tokens(&world).await;
    let (status, answer) = refresh(&world, &first).await;
    assert_eq!(status, 200);
    let second = text(&answer["refresh_token"]);
    assert_ne!(first, second);

    let (status, refused) = refresh(&world, &first).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(refresh(&world, &second).await.0, 200);
}

#[tokio::test]
async fn access_tokens_expire_and_idle_refresh_tokens_die_after_three_months() {
    let world = World::bitbucket().await;
    let (access, refresh_token) = tokens(&world).await;
    let api = Api {
        base: world.provider.api_url().to_owned(),
        token: Some(access),
    };
    api.get("/user").await;
    world.forge.advance(Duration::from_hours(2));
    api.expect(401, "GET", "/user", None).await;
    world.forge.advance(Duration::from_hours(90 * 24));
    assert_eq!(refresh(&world, &refresh_token).await.0, 400);
}

#[tokio::test]
async fn wrong_credentials_codes_and_grant_types_are_refused() {
    let mut world = World::bitbucket().await;
    let code = world.bitbucket_code(&mut world.browser("ada").await).await;
    assert_eq!(
        world.bitbucket_exchange(&[("grant_type", "password")]).await.1["error"],
        "unsupported_grant_type"
    );
    let wrong = [("grant_type", "authorization_code"), ("code", "guess")];
    assert_eq!(world.bitbucket_exchange(&wrong).await.1["error"], "invalid_grant");
    let right = [("grant_type", "authorization_code"), ("code", code.as_str())];
    assert_eq!(world.bitbucket_exchange(&right).await.0, 200);
    assert_eq!(world.bitbucket_exchange(&right).await.0, 400, "a code works once");
    "guess".clone_into(&mut world.client.client_secret);
    assert_eq!(
        world.bitbucket_exchange(&right).await.1["error"],
        "unauthorized_client"
    );
}

#[tokio::test]
async fn denying_access_comes_back_as_an_error() {
    let world = World::bitbucket().await;
    let url = format!(
        "/site/oauth2/authorize?client_id={}&response_type=code&state=s",
        world.client.client_id
    );
    let back = parameters(&world.browser("ada").await.cancel(&url).await.unwrap());
    assert_eq!(
        (back["error"].as_str(), back["state"].as_str()),
        ("access_denied", "s")
    );
}

#[tokio::test]
async fn a_revoked_grant_ends_access_and_refresh() {
    let world = World::bitbucket().await;
    let (access, refresh_token) = tokens(&world).await;
    world
        .provider
        .revoke_grant("ada", &world.client.client_id)
        .unwrap();
    let api = Api {
        base: world.provider.api_url().to_owned(),
        token: Some(access),
    };
    api.expect(401, "GET", "/user", None).await;
    assert_eq!(refresh(&world, &refresh_token).await.0, 400);
}

#[tokio::test]
async fn the_scope_field_can_be_spelled_the_newer_way() {
    let config = Config {
        bitbucket_scope_field: ScopeField::Scope,
        ..Config::default()
    };
    let world = World::start(Kind::Bitbucket, config).await;
    let code = world.bitbucket_code(&mut world.browser("ada").await).await;
    let (_, answer) = world
        .bitbucket_exchange(&[("grant_type", "authorization_code"), ("code", &code)])
        .await;
    assert!(answer["scope"].is_string() && answer.get("scopes").is_none());
}
