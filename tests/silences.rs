//! What a provider does not tell is found out all the same: one test for each of its silences. Four have theirs where
//! they belong: more than three tags at once (`worked_examples`), deliveries that GitHub does not repeat
//! (`redelivery`), hooks that end with an organization's approval (`third_party_access`), and tokens and keys that end
//! because there are too many (`linking`).

use anyhow::{Context as _, Result};
use slipway_devforge::DeliveryState;
use slipway_testing::{Build, Kind, Linked, Rule, World, until};

use crate::{SLIPWAY, linking::change_client};

/// What is built does not matter here, only that it would be.
async fn world(kind: Kind) -> Result<World> {
    World::of(SLIPWAY)
        .linked(&[kind])
        .option("--slots", "0")
        .start()
        .await
}

async fn head(linked: &Linked<'_>) -> Result<String> {
    linked.source.head("main").await.context("no head")
}

/// Heads are compared after a start: that finds it.
async fn is_found_by_comparing(world: &World, linked: &Linked<'_>) -> Result<Build> {
    assert!(linked.builds().await?.is_empty(), "nobody was told");
    world.serve.stop().await?;
    world.serve.start().await?;
    let build = linked.build_when(1, "is queued", |_| true).await?;
    assert_eq!(build.cause, "reconciled");
    Ok(build)
}

async fn nothing_else_is_built(world: &World, linked: &Linked<'_>) -> Result<()> {
    until("everything is decided", async || {
        let queue = world.api.queue().await?;
        Ok((queue.deliveries + queue.head_checks + queue.changes + queue.outbox == 0).then_some(()))
    })
    .await?;
    assert_eq!(linked.builds().await?.len(), 1);
    Ok(())
}

/// The last delivery was too large to be sent, and no attempt was made.
fn assert_was_too_large(world: &World, event: &str) {
    let log = world.forge.deliveries().log();
    let last = log.iter().rfind(|delivery| delivery.event == event);
    let state = last.map(|last| last.state);
    assert_eq!(state, Some(DeliveryState::TooLarge));
}

#[tokio::test]
async fn github_says_nothing_of_more_than_five_thousand_branches() -> Result<()> {
    let world = world(Kind::GitHub).await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("b/0", "latest"))
        .create()
        .await?;
    let head = head(&linked).await?;
    let names: Vec<String> = (0..=5000).map(|number| format!("b/{number}")).collect();
    let branches: Vec<_> = names.iter().map(|name| (name.as_str(), head.as_str())).collect();
    let told = world.forge.deliveries().log().len();
    linked.source.create_branches(&branches).await?;
    assert_eq!(world.forge.deliveries().log().len(), told);

    let build = is_found_by_comparing(&world, &linked).await?;
    assert_eq!(build.commit, head);
    Ok(())
}

#[tokio::test]
async fn github_drops_a_payload_above_25_mb() -> Result<()> {
    let world = world(Kind::GitHub).await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    // The message stands in the payload twice.
    let message = "what was changed, at length\n".repeat((13 << 20) / 28);
    let commit = linked
        .source
        .push("main", &[("word", "told\n")], &message)
        .await?;
    world.forge.deliveries().flush().await;
    assert_was_too_large(&world, "push");

    let build = is_found_by_comparing(&world, &linked).await?;
    assert_eq!(build.commit, commit);
    nothing_else_is_built(&world, &linked).await
}

#[tokio::test]
async fn bitbucket_drops_a_payload_above_256_kb() -> Result<()> {
    let world = world(Kind::Bitbucket).await?;
    let linked = world
        .repository(Kind::Bitbucket)
        .rule(Rule::tag("v7", "seven"))
        .create()
        .await?;
    let head = head(&linked).await?;
    let names: Vec<String> = (0..400).map(|number| format!("v{number}")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), head.as_str())).collect();
    linked.source.push_tags(&tags).await?;
    world.forge.deliveries().flush().await;
    assert_was_too_large(&world, "repo:push");

    is_found_by_comparing(&world, &linked).await?;
    nothing_else_is_built(&world, &linked).await
}

/// "Only 5xx is retried": whoever does not answer at all is not asked twice.
#[tokio::test]
async fn bitbucket_does_not_come_back_to_a_server_that_was_down() -> Result<()> {
    let world = world(Kind::Bitbucket).await?;
    let linked = world
        .repository(Kind::Bitbucket)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    world.serve.kill().await?;
    let commit = linked.push_word("main", "not told").await?;
    let log = world.forge.deliveries().log();
    let last = log.iter().rfind(|delivery| delivery.event == "repo:push");
    assert_eq!(last.context("no delivery")?.attempts.len(), 1);
    world.serve.start().await?;

    let build = linked.build_when(1, "is queued", |_| true).await?;
    assert_eq!((build.commit, build.cause), (commit, "reconciled".to_owned()));
    Ok(())
}

/// An administrator changes the consumer at Bitbucket: that ends the deploy keys, and nobody is told. The first build
/// that cannot fetch its source has the link looked at, which makes the key again.
#[tokio::test]
async fn bitbucket_ends_deploy_keys_when_the_consumer_is_edited() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::Bitbucket]).start().await?;
    let linked = world
        .repository(Kind::Bitbucket)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    assert_eq!(linked.source.keys().len(), 1);
    change_client(&world, Kind::Bitbucket, |consumer| {
        consumer.name = "Slipway, renamed".to_owned();
    })?;
    assert!(linked.source.keys().is_empty());

    linked.push_word("main", "fetched").await?;
    let failed = linked.ended(1).await?;
    assert_eq!(failed.outcome(), ("failed", Some("checkout")));
    until("the deploy key is there again", async || {
        Ok((linked.source.keys().len() == 1).then_some(()))
    })
    .await?;
    let again = linked.retry(1).await?;
    linked.succeeded(again).await?;
    assert_eq!(linked.says("latest").await?, "fetched");
    Ok(())
}
