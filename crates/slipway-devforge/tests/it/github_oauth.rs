//! GitHub's OAuth, with each documented error.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::support::{CALLBACK, SCOPES, World, authorize_url, client, parameters, text};

#[tokio::test]
async fn a_person_signs_in_authorizes_and_the_code_becomes_a_token_once() {
    let world = World::github().await;
    let mut browser = world.provider.browser();
    let url = authorize_url(&world, &[("scope", SCOPES), ("state", "xyz")]);
    let unsigned = browser.get(&url).await.unwrap();
    assert!(unsigned.location.unwrap().starts_with("/login?return_to="));
    browser.sign_in("ada", "wrong").await.unwrap_err();
    browser.sign_in("ada", "ada's password").await.unwrap();
    let back = parameters(&browser.authorize(&url).await.unwrap());
    assert_eq!(back["state"], "xyz");

    let answer = world.github_exchange(&[("code", &back["code"])]).await;
    assert_eq!(answer["scope"], "read:org,repo,user:email");
    assert_eq!(answer["token_type"], "bearer");
    let again = world.github_exchange(&[("code", &back["code"])]).await;
    assert_eq!(again["error"], "bad_verification_code");

    let request = client().get(format!("{}/user", world.provider.api_url()));
    let me = request
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
    let mut browser = world.browser("ada").await;
    let asked = [("scope", SCOPES), ("state", "1")];
    world.github_code(&mut browser, &asked).await;

    let again = browser.get(&authorize_url(&world, &asked)).await.unwrap();
    assert!(again.location.unwrap().starts_with(CALLBACK));
    let code = world.github_code(&mut browser, &[("state", "2")]).await;
    let answer = world.github_exchange(&[("code", &code)]).await;
    assert_eq!(
        answer["scope"], "read:org,repo,user:email",
        "earlier scopes are silently reused"
    );
}

#[tokio::test]
async fn every_documented_token_error_comes_with_status_200() {
    let world = World::github().await;
    let mut browser = world.browser("ada").await;
    let asked = [("scope", "repo"), ("state", "s"), ("redirect_uri", CALLBACK)];

    let code = world.github_code(&mut browser, &asked).await;
    let wrong = world
        .github_exchange(&[("code", &code), ("client_secret", "guess")])
        .await;
    assert_eq!(wrong["error"], "incorrect_client_credentials");
    let unknown = world.github_exchange(&[("code", "0123456789abcdef0123")]).await;
    assert_eq!(unknown["error"], "bad_verification_code");
    let elsewhere = [
        ("code", code.as_str()),
        ("redirect_uri", "http://127.0.0.1:1/other"),
    ];
    assert_eq!(
        world.github_exchange(&elsewhere).await["error"],
        "redirect_uri_mismatch"
    );

    world.provider.set_email_verified("ada", false).unwrap();
    let code = world.github_code(&mut browser, &asked).await;
    assert_eq!(
        world.github_exchange(&[("code", &code)]).await["error"],
        "unverified_user_email"
    );
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let world = World::github().await;
    let code = world
        .github_code(&mut world.browser("ada").await, &[("scope", "repo")])
        .await;
    world.forge.advance(Duration::from_secs(10 * 60 + 1));
    assert_eq!(
        world.github_exchange(&[("code", &code)]).await["error"],
        "bad_verification_code"
    );
}

#[tokio::test]
async fn pkce_is_really_verified() {
    let world = World::github().await;
    let mut browser = world.browser("ada").await;
    let verifier = "a-verifier-of-sufficient-length-0123456789-abcdef";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let asked = [
        ("scope", "repo"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];

    let code = world.github_code(&mut browser, &asked).await;
    let wrong = world
        .github_exchange(&[("code", &code), ("code_verifier", "another")])
        .await;
    assert_eq!(wrong["error"], "bad_verification_code");
    let code = world.github_code(&mut browser, &asked).await;
    let missing = world.github_exchange(&[("code", &code)]).await;
    assert_eq!(missing["error"], "bad_verification_code");
    let code = world.github_code(&mut browser, &asked).await;
    let right = world
        .github_exchange(&[("code", &code), ("code_verifier", verifier)])
        .await;
    assert!(right["access_token"].is_string());
}

#[tokio::test]
async fn cancelling_and_a_foreign_callback_come_back_as_errors() {
    let world = World::github().await;
    let mut browser = world.browser("ada").await;
    let url = authorize_url(&world, &[("scope", "repo"), ("state", "s")]);
    let back = parameters(&browser.cancel(&url).await.unwrap());
    assert_eq!(
        (back["error"].as_str(), back["state"].as_str()),
        ("access_denied", "s")
    );

    let foreign = [
        ("redirect_uri", "http://evil.example/oauth/callback"),
        ("state", "s"),
    ];
    let visited = browser.get(&authorize_url(&world, &foreign)).await.unwrap();
    assert_eq!(
        parameters(&visited.location.unwrap())["error"],
        "redirect_uri_mismatch"
    );
}

#[tokio::test]
async fn a_form_without_the_pages_token_is_refused() {
    let world = World::github().await;
    let mut browser = world.browser("ada").await;
    let form = [("client_id", world.client.client_id.as_str()), ("authorize", "1")];
    let forged = browser.submit("/login/oauth/authorize", &form).await.unwrap();
    assert_eq!(forged.status, 422);
}

#[tokio::test]
async fn a_person_may_grant_less_than_asked() {
    let world = World::github().await;
    let url = authorize_url(&world, &[("scope", SCOPES)]);
    let callback = world
        .browser("ada")
        .await
        .authorize_only(&url, &["read:org"])
        .await
        .unwrap();
    let answer = world
        .github_exchange(&[("code", &parameters(&callback)["code"])])
        .await;
    assert_eq!(answer["scope"], "read:org");
}

#[tokio::test]
async fn the_account_switcher_decides_whose_token_it_becomes() {
    let world = World::github().await;
    let mut browser = world.browser("ada").await;
    browser.sign_in("bob", "bob's password").await.unwrap();
    let url = authorize_url(&world, &[("scope", "repo"), ("prompt", "select_account")]);
    let fields = browser.get(&url).await.unwrap().hidden_fields();
    let back_to = &fields.iter().find(|(name, _)| name == "return_to").unwrap().1;
    let chosen = [("login", "ada"), ("return_to", back_to.as_str())];
    let next = browser
        .submit("/login/select_account", &chosen)
        .await
        .unwrap()
        .location
        .unwrap();
    let code = parameters(&browser.authorize(&next).await.unwrap())
        .remove("code")
        .unwrap();
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
    let code = world
        .github_code(&mut world.browser("ada").await, &[("scope", "repo")])
        .await;
    let token = text(&world.github_exchange(&[("code", &code)]).await["access_token"]);
    let all: Vec<String> = world
        .forge
        .secrets()
        .into_iter()
        .map(|secret| secret.value)
        .collect();
    for value in [&token, &code, &world.client.client_secret] {
        assert!(all.contains(value));
    }
}
