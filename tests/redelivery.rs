//! What the provider could not tell, because Slipway was down or could not be reached, becomes known all the same.

use anyhow::Result;
use slipway_devforge::{Delivery, Order};
use slipway_testing::{Kind, Rule, World, until};

use crate::{
    SLIPWAY,
    github_app::{built_through_the_app, linked_through_an_app},
};

/// GitHub never tries again by itself: it is asked to, once Slipway is back. By then the heads were compared, so each push
/// is built once; and a push that was taken back while nobody listened is not built at all.
#[tokio::test]
async fn failed_deliveries_are_asked_for_again_and_built_once() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .option("--slots", "0")
        .start()
        .await?;
    let linked = world
        .repository(Kind::GitHub)
        .file("word", "first\n")
        .rule(Rule::branch("/^(main|dev)$/", "{sourceref}"))
        .create()
        .await?;
    let main = linked.push_word("main", "told").await?;
    linked.build_when(1, "is queued", |_| true).await?;

    world.serve.kill().await?;
    linked.push_word("main", "taken back").await?;
    linked.source.force_push("main", &main).await?;
    let dev = linked.push_word("dev", "not told").await?;
    world.forge.deliveries().flush().await;
    world.serve.start().await?;

    until("the failed deliveries have come again", async || {
        let log = world.forge.deliveries().log();
        let again = log
            .iter()
            .filter(|one| one.redelivery && one.status() == Some(202));
        Ok((again.count() == 3).then_some(()))
    })
    .await?;
    until("everything is decided", async || {
        let queue = world.api.queue().await?;
        Ok((queue.deliveries + queue.head_checks + queue.changes + queue.outbox == 0).then_some(()))
    })
    .await?;
    let builds = linked.builds().await?;
    let built: Vec<_> = builds
        .iter()
        .map(|build| (build.commit.as_str(), build.cause.as_str()))
        .collect();
    assert_eq!(built, [(main.as_str(), "push"), (dev.as_str(), "reconciled")]);
    // The webhook failed, so it was set again and tried out, too: that is a ping.
    let deliveries = linked.deliveries().await?;
    for delivery in deliveries.iter().filter(|one| one["event"] == "push").take(3) {
        assert_eq!(delivery["changes"][0]["result"], "head_unchanged", "{delivery}");
    }
    Ok(())
}

/// A GitHub App has one log for everything, and asks for what failed in its own name. What comes then is late: it says what
/// was, so that heads and installations are looked at, and nothing of it is believed.
#[tokio::test]
async fn a_github_apps_failed_deliveries_are_asked_for_again_and_not_believed() -> Result<()> {
    let (world, app) = linked_through_an_app().await?;
    let linked = built_through_the_app(&world).await?;
    let told = linked.push_word("main", "told").await?;
    linked.succeeded(1).await?;
    world.settled().await?;

    world.serve.kill().await?;
    let unheard = linked.push_word("main", "not told").await?;
    let installation = app.installations()[0].id;
    app.suspend(installation, true);
    let deliveries = world.forge.deliveries();
    deliveries.flush().await;
    // What is told next is under way for long, and comes before what is told once more.
    deliveries.pause();
    app.suspend(installation, false);
    world.serve.start().await?;
    until("both failed deliveries are on their way again", async || {
        let again = deliveries.held().into_iter().filter(|one| one.redelivery);
        Ok((again.count() == 2).then_some(()))
    })
    .await?;
    deliveries.release(Order::Fifo).await;
    deliveries.flush().await;
    let again: Vec<Delivery> = deliveries
        .log()
        .into_iter()
        .filter(|one| one.redelivery)
        .collect();
    let came: Vec<_> = again
        .iter()
        .map(|one| (one.event.as_str(), one.status()))
        .collect();
    assert_eq!(
        came,
        [("push", Some(202)), ("installation", Some(202))],
        "each once, the oldest first"
    );
    let link = world.link_of("ada", Kind::GitHub).await?;
    assert_eq!(
        link["health"], "healthy",
        "it was suspended, and is not any more: {link}"
    );

    let builds = linked.settled_builds().await?;
    let built: Vec<_> = builds
        .iter()
        .map(|build| (build.commit.as_str(), build.cause.as_str()))
        .collect();
    assert_eq!(built, [(told.as_str(), "push"), (unheard.as_str(), "reconciled")]);
    let kept = linked.deliveries().await?;
    let late = kept.first().map(|one| &one["changes"][0]["result"]);
    assert_eq!(late, Some(&serde_json::json!("head_unchanged")), "{kept:?}");
    world.assert_conforming();
    Ok(())
}

/// A server that no provider can reach: no webhook is kept, and one that was there is removed.
#[tokio::test]
async fn polling_only_keeps_no_webhook_and_finds_pushes_all_the_same() -> Result<()> {
    let world = World::of(SLIPWAY).option("--slots", "0").start().await?;
    let mut all = Vec::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let linked = world
            .repository(kind)
            .file("word", "first\n")
            .rule(Rule::branch("main", "latest"))
            .create()
            .await?;
        let path = format!("/{}/builds/configure", linked.name);
        let page = world.person.open(&path).await?;
        let form = page
            .form(&format!("form[action='{path}']"))?
            .set("delivery_mode", "polling")
            .set("poll_minutes", "1")
            .set("then", "save");
        world.person.visitor.submit(&form).await?.ok()?;
        until("the webhook is gone", async || {
            Ok(linked.source.hooks().is_empty().then_some(()))
        })
        .await?;
        let pushed = linked.push_word("main", "unheard").await?;
        all.push((linked, pushed));
    }
    for (linked, pushed) in &all {
        let build = linked.build_when(1, "is queued", |_| true).await?;
        assert_eq!(
            (build.commit.as_str(), build.cause.as_str()),
            (pushed.as_str(), "polled")
        );
        assert!(
            linked
                .deliveries()
                .await?
                .iter()
                .all(|one| one["event"] == "ping")
        );
        assert!(linked.source.hooks().is_empty());
    }
    Ok(())
}
