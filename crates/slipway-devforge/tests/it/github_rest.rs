//! GitHub's REST API: who may what, paging, and the rules about hooks, keys and tokens.

use reqwest::header;
use serde_json::json;
use slipway_devforge::NewRepository;

use crate::support::{Api, Receiver, World, client, github_hook, text};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ test";

#[tokio::test]
async fn unseen_is_404_seen_but_not_allowed_is_403_and_a_bad_token_is_401() {
    let world = World::github().await;
    world.repository("web").await;
    world
        .provider
        .create_user("eve", "Eve", "eve's password")
        .unwrap();
    world
        .api("eve")
        .await
        .expect(404, "GET", "/repos/acme/web", None)
        .await;
    world
        .api("bob")
        .await
        .expect(403, "GET", "/repos/acme/web/hooks", None)
        .await;
    let bad = Api {
        base: world.provider.api_url().to_owned(),
        token: Some("gho_guess".to_owned()),
    };
    assert_eq!(
        bad.expect(401, "GET", "/user", None).await["message"],
        "Bad credentials"
    );
}

#[tokio::test]
async fn narrowed_scopes_hide_private_repositories_and_organizations() {
    let world = World::github().await;
    world.repository("web").await;
    let api = world.api("ada").await;
    api.get("/repos/acme/web").await;
    world
        .provider
        .edit_scopes("ada", &world.client.client_id, &["user:email"])
        .unwrap();
    let answer = api.send("GET", "/repos/acme/web", None).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["x-oauth-scopes"], "user:email");
    api.expect(403, "GET", "/user/orgs", None).await;
}

#[tokio::test]
async fn lists_are_paged_with_link_headers_and_sorted_by_last_push() {
    let world = World::github().await;
    for name in ["one", "two", "three"] {
        world.repository(name).await;
    }
    world
        .provider
        .repository("acme/one")
        .unwrap()
        .push("main", &[], "newest")
        .await
        .unwrap();
    let api = world.api("ada").await;
    let first = api.send("GET", "/user/repos?sort=pushed&per_page=2", None).await;
    let link = first.headers()[header::LINK].to_str().unwrap().to_owned();
    let page: serde_json::Value = first.json().await.unwrap();
    assert_eq!(
        (&page[0]["name"], page.as_array().unwrap().len()),
        (&json!("one"), 2)
    );
    let next = link
        .split(',')
        .find(|part| part.contains("rel=\"next\""))
        .unwrap();
    let next = next.trim().trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(api.get(next).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unchanged_answer_is_304() {
    let world = World::github().await;
    let api = world.api("ada").await;
    let tag = api.send("GET", "/user", None).await.headers()[header::ETAG].clone();
    let again = client()
        .get(format!("{}/user", api.base))
        .bearer_auth(api.token.unwrap());
    assert_eq!(
        again
            .header(header::IF_NONE_MATCH, tag)
            .send()
            .await
            .unwrap()
            .status(),
        304
    );
}

#[tokio::test]
async fn patching_a_hook_without_its_secret_removes_the_secret() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let hook = github_hook(&api, "acme/web", &receiver, "s3cret", &["push"]).await;
    assert_eq!(hook["config"]["secret"], "********");
    assert_eq!(repo.hooks()[0].secret.as_deref(), Some("s3cret"));

    let path = format!("/repos/acme/web/hooks/{}", hook["id"]);
    api.expect(200, "PATCH", &path, Some(json!({ "events": ["push", "create"] })))
        .await;
    assert_eq!(
        repo.hooks()[0].secret.as_deref(),
        Some("s3cret"),
        "without config nothing of it changes"
    );
    let config = json!({ "config": { "url": receiver.url, "content_type": "json" } });
    api.expect(200, "PATCH", &path, Some(config)).await;
    assert_eq!(repo.hooks()[0].secret, None);
    repo.push("main", &[], "unsigned").await.unwrap();
    world.forge.deliveries().flush().await;
    assert_eq!(receiver.of("push")[0].header("x-hub-signature-256"), "");
}

#[tokio::test]
async fn the_same_hook_twice_is_refused() {
    let world = World::github().await;
    world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    let body = json!({ "name": "web", "events": ["push"], "config": { "url": receiver.url } });
    let answer = api.expect(422, "POST", "/repos/acme/web/hooks", Some(body)).await;
    assert_eq!(
        answer["errors"][0]["message"],
        "Hook already exists on this repository"
    );
}

#[tokio::test]
async fn a_delivery_can_be_listed_and_attempted_again() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let hook = github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    repo.push("main", &[], "one").await.unwrap();
    world.forge.deliveries().flush().await;
    let base = format!("/repos/acme/web/hooks/{}/deliveries", hook["id"]);
    let newest = api.get(&base).await[0].clone();
    assert_eq!(
        (&newest["event"], &newest["status_code"]),
        (&json!("push"), &json!(200))
    );
    api.expect(202, "POST", &format!("{base}/{}/attempts", newest["id"]), None)
        .await;
    world.forge.deliveries().flush().await;
    let pushes = receiver.of("push");
    assert_eq!(pushes.len(), 2);
    assert_eq!(pushes[0].body, pushes[1].body);
}

