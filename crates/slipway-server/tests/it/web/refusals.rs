//! What is refused, and how that is said.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};

use super::browser::{Browser, Site};

async fn organizations(browser: &Browser) -> String {
    browser.get("/organizations").await.body
}

#[tokio::test]
async fn a_form_without_its_proof_changes_nothing() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    for fields in [
        vec![("name", "acme")],
        vec![("csrf", "guessed"), ("name", "acme")],
    ] {
        let answer = browser
            .post("/organizations", &fields, &[("sec-fetch-site", "same-origin")])
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
    }
    assert!(!organizations(&browser).await.contains("acme"));
}

#[tokio::test]
async fn the_proof_of_another_session_is_none() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let visitor = site.browser().get("/sign-in").await.csrf();
    let answer = browser
        .post("/organizations", &[("csrf", &visitor), ("name", "acme")], &[])
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!organizations(&browser).await.contains("acme"));
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing_even_with_the_proof() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let csrf = browser.get("/organizations").await.csrf();
    let fields = [("csrf", csrf.as_str()), ("name", "acme")];
    for headers in [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("origin", "https://evil.example")],
    ] {
        let answer = browser.post("/organizations", &fields, &headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert!(!organizations(&browser).await.contains("acme"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_an_id() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    for path in [
        "/",
        "/sign-in",
        "/nobody/nothing",
        "/healthz",
        "/assets/x/app.css",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_may_not_be_seen_look_the_same() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let page = browser.get("/nobody/nothing/builds").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.body.contains("There is nothing here that you may see"));
    assert!(
        page.body.contains(page.header("x-request-id")),
        "the page names the id that is in the log"
    );
    assert_eq!(
        browser.get("/no/such/page/at/all").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn nonsense_in_addresses_and_forms_is_answered_with_a_page() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    for path in [
        "/a%00b/c",
        "/Not-A-Name/x",
        "/acme/app/builds/ninety",
        "/?after=nothing",
        "/settings/access-tokens/zzz/revoke",
        "/admin/source-providers/new?kind=svn",
        "/admin/source-providers/nothing",
    ] {
        let answer = browser.get(path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        assert!(answer.body.contains("<main"), "{path}: {}", answer.body);
    }
    let csrf = browser.get("/organizations").await.csrf();
    let answer = browser.post("/organizations", &[("csrf", &csrf)], &[]).await;
    assert!(answer.status.is_client_error() && answer.body.contains("<main"));
}

#[tokio::test]
async fn a_form_beyond_the_limit_is_not_read() {
    let site = Site::start().await;
    let browser = site.administrator().await;
    let body = Body::from("x".repeat(2 << 20));
    let answer = browser
        .send(Request::post("/organizations").body(body).unwrap())
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
