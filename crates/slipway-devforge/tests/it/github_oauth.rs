//! GitHub's OAuth, with each documented error.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

use crate::support::{Browser, CALLBACK, SCOPES, World, client, hidden_fields, text};

#[tokio::test]
async fn a_person_signs_in_authorizes_and_the_code_becomes_a_token_once() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    let url = browser.authorize_url(&world.client, &[("scope", SCOPES), ("state", "xyz")]);

    let unsigned = browser.get(&url).await;
    assert!(
        unsigned.headers()["location"]
            .to_str()
            .unwrap()
            .starts_with("/login?return_to=")
    );
    browser.sign_in("ada", "ada's password").await;
    let back = browser.authorize(&url).await;
    assert_eq!(back["state"], "xyz");

    let answer = world.github_exchange(&[("code", &back["code"])]).await;
    assert_eq!(answer["scope"], "read:org,repo,user:email");
    assert_eq!(answer["token_type"], "bearer");
    let again = world.github_exchange(&[("code", &back["code"])]).await;
    assert_eq!(again["error"], "bad_verification_code");

    let me = client()
        .get(format!("{}/user", world.provider.api_url()))
        .bearer_auth(text(&answer["access_token"]))
        .send()
        .await
        .unwrap();
    assert_eq!(me.headers()["x-oauth-scopes"], "read:org, repo, user:email");
    assert_eq!(me.json::<serde_json::Value>().await.unwrap()["login"], "ada");
}

#[tokio::test]
async fn a_second_authorization_of_the_same_scopes_needs_no_page() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let url = browser.authorize_url(&world.client, &[("scope", SCOPES), ("state", "1")]);
    browser.authorize(&url).await;

    let again = browser.get(&url).await;
    assert_eq!(again.status(), 302);
    let without_scope = browser.authorize_url(&world.client, &[("state", "2")]);
    let back = browser.authorize(&without_scope).await;
    let answer = world.github_exchange(&[("code", &back["code"])]).await;
    assert_eq!(
        answer["scope"], "read:org,repo,user:email",
        "earlier scopes are silently reused"
    );
}

#[tokio::test]
async fn every_documented_token_error_comes_with_status_200() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let url = browser.authorize_url(
        &world.client,
        &[("scope", "repo"), ("state", "s"), ("redirect_uri", CALLBACK)],
    );

    let code = browser.authorize(&url).await.remove("code").unwrap();
    let wrong = world
        .github_exchange(&[("code", &code), ("client_secret", "guess")])
        .await;
    assert_eq!(wrong["error"], "incorrect_client_credentials");
    let unknown = world.github_exchange(&[("code", "0123456789abcdef0123")]).await;
    assert_eq!(unknown["error"], "bad_verification_code");
    let elsewhere = world
        .github_exchange(&[("code", &code), ("redirect_uri", "http://127.0.0.1:1/other")])
        .await;
    assert_eq!(elsewhere["error"], "redirect_uri_mismatch");

    world.provider.set_email_verified("ada", false).unwrap();
    let code = browser.authorize(&url).await.remove("code").unwrap();
    let unverified = world.github_exchange(&[("code", &code)]).await;
    assert_eq!(unverified["error"], "unverified_user_email");
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let url = browser.authorize_url(&world.client, &[("scope", "repo")]);
    let code = browser.authorize(&url).await.remove("code").unwrap();
    world.forge.advance(Duration::from_secs(10 * 60 + 1));
    assert_eq!(
        world.github_exchange(&[("code", &code)]).await["error"],
        "bad_verification_code"
    );
}

