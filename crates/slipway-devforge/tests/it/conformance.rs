//! Every route and payload against the vendors' own descriptions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_devforge::{DevForge, Kind, Verdict};

use crate::support::{Receiver, World, bitbucket_hook, client, github_hook, text};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ test";

/// Routes with at least one validated answer.
fn validated(forge: &DevForge) -> BTreeSet<String> {
    let lines = forge.conformance_report().lines;
    lines
        .into_iter()
        .filter(|line| line.verdict == Verdict::Ok)
        .map(|line| line.what)
        .collect()
}

#[track_caller]
fn assert_covers(forge: &DevForge, routes: &[&str]) {
    let validated = validated(forge);
    let missing: Vec<_> = routes
        .iter()
        .filter(|route| !validated.contains(**route))
        .collect();
    assert!(missing.is_empty(), "not validated: {missing:?}");
}

#[tokio::test]
async fn every_github_answer_is_as_described() {
    let world = World::conforming(Kind::GitHub).await;
    let repo = world.repository("web").await;
    repo.set_private(false);
    let first = repo.head("main").await.unwrap();
    let second = repo.push("next", &[("a b.txt", "1\n")], "Next").await.unwrap();
    repo.push_annotated_tag("v1", &second, "One").await.unwrap();
    let fork = world.provider.fork(&repo, "bob").await.unwrap();
    fork.push("fix", &[("b.txt", "1\n")], "Fix").await.unwrap();
    repo.open_pull_request_from(&fork, "fix", "main", "A fix")
        .await
        .unwrap();
    repo.open_pull_request("next", "main", "Next")
        .await
        .unwrap()
        .merge()
        .await
        .unwrap();
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);

    for path in [
        "/meta",
        "/user",
        "/user/orgs",
        "/user/memberships/orgs",
        "/user/repos",
        "/orgs/acme/repos",
    ] {
        api.get(path).await;
    }
    api.get(&format!("/repositories/{}", repo.id())).await;
    api.get("/repos/bob/web").await;
    for path in [
        "",
        "/branches",
        "/tags",
        "/git/ref/heads/main",
        "/git/ref/tags/v1",
        "/git/matching-refs/heads/n",
        "/commits/next",
        "/pulls?state=all",
        "/pulls/1",
        "/pulls/2",
        "/hooks",
        "/keys",
    ] {
        api.get(&format!("/repos/acme/web{path}")).await;
    }
    api.get(&format!("/repos/acme/web/compare/{first}...{second}"))
        .await;

    let hook = github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    world.forge.deliveries().flush().await;
    let hook = format!("/repos/acme/web/hooks/{}", hook["id"]);
    api.get(&hook).await;
    api.expect(200, "PATCH", &hook, Some(json!({ "active": true })))
        .await;
    api.expect(204, "POST", &format!("{hook}/pings"), None).await;
    let delivery = api.get(&format!("{hook}/deliveries")).await[0]["id"].clone();
    api.get(&format!("{hook}/deliveries/{delivery}")).await;
    api.expect(
        202,
        "POST",
        &format!("{hook}/deliveries/{delivery}/attempts"),
        None,
    )
    .await;
    api.expect(204, "DELETE", &hook, None).await;
    let key = json!({ "title": "Slipway", "key": KEY, "read_only": true });
    let key = api.expect(201, "POST", "/repos/acme/web/keys", Some(key)).await["id"].clone();
    api.get(&format!("/repos/acme/web/keys/{key}")).await;
    api.expect(422, "POST", "/repos/acme/web/keys", Some(json!({ "key": KEY })))
        .await;
    api.expect(204, "DELETE", &format!("/repos/acme/web/keys/{key}"), None)
        .await;
    let status = json!({ "state": "pending", "context": "slipway", "description": "Queued" });
    api.expect(
        201,
        "POST",
        &format!("/repos/acme/web/statuses/{first}"),
        Some(status),
    )
    .await;
    github_errors(&world).await;
    github_application(&world, &api.token.clone().unwrap()).await;

    world.forge.deliveries().flush().await;
    world.forge.conformance_report().assert_clean();
    assert_covers(
        &world.forge,
        &[
            "GET /meta",
            "GET /user",
            "GET /user/orgs",
            "GET /user/memberships/orgs",
            "GET /user/repos",
            "GET /orgs/{org}/repos",
            "GET /repositories/{repository_id}",
            "GET /repos/{owner}/{repo}",
            "GET /repos/{owner}/{repo}/branches",
            "GET /repos/{owner}/{repo}/tags",
            "GET /repos/{owner}/{repo}/git/ref/{ref}",
            "GET /repos/{owner}/{repo}/git/matching-refs/{ref}",
            "GET /repos/{owner}/{repo}/commits/{ref}",
            "GET /repos/{owner}/{repo}/compare/{basehead}",
            "GET /repos/{owner}/{repo}/pulls",
            "GET /repos/{owner}/{repo}/pulls/{pull_number}",
            "GET /repos/{owner}/{repo}/hooks",
            "POST /repos/{owner}/{repo}/hooks",
            "GET /repos/{owner}/{repo}/hooks/{hook_id}",
            "PATCH /repos/{owner}/{repo}/hooks/{hook_id}",
            "DELETE /repos/{owner}/{repo}/hooks/{hook_id}",
            "POST /repos/{owner}/{repo}/hooks/{hook_id}/pings",
            "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
            "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}",
            "POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
            "GET /repos/{owner}/{repo}/keys",
            "POST /repos/{owner}/{repo}/keys",
            "GET /repos/{owner}/{repo}/keys/{key_id}",
            "DELETE /repos/{owner}/{repo}/keys/{key_id}",
            "POST /repos/{owner}/{repo}/statuses/{sha}",
            "POST /applications/{client_id}/token",
            "DELETE /applications/{client_id}/token",
            "DELETE /applications/{client_id}/grant",
        ],
    );
}

