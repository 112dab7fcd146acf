//! Webhooks: sent for real on a real push, signed, and under the test's control.

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use slipway_devforge::{DeliveryState, Order};

use crate::support::{Receiver, World, bitbucket_hook, github_hook};

/// The test's own signature, written from the documentation and not shared with the forge.
fn expected_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_push_becomes_a_signed_delivery() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    let hook = github_hook(&api, "acme/web", &receiver, "s3cret", &["push"]).await;
    let before = repo.head("main").await.unwrap();

    let sha = repo.push("main", &[("a.txt", "one\n")], "Add a").await.unwrap();
    world.forge.deliveries().flush().await;

    let pings = receiver.of("ping");
    assert_eq!(pings.len(), 1, "making a hook pings it");
    let pushes = receiver.of("push");
    assert_eq!(pushes.len(), 1);
    let push = &pushes[0];
    assert_eq!(
        push.header("x-hub-signature-256"),
        expected_signature("s3cret", &push.body)
    );
    assert_eq!(push.header("x-github-hook-id"), hook["id"].to_string());
    let body = push.json();
    assert_eq!(
        (&body["ref"], &body["before"], &body["after"]),
        (&json!("refs/heads/main"), &json!(before), &json!(sha))
    );
    assert_eq!(body["commits"][0]["added"], json!(["a.txt"]));
    assert_eq!(body["head_commit"]["message"], "Add a");
    assert_eq!(body["pusher"]["name"], "ada");
}

#[tokio::test]
async fn three_tags_at_once_are_heard_and_four_are_not() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["push", "create", "delete"]).await;
    let sha = repo.head("main").await.unwrap();

    repo.push_tags(&[("v1", &sha), ("v2", &sha), ("v3", &sha), ("v4", &sha)])
        .await
        .unwrap();
    world.forge.deliveries().flush().await;
    assert!(receiver.of("push").is_empty());
    assert!(receiver.of("create").is_empty());

    repo.push_tags(&[("w1", &sha), ("w2", &sha), ("w3", &sha)])
        .await
        .unwrap();
    world.forge.deliveries().flush().await;
    assert_eq!(receiver.of("push").len(), 3);
    assert_eq!(receiver.of("create").len(), 3);
    assert_eq!(receiver.of("create")[0].json()["ref"], "w1");
}

#[tokio::test]
async fn force_pushes_and_deletions_say_so() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["push", "delete"]).await;
    let first = repo.head("main").await.unwrap();
    repo.push("main", &[], "two").await.unwrap();
    repo.force_push("main", &first).await.unwrap();
    repo.create_branch("side", &first).await.unwrap();
    repo.delete_branch("side").await.unwrap();
    world.forge.deliveries().flush().await;

    let pushes: Vec<_> = receiver
        .of("push")
        .iter()
        .map(crate::support::Received::json)
        .collect();
    assert_eq!(pushes.len(), 4);
    assert_eq!(
        (&pushes[1]["forced"], &pushes[1]["after"]),
        (&json!(true), &json!(first))
    );
    assert_eq!(
        (&pushes[2]["created"], &pushes[2]["base_ref"]),
        (&json!(true), &json!("refs/heads/main"))
    );
    assert_eq!(
        (&pushes[3]["deleted"], &pushes[3]["head_commit"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(receiver.of("delete")[0].json()["ref_type"], "branch");
}

#[tokio::test]
async fn one_bitbucket_push_is_one_delivery_with_all_changes() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    bitbucket_hook(&api, "acme/web", &receiver, "s3cret", &["repo:push"]).await;

    repo.push_branches(&["main", "next"], &[("a.txt", "one\n")], "Add a")
        .await
        .unwrap();
    world.forge.deliveries().flush().await;

    let got = receiver.of("repo:push");
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].header("x-hub-signature"),
        expected_signature("s3cret", &got[0].body)
    );
    assert_eq!(got[0].header("x-attempt-number"), "1");
    let changes = got[0].json()["push"]["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 2);
    assert_eq!(
        (&changes[0]["new"]["name"], &changes[0]["created"]),
        (&json!("main"), &json!(false))
    );
    assert_eq!(
        (&changes[1]["new"]["name"], &changes[1]["old"]),
        (&json!("next"), &json!(null))
    );
}

