//! The health table, row by row: what goes wrong at the provider is noticed, named with its stable word and its fix in
//! the API and on the pages, and put right by itself where that can be.
//!
//! *Check again* stands for the loop, which asks by the same code.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use slipway_devforge::{Mishap, Permission, Role};
use slipway_testing::{Answer, Kind, Linked, World, until};

use crate::{SLIPWAY, workspace};

async fn world() -> Result<World> {
    World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .conforming(&workspace())
        .start()
        .await
}

/// *Check again*, whatever it answers.
async fn check(world: &World, kind: Kind) -> Result<Answer> {
    let path = format!("/namespaces/ada/links/{}/check", kind.as_str());
    world.api.call("POST".parse()?, &path, Some(&json!({}))).await
}

/// *Check again*, which must be answered; and what it set off.
async fn checked(world: &World, kind: Kind) -> Result<Value> {
    let answer = check(world, kind).await?;
    ensure!(
        answer.status.is_success(),
        "checking answered {}: {}\n{}",
        answer.status,
        answer.text,
        world.serve.log_tail()
    );
    world.settled().await?;
    overview(world, kind).await
}

/// How the namespace is linked to a provider.
async fn overview(world: &World, kind: Kind) -> Result<Value> {
    let list = world.api.get("/namespaces/ada/links").await?;
    let forges = list["items"].as_array().context("no list of links")?;
    let found = forges.iter().find(|forge| forge["forge"] == kind.as_str());
    found.cloned().with_context(|| format!("not listed: {list}"))
}

/// Health and reason of the link.
fn health(overview: &Value) -> (&str, Option<&str>) {
    let link = &overview["link"];
    (
        link["health"].as_str().unwrap_or_default(),
        link["health_reason"].as_str(),
    )
}

const HEALTHY: (&str, Option<&str>) = ("healthy", None);

async fn configuration(linked: &Linked<'_>, world: &World) -> Result<Value> {
    world
        .api
        .get(&format!("/repositories/{}/configuration", linked.name))
        .await
}

async fn says(world: &World, path: &str, words: &[&str]) -> Result<()> {
    let page = world.person.open(path).await?.words();
    for word in words {
        ensure!(page.contains(word), "{path} does not say {word:?}: {page}");
    }
    Ok(())
}

/// The page of linked accounts names reason and fix.
async fn page_says(world: &World, words: &[&str]) -> Result<()> {
    says(world, "/settings/linked-accounts", words).await
}