async fn github_errors(world: &World) {
    let bob = world.api("bob").await;
    bob.expect(404, "GET", "/repos/acme/nothing", None).await;
    bob.expect(403, "GET", "/repos/acme/web/hooks", None).await;
    bob.expect(404, "GET", "/repos/acme/web/git/ref/heads/nothing", None)
        .await;
    bob.expect(422, "GET", "/repos/acme/web/commits/nothing", None)
        .await;
    let bad = crate::support::Api {
        base: bob.base.clone(),
        token: Some("gho_bad".to_owned()),
    };
    bad.expect(401, "GET", "/user", None).await;
}

async fn github_application(world: &World, token: &str) {
    let other = world.token("ada").await;
    let base = format!(
        "{}/applications/{}",
        world.provider.api_url(),
        world.client.client_id
    );
    for (method, what, token) in [
        ("POST", "token", token),
        ("DELETE", "token", &other),
        ("DELETE", "grant", token),
    ] {
        let request = client().request(method.parse().unwrap(), format!("{base}/{what}"));
        let request = request.basic_auth(&world.client.client_id, Some(&world.client.client_secret));
        let answer = request
            .json(&json!({ "access_token": token }))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{method} {what}");
    }
}

#[tokio::test]
async fn every_github_payload_is_as_described() {
    let world = World::conforming(Kind::GitHub).await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let events = ["push", "create", "delete", "pull_request"];
    github_hook(&api, "acme/web", &receiver, "s", &events).await;
    let first = repo.head("main").await.unwrap();
    let second = repo
        .push("main", &[("a.txt", "1\n")], "Two\n\nwith a body")
        .await
        .unwrap();
    repo.force_push("main", &first).await.unwrap();
    repo.push_tag("v1", &first).await.unwrap();
    repo.push_annotated_tag("v2", &second, "Two").await.unwrap();
    repo.delete_tag("v1").await.unwrap();
    repo.push("fix", &[("b.txt", "1\n")], "Fix").await.unwrap();
    let pull = repo.open_pull_request("fix", "main", "A fix").await.unwrap();
    pull.push(&[("b.txt", "2\n")], "More").await.unwrap();
    pull.close().unwrap();
    pull.reopen().unwrap();
    pull.merge().await.unwrap();
    repo.delete_branch("fix").await.unwrap();
    let own = world
        .provider
        .create_repository(slipway_devforge::NewRepository::new("ada/own"))
        .await
        .unwrap();
    github_hook(&api, "ada/own", &receiver, "s", &events).await;
    own.push("main", &[("a.txt", "1\n")], "First").await.unwrap();
    world.forge.deliveries().flush().await;

    world.forge.conformance_report().assert_clean();
    let kinds = [
        "ping",
        "push",
        "create",
        "delete",
        "pull_request opened",
        "pull_request synchronize",
        "pull_request closed",
        "pull_request reopened",
    ];
    assert_covers(
        &world.forge,
        &kinds
            .map(|kind| format!("webhook {kind}"))
            .each_ref()
            .map(String::as_str),
    );
}

