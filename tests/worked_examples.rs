//! The worked examples of the rules for heads and order, each as it stands there.

use anyhow::{Context as _, Result};
use slipway_devforge::Order;
use slipway_testing::{Build, Kind, Linked, Rule, World, samples, until};

use crate::SLIPWAY;

async fn world() -> Result<World> {
    World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await
}

fn commits(builds: &[Build]) -> Vec<&str> {
    builds.iter().map(|build| build.commit.as_str()).collect()
}

/// The provider's number of the delivery that told of `commit`.
fn delivery_of(world: &World, commit: &str) -> Result<u64> {
    let log = world.forge.deliveries().log();
    let told = log.iter().find(|delivery| delivery.payload()["after"] == commit);
    Ok(told
        .with_context(|| format!("nothing was delivered of {commit}"))?
        .id)
}

/// "Push A, B, force-push back to A → three builds, `latest` ends at A; B's delivery arriving once more after that →
/// `head_unchanged` after asking."
#[tokio::test]
async fn rolling_back_builds_the_old_commit_again() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    let a = linked.push_word("main", "a").await?;
    linked.succeeded(1).await?;
    let b = linked.push_word("main", "b").await?;
    linked.succeeded(2).await?;
    linked.source.force_push("main", &a).await?;
    linked.succeeded(3).await?;

    assert_eq!(commits(&linked.settled_builds().await?), [&a, &b, &a]);
    assert_eq!(linked.says("latest").await?, "a");

    world.forge.deliveries().redeliver(delivery_of(&world, &b)?)?;
    assert_eq!(linked.settled_builds().await?.len(), 3);
    assert_eq!(linked.says("latest").await?, "a");
    assert_eq!(linked.last_result().await?, "head_unchanged");
    Ok(())
}

/// "B's delivery before A's → head asked, B built, A's late one harmless."
#[tokio::test]
async fn a_late_delivery_is_harmless() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    world.forge.deliveries().pause();
    linked.source.push("main", &[("word", "a\n")], "A").await?;
    let b = linked.source.push("main", &[("word", "b\n")], "B").await?;
    world.forge.deliveries().release(Order::Reversed).await;

    assert_eq!(commits(&linked.settled_builds().await?), [&b]);
    assert_eq!(linked.says("latest").await?, "b");
    Ok(())
}

/// "Webhook lost, next push arrives → one build, of the newest."
#[tokio::test]
async fn after_a_lost_delivery_the_next_one_builds_the_newest() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    world.forge.deliveries().drop_next(1);
    linked.push_word("main", "lost").await?;
    let newest = linked.push_word("main", "newest").await?;

    assert_eq!(commits(&linked.settled_builds().await?), [&newest]);
    assert_eq!(linked.says("latest").await?, "newest");
    Ok(())
}

/// "Branch deleted and pushed again at the same commit → built again."
#[tokio::test]
async fn a_branch_that_comes_back_is_built_again() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("dev", "dev"))
        .create()
        .await?;
    let commit = linked.push_word("dev", "dev").await?;
    linked.succeeded(1).await?;
    linked.source.delete_branch("dev").await?;
    assert_eq!(
        linked.settled_builds().await?.len(),
        1,
        "a deletion builds nothing"
    );
    linked.source.create_branch("dev", &commit).await?;

    assert_eq!(commits(&linked.settled_builds().await?), [&commit, &commit]);
    Ok(())
}

/// "Five tags at once (GitHub says nothing) → found by the next reconciliation, five builds."
#[tokio::test]
async fn what_the_provider_does_not_tell_is_found_by_reconciliation() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::tag("/^v(.*)$/", r"{\1}"))
        .create()
        .await?;
    let head = linked.source.head("main").await.context("no head")?;
    let told = world.forge.deliveries().log().len();
    let tags = ["v1", "v2", "v3", "v4", "v5"].map(|tag| (tag, head.as_str()));
    linked.source.push_tags(&tags).await?;
    assert_eq!(
        world.forge.deliveries().log().len(),
        told,
        "more than three tags at once are not told of"
    );
    // Heads are compared every quarter of an hour, and after a start.
    world.serve.stop().await?;
    world.serve.start().await?;

    until("five builds have ended", async || {
        let builds = linked.builds().await?;
        Ok((builds.len() == 5 && builds.iter().all(Build::is_final)).then_some(()))
    })
    .await?;
    for tag in ["1", "2", "3", "4", "5"] {
        assert!(linked.digest(tag).await?.is_some(), "{tag} is missing");
    }
    assert!(
        linked
            .builds()
            .await?
            .iter()
            .all(|build| build.cause == "reconciled")
    );
    Ok(())
}

