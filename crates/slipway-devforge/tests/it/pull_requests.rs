//! Pull requests: opened, followed by pushes, closed, merged; internal and external.

use serde_json::json;

use crate::support::{Receiver, World, bitbucket_hook, github_hook};

#[tokio::test]
async fn a_pull_request_from_a_fork_is_followed_by_pushes_and_fetchable_by_number() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    repo.set_private(false);
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["pull_request"]).await;
    let fork = world.provider.fork(&repo, "bob").await.unwrap();
    let first = fork.push("fix", &[("a.txt", "1\n")], "Fix").await.unwrap();

    let pull = repo
        .open_pull_request_from(&fork, "fix", "main", "A fix")
        .await
        .unwrap();
    let second = pull.push(&[("a.txt", "2\n")], "Fix more").await.unwrap();
    pull.close().unwrap();
    pull.reopen().unwrap();
    world.forge.deliveries().flush().await;

    let got: Vec<_> = receiver
        .of("pull_request")
        .iter()
        .map(crate::support::Received::json)
        .collect();
    let actions: Vec<_> = got.iter().map(|body| body["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["opened", "synchronize", "closed", "reopened"]);
    let shown = &got[0]["pull_request"];
    assert_ne!(
        shown["head"]["repo"]["id"], shown["base"]["repo"]["id"],
        "external"
    );
    assert_eq!(shown["head"]["sha"], json!(first));
    assert_eq!(
        (&got[1]["before"], &got[1]["after"]),
        (&json!(first), &json!(second))
    );
    assert_eq!(repo.head("refs/pull/1/head").await, Some(second));
}

#[tokio::test]
async fn merging_pushes_to_the_base_and_closes_as_merged() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["pull_request", "push"]).await;
    repo.push("fix", &[("a.txt", "1\n")], "Fix").await.unwrap();
    let pull = repo.open_pull_request("fix", "main", "A fix").await.unwrap();
    let merged = pull.merge().await.unwrap();
    world.forge.deliveries().flush().await;

    assert_eq!(repo.head("main").await, Some(merged.clone()));
    let last = receiver.of("pull_request").last().unwrap().json();
    assert_eq!(
        (&last["action"], &last["pull_request"]["merged"]),
        (&json!("closed"), &json!(true))
    );
    let pushes = receiver.of("push");
    assert_eq!(pushes.last().unwrap().json()["after"], json!(merged));
    let shown = api.get("/repos/acme/web/pulls/1").await;
    assert_eq!(
        (&shown["state"], &shown["merge_commit_sha"]),
        (&json!("closed"), &json!(merged))
    );
}

#[tokio::test]
async fn bitbucket_speaks_of_created_updated_rejected_and_has_no_ref_for_it() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let events = [
        "pullrequest:created",
        "pullrequest:updated",
        "pullrequest:rejected",
        "pullrequest:fulfilled",
    ];
    bitbucket_hook(&api, "acme/web", &receiver, "s", &events).await;
    repo.push("fix", &[("a.txt", "1\n")], "Fix").await.unwrap();
    let pull = repo.open_pull_request("fix", "main", "A fix").await.unwrap();
    pull.push(&[("a.txt", "2\n")], "More").await.unwrap();
    pull.close().unwrap();
    pull.reopen().unwrap_err();
    repo.push("other", &[("b.txt", "1\n")], "Other").await.unwrap();
    repo.open_pull_request("other", "main", "Another")
        .await
        .unwrap()
        .merge()
        .await
        .unwrap();
    world.forge.deliveries().flush().await;

    let keys: Vec<String> = receiver
        .received()
        .iter()
        .map(|got| got.header("x-event-key").to_owned())
        .collect();
    let expected = ["created", "updated", "rejected", "created", "fulfilled"];
    assert_eq!(keys, expected.map(|word| format!("pullrequest:{word}")));
    assert!(!pull.head_ref_exists().await);
    let open = api.get("/repositories/acme/web/pullrequests").await;
    assert_eq!(open["size"], 0);
    assert_eq!(
        api.get("/repositories/acme/web/pullrequests/1").await["state"],
        "DECLINED"
    );
}
