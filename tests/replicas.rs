//! Two `slipway serve` on one PostgreSQL: a token that ends is renewed once, whoever notices.

use anyhow::{Context as _, Result, ensure};
use secrecy::SecretString;
use serde_json::json;
use slipway_testing::{Api, Kind, Serve, World};

use crate::SLIPWAY;

/// How often the token ends.
const TIMES: u64 = 1_000;

/// Another server over the same database, with the same key.
async fn replica(world: &World) -> Result<Serve> {
    let mut serve = Serve::new(SLIPWAY, world.directory.join("replica"))?;
    serve.option(
        "--config",
        world.directory.join("slipway.toml").display().to_string(),
    );
    serve.option("--slots", "0");
    let key = world.serve.data().join("slipway.key");
    serve.option("--key-file", key.display().to_string());
    serve.start().await?;
    Ok(serve)
}

/// Bitbucket's refresh tokens are good once: a second renewal with the same one would break the link.
#[tokio::test]
async fn two_replicas_renew_a_token_once_for_each_time_that_it_ends() -> Result<()> {
    let world = World::of(SLIPWAY)
        .on_postgres()
        .linked(&[Kind::Bitbucket])
        .option("--slots", "0")
        .start()
        .await?;
    let other = replica(&world).await?;
    let token: SecretString = world.api.token().clone();
    let apis = [
        world.api.clone(),
        Api::new(other.url(), token, world.person.visitor.http().clone()),
    ];
    let provider = world.forge.bitbucket();
    for time in 1..=TIMES {
        ensure!(provider.expire_tokens() == 1, "one token is in use");
        tokio::try_join!(ask(&apis[0]), ask(&apis[1])).with_context(|| format!("the time {time}"))?;
        ensure!(
            provider.refreshes() == (time, 0),
            "after the token ended {time} times, {:?} renewals were asked for and refused",
            provider.refreshes()
        );
    }
    let check = json!({});
    let link = world
        .api
        .post("/namespaces/ada/links/bitbucket/check", &check)
        .await?;
    ensure!(link["health"] == "healthy", "{link}");
    other.stop().await
}

/// Two at once, with the same token.
async fn ask(api: &Api) -> Result<()> {
    let list = || api.get("/namespaces/ada/links/bitbucket/repositories?owner=ada");
    tokio::try_join!(list(), list())?;
    Ok(())
}
