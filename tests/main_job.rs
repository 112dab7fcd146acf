//! The main job, for both providers and on both databases: a push becomes an image, and a page shows it.

use anyhow::{Context as _, Result};
use slipway_testing::{Kind, Linked, Rule, World};

use crate::{SLIPWAY, workspace};

#[tokio::test]
async fn a_push_to_github_becomes_an_image_on_sqlite() -> Result<()> {
    let world = World::of(SLIPWAY)
        .linked(&[Kind::GitHub])
        .conforming(&workspace())
        .start()
        .await?;
    a_push_becomes_an_image(&world, Kind::GitHub).await
}

#[tokio::test]
async fn a_push_to_bitbucket_becomes_an_image_on_postgresql() -> Result<()> {
    let world = World::of(SLIPWAY)
        .on_postgres()
        .linked(&[Kind::Bitbucket])
        .conforming(&workspace())
        .start()
        .await?;
    a_push_becomes_an_image(&world, Kind::Bitbucket).await
}

/// Clone, build and push go through the few services that the machine may reach; its engine is its own.
#[tokio::test]
async fn a_push_becomes_an_image_in_a_rootless_machine() -> Result<()> {
    let world = World::of(SLIPWAY)
        .rootless("trixie")
        .linked(&[Kind::GitHub])
        .start()
        .await?;
    a_push_becomes_an_image(&world, Kind::GitHub).await
}

async fn a_push_becomes_an_image(world: &World, kind: Kind) -> Result<()> {
    let linked = world
        .repository(kind)
        .rule(Rule::branch("main", "latest"))
        .rule(Rule::tag(r"/^v([0-9.]+)$/", r"{\1},stable"))
        .create()
        .await?;
    assert!(
        linked.builds().await?.is_empty(),
        "what was there before is no push"
    );
    let keys = linked.source.keys();
    assert!(
        keys.iter().all(|key| key.read_only),
        "deploy keys may only read: {keys:?}"
    );

    let commit = linked.push_word("main", "sesame").await?;
    let build = linked.succeeded(1).await?;
    assert_eq!(build.commit, commit);
    assert_tag(&linked, 1, "latest", "sesame").await?;

    linked
        .source
        .push_annotated_tag("v1.2.3", &commit, "Release")
        .await?;
    let build = linked.succeeded(2).await?;
    assert_eq!(
        build.commit, commit,
        "a build is of the tagged commit, not of the tag's object"
    );
    assert_tag(&linked, 2, "1.2.3", "sesame").await?;
    assert_tag(&linked, 2, "stable", "sesame").await?;

    world.settled().await?;
    assert_eq!(linked.builds().await?.len(), 2, "one rule for each push");
    assert_reported_at_the_provider(world, &linked, &commit);
    world.assert_conforming();
    Ok(())
}

/// The registry, the report and the image itself agree on a tag.
async fn assert_tag(linked: &Linked<'_>, number: u64, tag: &str, word: &str) -> Result<()> {
    let digest = linked.digest(tag).await?;
    let digest = digest.with_context(|| format!("the registry has no {tag}"))?;
    let reported = linked.reported_digests(number).await?;
    assert!(
        reported.iter().any(|text| text.contains(&digest)),
        "{digest} is not among {reported:?}"
    );
    let build = linked.ended(number).await?;
    assert_eq!(build.digest(tag), Some(digest.as_str()));
    assert_eq!(linked.run(&digest).await?, word);
    Ok(())
}

/// The commit has a status that says it went well and leads to the report.
fn assert_reported_at_the_provider(world: &World, linked: &Linked<'_>, commit: &str) {
    let statuses = linked.source.statuses();
    let last = statuses.iter().rfind(|status| status.sha == commit);
    let last = last.unwrap_or_else(|| panic!("{commit} has no status among {statuses:?}"));
    assert_eq!(last.state.to_lowercase().get(..7), Some("success"), "{last:?}");
    let target = last.target_url.as_deref().unwrap_or_default();
    assert!(
        target.starts_with(&world.serve.at(&format!("/{}/builds/", linked.name))),
        "{target}"
    );
}
