//! Who is let in, how far, and how a refusal reads.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    http::{Method, Request},
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use slipway_types::rights::TokenScope;

use super::client::Site;

const REPOSITORY: &str = "/api/v1/repositories/ada/app";

#[tokio::test]
async fn without_a_token_nobody_is_known_and_the_problem_says_how_to_be() {
    let site = Site::start().await;
    let answer = site
        .nobody()
        .get("/api/v1/me")
        .await
        .expect_problem(401, "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    assert!(
        answer.json["advice"]
            .as_str()
            .unwrap()
            .contains("Authorization: Bearer")
    );
    for wrong in ["Bearer slw_pat_guessed", "Basic YWRhOnB3", "Bearer"] {
        let headers = [("authorization", wrong)];
        let answer = site.nobody().ask(Method::GET, "/api/v1/me", &headers, "").await;
        answer.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_is_known_with_its_scope() {
    let site = Site::start().await;
    let me = site
        .program(TokenScope::Build)
        .await
        .get("/api/v1/me")
        .await
        .expect(200);
    assert_eq!(me.json["name"], "ada");
    assert_eq!(me.json["scope"], "build");
}

#[tokio::test]
async fn a_read_token_sees_and_changes_nothing() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    admin
        .post(
            "/api/v1/repositories",
            json!({ "namespace": "ada", "name": "app" }),
        )
        .await
        .expect(201);
    let reader = site.program(TokenScope::Read).await;
    let seen = reader.get(REPOSITORY).await.expect(200);
    assert_eq!(seen.json["level"], "read");
    for path in [
        "builds",
        "builds/1/cancel",
        "builds/1/retry",
        "configuration/preview",
    ] {
        let path = format!("{REPOSITORY}/{path}");
        reader
            .post(&path, json!({}))
            .await
            .expect_problem(403, "forbidden");
    }
    reader
        .post("/api/v1/organizations", json!({ "name": "acme" }))
        .await
        .expect_problem(403, "forbidden");
    reader.delete(REPOSITORY).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn a_build_token_may_build_and_not_decide_about_anything() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    admin
        .post(
            "/api/v1/repositories",
            json!({ "namespace": "ada", "name": "app" }),
        )
        .await
        .expect(201);
    let builder = site.program(TokenScope::Build).await;
    // It may: there is only nothing to build yet.
    builder
        .post(&format!("{REPOSITORY}/builds"), json!({}))
        .await
        .expect_problem(404, "not_found");
    builder
        .post("/api/v1/organizations", json!({ "name": "acme" }))
        .await
        .expect_problem(403, "forbidden");
    builder.delete(REPOSITORY).await.expect_problem(403, "forbidden");
    builder
        .get("/api/v1/admin/queue")
        .await
        .expect_problem(403, "forbidden");
    let change = builder
        .ask(Method::PATCH, REPOSITORY, &[], r#"{"description":"x"}"#)
        .await;
    change.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_there_and_neither_is_what_is_not() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    admin
        .post(
            "/api/v1/repositories",
            json!({ "namespace": "ada", "name": "app", "private": true }),
        )
        .await
        .expect(201);
    let bob = site.stranger().await;
    let hidden = bob.get(REPOSITORY).await.expect_problem(404, "not_found");
    let missing = bob
        .get("/api/v1/repositories/ada/nothing")
        .await
        .expect_problem(404, "not_found");
    assert_eq!(hidden.json["detail"], missing.json["detail"]);
    bob.delete(REPOSITORY).await.expect_problem(404, "not_found");
    bob.get("/api/v1/namespaces/ada")
        .await
        .expect_problem(404, "not_found");
    bob.get("/api/v1/repositories/No%20Name/x")
        .await
        .expect_problem(404, "not_found");
    assert_eq!(
        bob.get("/api/v1/repositories").await.expect(200).json["items"],
        json!([])
    );
}

#[tokio::test]
async fn addresses_and_methods_that_are_not_there_are_problems_too() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    admin.get("/api/v2/me").await.expect_problem(404, "not_found");
    admin
        .post("/api/nothing", json!({}))
        .await
        .expect_problem(404, "not_found");
    let answer = admin
        .delete("/api/v1/me")
        .await
        .expect_problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("GET"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_field_named() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    let path = "/api/v1/repositories";
    let unknown = admin
        .post(path, json!({ "namespace": "ada", "name": "app", "privat": true }))
        .await;
    assert_eq!(unknown.expect_problem(422, "invalid").wrong(), ["privat"]);
    let wrong = admin
        .post(
            path,
            json!({ "namespace": "ada", "name": "app", "private": "yes" }),
        )
        .await;
    assert_eq!(wrong.expect_problem(422, "invalid").wrong(), ["private"]);
    let name = admin
        .post(path, json!({ "namespace": "ada", "name": "No Name" }))
        .await;
    assert_eq!(name.expect_problem(422, "invalid").wrong(), ["name"]);
    let broken = admin.ask(Method::POST, path, &[], "{").await;
    broken.expect_problem(400, "malformed");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    admin
        .ask(Method::POST, path, &form, "namespace=ada")
        .await
        .expect_problem(415, "malformed");
    admin
        .ask(Method::POST, path, &[], &" ".repeat((1 << 20) + 1))
        .await
        .expect_problem(413, "too_large");
    admin
        .get("/api/v1/repositories?limt=3")
        .await
        .expect_problem(400, "malformed");
    let limit = admin
        .get("/api/v1/repositories?limit=101")
        .await
        .expect_problem(422, "invalid");
    assert_eq!(limit.wrong(), ["limit"]);
    admin
        .get("/api/v1/repositories?cursor=x")
        .await
        .expect_problem(422, "invalid");
}

#[tokio::test]
async fn a_browser_reads_by_its_cookie_and_changes_only_with_its_pages_token() {
    let site = Site::start().await;
    let cookie = format!("slipway={}", site.session.expose_secret());
    let (_, session) = site
        .app
        .access
        .by_session(&site.session, None)
        .await
        .unwrap()
        .unwrap();
    let ask = |method: Method, path: &'static str, csrf: Option<String>, body: &'static str| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("cookie", &cookie);
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        let request = request
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        site.send(request)
    };
    let me = ask(Method::GET, "/api/v1/me", None, "").await.expect(200);
    assert_eq!(me.json["scope"], json!(null));
    let new = r#"{"name":"acme"}"#;
    let create = "/api/v1/organizations";
    ask(Method::POST, create, None, new)
        .await
        .expect_problem(401, "unauthenticated");
    ask(Method::POST, create, Some("guessed".to_owned()), new)
        .await
        .expect_problem(401, "unauthenticated");
    ask(Method::POST, create, Some(String::new()), new)
        .await
        .expect_problem(401, "unauthenticated");
    ask(Method::POST, create, Some(session.csrf_token), new)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_build_trigger_that_is_not_there_is_not_found_whoever_asks() {
    let site = Site::start().await;
    let id = slipway_types::ConfigurationId::fresh();
    for source in [
        id.to_string().as_str(),
        "x",
        "3f2a5c1e-0000-4000-8000-000000000000",
    ] {
        let path = format!("/api/build/v1/source/{source}/trigger/slw_trg_guessed/call/");
        let answer = site
            .nobody()
            .ask(Method::POST, &path, &[], "")
            .await
            .expect_problem(404, "not_found");
        assert!(!answer.text.contains("guessed"));
        site.nobody()
            .get(&path)
            .await
            .expect_problem(405, "method_not_allowed");
    }
}

/// Where log lines are caught.
#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<u8>>>);

impl io::Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_the_route_of_a_triggers_call_and_never_its_token() {
    let site = Site::start().await;
    let caught = Caught::default();
    let writer = caught.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let source = slipway_types::ConfigurationId::fresh();
    let path = format!("/api/build/v1/source/{source}/trigger/slw_trg_canary/call/?and=canary");
    site.nobody()
        .ask(Method::POST, &path, &[], "")
        .await
        .expect_problem(404, "not_found");
    let token = [("authorization", "Bearer slw_pat_canary")];
    site.nobody()
        .ask(Method::GET, "/api/v1/me", &token, "")
        .await
        .expect_problem(401, "unauthenticated");
    drop(guard);
    let log = String::from_utf8(caught.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("/api/build/v1/source/{source}/trigger/{token}/call/"),
        "{log}"
    );
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn the_kind_of_a_problem_is_an_address_that_explains_it() {
    let site = Site::start().await;
    for kind in slipway_server::failure::KINDS {
        let page = site
            .nobody()
            .get(&format!("/problems/{}", kind.word))
            .await
            .expect(200);
        assert!(
            page.text.contains(kind.title) && page.text.contains(kind.advice),
            "{}",
            page.text
        );
    }
    site.nobody()
        .get("/problems/nothing")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn only_an_administrator_creates_and_changes_users() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    let new = json!({ "name": "grace", "password": "a first password" });
    let made = admin.post("/api/v1/users", new.clone()).await.expect(201);
    assert_eq!(made.json["name"], "grace");
    assert!(made.json.get("password").is_none());
    admin
        .post("/api/v1/users", new.clone())
        .await
        .expect_problem(409, "conflict");

    let stranger = site.stranger().await;
    stranger
        .post("/api/v1/users", new)
        .await
        .expect_problem(403, "forbidden");
    let disable = r#"{"is_disabled":true}"#;
    for path in ["/api/v1/users/grace", "/api/v1/users/ada", "/api/v1/users/nobody"] {
        stranger.get(path).await.expect_problem(403, "forbidden");
        stranger
            .ask(Method::PATCH, path, &[], disable)
            .await
            .expect_problem(403, "forbidden");
    }
    let disabled = admin
        .ask(Method::PATCH, "/api/v1/users/bob", &[], disable)
        .await
        .expect(200);
    assert!(disabled.json["disabled_at"].is_string());
    // A token of somebody who is disabled is nobody's.
    stranger
        .get("/api/v1/me")
        .await
        .expect_problem(401, "unauthenticated");
}
