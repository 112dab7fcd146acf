//! Builders on other hosts: as processes of their own here, over HTTP as anywhere else.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use slipway_machine::processes;
use slipway_testing::{Build, Kind, Linked, Process, Rule, World, samples, until};

use crate::SLIPWAY;

/// A world whose server builds nothing by itself.
async fn world() -> Result<World> {
    World::of(SLIPWAY).option("--slots", "0").start().await
}

async fn held<'w>(world: &'w World, phase: &str) -> Result<Linked<'w>> {
    world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", world.gate.hook(phase, ""))
        .create()
        .await
}

async fn listed(world: &World, name: &str) -> Result<Value> {
    let all = world.api.get("/builders").await?;
    let all = all["items"].as_array().context("no list")?;
    let found = all.iter().find(|builder| builder["name"] == name);
    found.cloned().context("the builder is not listed")
}

fn waits(build: &Build) -> bool {
    build.state == "pending"
}

async fn running(world: &World, name: &str, builds: u64) -> Result<()> {
    until(&format!("{name} runs {builds}"), async || {
        Ok((listed(world, name).await?["running"] == builds).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_push_is_built_by_a_builder_on_another_host() -> Result<()> {
    let world = world().await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    linked.push_word("main", "far").await?;
    let builder = world.builder("rack-2", json!({})).await?;
    assert_eq!(listed(&world, "rack-2").await?["place"], "expected");
    builder.start_with(&[]).await?;

    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "far");
    assert_eq!(linked.build(1).await?.builder.as_deref(), Some("rack-2"));
    assert!(!world.api.log(&linked.name, 1).await?.is_empty());

    let now = listed(&world, "rack-2").await?;
    assert_eq!(
        (&now["place"], &now["state"], &now["running"], &now["slots"]),
        (&json!("remote"), &json!("active"), &json!(0), &json!(2)),
        "{now}"
    );
    // Its token is good once; what it has is its own, and nobody else may read it.
    let credential = std::fs::read_to_string(world.directory.join("rack-2/credential"))?;
    assert!(credential.starts_with("slw_bld_"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.directory.join("rack-2/credential"))?.permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    builder.stop().await?;
    assert_eq!(listed(&world, "rack-2").await?["state"], "draining");
    // It comes back with its credential, its token being used.
    builder.start_with(&[]).await?;
    linked.push_word("main", "again").await?;
    linked.succeeded(2).await?;
    assert_eq!(listed(&world, "rack-2").await?["state"], "active");
    builder.stop().await?;
    assert_secrets_stayed(&world, &builder, &credential)
}

/// Neither token nor credential is in a log.
fn assert_secrets_stayed(world: &World, builder: &Process, credential: &str) -> Result<()> {
    for log in [builder.log(), world.serve.log()] {
        let text = std::fs::read_to_string(log)?;
        ensure!(
            !text.contains(credential) && !text.contains("slw_reg_"),
            "{} holds a secret",
            log.display()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_build_goes_on_while_the_server_restarts() -> Result<()> {
    let world = world().await?;
    let linked = held(&world, "restart").await?;
    let builder = world.builder("rack-2", json!({})).await?;
    builder.start_with(&[]).await?;
    linked.push_word("main", "steady").await?;
    world.gate.begun("restart").await?;
    world.serve.kill().await?;
    // What it says now waits in its spool.
    world.gate.go_on("restart");
    world.serve.start().await?;

    linked.succeeded(1).await?;
    assert_eq!(linked.build(1).await?.runs, 1, "{}", builder.log_tail());
    assert_eq!(linked.says("latest").await?, "steady");
    builder.stop().await
}

#[tokio::test]
async fn what_a_dead_builder_ran_another_one_runs() -> Result<()> {
    let world = world().await?;
    let linked = held(&world, "death").await?;
    let first = world.builder("first", json!({})).await?;
    first.start_with(&[]).await?;
    linked.push_word("main", "twice").await?;
    world.gate.begun("death").await?;
    first.kill().await?;
    let second = world.builder("second", json!({})).await?;
    second.start_with(&[]).await?;
    world.gate.go_on_all();

    linked.succeeded(1).await?;
    let build = linked.build(1).await?;
    assert_eq!((build.runs, build.builder.as_deref()), (2, Some("second")));
    assert_eq!(linked.says("latest").await?, "twice");
    second.stop().await
}

#[tokio::test]
async fn draining_ends_what_runs_and_a_second_signal_gives_it_back() -> Result<()> {
    let world = world().await?;
    let linked = held(&world, "drain").await?;
    let builder = world.builder("rack-2", json!({})).await?;
    builder.start_with(&[]).await?;
    linked.push_word("main", "a").await?;
    world.gate.begun("drain").await?;
    builder.signal(Signal::SIGTERM).await?;
    until("it drains", async || {
        Ok((listed(&world, "rack-2").await?["state"] == "draining").then_some(()))
    })
    .await?;
    world.gate.go_on("drain");
    linked.succeeded(1).await?;
    ensure!(builder.ended().await?.success(), "{}", builder.log_tail());

    builder.start_with(&[]).await?;
    let linked = held(&world, "back").await?;
    linked.push_word("main", "b").await?;
    world.gate.begun("back").await?;
    builder.signal(Signal::SIGTERM).await?;
    until("it drains again", async || {
        Ok((listed(&world, "rack-2").await?["state"] == "draining").then_some(()))
    })
    .await?;
    builder.signal(Signal::SIGTERM).await?;
    ensure!(builder.ended().await?.success(), "{}", builder.log_tail());
    linked.build_when(1, "waits again", waits).await?;
    assert_eq!(
        linked.build(1).await?.runs,
        0,
        "a run that was given back does not count"
    );
    Ok(())
}

#[tokio::test]
async fn a_builder_that_is_removed_kills_what_it_runs_and_ends() -> Result<()> {
    let world = world().await?;
    let linked = held(&world, "removal").await?;
    let builder = world.builder("rack-2", json!({})).await?;
    builder.start_with(&[]).await?;
    linked.push_word("main", "gone").await?;
    world.gate.begun("removal").await?;
    let ran = processes::descendants(builder.pid().await.context("it does not run")?);
    ensure!(!ran.is_empty(), "it runs something");
    let id = listed(&world, "rack-2").await?["id"].clone();
    let path = format!("/builders/{}", id.as_str().context("no id")?);
    let answer = world.api.call(Method::DELETE, &path, None).await?;
    assert_eq!(answer.status, 204, "{}", answer.text);

    let ended = builder.ended().await?;
    assert_eq!(ended.code(), Some(1));
    assert!(
        builder.log_tail().contains("No builder has this credential"),
        "{}",
        builder.log_tail()
    );
    world.gate.go_on_all();
    until("nothing that it ran runs", async || {
        let left = ran
            .iter()
            .filter(|process| Path::new(&format!("/proc/{process}")).exists());
        Ok((left.count() == 0).then_some(()))
    })
    .await?;
    // Its name is free again, and what it ran waits for somebody else.
    let next = world.builder("rack-2", json!({})).await?;
    next.start_with(&[]).await?;
    linked.succeeded(1).await?;
    next.stop().await
}

#[tokio::test]
async fn a_builder_gets_what_it_was_made_for_and_no_more() -> Result<()> {
    let world = world().await?;
    world
        .api
        .post("/organizations", &json!({ "name": "acme" }))
        .await?;
    let linked = world
        .repository(Kind::GitHub)
        .rule(Rule::branch("main", "latest"))
        .create()
        .await?;
    let bound = world.builder("bound", json!({ "namespaces": ["acme"] })).await?;
    let labelled = world
        .builder("labelled", json!({ "labels": ["gpu"], "only_labelled": true }))
        .await?;
    bound.start_with(&[]).await?;
    labelled.start_with(&[]).await?;
    for name in ["bound", "labelled"] {
        until(&format!("{name} has come in"), async || {
            Ok((listed(&world, name).await?["place"] == "remote").then_some(()))
        })
        .await?;
    }
    linked.push_word("main", "not yours").await?;
    linked.build_when(1, "waits", waits).await?;
    assert_eq!(linked.build(1).await?.hold.as_deref(), Some("no_builder_fits"));

    // Now one of them may.
    let id = listed(&world, "bound").await?["id"].clone();
    let path = format!("/builders/{}", id.as_str().context("no id")?);
    let change = json!({ "namespaces": ["acme", "ada"] });
    let answer = world.api.call(Method::PATCH, &path, Some(&change)).await?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    linked.succeeded(1).await?;
    assert_eq!(linked.build(1).await?.builder.as_deref(), Some("bound"));
    bound.stop().await?;
    labelled.stop().await
}

#[tokio::test]
async fn a_paused_builder_takes_nothing_and_runs_on() -> Result<()> {
    let world = world().await?;
    let linked = held(&world, "pause").await?;
    let builder = world.builder("rack-2", json!({})).await?;
    builder.start_with(&[]).await?;
    linked.push_word("main", "one").await?;
    world.gate.begun("pause").await?;
    running(&world, "rack-2", 1).await?;
    let id = listed(&world, "rack-2").await?["id"].clone();
    let path = format!("/builders/{}", id.as_str().context("no id")?);
    let pause = json!({ "is_paused": true });
    world.api.call(Method::PATCH, &path, Some(&pause)).await?;
    linked.push_word("main", "two").await?;
    world.gate.go_on("pause");
    linked.succeeded(1).await?;
    linked.build_when(2, "waits", waits).await?;
    assert_eq!(linked.build(2).await?.hold.as_deref(), Some("no_builder"));
    let resume = json!({ "is_paused": false });
    world.api.call(Method::PATCH, &path, Some(&resume)).await?;
    world.gate.go_on_all();
    linked.succeeded(2).await?;
    builder.stop().await
}