#[tokio::test]
async fn a_webhook_and_a_deploy_key_that_got_lost_are_made_again_and_what_was_missed_is_built() -> Result<()>
{
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let before = linked.source.hooks().remove(0);

    // webhook_missing: a push while nobody listens. The loop may be faster than we are.
    linked.source.remove_hooks();
    linked.push_word("main", "missed").await?;
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    let hooks = linked.source.hooks();
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    assert_eq!((&hooks[0].url, hooks[0].active), (&before.url, true));
    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "missed");

    // webhook_disabled.
    linked.source.switch_hooks(false);
    checked(&world, Kind::GitHub).await?;
    assert!(linked.source.hooks()[0].active);

    // deploy_key_missing.
    let key = linked.source.keys().remove(0).key;
    linked.source.remove_keys();
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    assert_eq!(linked.source.keys().remove(0).key, key);

    linked.push_word("main", "heard").await?;
    linked.succeeded(2).await?;
    assert_eq!(linked.says("latest").await?, "heard");
    let audit = world.api.get("/namespaces/ada/audit?limit=100").await?;
    let acts = audit["items"].as_array().context("no audit trail")?;
    let acts: Vec<_> = acts.iter().filter(|act| act["actor"] == "slipway").collect();
    assert_eq!(
        acts.iter().map(|act| &act["act"]).collect::<Vec<_>>(),
        ["deploy_key.repaired", "webhook.repaired", "webhook.repaired"],
        "the latest first"
    );
    assert_eq!(acts[2]["detail"]["reason"], "webhook_missing");
    let configuration = configuration(&linked, &world).await?;
    for what in ["webhook", "deploy_key"] {
        assert!(configuration[what]["repaired_at"].is_string(), "{configuration}");
        assert!(configuration[what]["reason"].is_null(), "{configuration}");
    }
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn with_repair_switched_off_what_got_lost_is_shown_with_a_button() -> Result<()> {
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let configure = format!("/{}/builds/configure", linked.name);
    let page = world.person.open(&configure).await?;
    let form = page.form(&format!("form[action='{configure}']"))?;
    assert_eq!(form.value("auto_repair"), Some("on"));
    let form = form.unset("auto_repair").set("then", "save");
    world.person.visitor.submit(&form).await?.ok()?;
    assert_eq!(configuration(&linked, &world).await?["auto_repair"], false);

    linked.source.remove_hooks();
    linked.source.remove_keys();
    let overview = checked(&world, Kind::GitHub).await?;
    assert_eq!(health(&overview), ("needs_attention", Some("webhook_missing")));
    assert_eq!(overview["troubles"][1]["reason"], "deploy_key_missing");
    assert!(linked.source.hooks().is_empty() && linked.source.keys().is_empty());
    page_says(&world, &["webhook_missing", "deploy_key_missing", "Repair"]).await?;

    let page = world.person.open(&configure).await?;
    let check = page.form(&format!("form[action='{configure}/check']"))?;
    world.forge.github().befall(Mishap::status(503));
    let away = world.person.visitor.submit(&check).await?.ok()?;
    assert!(
        away.words().contains("could not be asked now"),
        "{}",
        away.words()
    );
    world.forge.github().calm();

    let form = page.form(&format!("form[action='{configure}/repair']"))?;
    world.person.visitor.submit(&form).await?.ok()?;
    world.settled().await?;
    assert_eq!((linked.source.hooks().len(), linked.source.keys().len()), (1, 1));
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn a_webhook_whose_deliveries_do_not_get_through_is_named_and_set_again() -> Result<()> {
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    world.serve.kill().await?;
    linked.push_word("main", "unheard").await?;
    // Else it may come again before anybody looks, and nothing fails any more.
    world.forge.github().befall(Mishap::status(503).on("/attempts"));
    world.serve.start().await?;

    let path = format!("/repositories/{}/configuration/check", linked.name);
    let found = world.api.post(&path, &json!({})).await?;
    assert_eq!(found["webhook"]["reason"], "webhook_failing", "{found}");
    world.forge.github().calm();
    world.settled().await?;
    let detail = configuration(&linked, &world).await?["webhook"]["detail"].to_string();
    assert!(detail.contains("set again"), "{detail}");
    // The provider tried it out: this time somebody answered.
    let found = world.api.post(&path, &json!({})).await?;
    assert!(found["webhook"]["reason"].is_null(), "{found}");
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn what_happens_to_the_account_shows_on_its_link() -> Result<()> {
    let world = world().await?;
    let linked = world.repository(Kind::GitHub).create().await?;
    let github = world.forge.github();
    let client = github.tokens().remove(0).client_id;

    // account_suspended.
    github.suspend("ada", true)?;
    let found = checked(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("broken", Some("account_suspended")));
    page_says(
        &world,
        &["account_suspended", "ask them, or link another account"],
    )
    .await?;
    github.suspend("ada", false)?;
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);

    // scopes_missing.
    github.edit_scopes("ada", &client, &["read:org"])?;
    let found = checked(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("needs_attention", Some("scopes_missing")));
    page_says(&world, &["scopes_missing", "repo", "Link again"]).await?;
    github.edit_scopes(
        "ada",
        &client,
        &["repo", "read:org", "admin:repo_hook", "user:email"],
    )?;
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);

    // token_revoked: and with the token went the deploy key.
    github.revoke_grant("ada", &client)?;
    assert!(linked.source.keys().is_empty());
    let found = checked(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("broken", Some("token_revoked")));
    page_says(&world, &["token_revoked", "Link again"]).await?;
    world.person.link(Kind::GitHub, &world.account).await?;
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    until("the deploy key is there again", async || {
        Ok((!linked.source.keys().is_empty()).then_some(()))
    })
    .await?;
    linked.push_word("main", "on and on").await?;
    linked.succeeded(1).await?;
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn a_forge_that_does_not_answer_or_asks_to_wait_breaks_nothing() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();

    // forge_unreachable, in both ways.
    for mishap in [Mishap::status(503), Mishap::cut()] {
        github.befall(mishap);
        assert!(check(&world, Kind::GitHub).await?.status.is_server_error());
        let found = overview(&world, Kind::GitHub).await?;
        assert_eq!(health(&found), ("needs_attention", Some("forge_unreachable")));
        page_says(&world, &["forge_unreachable", "it is tried again"]).await?;
        github.calm();
        assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    }

    // Asked twice, the second time costs nothing: nothing has changed.
    checked(&world, Kind::GitHub).await?;
    let used = github.requests_used("ada")?;
    checked(&world, Kind::GitHub).await?;
    assert_eq!(github.requests_used("ada")?, used, "every answer was a 304");

    // rate_limited: until then nobody asks.
    github.befall(Mishap::secondary_limit(Duration::from_secs(3)).times(1));
    check(&world, Kind::GitHub).await?;
    let found = overview(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("needs_attention", Some("rate_limited")));
    assert!(found["link"]["health_until"].is_string(), "{found}");
    page_says(&world, &["rate_limited", "Until"]).await?;
    until("the provider may be asked again", async || {
        Ok(check(&world, Kind::GitHub)
            .await?
            .status
            .is_success()
            .then_some(()))
    })
    .await?;
    assert_eq!(health(&overview(&world, Kind::GitHub).await?), HEALTHY);
    Ok(())
}

