//! What a GitHub App's webhook tells of the App itself: installations, and grants that people took back.
//!
//! These are of no repository and start no build. Invariant kept here: they change only what a linked person's own token
//! has shown before. A new installation therefore binds nothing: the links of whoever made it are asked about again,
//! with that person's token. What a lost event would have told is found the same way, by the health loop; and one that was
//! asked for again comes late, and is no more than a reason to look.

use slipway_forge::{Installation, InstallationChange, RemoteAccountId};
use slipway_store::{ForgeClient, Link, LinkHealth, Store, StoreError, Tx};
use slipway_types::forge::{Health, HealthReason, LinkState, OwnerReach, Selection, SourceState};

use super::reach;

/// Follows what is told of an installation.
///
/// # Errors
/// What the store says; nothing has changed then.
pub(crate) async fn installation(
    store: &Store,
    client: &ForgeClient,
    installation: &Installation,
    sender: &RemoteAccountId,
    change: InstallationChange,
) -> Result<(), StoreError> {
    let reach = match change {
        InstallationChange::Deleted => OwnerReach::Removed,
        // The payload's own state goes: events may come late.
        _ if installation.suspended => OwnerReach::Suspended,
        _ => OwnerReach::Granted,
    };
    let tx = store.begin().await?;
    let links = tx
        .link_owners()
        .set_installation(client.id, installation.id.as_str(), reach, installation.selection)
        .await?;
    for id in &links {
        let Some(link) = tx.links().find(*id).await? else {
            continue;
        };
        tx.links().set_health(*id, &health(&tx, &link).await?).await?;
        follow_sources(&tx, &link, true).await?;
    }
    if links.is_empty() || change == InstallationChange::Created {
        ask_again(&tx, client, sender).await?;
    }
    tx.commit().await
}

/// Something was told of an installation too late to be believed: the links that it is about are asked about again.
///
/// # Errors
/// What the store says; nothing has changed then.
pub(crate) async fn installation_late(
    store: &Store,
    client: &ForgeClient,
    installation: &Installation,
    sender: &RemoteAccountId,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    for link in tx
        .link_owners()
        .shown(client.id, installation.id.as_str())
        .await?
    {
        tx.links().look_again(link).await?;
    }
    ask_again(&tx, client, sender).await?;
    tx.commit().await
}

/// The same of a grant that a person took back: they may have granted it again since.
///
/// # Errors
/// What the store says; nothing has changed then.
pub(crate) async fn authorization_revoked_late(
    store: &Store,
    client: &ForgeClient,
    account: &RemoteAccountId,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    ask_again(&tx, client, account).await?;
    tx.commit().await
}

/// Follows that a person took back what they granted: the links through it are broken.
///
/// # Errors
/// What the store says; nothing has changed then.
pub(crate) async fn authorization_revoked(
    store: &Store,
    client: &ForgeClient,
    account: &RemoteAccountId,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    for link in links_of(&tx, client, account).await? {
        let detail = format!("{} took back the access at the provider", link.login);
        tx.links()
            .set_health(
                link.id,
                &LinkHealth::because(Health::Broken, HealthReason::TokenRevoked, detail),
            )
            .await?;
    }
    tx.commit().await
}

/// Has the links of an account looked at soon, with that account's own token.
async fn ask_again(tx: &Tx, client: &ForgeClient, account: &RemoteAccountId) -> Result<(), StoreError> {
    for link in links_of(tx, client, account).await? {
        tx.links().look_again(link.id).await?;
    }
    Ok(())
}

async fn links_of(tx: &Tx, client: &ForgeClient, account: &RemoteAccountId) -> Result<Vec<Link>, StoreError> {
    let Some(credential) = tx.credentials().of_account(client.id, account.as_str()).await? else {
        return Ok(Vec::new());
    };
    let mut links = tx.links().of_credential(credential.id).await?;
    links.retain(|link| link.state == LinkState::Linked);
    Ok(links)
}

/// How well a link through an App works: by its installations.
pub(super) async fn health(tx: &Tx, link: &Link) -> Result<LinkHealth, StoreError> {
    if link.health == Health::Broken {
        return Ok(LinkHealth {
            health: link.health,
            reason: link.health_reason,
            detail: link.health_detail.clone(),
            until: link.health_until,
        });
    }
    let owners = tx.link_owners().of(link.id).await?;
    let first = |reach| {
        owners
            .iter()
            .find(|owner| owner.installation.is_some() && owner.reach == reach)
            .map(|owner| owner.name.as_str())
    };
    if let Some(name) = first(OwnerReach::Suspended) {
        let detail = format!("the GitHub App is suspended at {name}: nothing of it is built");
        let reason = HealthReason::InstallationSuspended;
        return Ok(LinkHealth::because(Health::NeedsAttention, reason, detail));
    }
    let Some(name) = first(OwnerReach::Removed) else {
        return Ok(LinkHealth::HEALTHY);
    };
    // One that nothing is built from has nothing to be missed by.
    if !builds_from(tx, link, name).await? {
        return Ok(LinkHealth::HEALTHY);
    }
    let detail = format!("the GitHub App was removed at {name}: nothing of it is built");
    let reason = HealthReason::InstallationRemoved;
    Ok(LinkHealth::because(Health::NeedsAttention, reason, detail))
}

async fn builds_from(tx: &Tx, link: &Link, owner: &str) -> Result<bool, StoreError> {
    for configuration in tx.configurations().of_forge(link.namespace, link.forge).await? {
        let source = tx.source_repositories().get(configuration.source).await?;
        if source.facts.owner.eq_ignore_ascii_case(owner) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says of the sources that a link builds from whether an installation reaches them, as far as that is known here. Which
/// repositories are selected is not: unless that has just `changed`, one out of reach stays so until it gives a token.
pub(super) async fn follow_sources(tx: &Tx, link: &Link, changed: bool) -> Result<(), StoreError> {
    let owners = tx.link_owners().of(link.id).await?;
    for configuration in tx.configurations().of_forge(link.namespace, link.forge).await? {
        let source = tx.source_repositories().get(configuration.source).await?;
        let owner = owners
            .iter()
            .find(|owner| owner.name.eq_ignore_ascii_case(&source.facts.owner));
        let all = owner
            .and_then(|owner| owner.installation.as_ref())
            .is_some_and(|it| it.selection == Selection::All);
        let name = &source.facts.owner;
        let (reason, detail) = match owner.map(|owner| owner.reach) {
            Some(OwnerReach::Suspended) => (
                HealthReason::InstallationSuspended,
                format!("the GitHub App is suspended at {name}"),
            ),
            Some(OwnerReach::Removed) | None => (
                HealthReason::InstallationRemoved,
                format!("the GitHub App is not installed at {name}"),
            ),
            Some(_) => {
                if source.state == SourceState::Unreachable && (changed || all) {
                    // What happened meanwhile is looked for now.
                    reach::reached(tx, &source, &source.facts).await?;
                }
                continue;
            }
        };
        if source.state != SourceState::Gone {
            reach::lost(tx, &source, SourceState::Unreachable, reason, &detail).await?;
        }
    }
    Ok(())
}
