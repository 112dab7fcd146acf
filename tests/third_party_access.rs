//! GitHub's organizations and third-party access: granted, not granted, single sign-on, requested; taken away later
//! and given back.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use slipway_devforge::Role;
use slipway_testing::{Kind, World};

use crate::{SLIPWAY, workspace};

const OWNERS: &str = "/namespaces/ada/links/github/owners";

async fn world() -> Result<World> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .conforming(&workspace())
        .start()
        .await?;
    world
        .forge
        .github()
        .create_organization("acme", &[("ada", Role::Owner)])?;
    Ok(world)
}

async fn check_owner(world: &World, owner: &str) -> Result<Value> {
    world
        .api
        .post(&format!("{OWNERS}/{owner}/check"), &json!({}))
        .await
}

async fn check_link(world: &World) -> Result<Value> {
    let link = world
        .api
        .post("/namespaces/ada/links/github/check", &json!({}))
        .await?;
    world.settled().await?;
    Ok(link)
}

/// What is known of an organization; none where it is not listed.
async fn known(world: &World, owner: &str) -> Result<Option<Value>> {
    let list = world.api.get(OWNERS).await?;
    let owners = list["items"].as_array().context("no list")?;
    Ok(owners.iter().find(|row| row["name"] == owner).cloned())
}

async fn reach(world: &World, owner: &str) -> Result<String> {
    let row = known(world, owner).await?.context("not listed")?;
    Ok(row["reach"].as_str().unwrap_or_default().to_owned())
}

async fn state(world: &World, repository: &str) -> Result<(String, String)> {
    let found = world
        .api
        .get(&format!("/repositories/{repository}/configuration"))
        .await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&found["state"]), text(&found["state_reason"])))
}

/// What the API says remains at GitHub out of reach.
async fn remaining(world: &World) -> Result<Vec<String>> {
    let list = world.api.get("/namespaces/ada/links").await?;
    let items = list["items"].as_array().context("no list")?;
    let github = items.iter().find(|linked| linked["forge"] == "github");
    let left = github.context("no GitHub")?["remaining"].as_array();
    let left = left.context("no list")?.iter();
    let mut kinds: Vec<_> = left.filter_map(|left| left["kind"].as_str()).collect();
    kinds.sort_unstable();
    Ok(kinds.into_iter().map(str::to_owned).collect())
}

async fn page(world: &World) -> Result<slipway_testing::Page> {
    world.person.linked_accounts().await
}

#[tokio::test]
async fn access_that_an_organization_takes_away_blocks_its_builds_until_it_is_given_back() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    let client = github.tokens().remove(0).client_id;
    check_link(&world).await?;
    assert_eq!(reach(&world, "acme").await?, "granted");
    let linked = world.repository(Kind::GitHub).owner("acme").create().await?;

    // An owner restricts third-party access: the organization vanishes from lists, its hooks fall silent.
    github.restrict_apps("acme", true)?;
    linked.push_word("main", "unheard").await?;
    let link = check_link(&world).await?;
    assert_eq!(link["health_reason"], "org_access_denied", "{link}");
    assert_eq!(reach(&world, "acme").await?, "not_granted");
    let (blocked, why) = state(&world, &linked.name).await?;
    assert_eq!(blocked, "blocked");
    assert!(why.starts_with("access revoked by organization"), "{why}");
    assert_eq!(
        remaining(&world).await?,
        ["deploy_key", "webhook"],
        "what was made there is out of reach"
    );
    let builds = world.person.open(&format!("/{}/builds", linked.name)).await?;
    assert!(
        builds.words().contains("access revoked by organization"),
        "{}",
        builds.words()
    );
    assert!(linked.builds().await?.is_empty());

    let shown = page(&world).await?;
    for words in ["Not granted", "Grant access", "org_access_denied"] {
        ensure!(shown.words().contains(words), "no {words:?}: {}", shown.words());
    }
    let links = shown.attributes("a[rel~='external']", "href");
    let web = github.web_url();
    for there in [
        format!("{web}/settings/connections/applications/{client}"),
        format!("{web}/organizations/acme/settings/oauth_application_policy"),
    ] {
        assert!(links.contains(&there), "no link to {there}: {links:?}");
    }

    // "I have requested it" is what the person says; GitHub does not.
    let requested = world
        .api
        .post(&format!("{OWNERS}/acme/requested"), &json!({}))
        .await?;
    assert_eq!(requested["reach"], "requested");
    check_link(&world).await?;
    assert_eq!(reach(&world, "acme").await?, "requested");

    // The owner approves: all comes back by itself, the missed push too.
    github.approve_app("acme", &client, true)?;
    check_link(&world).await?;
    let link = check_link(&world).await?;
    assert_eq!(link["health"], "healthy", "{link}");
    assert_eq!(reach(&world, "acme").await?, "granted");
    assert_eq!(state(&world, &linked.name).await?.0, "active");
    assert!(remaining(&world).await?.is_empty());
    linked.succeeded(1).await?;
    assert_eq!(linked.says("latest").await?, "unheard");
    assert!(linked.source.hooks()[0].active, "the hook was switched on again");
    world.assert_conforming();
    Ok(())
}

