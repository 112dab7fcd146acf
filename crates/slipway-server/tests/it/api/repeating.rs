//! Lists in pages, creating twice, reading again.

use axum::http::Method;
use serde_json::json;
use slipway_types::rights::TokenScope;

use super::client::Site;

const REPOSITORIES: &str = "/api/v1/repositories";

#[tokio::test]
async fn pages_lead_through_a_list_each_thing_once() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    for n in 0..5 {
        let new = json!({ "namespace": "ada", "name": format!("app-{n}") });
        admin.post(REPOSITORIES, new).await.expect(201);
    }
    let mut path = format!("{REPOSITORIES}?q=app&limit=2");
    let mut sizes = Vec::new();
    let mut names = Vec::new();
    loop {
        let page = admin.get(&path).await.expect(200);
        let items = page.json["items"].as_array().unwrap();
        sizes.push(items.len());
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page.json["next"].as_str() else {
            assert_eq!(page.header("link"), "");
            break;
        };
        assert_eq!(page.header("link"), format!("<{next}>; rel=\"next\""));
        // The server is reached below a path that its proxy takes away.
        path = next
            .strip_prefix("http://slipway.example/behind")
            .unwrap()
            .to_owned();
        assert!(path.contains("q=app") && path.contains("limit=2"), "{path}");
    }
    assert_eq!(sizes, [2, 2, 1]);
    names.sort_unstable();
    assert_eq!(names, ["app-0", "app-1", "app-2", "app-3", "app-4"]);
}

#[tokio::test]
async fn a_request_with_a_key_happens_once_and_its_repetition_gets_the_first_answer() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    let create = |key: &'static str, name: &'static str| {
        let body = json!({ "namespace": "ada", "name": name }).to_string();
        let admin = &admin;
        async move {
            admin
                .ask(Method::POST, REPOSITORIES, &[("idempotency-key", key)], &body)
                .await
        }
    };
    let first = create("k1", "app").await.expect(201);
    assert_eq!(
        first.header("location"),
        "http://slipway.example/behind/api/v1/repositories/ada/app"
    );
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = create("k1", "app").await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json, first.json);
    assert_eq!(again.header("location"), first.header("location"));
    create("k1", "other")
        .await
        .expect_problem(422, "idempotency_key_reused");
    // Without the key it is another request.
    create("k2", "app").await.expect_problem(409, "conflict");
    // What failed did not happen, and may be tried again under its key.
    admin.delete("/api/v1/repositories/ada/app").await.expect(204);
    let second = create("k2", "app").await.expect(201);
    assert_eq!(second.header("idempotency-replayed"), "");
    let long = "k".repeat(300);
    let bad = admin
        .ask(Method::POST, REPOSITORIES, &[("idempotency-key", &long)], "{}")
        .await;
    assert_eq!(bad.expect_problem(422, "invalid").wrong(), ["Idempotency-Key"]);
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_creates() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    let body = json!({ "name": "acme" }).to_string();
    let headers = [("idempotency-key", "k")];
    let ask = || admin.ask(Method::POST, "/api/v1/organizations", &headers, &body);
    let answers = futures::future::join_all((0..8).map(|_| ask())).await;
    let created = answers.iter().filter(|answer| answer.status == 201);
    let fresh = created.filter(|answer| answer.header("idempotency-replayed").is_empty());
    assert_eq!(fresh.count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| [201, 409].contains(&answer.status.as_u16()))
    );
    let namespaces = admin.get("/api/v1/namespaces").await.expect(200);
    assert_eq!(
        namespaces.json["items"].as_array().unwrap().len(),
        2,
        "ada and acme"
    );
}

#[tokio::test]
async fn a_key_is_its_persons() {
    let site = Site::start().await;
    let headers = [("idempotency-key", "k")];
    let (ada, bob) = (site.program(TokenScope::Admin).await, site.stranger().await);
    let path = "/api/v1/organizations";
    ada.ask(Method::POST, path, &headers, r#"{"name":"acme"}"#)
        .await
        .expect(201);
    let bobs = bob
        .ask(Method::POST, path, &headers, r#"{"name":"bobs"}"#)
        .await
        .expect(201);
    assert_eq!(bobs.json["name"], "bobs");
    site.nobody()
        .ask(Method::POST, path, &headers, "{}")
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let site = Site::start().await;
    let admin = site.program(TokenScope::Admin).await;
    admin
        .post(REPOSITORIES, json!({ "namespace": "ada", "name": "app" }))
        .await
        .expect(201);
    let path = "/api/v1/repositories/ada/app";
    let first = admin.get(path).await.expect(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = admin
        .ask(Method::GET, path, &[("if-none-match", &tag)], "")
        .await
        .expect(304);
    assert_eq!(again.text, "");
    assert_eq!(again.header("etag"), tag);
    admin
        .ask(Method::PATCH, path, &[], r#"{"description":"new"}"#)
        .await
        .expect(200);
    let changed = admin
        .ask(Method::GET, path, &[("if-none-match", &tag)], "")
        .await
        .expect(200);
    assert_eq!(changed.json["description"], "new");
    assert_ne!(changed.header("etag"), tag);
}