#[tokio::test]
async fn pkce_is_really_verified() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let verifier = "a-verifier-of-sufficient-length-0123456789-abcdef";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let asked = [
        ("scope", "repo"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let url = browser.authorize_url(&world.client, &asked);

    let code = browser.authorize(&url).await.remove("code").unwrap();
    let wrong = world
        .github_exchange(&[("code", &code), ("code_verifier", "another")])
        .await;
    assert_eq!(wrong["error"], "bad_verification_code");
    let code = browser.authorize(&url).await.remove("code").unwrap();
    assert_eq!(
        world.github_exchange(&[("code", &code)]).await["error"],
        "bad_verification_code",
        "none at all"
    );
    let code = browser.authorize(&url).await.remove("code").unwrap();
    let right = world
        .github_exchange(&[("code", &code), ("code_verifier", verifier)])
        .await;
    assert!(right["access_token"].is_string());
}

#[tokio::test]
async fn cancelling_and_a_foreign_callback_come_back_as_errors() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let url = browser.authorize_url(&world.client, &[("scope", "repo"), ("state", "s")]);
    let mut form = hidden_fields(&browser.get(&url).await.text().await.unwrap());
    form.push(("authorize".to_owned(), "0".to_owned()));
    let back = browser.answer(&form).await;
    assert_eq!(
        (back["error"].as_str(), back["state"].as_str()),
        ("access_denied", "s")
    );

    let foreign = [
        ("redirect_uri", "http://evil.example/oauth/callback"),
        ("state", "s"),
    ];
    let url = browser.authorize_url(&world.client, &foreign);
    let back = crate::support::callback_parameters(&browser.get(&url).await);
    assert_eq!(back["error"], "redirect_uri_mismatch");
}

#[tokio::test]
async fn a_form_without_the_pages_token_is_refused() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let id = world.client.client_id.as_str();
    let forged = browser
        .post("/login/oauth/authorize", &[("client_id", id), ("authorize", "1")])
        .await;
    assert_eq!(forged.status(), 422);
}

#[tokio::test]
async fn a_person_may_grant_less_than_asked() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    let url = browser.authorize_url(&world.client, &[("scope", SCOPES)]);
    let mut form = hidden_fields(&browser.get(&url).await.text().await.unwrap());
    form.push(("granted_scope".to_owned(), "read:org".to_owned()));
    form.push(("authorize".to_owned(), "1".to_owned()));
    let code = browser.answer(&form).await.remove("code").unwrap();
    assert_eq!(
        world.github_exchange(&[("code", &code)]).await["scope"],
        "read:org"
    );
}

#[tokio::test]
async fn the_account_switcher_decides_whose_token_it_becomes() {
    let world = World::github().await;
    let mut browser = Browser::new(&world.provider);
    browser.sign_in("ada", "ada's password").await;
    browser.sign_in("bob", "bob's password").await;
    let url = browser.authorize_url(&world.client, &[("scope", "repo"), ("prompt", "select_account")]);
    let page = browser.get(&url).await.text().await.unwrap();
    let fields = hidden_fields(&page);
    let back_to = &fields.iter().find(|(name, _)| name == "return_to").unwrap().1;
    let chosen = browser
        .post(
            "/login/select_account",
            &[("login", "ada"), ("return_to", back_to)],
        )
        .await;
    let next = chosen.headers()["location"].to_str().unwrap().to_owned();
    let code = browser.authorize(&next).await.remove("code").unwrap();
    world.github_exchange(&[("code", &code)]).await;
    assert_eq!(world.provider.tokens().last().unwrap().user, "ada");
}

#[tokio::test]
async fn the_eleventh_token_ends_the_first() {
    let world = World::github().await;
    let first = world.token("ada").await;
    for _ in 0..9 {
        world.token("ada").await;
    }
    let valid = |value: &str| {
        world
            .provider
            .tokens()
            .iter()
            .any(|token| token.value == value && token.valid)
    };
    assert!(valid(&first), "ten live side by side");
    world.token("ada").await;
    assert!(!valid(&first));
}

#[tokio::test]
async fn every_secret_that_was_issued_is_in_the_ledger() {
    let world = World::github().await;
    let token = world.token("ada").await;
    let all: Vec<String> = world
        .forge
        .secrets()
        .into_iter()
        .map(|secret| secret.value)
        .collect();
    assert!(all.contains(&token));
    assert!(all.contains(&world.client.client_secret));
    assert_eq!(
        all.iter().filter(|value| value.len() == 20).count(),
        1,
        "the code too"
    );
}
