//! Two `slipway serve` on one PostgreSQL: either can be asked for what the other does, and neither does again what the
//! other has done.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use slipway_testing::{Api, Kind, Serve, World, samples};

use crate::SLIPWAY;

/// How often the token ends.
const TIMES: u64 = 1_000;

/// Bitbucket's refresh tokens are good once: a second renewal with the same one would break the link.
#[tokio::test]
async fn two_replicas_renew_a_token_once_for_each_time_that_it_ends() -> Result<()> {
    let world = World::of(SLIPWAY)
        .on_postgres()
        .linked(&[Kind::Bitbucket])
        .option("--slots", "0")
        .start()
        .await?;
    let other = world.replica("replica", 0).await?;
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

/// The server that takes the push has no builder; its neighbour's builder runs the build. What it says is followed, and
/// its end asked for, at the first.
#[tokio::test]
async fn a_build_is_followed_and_cancelled_at_another_server_than_the_one_that_runs_it() -> Result<()> {
    let world = World::of(SLIPWAY)
        .on_postgres()
        .linked(&[Kind::GitHub])
        .option("--slots", "0")
        .start()
        .await?;
    let other = world.replica("replica", 2).await?;
    let hook = world.gate.hook("pre_build", "echo never said").replacen(
        "set -e\n",
        "set -e\necho said by the hook\n",
        1,
    );
    let linked = world
        .repository(Kind::GitHub)
        .file("Dockerfile", samples::says_its_word(&world.base))
        .file("word", "none\n")
        .file("hooks/pre_build", hook)
        .create()
        .await?;
    linked.push_word("main", "never").await?;
    let running = linked
        .build_when(1, "runs", |build| build.state == "in_progress")
        .await?;
    assert_eq!(running.number, 1);
    let mut stream = follow(&world, &world.serve, &linked.name).await?;
    let heard = read_until(&mut stream, "said by the hook").await?;
    assert!(!heard.contains("never said"), "the gate is closed: {heard}");
    world.gate.begun("pre_build").await?;

    linked.cancel(1).await?;
    let heard = read_until(&mut stream, "canceled").await?;
    assert!(!heard.contains("never said"), "{heard}");
    assert_eq!(linked.ended(1).await?.state, "canceled");
    assert_eq!(linked.digest("latest").await?, None);
    other.stop().await
}

/// The events of a repository's first build, as a server tells them.
async fn follow(world: &World, at: &Serve, repository: &str) -> Result<Response> {
    let url = at.at(&format!("/api/v1/repositories/{repository}/builds/1/log/events"));
    let request = world.person.visitor.http().get(url);
    let response = request
        .bearer_auth(world.api.token().expose_secret())
        .send()
        .await?;
    Ok(response.error_for_status()?)
}

/// What comes until these words have come.
async fn read_until(stream: &mut Response, words: &str) -> Result<String> {
    let mut heard = String::new();
    let reading = async {
        while let Some(bytes) = stream.chunk().await? {
            heard.push_str(&String::from_utf8_lossy(&bytes));
            if heard.contains(words) {
                return Ok(());
            }
        }
        bail!("the stream ended")
    };
    let read = tokio::time::timeout(std::time::Duration::from_mins(3), reading).await;
    read.context("waited three minutes in vain")
        .flatten()
        .with_context(|| format!("{words:?} did not come: {heard}"))?;
    Ok(heard)
}
