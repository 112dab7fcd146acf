//! A provider that answers too late, and one that answers nothing more for the rest of the hour: calls are made again,
//! nothing is lost, and nothing is made twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use slipway_devforge::{Mishap, Order};
use slipway_testing::{Kind, Linked, Rule, World, until};
use slipway_types::Timestamp;

use crate::SLIPWAY;

/// Longer than a call may take.
const TOO_LATE: Duration = Duration::from_secs(45);

/// What is built does not matter here, only that it would be.
async fn world() -> Result<World> {
    World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .option("--slots", "0")
        .start()
        .await
}

async fn configuration(linked: &Linked<'_>, world: &World) -> Result<Value> {
    let path = format!("/repositories/{}/configuration", linked.name);
    world.api.get(&path).await
}

async fn health(world: &World) -> Result<(Value, Value)> {
    let link = world.link_of("ada", Kind::GitHub).await?;
    Ok((link["health"].clone(), link["health_reason"].clone()))
}

/// Moves `main` back to its first commit. The delivery does not tell where it is by now: the provider has to be asked.
async fn roll_back(world: &World, linked: &Linked<'_>, to: &str) -> Result<()> {
    linked.source.force_push("main", to).await?;
    world.forge.deliveries().flush().await;
    until("the provider is to be asked", async || {
        let result = linked.last_result().await.ok();
        Ok((result.as_deref() == Some("asking_forge")).then_some(()))
    })
    .await
}

/// Two pushes that were heard.
async fn two_pushes(world: &World, linked: &Linked<'_>) -> Result<[String; 2]> {
    let first = linked.push_word("main", "one").await?;
    let second = linked.push_word("main", "two").await?;
    builds_are_there(linked, 2).await?;
    quiet(world).await?;
    Ok([first, second])
}

async fn builds_are_there(linked: &Linked<'_>, number: usize) -> Result<()> {
    until("the pushes are to be built", async || {
        Ok((linked.builds().await?.len() >= number).then_some(()))
    })
    .await
}

/// Nothing is to be done but to build.
async fn quiet(world: &World) -> Result<()> {
    until("nothing else is to be done", async || {
        let queue = world.api.queue().await?;
        Ok((queue.deliveries + queue.head_checks + queue.changes + queue.outbox == 0).then_some(()))
    })
    .await
}

/// Every commit that was to be built, once.
async fn are_built(linked: &Linked<'_>, commits: &[&str]) -> Result<()> {
    let builds = linked.builds().await?;
    let built: Vec<_> = builds.iter().map(|build| build.commit.as_str()).collect();
    ensure!(built == commits, "built are {built:?}, not {commits:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_answered_too_late_is_asked_again_and_made_once() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    // The hook is made, and nobody hears of it in time.
    let late = Mishap::late(TOO_LATE).by(Method::POST).on("/hooks");
    github.befall(late.times(1));
    let new = world.repository(Kind::GitHub).file("word", "first\n");
    let linked = new.rule(Rule::branch("main", "latest")).create_source().await?;
    let source = linked.source.full_name()?;
    let save = &linked.configuration;
    world
        .person
        .configure(&linked.name, linked.kind, &source, save)
        .await?;
    until("the call is given up", async || {
        Ok((health(&world).await? == (json!("needs_attention"), json!("forge_unreachable"))).then_some(()))
    })
    .await?;
    let link = world.link_of("ada", Kind::GitHub).await?;
    ensure!(
        link["health_detail"].to_string().contains("within 30 seconds"),
        "{link}"
    );
    until("hook and key are there", async || {
        let stands = configuration(&linked, &world).await?;
        Ok(
            (stands["webhook"]["state"] == "active" && stands["deploy_key"]["state"] == "active")
                .then_some(()),
        )
    })
    .await?;
    assert_eq!((linked.source.hooks().len(), linked.source.keys().len()), (1, 1));

    // Where the branch is by now is not said in time, nor asked for where nobody waits.
    let [first, second] = two_pushes(&world, &linked).await?;
    let slow = Mishap::slow(TOO_LATE).on("/git/ref/heads/main");
    github.befall(slow.times(1));
    roll_back(&world, &linked, &first).await?;
    builds_are_there(&linked, 3).await?;
    quiet(&world).await?;
    are_built(&linked, &[&first, &second, &first]).await
}

#[tokio::test]
async fn once_the_hour_is_used_up_nobody_asks_until_it_is_over_and_then_all_goes_on() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    let new = world.repository(Kind::GitHub).file("word", "first\n");
    let linked = new.rule(Rule::branch("main", "latest")).create().await?;
    let secret = linked.hook_secret()?;
    let [first, second] = two_pushes(&world, &linked).await?;
    world.forge.deliveries().pause();
    linked.source.force_push("main", &first).await?;

    let reset = github.use_up_the_hour("ada", Duration::from_secs(20))?;
    let check = async || {
        let path = "/namespaces/ada/links/github/check";
        world.api.call(Method::POST, path, Some(&json!({}))).await
    };
    let refused = check().await?;
    assert!(!refused.status.is_success(), "{}", refused.text);
    let link = world.link_of("ada", Kind::GitHub).await?;
    assert_eq!(link["health"], "needs_attention", "{link}");
    assert_eq!(link["health_reason"], "rate_limited", "{link}");
    let reset = Timestamp::from_millis(1000 * reset).to_string();
    assert_eq!(link["health_until"], reset, "as the provider's headers say");
    let page = world.person.linked_accounts().await?.words();
    assert!(page.contains("rate_limited") && page.contains("Until"), "{page}");

    // What is to be done there meanwhile waits, and asks nothing.
    let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
    world.api.post(&path, &json!({})).await?;
    world.forge.deliveries().release(Order::Fifo).await;
    world.forge.deliveries().flush().await;
    assert!(!check().await?.status.is_success());
    assert_eq!(
        github.requests_refused("ada"),
        1,
        "asked once, and never before the hour is over"
    );

    until("the new secret is there", async || {
        let stands = configuration(&linked, &world).await?;
        let settled = stands["webhook"]["secret_exchange"] == "settled";
        Ok((settled && linked.hook_secret()? != secret).then_some(()))
    })
    .await?;
    builds_are_there(&linked, 3).await?;
    quiet(&world).await?;
    until("the link is healthy again by itself", async || {
        Ok((health(&world).await?.0 == "healthy").then_some(()))
    })
    .await?;
    assert_eq!(
        github.requests_refused("ada"),
        1,
        "asked once, and never before the hour is over"
    );
    are_built(&linked, &[&first, &second, &first]).await
}