/// "Two branches whose rules write one tag → ordered by `seq`." And a repeated older build does not take it back.
#[tokio::test]
async fn two_branches_that_write_one_tag_are_built_in_the_order_of_their_pushes() -> Result<()> {
    let world = world().await?;
    let hook = world.gate.hook("pre_build", "");
    let hook = hook.replacen("set -e\n", "set -e\n[ \"$SOURCE_BRANCH\" = slow ] || exit 0\n", 1);
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", hook)
        .rule(Rule::branch("slow", "latest"))
        .rule(Rule::branch("fast", "latest"))
        .create()
        .await?;
    linked.push_word("slow", "first").await?;
    world.gate.begun("pre_build").await?;
    linked.push_word("fast", "second").await?;
    let second = linked.build_when(2, "is queued", |_| true).await?;
    assert_eq!(second.state, "pending", "it waits for the older build of its tag");
    world.gate.go_on("pre_build");
    linked.succeeded(1).await?;
    linked.succeeded(2).await?;
    assert_eq!(linked.says("latest").await?, "second");

    let retried = linked.retry(1).await?;
    let retried = linked.succeeded(retried).await?;
    assert_eq!(
        retried.tags.first().and_then(|tag| tag.result.as_deref()),
        Some("newer_holds_tag"),
        "{retried:?}"
    );
    assert_eq!(linked.says("latest").await?, "second");
    Ok(())
}

/// "Redelivery of last week's push → `head_unchanged`."
#[tokio::test]
async fn last_weeks_delivery_changes_nothing() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    let old = linked.push_word("main", "old").await?;
    linked.succeeded(1).await?;
    linked.push_word("main", "new").await?;
    linked.succeeded(2).await?;

    world.forge.deliveries().redeliver(delivery_of(&world, &old)?)?;
    assert_eq!(linked.settled_builds().await?.len(), 2);
    assert_eq!(linked.last_result().await?, "head_unchanged");
    assert_eq!(linked.says("latest").await?, "new");
    Ok(())
}

/// "Source repository exchanged for another → tags go on moving forward."
#[tokio::test]
async fn tags_go_on_moving_forward_when_the_source_is_exchanged() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    linked.push_word("main", "of the old source").await?;
    linked.succeeded(1).await?;
    let other: Linked<'_> = world.repository(Kind::GitHub).create_source().await?;
    world
        .person
        .choose_another_source(&linked.name, Kind::GitHub, &other.source.full_name()?)
        .await?;
    until("the other source has its webhook", async || {
        Ok((!other.source.hooks().is_empty()).then_some(()))
    })
    .await?;
    world.settled().await?;

    other.push_word("main", "of the new source").await?;
    linked.succeeded(2).await?;
    assert_eq!(linked.says("latest").await?, "of the new source");
    Ok(())
}

/// "Killed between accepting and admitting → built once." The moment cannot be chosen from outside, so it is tried at
/// several: right after the answer, when nothing but the delivery is sure to be stored.
#[tokio::test]
async fn what_was_acknowledged_before_a_crash_is_built_once() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("/.*/", "{sourceref}"))
        .create()
        .await?;
    let mut pushed = Vec::new();
    for round in 0..4 {
        let branch = format!("b{round}");
        pushed.push(linked.push_word(&branch, &branch).await?);
        world.serve.kill().await?;
        world.serve.start().await?;
    }
    let builds = linked.settled_builds().await?;
    let mut built: Vec<_> = commits(&builds);
    built.sort_unstable();
    pushed.sort_unstable();
    assert_eq!(built, pushed);
    assert!(builds.iter().all(|build| build.state == "success"), "{builds:?}");
    Ok(())
}