#[tokio::test]
async fn a_source_repository_that_is_gone_or_out_of_reach_blocks_its_builds_and_comes_back() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    github.create_user("mona", "Mona", "an owner's password")?;
    github.create_organization("acme", &[("mona", Role::Owner), ("ada", Role::Owner)])?;
    checked(&world, Kind::GitHub).await?;
    let theirs = world.repository(Kind::GitHub).owner("acme").create().await?;
    let own = world.repository(Kind::GitHub).create().await?;

    // repository_access_lost.
    github.set_member("acme", "ada", None)?;
    let found = checked(&world, Kind::GitHub).await?;
    assert_eq!(
        health(&found),
        ("needs_attention", Some("repository_access_lost"))
    );
    let blocked = configuration(&theirs, &world).await?;
    assert_eq!(blocked["state"], "blocked", "{blocked}");
    assert_eq!(blocked["source"]["reason"], "repository_access_lost");
    says(
        &world,
        &format!("/{}/builds", theirs.name),
        &["Blocked", "access to the source repository is lost"],
    )
    .await?;
    page_says(&world, &["repository_access_lost", "Choose another source"]).await?;

    theirs.source.grant("ada", Some(Permission::Admin))?;
    assert_eq!(health(&checked(&world, Kind::GitHub).await?), HEALTHY);
    assert_eq!(configuration(&theirs, &world).await?["state"], "active");

    // repository_gone.
    own.source.delete_by_hand()?;
    world.settled().await?;
    let found = overview(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("needs_attention", Some("repository_gone")));
    let gone = configuration(&own, &world).await?;
    assert_eq!(gone["state"], "blocked", "{gone}");
    assert_eq!(gone["source"]["reason"], "repository_gone");
    assert!(
        gone["webhook"].is_null() && gone["deploy_key"].is_null(),
        "{gone}"
    );
    let found = checked(&world, Kind::GitHub).await?;
    assert_eq!(health(&found), ("needs_attention", Some("repository_gone")));
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn an_expired_access_that_is_not_renewed_is_named() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::Bitbucket])
        .bitbucket_token_lifetime(Duration::from_secs(5))
        .start()
        .await?;
    let bitbucket = world.forge.bitbucket();
    let client = bitbucket.tokens().remove(0).client_id;
    bitbucket.revoke_grant("ada", &client)?;
    let found = until("the access has ended", async || {
        check(&world, Kind::Bitbucket).await?;
        let found = overview(&world, Kind::Bitbucket).await?;
        Ok((health(&found).1 == Some("token_expired")).then_some(found))
    })
    .await?;
    assert_eq!(health(&found), ("broken", Some("token_expired")));
    page_says(&world, &["token_expired", "Link again"]).await
}

#[tokio::test]
async fn bitbucket_s_hooks_and_keys_are_made_again_too() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::Bitbucket])
        .conforming(&workspace())
        .start()
        .await?;
    let linked = world.repository(Kind::Bitbucket).create().await?;
    linked.source.remove_hooks();
    linked.source.remove_keys();
    assert_eq!(health(&checked(&world, Kind::Bitbucket).await?), HEALTHY);
    assert_eq!((linked.source.hooks().len(), linked.source.keys().len()), (1, 1));
    linked.source.switch_hooks(false);
    checked(&world, Kind::Bitbucket).await?;
    assert!(linked.source.hooks()[0].active);

    // rate_limited, as Bitbucket says it.
    world
        .forge
        .bitbucket()
        .befall(Mishap::too_many(Duration::from_mins(1)));
    check(&world, Kind::Bitbucket).await?;
    let found = overview(&world, Kind::Bitbucket).await?;
    assert_eq!(health(&found), ("needs_attention", Some("rate_limited")));
    world.forge.bitbucket().calm();

    linked.source.delete_by_hand()?;
    world.settled().await?;
    assert_eq!(
        configuration(&linked, &world).await?["source"]["reason"],
        "repository_gone"
    );
    world.assert_conforming();
    Ok(())
}
