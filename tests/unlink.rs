//! Unlinking leaves nothing behind: not at the provider, not sealed here, and the configurations stay.

use anyhow::Result;
use slipway_testing::{Kind, World, until};

use crate::SLIPWAY;

#[tokio::test]
async fn unlinking_github_removes_hooks_and_keys_and_revokes_the_grant() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    unlinking_leaves_nothing(&world, Kind::GitHub).await?;
    let tokens = world.forge.github().tokens();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| !token.valid),
        "every token is revoked"
    );
    Ok(())
}

#[tokio::test]
async fn unlinking_bitbucket_removes_hooks_and_keys() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::Bitbucket]).start().await?;
    unlinking_leaves_nothing(&world, Kind::Bitbucket).await
}

async fn unlinking_leaves_nothing(world: &World, kind: Kind) -> Result<()> {
    let (one, two) = (
        world.repository(kind).create().await?,
        world.repository(kind).create().await?,
    );
    let hook = one.source.hooks().remove(0);
    world.person.unlink(kind).await?;
    until("hooks and keys are gone from the provider", async || {
        let gone = [&one, &two]
            .iter()
            .all(|linked| linked.source.hooks().is_empty() && linked.source.keys().is_empty());
        Ok(gone.then_some(()))
    })
    .await?;
    world.settled().await?;

    let page = world.person.linked_accounts().await?;
    assert!(page.words().contains("Not linked"), "{}", page.words());
    let configure = world
        .person
        .open(&format!("/{}/builds/configure", one.name))
        .await?;
    assert!(
        configure.words().to_lowercase().contains("disconnected"),
        "{}",
        configure.words()
    );

    one.push_word("main", "unheard").await?;
    assert!(one.settled_builds().await?.is_empty());
    let late = world
        .person
        .visitor
        .http()
        .post(&hook.url)
        .body("{}")
        .send()
        .await?;
    assert_eq!(late.status().as_u16(), 404, "the hook's address is gone, too");

    world.person.link(kind, &world.account).await?;
    until("linking again reconnects", async || {
        Ok((!one.source.hooks().is_empty()).then_some(()))
    })
    .await?;
    world.settled().await?;
    one.push_word("main", "heard again").await?;
    until("a build of the reconnected repository ends", async || {
        Ok(one
            .builds()
            .await?
            .iter()
            .any(slipway_testing::Build::is_final)
            .then_some(()))
    })
    .await?;
    assert_eq!(one.says("latest").await?, "heard again");
    Ok(())
}