#[tokio::test]
async fn a_long_bitbucket_push_is_truncated_to_five_commits() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    bitbucket_hook(&api, "acme/web", &receiver, "s", &["repo:push"]).await;
    let commits: Vec<(String, &[(&str, &str)])> = (0..7).map(|n| (format!("commit {n}"), &[][..])).collect();
    let commits: Vec<(&str, &[(&str, &str)])> = commits
        .iter()
        .map(|(text, files)| (text.as_str(), *files))
        .collect();
    let shas = repo.push_commits("main", &commits).await.unwrap();
    world.forge.deliveries().flush().await;

    let change = receiver.of("repo:push")[0].json()["push"]["changes"][0].clone();
    assert_eq!(change["truncated"], true);
    assert_eq!(change["commits"].as_array().unwrap().len(), 5);
    assert_eq!(change["commits"][0]["hash"], json!(shas[6]), "newest first");
}

#[tokio::test]
async fn a_bitbucket_payload_over_the_limit_is_dropped_in_silence() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    bitbucket_hook(&api, "acme/web", &receiver, "s", &["repo:push"]).await;
    repo.push("main", &[], &"x".repeat(100 * 1024)).await.unwrap();
    world.forge.deliveries().flush().await;
    assert!(receiver.received().is_empty());
    assert_eq!(world.forge.deliveries().log()[0].state, DeliveryState::TooLarge);
}

#[tokio::test]
async fn bitbucket_retries_twice_on_5xx_and_never_on_4xx_and_github_never() {
    let world = World::bitbucket().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    bitbucket_hook(&api, "acme/web", &receiver, "s", &["repo:push"]).await;
    receiver.answer_with(&[500, 502, 503, 404]);
    repo.push("main", &[], "one").await.unwrap();
    repo.push("main", &[], "two").await.unwrap();
    world.forge.deliveries().flush().await;
    let attempts: Vec<String> = receiver
        .received()
        .iter()
        .map(|got| got.header("x-attempt-number").to_owned())
        .collect();
    assert_eq!(attempts, ["1", "2", "3", "1"]);

    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    world.forge.deliveries().flush().await;
    receiver.answer_with(&[500]);
    repo.push("main", &[], "one").await.unwrap();
    world.forge.deliveries().flush().await;
    assert_eq!(receiver.of("push").len(), 1);
}

#[tokio::test]
async fn tests_can_hold_reorder_drop_double_and_repeat() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let (api, receiver) = (world.api("ada").await, Receiver::start().await);
    github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    let deliveries = world.forge.deliveries();
    deliveries.flush().await;

    deliveries.pause();
    let a = repo.push("main", &[], "a").await.unwrap();
    let b = repo.push("main", &[], "b").await.unwrap();
    assert!(receiver.of("push").is_empty());
    assert_eq!(deliveries.held().len(), 2);
    deliveries.release(Order::Reversed).await;
    let after = |got: &crate::support::Received| got.json()["after"].clone();
    assert_eq!(
        receiver.of("push").iter().map(after).collect::<Vec<_>>(),
        [json!(b), json!(a)]
    );

    deliveries.drop_next(1);
    deliveries.duplicate_next(1);
    repo.push("main", &[], "lost").await.unwrap();
    let twice = repo.push("main", &[], "twice").await.unwrap();
    deliveries.flush().await;
    let got = receiver.of("push");
    assert_eq!(
        got[2..].iter().map(after).collect::<Vec<_>>(),
        [json!(twice), json!(twice)]
    );
    assert_eq!(got[2].body, got[3].body);

    let id = deliveries
        .log()
        .iter()
        .find(|entry| entry.payload()["after"] == json!(a))
        .unwrap()
        .id;
    deliveries.redeliver(id).unwrap();
    deliveries.flush().await;
    let got = receiver.of("push");
    assert_eq!(got[4].body, got[1].body);
    assert_eq!(
        got[4].header("x-github-delivery"),
        got[1].header("x-github-delivery")
    );
}
