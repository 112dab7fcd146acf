//! Reads tags back from the registry after a push, and where somebody put another image there meanwhile – a builder
//! that was cut off, a hook that pushes by itself – puts the recorded manifest there again.
//!
//! What was recorded is read back after every push and after every lost grant, and only while nobody holds the tag.
//! A push that happens between the look and the repair is recorded, and so read back once more: the tag
//! settles at its newest build.

use std::{convert::Infallible, time::Duration};

use slipway_registry::{Login, Reference, Registry, RegistryError};
use slipway_store::{Build, Store, StoreError, TagHead};
use slipway_types::{Digest, Timestamp, protocol::Facts};

use super::{Wakes, drive};
use crate::services::{ask::pause_after, bells::Bells};

/// How often a registry is asked about one tag, before it is left as it is.
const TRIES: i32 = 12;

/// How long one server has a tag for itself, where there are others; one that dies meanwhile costs so long.
const CLAIM: Duration = Duration::from_mins(1);

/// Why a tag could not be read back.
#[derive(Debug, thiserror::Error)]
enum RepairError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found at the registry.
enum Found {
    /// What was recorded.
    Agrees,
    /// Something else; the recorded manifest is there again.
    Repaired(Option<Digest>),
    /// Something else, and the recorded manifest is not at the registry any more.
    Lost(Option<Digest>),
}

/// One tag, the one that has waited longest. `false` if none waits.
///
/// # Errors
/// What the database says.
pub async fn repair_tags_one(store: &Store, http: &reqwest::Client) -> Result<bool, StoreError> {
    let Some(head) = store.tag_heads().next_unverified(Timestamp::now()).await? else {
        return Ok(false);
    };
    if store.is_shared() && !claim(store, &head).await? {
        return Ok(true);
    }
    match repair(store, http, &head).await {
        Ok(()) => {}
        Err(RepairError::Store(error)) => return Err(error),
        Err(RepairError::Registry(error)) => put_off(store, &head, &error).await?,
    }
    Ok(true)
}

/// Two servers would ask the registry the same, and tell of a repair twice.
async fn claim(store: &Store, head: &TagHead) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let ours = tx.tag_heads().claim(head, Timestamp::now().plus(CLAIM)).await?;
    tx.commit().await?;
    Ok(ours)
}

async fn repair(store: &Store, http: &reqwest::Client, head: &TagHead) -> Result<(), RepairError> {
    let build = match head.build {
        Some(build) => store.builds().find(build).await?,
        None => None,
    };
    let (Some(build), Some(digest)) = (build, head.digest.as_ref()) else {
        // The build's repository was deleted: nobody is left who could say what belongs there.
        return Ok(settle(store, head, None, None).await?);
    };
    let registry = open(store, http, &build).await?;
    let note = match look(&registry, head, digest).await? {
        Found::Agrees => None,
        Found::Repaired(other) => Some(format!(
            "The tag {} held {} instead of what this build pushed; the pushed image was put there again.",
            head.tag,
            named(other.as_ref())
        )),
        Found::Lost(other) => Some(format!(
            "The tag {} holds {} instead of what this build pushed, and the pushed image is not at the registry any more.",
            head.tag,
            named(other.as_ref())
        )),
    };
    Ok(settle(store, head, Some(&build), note).await?)
}

fn named(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

async fn look(registry: &Registry, head: &TagHead, digest: &Digest) -> Result<Found, RegistryError> {
    let tag = Reference::Tag(head.tag.clone());
    let there = registry.head_manifest(&head.path, &tag).await?;
    if there.as_ref() == Some(digest) {
        return Ok(Found::Agrees);
    }
    let Some(manifest) = registry
        .get_manifest(&head.path, &Reference::Digest(digest.clone()))
        .await?
    else {
        return Ok(Found::Lost(there));
    };
    registry
        .put_manifest(&head.path, &tag, &manifest.bytes, &manifest.media_type)
        .await?;
    Ok(Found::Repaired(there))
}

async fn open(store: &Store, http: &reqwest::Client, build: &Build) -> Result<Registry, RepairError> {
    let registry = Registry::new(http.clone(), &build.new.plan.registry)?;
    let Some(record) = store.registries().find(build.new.plan.registry_id).await? else {
        return Ok(registry);
    };
    Ok(match store.registries().open_password(record.id).await? {
        Some(password) => registry.with_login(Login {
            user: record.username,
            password,
        }),
        None => registry,
    })
}

async fn settle(
    store: &Store,
    head: &TagHead,
    build: Option<&Build>,
    note: Option<String>,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.tag_heads().set_verified(head).await?;
    if let (Some(build), Some(note)) = (build, note) {
        tracing::warn!(build = %build.id, tag = %head.tag, note, "a tag was not what was pushed");
        tx.reports()
            .add_facts(
                build.id,
                &Facts {
                    warnings: vec![note],
                    ..Facts::default()
                },
            )
            .await?;
    }
    tx.commit().await
}

async fn put_off(store: &Store, head: &TagHead, error: &RegistryError) -> Result<(), StoreError> {
    tracing::warn!(tag = %head.tag, attempts = head.verify_attempts, error = %error, "a tag could not be read back");
    let tx = store.begin().await?;
    if head.verify_attempts + 1 >= TRIES {
        tx.tag_heads().set_verified(head).await?;
    } else {
        let until = Timestamp::now().plus(pause_after(head.verify_attempts));
        tx.tag_heads().postpone(head, until).await?;
    }
    tx.commit().await
}

/// All tags, for ever.
pub async fn repair_tags(store: Store, http: reqwest::Client, bells: Bells) -> Infallible {
    let wakes = Wakes::new(bells.tags, Duration::from_secs(5));
    drive("repair_tags", wakes, async || {
        Ok(repair_tags_one(&store, &http).await?)
    })
    .await
}
