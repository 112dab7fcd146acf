//! Dying while webhooks and deploy keys are made, repaired, or given another secret.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use slipway_devforge::{Delivery, Mishap, Order};
use slipway_store::Rotation;
use slipway_types::Timestamp;

use super::Chaos;
use crate::{Linked, Rule, until};

impl Chaos {
    /// Nobody builds here, so nothing is to be built.
    fn rule() -> Rule {
        Rule::branch("main", "latest").without_autobuild()
    }

    pub(super) async fn configure(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let new = world.repository(self.act.kind()).rule(Self::rule());
        let linked = new.create_source().await?;
        let source = linked.source.full_name()?;
        let save = async || {
            world
                .person
                .configure(&linked.name, linked.kind, &source, &linked.configuration)
                .await
        };
        self.crash(point, save).await?;
        let path = format!("/repositories/{}/configuration", linked.name);
        let there = world.api.call(Method::GET, &path, None).await?;
        if there.status == reqwest::StatusCode::NOT_FOUND {
            save().await?;
        }
        world.settled().await?;
        self.holds_one_of_each(&linked).await
    }

    /// One delivery is under way all the while, signed with the secret before.
    pub(super) async fn rotate(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let new = world.repository(self.act.kind()).rule(Self::rule());
        let linked = new.create().await?;
        let before = linked.hook_secret()?;
        world.forge.deliveries().pause();
        linked
            .source
            .push("main", &[("word", "under way\n")], "Under way")
            .await?;

        let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
        let rotate = async || world.api.post(&path, &json!({})).await;
        self.crash(point, rotate).await?;
        until("the provider has the new secret", async || {
            match self.configuration(&linked).await?["webhook"]["secret_exchange"].as_str() {
                None => rotate().await.map(|_| None),
                Some("settled") if linked.hook_secret()? != before => Ok(Some(())),
                Some(_) => Ok(None),
            }
        })
        .await?;
        linked
            .source
            .push("main", &[("word", "after\n")], "After")
            .await?;
        world.forge.deliveries().release(Order::Fifo).await;
        let orphans = self.holds_one_of_each(&linked).await?;
        for told in self.told(&linked) {
            ensure!(told.status() == Some(202), "a delivery was turned away: {told:?}");
        }
        world.settled().await?;
        let deliveries = linked.deliveries().await?;
        let heard = deliveries
            .iter()
            .filter(|one| one["changes"][0]["result"].is_string());
        ensure!(heard.count() == 3, "not every push was heard: {deliveries:?}");
        Ok(orphans)
    }

    /// The provider refuses it; once it does not any more, it is tried again.
    pub(super) async fn rotate_in_vain(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let new = world.repository(self.act.kind()).rule(Self::rule());
        let linked = new.create().await?;
        let before = linked.hook_secret()?;
        let provider = world.forge.provider(linked.kind);
        provider.befall(Mishap::status(403).by(Method::PATCH).on("/hooks/"));
        let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
        let rotate = async || world.api.post(&path, &json!({})).await;
        self.crash(point, rotate).await?;
        self.exchange_is(&linked, "refused").await?;
        ensure!(
            linked.hook_secret()? == before,
            "the provider took it all the same"
        );
        provider.calm();
        rotate().await?;
        self.exchange_is(&linked, "settled").await?;
        ensure!(
            linked.hook_secret()? != before,
            "the provider has the secret before"
        );
        self.holds_one_of_each(&linked).await
    }

    /// Deliveries with the secret before are under way for a quarter of an hour. So that nobody waits for that here: the
    /// server dies when the provider has the new secret and Slipway does not know yet, and what it would write down then
    /// is written down for it, as a quarter of an hour ago.
    pub(super) async fn forget(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let new = world.repository(self.act.kind()).rule(Self::rule());
        let linked = new.create().await?;
        let before = linked.hook_secret()?;
        let armed = [("SLIPWAY_FAULT_POINT", "rotate.call.after")];
        world.serve.start_with(&armed).await?;
        let path = format!("/repositories/{}/configuration/webhook/rotate", linked.name);
        world.api.post(&path, &json!({})).await.ok();
        world.serve.ended().await?;
        ensure!(
            linked.hook_secret()? != before,
            "the provider has the secret before"
        );

        self.settle_as_if_long_ago(&linked).await?;
        self.crash(point, async || Ok(())).await?;
        until("the secret before is forgotten", async || {
            let stands = self.configuration(&linked).await?;
            Ok(stands["webhook"]["secret_exchange"].is_null().then_some(()))
        })
        .await?;
        self.holds_one_of_each(&linked).await
    }

