//! A webhook's secret is exchanged while people push: no delivery is turned away, at neither provider, whichever secret it
//! was signed with, and whenever the server dies.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use slipway_devforge::{Mishap, Order};
use slipway_testing::{Kind, Linked, Rule, World, until};

use crate::SLIPWAY;

/// A repository at each provider. Nothing builds, so they are made before the first push waits for a builder.
async fn both(world: &World) -> Result<Vec<Linked<'_>>> {
    let mut both = Vec::new();
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let new = world.repository(kind).file("word", "first\n");
        both.push(new.rule(Rule::branch("main", "latest")).create().await?);
    }
    Ok(both)
}

async fn webhook(world: &World, linked: &Linked<'_>) -> Result<Value> {
    let path = format!("/repositories/{}/configuration", linked.name);
    Ok(world.api.get(&path).await?["webhook"].take())
}

/// The provider signs with another secret than `before`, and Slipway knows it.
async fn exchanged(world: &World, linked: &Linked<'_>, before: &str) -> Result<()> {
    until("the provider has the new secret", async || {
        let known = webhook(world, linked).await?["secret_exchange"] == "settled";
        Ok((known && linked.hook_secret()? != before).then_some(()))
    })
    .await
}

/// Everything that was sent was answered 202.
fn assert_nothing_was_turned_away(world: &World) {
    for delivery in world.forge.deliveries().log() {
        assert_eq!(delivery.status(), Some(202), "{delivery:?}");
    }
}

async fn last_build_is_of(linked: &Linked<'_>, commit: &str) -> Result<()> {
    linked
        .build_when(1, "is queued", |_| true)
        .await
        .context("no push was built")?;
    until("the last push is built", async || {
        let builds = linked.builds().await?;
        Ok(builds.last().filter(|last| last.commit == commit).map(drop))
    })
    .await
}

/// By the API, with a delivery under way that was signed before.
#[tokio::test]
async fn no_delivery_is_lost_while_a_secret_is_exchanged() -> Result<()> {
    let world = World::of(SLIPWAY).option("--slots", "0").start().await?;
    for linked in both(&world).await? {
        let before = linked.hook_secret()?;
        linked.push_word("main", "before").await?;

        world.forge.deliveries().pause();
        linked
            .source
            .push("main", &[("word", "under way\n")], "Under way")
            .await?;
        let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
        let asked = world.api.post(&path, &json!({})).await?;
        assert!(asked["secret_exchange"].is_string(), "{asked}");
        linked
            .source
            .push("main", &[("word", "meanwhile\n")], "Meanwhile")
            .await?;
        exchanged(&world, &linked, &before).await?;
        linked
            .source
            .push("main", &[("word", "after\n")], "After")
            .await?;
        world.forge.deliveries().release(Order::Fifo).await;
        world.forge.deliveries().flush().await;

        let last = linked.push_word("main", "at last").await?;
        last_build_is_of(&linked, &last).await?;
        let again = world.api.call(reqwest::Method::POST, &path, None).await?;
        assert_eq!(
            again.status, 409,
            "what is under way would be lost: {}",
            again.text
        );
        assert_eq!(again.json["reason"], "secret_exchanged", "{}", again.text);
    }
    assert_nothing_was_turned_away(&world);
    Ok(())
}

/// By the button, with the server killed right after.
#[tokio::test]
async fn an_exchange_goes_on_after_a_crash() -> Result<()> {
    let world = World::of(SLIPWAY).option("--slots", "0").start().await?;
    for linked in both(&world).await? {
        let before = linked.hook_secret()?;
        let page = world
            .person
            .open(&format!("/{}/builds/configure", linked.name))
            .await?;
        let form = page
            .form(&format!("form[action='/{}/builds/configure']", linked.name))?
            .set("then", "rotate-secret");
        let after = world.person.visitor.submit(&form).await?.ok()?;
        assert!(after.words().contains("new secret"), "{}", after.words());
        world.serve.kill().await?;
        world.serve.start().await?;
        exchanged(&world, &linked, &before).await?;

        let last = linked.push_word("main", "after the crash").await?;
        last_build_is_of(&linked, &last).await?;
    }
    assert_nothing_was_turned_away(&world);
    Ok(())
}

/// The provider does not take the new secret: that is said, the one before stays in use, and it can be tried again.
#[tokio::test]
async fn a_refused_exchange_is_told_and_can_be_tried_again() -> Result<()> {
    let world = World::of(SLIPWAY).option("--slots", "0").start().await?;
    for linked in both(&world).await? {
        let before = linked.hook_secret()?;
        let provider = world.forge.provider(linked.kind);
        let change = match linked.kind {
            Kind::GitHub => reqwest::Method::PATCH,
            Kind::Bitbucket => reqwest::Method::PUT,
        };
        provider.befall(Mishap::status(403).by(change).on("/hooks/"));
        let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
        world.api.post(&path, &json!({})).await?;
        let told = until("the refusal is told", async || {
            let told = webhook(&world, &linked).await?;
            Ok((told["secret_exchange"] == "refused").then_some(told))
        })
        .await?;
        assert_eq!(told["state"], "active", "{told}");
        let why = told["secret_exchange_detail"].as_str().context("no reason")?;
        assert_eq!(linked.hook_secret()?, before, "nothing has changed there");
        let page = world
            .person
            .open(&format!("/{}/builds/configure", linked.name))
            .await?;
        assert!(
            page.words()
                .contains("The provider did not take the webhook’s new secret."),
            "{}",
            page.words()
        );
        assert!(page.words().contains(why), "{why}: {}", page.words());
        let audit = world
            .api
            .get("/namespaces/ada/audit?limit=100")
            .await?
            .to_string();
        assert!(audit.contains("webhook.secret_refused"), "{audit}");
        linked.push_word("main", "meanwhile").await?;

        provider.calm();
        world.api.post(&path, &json!({})).await?;
        exchanged(&world, &linked, &before).await?;
        assert!(webhook(&world, &linked).await?["secret_exchange_detail"].is_null());
        let last = linked.push_word("main", "at last").await?;
        last_build_is_of(&linked, &last).await?;
    }
    assert_nothing_was_turned_away(&world);
    Ok(())
}