#[tokio::test]
async fn a_failed_call_is_enough_to_notice_that_access_was_taken_away() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    check_link(&world).await?;
    let linked = world.repository(Kind::GitHub).owner("acme").create().await?;
    github.restrict_apps("acme", true)?;
    // A retry of nothing, a trigger: whatever asks the forge learns it.
    let path = format!("/repositories/{}/builds", linked.name);
    world.api.call("POST".parse()?, &path, Some(&json!({}))).await?;
    slipway_testing::until("the repository says so", async || {
        let (state, _) = state(&world, &linked.name).await?;
        Ok((state == "blocked").then_some(()))
    })
    .await?;
    assert_eq!(reach(&world, "acme").await?, "not_granted");
    Ok(())
}

#[tokio::test]
async fn an_organization_that_is_not_listed_is_checked_by_its_name() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    github.restrict_apps("acme", true)?;
    check_link(&world).await?;
    assert_eq!(
        known(&world, "acme").await?,
        None,
        "it vanished from GitHub's list"
    );

    // By the form on the page.
    let form = page(&world)
        .await?
        .form("form.card-foot[action='/settings/linked-accounts/github/owners']")?;
    let after = world
        .person
        .visitor
        .submit(&form.set("owner", "Acme").set("then", "check"))
        .await?
        .ok()?;
    assert!(after.words().contains("Not granted"), "{}", after.words());
    assert_eq!(check_owner(&world, "acme").await?["reach"], "not_granted");

    // One that nobody knows.
    let answer = world
        .api
        .call(
            "POST".parse()?,
            &format!("{OWNERS}/nobody/check"),
            Some(&json!({})),
        )
        .await?;
    assert_eq!(answer.status.as_u16(), 422, "{}", answer.text);
    assert_eq!(known(&world, "nobody").await?, None);

    // What could not be asked says why.
    github.befall(slipway_devforge::Mishap::status(502));
    let unknown = check_owner(&world, "acme").await?;
    assert_eq!(unknown["reach"], "unknown");
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap_or_default()
            .contains("forge_unreachable"),
        "{unknown}"
    );
    github.calm();
    github.restrict_apps("acme", false)?;
    assert_eq!(check_owner(&world, "ACME").await?["reach"], "granted");
    let list = world.api.get(OWNERS).await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
    Ok(())
}

#[tokio::test]
async fn single_sign_on_is_named_with_the_place_to_authorize() -> Result<()> {
    let world = world().await?;
    let github = world.forge.github();
    check_link(&world).await?;
    let linked = world.repository(Kind::GitHub).owner("acme").create().await?;
    github.require_single_sign_on("acme", true)?;
    let link = check_link(&world).await?;
    assert_eq!(link["health_reason"], "sso_required", "{link}");
    assert_eq!(reach(&world, "acme").await?, "sso_needed");
    assert_eq!(state(&world, &linked.name).await?.0, "blocked");
    let shown = page(&world).await?;
    assert!(
        shown.words().contains("Single sign-on needed"),
        "{}",
        shown.words()
    );
    let sso = shown.attributes("a[rel~='external']", "href");
    let sso = sso.into_iter().find(|href| href.contains("/orgs/acme/sso"));

    // The person authorizes there: signed in at the provider since linking.
    let there = world
        .person
        .visitor
        .open(sso.context("no link to authorize")?)
        .await?;
    let form = there.form("form#sso")?.set("action", "continue");
    world.person.visitor.submit(&form).await?;
    let owner = check_owner(&world, "acme").await?;
    assert_eq!(owner["reach"], "granted", "{owner}");
    assert_eq!(state(&world, &linked.name).await?.0, "active");
    assert_eq!(check_link(&world).await?["health"], "healthy");
    world.assert_conforming();
    Ok(())
}
