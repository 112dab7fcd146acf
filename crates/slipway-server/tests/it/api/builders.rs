//! Builders on other hosts: how they come in, what they are refused, and what administrators say of them.

use axum::http::Method;
use serde_json::{Value, json};
use slipway_types::{BuildId, rights::TokenScope};

use super::client::{Answer, Site};

const CREDENTIAL: &str = "slw_bld_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "slw_bld_fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

async fn made(site: &Site, name: &str) -> Answer {
    let admin = site.program(TokenScope::Admin).await;
    admin
        .post("/api/v1/builders", json!({ "name": name }))
        .await
        .expect(201)
}

/// A builder that has come in: what making it answered.
async fn came_in(site: &Site) -> Answer {
    let made = made(site, "rack").await;
    let token = made.json["token"].as_str().unwrap();
    ask(site, "register", token, json!({ "credential": CREDENTIAL }))
        .await
        .expect(204);
    made
}

/// What a builder asks with this bearer token.
async fn ask(site: &Site, path: &str, bearer: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/api/builder/v1/{path}");
    site.nobody()
        .ask(Method::POST, &path, &headers, &body.to_string())
        .await
}

fn hello(version: &str) -> Value {
    json!({
        "host": "rack", "version": version, "platforms": ["linux/amd64"], "driver": "rootless",
        "isolates": true, "slots": 2, "of_a_newer_builder": 7,
    })
}

#[tokio::test]
async fn a_token_lets_one_builder_in_once() {
    let site = Site::start().await;
    let made = made(&site, "rack").await;
    let token = made.json["token"].as_str().unwrap();
    let coming = json!({ "credential": CREDENTIAL });
    ask(&site, "register", "slw_reg_guessed", coming.clone())
        .await
        .expect_problem(401, "unknown_builder");
    // A word that somebody could guess is no credential.
    ask(&site, "register", token, json!({ "credential": "slw_bld_rack" }))
        .await
        .expect_problem(401, "unknown_builder");
    ask(&site, "drain", CREDENTIAL, json!({}))
        .await
        .expect_problem(401, "unknown_builder");
    let long = json!({ "credential": CREDENTIAL, "padding": "x".repeat(5_000) });
    ask(&site, "register", token, long)
        .await
        .expect_problem(413, "too_large");
    ask(&site, "register", token, coming).await.expect(204);
    ask(&site, "register", token, json!({ "credential": OTHER }))
        .await
        .expect_problem(401, "unknown_builder");
    ask(&site, "drain", CREDENTIAL, json!({})).await.expect(204);
}

#[tokio::test]
async fn a_new_token_and_a_removal_end_what_a_builder_has() {
    let site = Site::start().await;
    let made = came_in(&site).await;
    let admin = site.program(TokenScope::Admin).await;
    let path = format!("/api/v1/builders/{}", made.json["id"].as_str().unwrap());
    let again = admin.post(&format!("{path}/token"), json!({})).await.expect(201);
    ask(&site, "drain", CREDENTIAL, json!({}))
        .await
        .expect_problem(401, "unknown_builder");
    let token = again.json["token"].as_str().unwrap();
    ask(&site, "register", token, json!({ "credential": OTHER }))
        .await
        .expect(204);
    admin.ask(Method::DELETE, &path, &[], "").await.expect(204);
    ask(&site, "drain", OTHER, json!({}))
        .await
        .expect_problem(401, "unknown_builder");
    admin.get(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_builder_of_another_age_is_told_which_of_the_two_to_update() {
    let site = Site::start().await;
    came_in(&site).await;
    let refused = ask(&site, "lease", CREDENTIAL, hello("7.0.0"))
        .await
        .expect_problem(426, "builder_version");
    assert!(refused.text.contains("runs Slipway 7.0.0"), "{}", refused.text);
}

#[tokio::test]
async fn a_lease_that_is_not_its_own_is_lost_to_a_builder() {
    let site = Site::start().await;
    came_in(&site).await;
    let of = format!("builds/{}/leases/1", BuildId::fresh());
    let bodies = [
        ("renew", json!({})),
        ("batches", json!({ "number": 1, "events": [], "log": [] })),
        ("fence", json!({ "tags": ["latest"] })),
        ("finish", json!({ "ended": "success", "skipped": [] })),
    ];
    for (what, body) in bodies {
        ask(&site, &format!("{of}/{what}"), CREDENTIAL, body)
            .await
            .expect_problem(409, "lease_lost");
    }
}

#[tokio::test]
async fn administrators_alone_make_builders_and_say_what_they_get() {
    let site = Site::start().await;
    let stranger = site.stranger().await;
    stranger
        .post("/api/v1/builders", json!({ "name": "mine" }))
        .await
        .expect_problem(403, "forbidden");
    stranger
        .get("/api/v1/builders")
        .await
        .expect_problem(403, "forbidden");
    let admin = site.program(TokenScope::Admin).await;
    for (wrong, field) in [
        (json!({ "name": "No Name" }), "name"),
        (json!({ "name": "a", "labels": ["two words"] }), "labels"),
        (json!({ "name": "a", "only_labelled": true }), "labels"),
        (json!({ "name": "a", "namespaces": ["nobody"] }), "namespaces"),
    ] {
        let refused = admin.post("/api/v1/builders", wrong).await.expect(422);
        assert_eq!(refused.wrong(), [field]);
    }
    let made = admin
        .post(
            "/api/v1/builders",
            json!({ "name": "rack", "labels": ["gpu", "gpu"], "namespaces": ["ada"] }),
        )
        .await
        .expect(201);
    admin
        .post("/api/v1/builders", json!({ "name": "rack" }))
        .await
        .expect_problem(409, "conflict");
    let path = format!("/api/v1/builders/{}", made.json["id"].as_str().unwrap());
    let change = json!({ "only_labelled": true, "is_paused": true }).to_string();
    let headers = [("content-type", "application/json")];
    let changed = admin
        .ask(Method::PATCH, &path, &headers, &change)
        .await
        .expect(200);
    assert_eq!(changed.json["labels"], json!(["gpu"]));
    assert_eq!(changed.json["namespaces"], json!(["ada"]));
    assert_eq!(changed.json["only_labelled"], true);
    assert_eq!(changed.json["state"], "paused");
    assert_eq!(changed.json["place"], "expected");
    assert!(!changed.text.contains("slw_reg"), "{}", changed.text);
}