#[tokio::test]
async fn a_key_serves_one_repository_and_goes_with_the_grant_that_made_it() {
    let world = World::github().await;
    let (web, other) = (world.repository("web").await, world.repository("other").await);
    let api = world.api("ada").await;
    let body = json!({ "title": "Slipway", "key": KEY, "read_only": true });
    let made = api
        .expect(201, "POST", "/repos/acme/web/keys", Some(body.clone()))
        .await;
    assert_eq!(made["read_only"], true);
    let refused = api
        .expect(422, "POST", "/repos/acme/other/keys", Some(body))
        .await;
    assert_eq!(refused["errors"][0]["message"], "key is already in use");
    assert_eq!((web.keys().len(), other.keys().len()), (1, 0));

    let url = format!("{}/applications/{}/grant", api.base, world.client.client_id);
    let token = api.token.clone().unwrap();
    let revoke = client()
        .delete(url)
        .basic_auth(&world.client.client_id, Some(&world.client.client_secret));
    let answer = revoke
        .json(&json!({ "access_token": token }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    assert!(web.keys().is_empty());
    api.expect(401, "GET", "/user", None).await;
}

#[tokio::test]
async fn a_token_is_checked_and_revoked_by_its_application_only() {
    let world = World::github().await;
    let (first, second) = (world.token("ada").await, world.token("ada").await);
    let url = format!(
        "{}/applications/{}/token",
        world.provider.api_url(),
        world.client.client_id
    );
    let call = async |method: &str, secret: &str, token: &str| {
        let request = client().request(method.parse().unwrap(), &url);
        let request = request.basic_auth(&world.client.client_id, Some(secret));
        request
            .json(&json!({ "access_token": token }))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let secret = world.client.client_secret.as_str();
    assert_eq!(call("POST", "guess", &first).await, 401);
    assert_eq!(call("POST", secret, &first).await, 200);
    assert_eq!(call("DELETE", secret, &first).await, 204);
    assert_eq!(call("POST", secret, &first).await, 404);
    assert_eq!(call("POST", secret, &second).await, 200, "the other one lives");
}

#[tokio::test]
async fn statuses_are_for_known_commits_and_writers() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let sha = repo.head("main").await.unwrap();
    let body = json!({ "state": "success", "context": "slipway", "target_url": "http://127.0.0.1/b/1" });
    let ada = world.api("ada").await;
    ada.expect(
        201,
        "POST",
        &format!("/repos/acme/web/statuses/{sha}"),
        Some(body.clone()),
    )
    .await;
    ada.expect(
        422,
        "POST",
        &format!("/repos/acme/web/statuses/{}", "0".repeat(40)),
        Some(body.clone()),
    )
    .await;
    world
        .api("bob")
        .await
        .expect(
            404,
            "POST",
            &format!("/repos/acme/web/statuses/{sha}"),
            Some(body),
        )
        .await;
    assert_eq!(repo.statuses().len(), 1);
}

#[tokio::test]
async fn a_commit_and_a_comparison_name_their_files() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let first = repo.head("main").await.unwrap();
    let second = repo
        .push("main", &[("docs/ä b.md", "text\n")], "Write")
        .await
        .unwrap();
    let api = world.api("ada").await;
    let commit = api.get(&format!("/repos/acme/web/commits/{second}")).await;
    assert_eq!(commit["files"][0]["filename"], "docs/ä b.md");
    let comparison = api
        .get(&format!("/repos/acme/web/compare/{first}...{second}"))
        .await;
    assert_eq!(
        (&comparison["status"], &comparison["ahead_by"]),
        (&json!("ahead"), &json!(1))
    );
    assert_eq!(comparison["files"][0]["status"], "added");
    let annotated = repo.push_annotated_tag("v1", &second, "One").await.unwrap();
    let shown = api.get("/repos/acme/web/git/ref/tags/v1").await;
    assert_eq!(
        (&shown["object"]["type"], &shown["object"]["sha"]),
        (&json!("tag"), &json!(annotated))
    );
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_id() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    repo.rename("site");
    let api = world.api("ada").await;
    api.expect(404, "GET", "/repos/acme/web", None).await;
    assert_eq!(
        api.get(&format!("/repositories/{}", repo.id())).await["full_name"],
        "acme/site"
    );
}

#[tokio::test]
async fn anonymous_callers_see_public_repositories_only() {
    let world = World::github().await;
    world.repository("web").await;
    world
        .provider
        .create_repository(NewRepository::new("ada/open"))
        .await
        .unwrap();
    let anonymous = Api {
        base: world.provider.api_url().to_owned(),
        token: None,
    };
    assert_eq!(
        text(&anonymous.get("/repos/ada/open").await["visibility"]),
        "public"
    );
    anonymous.expect(404, "GET", "/repos/acme/web", None).await;
    anonymous.expect(401, "GET", "/user", None).await;
}