/// Besides fitting the schema, a payload carries every top-level field that all of the vendor's
/// own examples of it carry.
#[tokio::test]
async fn github_payloads_have_what_all_the_vendors_examples_have() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(
        &api,
        "acme/web",
        &receiver,
        "s",
        &["push", "create", "delete", "pull_request"],
    )
    .await;
    let sha = repo.push("side", &[("a.txt", "1\n")], "One").await.unwrap();
    repo.open_pull_request("side", "main", "Side").await.unwrap();
    repo.push_tag("v1", &sha).await.unwrap();
    repo.delete_tag("v1").await.unwrap();
    world.forge.deliveries().flush().await;

    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = std::env::var_os("SLIPWAY_GITHUB_WEBHOOKS_EXAMPLES").map_or_else(
        || workspace.join(".tools/node_modules/@octokit/webhooks-examples/api.github.com/index.json"),
        Into::into,
    );
    let examples: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    for event in ["ping", "push", "create", "delete", "pull_request"] {
        let of_event = examples
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == event)
            .unwrap();
        let mut common: Option<BTreeSet<String>> = None;
        for example in of_event["examples"].as_array().unwrap() {
            let these = keys(example);
            common = Some(common.map_or(these.clone(), |common| {
                common.intersection(&these).cloned().collect()
            }));
        }
        let mut common = common.unwrap();
        common.remove("installation");
        let ours = keys(&receiver.of(event)[0].json());
        assert!(
            common.is_subset(&ours),
            "{event} lacks {:?}",
            common.difference(&ours)
        );
    }
}