    /// Writes down that the provider has the new secret, while the server does not run.
    async fn settle_as_if_long_ago(&self, linked: &Linked<'_>) -> Result<()> {
        let store = self.world.store().await?;
        let tx = store.begin().await?;
        let url = linked.source.hooks().remove(0).url;
        let path = url.rsplit('/').next().unwrap_or_default();
        let hook = tx.provider_resources().by_hook_path(path).await?;
        let hook = hook.context("Slipway does not know the hook")?;
        ensure!(
            hook.rotation == Rotation::UnderWay,
            "the exchange is {:?}",
            hook.rotation
        );
        tx.provider_resources()
            .settle_rotation(hook.id, Timestamp::now())
            .await?;
        tx.commit().await?;
        Ok(store.close().await?)
    }

    async fn exchange_is(&self, linked: &Linked<'_>, what: &str) -> Result<()> {
        until(&format!("the exchange is {what}"), async || {
            let stands = self.configuration(linked).await?;
            Ok((stands["webhook"]["secret_exchange"] == what).then_some(()))
        })
        .await
    }

    pub(super) async fn repair(&self, point: &str) -> Result<usize> {
        let world = &self.world;
        let new = world.repository(self.act.kind()).rule(Self::rule());
        let linked = new.create().await?;
        linked.source.remove_hooks();
        linked.source.remove_keys();
        let path = format!("/repositories/{}/configuration/check", linked.name);
        let check = async || world.api.post(&path, &json!({})).await;
        self.crash(point, check).await?;
        until("hook and key are there again", async || {
            let stands = check().await?;
            let is_there = |what: &str| stands[what]["state"] == "active" && stands[what]["reason"].is_null();
            let made = !linked.source.hooks().is_empty() && !linked.source.keys().is_empty();
            Ok((is_there("webhook") && is_there("deploy_key") && made).then_some(()))
        })
        .await?;
        world.settled().await?;
        self.holds_one_of_each(&linked).await
    }

    async fn configuration(&self, linked: &Linked<'_>) -> Result<Value> {
        let path = format!("/repositories/{}/configuration", linked.name);
        self.world.api.get(&path).await
    }

    /// Every push that the provider has told of, the first first.
    fn told(&self, linked: &Linked<'_>) -> Vec<Delivery> {
        let mut told = self.world.forge.deliveries().log();
        told.retain(|told| {
            (told.kind, told.repository_id) == (linked.kind, linked.source.id())
                && told.event.ends_with("push")
        });
        told
    }

    /// One hook, one key, both as Slipway says, and the hook works: a push is told with a secret that Slipway knows.
    async fn holds_one_of_each(&self, linked: &Linked<'_>) -> Result<usize> {
        let world = &self.world;
        let path = format!("/namespaces/ada/links/{}/unlink", linked.kind.as_str());
        let preview = world.api.get(&path).await?;
        let source = linked.source.full_name()?;
        let sources = preview["sources"].as_array().context("no sources")?;
        let Some(kept) = sources.iter().find(|kept| kept["path"] == source.as_str()) else {
            bail!("Slipway knows nothing of {source}: {preview}");
        };
        ensure!(
            kept["webhook"] == true && kept["deploy_key"] == true,
            "Slipway says {kept}"
        );
        let (hooks, keys) = (linked.source.hooks(), linked.source.keys());
        ensure!(
            !hooks.is_empty() && !keys.is_empty(),
            "a hook or a key is missing"
        );
        linked.push_word("main", "heard").await?;
        let told = self.told(linked);
        let answer = told.last().and_then(Delivery::status);
        ensure!(answer == Some(202), "the push was answered with {answer:?}");
        Ok(hooks.len() - 1 + keys.len() - 1)
    }
}
