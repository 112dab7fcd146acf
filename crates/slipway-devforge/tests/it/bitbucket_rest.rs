//! Bitbucket's REST API: its own ideas about secrets, names and endpoints that are gone.

use serde_json::json;

use crate::support::{Receiver, World, bitbucket_hook, text};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ test";

#[tokio::test]
async fn workspaces_say_where_the_caller_is_administrator() {
    let world = World::bitbucket().await;
    let listed = world.api("bob").await.get("/user/workspaces").await;
    let of = |slug: &str| {
        let all = listed["values"].as_array().unwrap();
        all.iter().find(|item| item["workspace"]["slug"] == slug).unwrap()["administrator"].clone()
    };
    assert_eq!((of("bob"), of("acme")), (json!(true), json!(false)));
}

#[tokio::test]
async fn removed_endpoints_answer_410() {
    let world = World::bitbucket().await;
    let api = world.api("ada").await;
    for path in [
        "/workspaces",
        "/repositories",
        "/user/permissions/repositories",
        "/user/permissions/workspaces",
    ] {
        let answer = api.expect(410, "GET", path, None).await;
        assert!(text(&answer["error"]["message"]).contains("CHANGE-2770"));
    }
}

#[tokio::test]
async fn repositories_are_listed_by_role_and_found_by_uuid() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (ada, bob) = (world.api("ada").await, world.api("bob").await);
    assert_eq!(ada.get("/repositories/acme?role=admin").await["size"], 1);
    assert_eq!(bob.get("/repositories/acme?role=admin").await["size"], 0);
    assert_eq!(bob.get("/repositories/acme?role=member").await["size"], 1);
    let by_uuid = ada
        .get(&format!("/repositories/{{}}/{}", repo.uuid().unwrap()))
        .await;
    assert_eq!(by_uuid["full_name"], "acme/web");
    assert!(
        text(&by_uuid["links"]["clone"][0]["href"]).starts_with("http://ada@"),
        "a user name in the URL"
    );
}

#[tokio::test]
async fn lists_follow_next_to_the_end() {
    let world = World::bitbucket().await;
    for name in ["one", "two", "three"] {
        world.repository(name).await;
    }
    let api = world.api("ada").await;
    let first = api.get("/repositories/acme?pagelen=2").await;
    let second = api.get(&text(&first["next"])).await;
    assert_eq!(second["values"].as_array().unwrap().len(), 1);
    assert!(second.get("next").is_none());
}

#[tokio::test]
async fn putting_a_hook_without_its_secret_keeps_the_secret() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let hook = bitbucket_hook(&api, "acme/web", &receiver, "s3cret", &["repo:push"]).await;
    assert_eq!(hook["secret_set"], true);
    let uuid = text(&hook["uuid"]);
    let path = format!("/repositories/acme/web/hooks/{uuid}");
    let body = json!({ "description": "x", "url": receiver.url, "active": true, "events": ["repo:push"] });
    api.expect(200, "PUT", &path, Some(body)).await;
    assert_eq!(repo.hooks()[0].secret.as_deref(), Some("s3cret"));
    api.expect(200, "PUT", &path, Some(json!({ "secret": null })))
        .await;
    assert_eq!(repo.hooks()[0].secret, None);
    api.expect(204, "DELETE", &path, None).await;
    assert!(repo.hooks().is_empty());
}

#[tokio::test]
async fn missing_scopes_and_missing_admin_are_403_and_unseen_is_404() {
    let world = World::bitbucket().await;
    world.repository("web").await;
    world
        .provider
        .create_user("eve", "Eve", "eve's password")
        .unwrap();
    world
        .api("eve")
        .await
        .expect(404, "GET", "/repositories/acme/web", None)
        .await;
    let bob = world.api("bob").await;
    bob.expect(403, "GET", "/repositories/acme/web/hooks", None).await;
    world
        .provider
        .edit_scopes("bob", &world.client.client_id, &["account"])
        .unwrap();
    let answer = bob.expect(403, "GET", "/repositories/acme/web", None).await;
    assert!(text(&answer["error"]["message"]).contains("privilege scopes"));
}

#[tokio::test]
async fn a_deploy_key_may_serve_two_repositories() {
    let world = World::bitbucket().await;
    let (web, other) = (world.repository("web").await, world.repository("other").await);
    let api = world.api("ada").await;
    let body = json!({ "label": "Slipway", "key": KEY });
    api.expect(
        200,
        "POST",
        "/repositories/acme/web/deploy-keys",
        Some(body.clone()),
    )
    .await;
    api.expect(
        400,
        "POST",
        "/repositories/acme/web/deploy-keys",
        Some(body.clone()),
    )
    .await;
    api.expect(200, "POST", "/repositories/acme/other/deploy-keys", Some(body))
        .await;
    assert_eq!((web.keys().len(), other.keys().len()), (1, 1));
}

#[tokio::test]
async fn a_build_status_is_replaced_by_its_key() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let sha = repo.head("main").await.unwrap();
    let api = world.api("ada").await;
    let path = format!("/repositories/acme/web/commit/{sha}/statuses/build");
    for state in ["INPROGRESS", "SUCCESSFUL"] {
        let body = json!({ "key": "slipway", "state": state, "url": "http://127.0.0.1/b/1" });
        api.expect(201, "POST", &path, Some(body)).await;
    }
    let statuses = repo.statuses();
    assert_eq!((statuses.len(), statuses[0].state.as_str()), (1, "SUCCESSFUL"));
}

#[tokio::test]
async fn a_diffstat_reads_from_new_to_old() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let first = repo.head("main").await.unwrap();
    let second = repo.push("main", &[("a.txt", "1\n2\n")], "Add").await.unwrap();
    let api = world.api("ada").await;
    let stat = api
        .get(&format!("/repositories/acme/web/diffstat/{second}..{first}"))
        .await;
    assert_eq!(
        (&stat["values"][0]["status"], &stat["values"][0]["lines_added"]),
        (&json!("added"), &json!(2))
    );
}