#[tokio::test]
async fn every_bitbucket_answer_and_payload_is_as_described() {
    let world = World::conforming(Kind::Bitbucket).await;
    let repo = world.repository("web").await;
    repo.set_private(false);
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let events = [
        "repo:push",
        "pullrequest:created",
        "pullrequest:updated",
        "pullrequest:rejected",
        "pullrequest:fulfilled",
    ];
    let hook = bitbucket_hook(&api, "acme/web", &receiver, "s", &events).await;
    let first = repo.head("main").await.unwrap();
    let second = repo.push("next", &[("a b.txt", "1\n")], "Next").await.unwrap();
    repo.force_push("next", &first).await.unwrap();
    repo.force_push("next", &second).await.unwrap();
    repo.push_tag("light", &first).await.unwrap();
    repo.push_annotated_tag("v1", &second, "One").await.unwrap();
    repo.delete_tag("light").await.unwrap();
    let fork = world.provider.fork(&repo, "bob").await.unwrap();
    fork.push("fix", &[("b.txt", "1\n")], "Fix").await.unwrap();
    let pull = repo
        .open_pull_request_from(&fork, "fix", "main", "A fix")
        .await
        .unwrap();
    pull.push(&[("b.txt", "2\n")], "More").await.unwrap();
    pull.close().unwrap();
    repo.open_pull_request("next", "main", "Next")
        .await
        .unwrap()
        .merge()
        .await
        .unwrap();

    for path in [
        "/user",
        "/user/workspaces",
        "/repositories/acme",
        "/repositories/acme?role=admin&pagelen=1",
    ] {
        api.get(path).await;
    }
    for path in [
        "/workspaces",
        "/repositories",
        "/user/permissions/workspaces",
        "/user/permissions/repositories",
    ] {
        api.expect(410, "GET", path, None).await;
    }
    let base = "/repositories/acme/web";
    for path in [
        "",
        "/refs",
        "/refs/branches",
        "/refs/branches/next",
        "/refs/tags",
        "/refs/tags/v1",
        "/commit/next",
        "/pullrequests?state=MERGED&state=DECLINED",
        "/pullrequests/1",
        "/pullrequests/2",
        "/hooks",
        "/deploy-keys",
    ] {
        api.get(&format!("{base}{path}")).await;
    }
    api.get("/repositories/bob/web").await;
    api.get(&format!("{base}/diffstat/{second}..{first}")).await;
    api.get(&format!("{base}/diffstat/{second}")).await;
    let hook = format!("{base}/hooks/{}", text(&hook["uuid"]));
    api.get(&hook).await;
    api.expect(200, "PUT", &hook, Some(json!({ "active": true })))
        .await;
    let key = api
        .expect(
            200,
            "POST",
            &format!("{base}/deploy-keys"),
            Some(json!({ "key": KEY, "label": "s" })),
        )
        .await;
    api.get(&format!("{base}/deploy-keys/{}", key["id"])).await;
    api.expect(204, "DELETE", &format!("{base}/deploy-keys/{}", key["id"]), None)
        .await;
    let status =
        json!({ "key": "slipway", "state": "INPROGRESS", "url": "http://127.0.0.1/b/1", "refname": "next" });
    let statuses = format!("{base}/commit/{second}/statuses/build");
    api.expect(201, "POST", &statuses, Some(status.clone())).await;
    api.expect(200, "PUT", &format!("{statuses}/slipway"), Some(status))
        .await;
    api.get(&format!("{statuses}/slipway")).await;
    api.expect(404, "GET", &format!("{base}/refs/branches/nothing"), None)
        .await;
    api.expect(404, "GET", "/repositories/acme/nothing", None).await;
    world
        .api("bob")
        .await
        .expect(403, "GET", &format!("{base}/hooks"), None)
        .await;
    api.expect(204, "DELETE", &hook, None).await;
    world.forge.deliveries().flush().await;

    world.forge.conformance_report().assert_clean();
    let repo_routes = [
        "GET ",
        "GET /refs",
        "GET /refs/branches",
        "GET /refs/branches/{name}",
        "GET /refs/tags",
        "GET /refs/tags/{name}",
        "GET /commit/{commit}",
        "GET /diffstat/{spec}",
        "GET /pullrequests",
        "GET /pullrequests/{pull_request_id}",
        "GET /hooks",
        "POST /hooks",
        "GET /hooks/{uid}",
        "PUT /hooks/{uid}",
        "DELETE /hooks/{uid}",
        "GET /deploy-keys",
        "POST /deploy-keys",
        "GET /deploy-keys/{key_id}",
        "DELETE /deploy-keys/{key_id}",
        "POST /commit/{commit}/statuses/build",
        "GET /commit/{commit}/statuses/build/{key}",
        "PUT /commit/{commit}/statuses/build/{key}",
    ];
    let repo_routes =
        repo_routes.map(|route| route.replacen(' ', " /repositories/{workspace}/{repo_slug}", 1));
    assert_covers(&world.forge, &repo_routes.each_ref().map(String::as_str));
    assert_covers(
        &world.forge,
        &[
            "GET /user",
            "GET /user/workspaces",
            "GET /repositories/{workspace}",
        ],
    );
    assert_covers(
        &world.forge,
        &events
            .map(|event| format!("webhook {event}"))
            .each_ref()
            .map(String::as_str),
    );
}
