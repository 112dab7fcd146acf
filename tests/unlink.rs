//! Unlinking leaves nothing behind: not at the provider, not sealed here, and the configurations stay.

use anyhow::Result;
use slipway_testing::{Kind, Linked, World, until};

use crate::SLIPWAY;

#[tokio::test]
async fn unlinking_github_removes_hooks_and_keys_and_revokes_the_grant() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::GitHub]).start().await?;
    let linked = unlinking_leaves_nothing(&world, Kind::GitHub).await?;
    let tokens = world.forge.github().tokens();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| !token.valid),
        "every token is revoked"
    );
    linking_again_reconnects(&world, &linked).await
}

#[tokio::test]
async fn unlinking_bitbucket_removes_hooks_and_keys() -> Result<()> {
    let world = World::of(SLIPWAY).linked(&[Kind::Bitbucket]).start().await?;
    let linked = unlinking_leaves_nothing(&world, Kind::Bitbucket).await?;
    linking_again_reconnects(&world, &linked).await
}

async fn unlinking_leaves_nothing(world: &World, kind: Kind) -> Result<Linked<'_>> {
    let (one, two) = (
        world.repository(kind).create().await?,
        world.repository(kind).create().await?,
    );
    let hook = one.source.hooks().remove(0);
    world.person.unlink(kind).await?;
    until("hooks and keys are gone from the provider", async || {
        let is_bare =
            |linked: &Linked<'_>| linked.source.hooks().is_empty() && linked.source.keys().is_empty();
        Ok((is_bare(&one) && is_bare(&two)).then_some(()))
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
        configure.words().contains("Disconnected"),
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
    Ok(one)
}

async fn linking_again_reconnects(world: &World, linked: &Linked<'_>) -> Result<()> {
    world.person.link(linked.kind, &world.account).await?;
    until("the webhook is there again", async || {
        Ok((!linked.source.hooks().is_empty()).then_some(()))
    })
    .await?;
    world.settled().await?;
    linked.push_word("main", "heard again").await?;
    world.settled().await?;
    assert_eq!(linked.says("latest").await?, "heard again");
    Ok(())
}
