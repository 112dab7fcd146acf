//! Wanting and no longer wanting what Slipway keeps at a provider.
//!
//! Invariant kept here: what is wanted is written (`creating`), together with the outbox row that will make
//! it, in the transaction that decided it; likewise what is to go (`removing`). Nothing here talks to a
//! forge. One hook and one key serve all configurations of one link on one source repository.

use serde::{Deserialize, Serialize};
use slipway_forge::{fresh_state, generate_deploy_key};
use slipway_store::{Link, NewOutboxRow, Resource, SourceRepository, StoreError, Tx};
use slipway_types::{
    CredentialId, ForgeClientId, ResourceId,
    forge::{ClientKind, OutboxKind, ResourceKind, ResourceState},
};

use super::ServiceError;

/// The particulars of an outbox row that makes or removes a resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResourceStep {
    /// Which.
    pub(crate) resource: ResourceId,
    /// With whose token, where it is not the link's present one: the account that made it is being given up.
    #[serde(default)]
    pub(crate) credential: Option<CredentialId>,
}

/// Wants a resource for a source repository. One that is there, or on its way, is enough; one that failed is
/// tried again.
pub(super) async fn want(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    kind: ResourceKind,
) -> Result<(), ServiceError> {
    if through_app(tx, link).await? {
        // Its one webhook serves all, and clones use a token of the installation.
        return Ok(());
    }
    let resources = tx.provider_resources();
    let id = match resources.serving(source.id, link.id, kind).await? {
        Some(there) if there.state != ResourceState::Failed => return Ok(()),
        Some(failed) => {
            resources.set_creating(failed.id).await?;
            failed.id
        }
        None => match kind {
            ResourceKind::Webhook => {
                let secret = fresh_state().into();
                resources
                    .insert_hook(source.id, link.id, &fresh_state(), &secret)
                    .await?
            }
            ResourceKind::DeployKey => {
                let pair = generate_deploy_key(&format!("slipway {}", source.full_name()))
                    .map_err(|_| ServiceError::Internal("a deploy key could not be made"))?;
                resources
                    .insert_key(source.id, link.id, &pair.public, &pair.private)
                    .await?
            }
        },
    };
    push(tx, link, source, create(kind), id).await
}

/// Makes a resource as it should be: one that is there is set right, one that is not is made again.
pub(super) async fn repair(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    resource: &Resource,
) -> Result<(), ServiceError> {
    tx.provider_resources().set_repairing(resource.id).await?;
    push(tx, link, source, create(resource.kind), resource.id).await
}

const fn create(kind: ResourceKind) -> OutboxKind {
    match kind {
        ResourceKind::Webhook => OutboxKind::CreateWebhook,
        ResourceKind::DeployKey => OutboxKind::CreateDeployKey,
    }
}

/// Whether a link goes through a GitHub App, which needs neither hook nor key.
pub(super) async fn through_app(tx: &Tx, link: &Link) -> Result<bool, ServiceError> {
    Ok(tx.links().client_kind(link.id).await? == Some(ClientKind::App))
}

/// The GitHub App that a source repository is built through, if it is through one.
pub(super) async fn app_of(tx: &Tx, source: &SourceRepository) -> Result<Option<ForgeClientId>, StoreError> {
    let link = tx.links().current(source.namespace, source.forge).await?;
    let Some((link, credential)) = link.and_then(|link| Some((link.id, link.credential?))) else {
        return Ok(None);
    };
    if tx.links().client_kind(link).await? != Some(ClientKind::App) {
        return Ok(None);
    }
    let credential = tx.credentials().find(credential).await?;
    Ok(credential.map(|credential| credential.client))
}

/// Has everything removed that a link made for a source repository: the hook before the key. Says how many.
pub(super) async fn unwant_all(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
) -> Result<usize, ServiceError> {
    let mut removed = 0;
    for kind in [ResourceKind::Webhook, ResourceKind::DeployKey] {
        if let Some(there) = tx.provider_resources().serving(source.id, link.id, kind).await? {
            unwant(tx, link, source, &there).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Has one resource removed.
pub(super) async fn unwant(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    resource: &Resource,
) -> Result<(), ServiceError> {
    unwant_as(tx, link, source, resource, None).await
}

/// Has one resource removed: with the link's token, or with that of the `credential` that made it.
pub(super) async fn unwant_as(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    resource: &Resource,
    credential: Option<CredentialId>,
) -> Result<(), ServiceError> {
    // A refusal is definite: there is nothing at the provider.
    if resource.state == ResourceState::Failed && resource.remote_id.is_none() {
        tx.provider_resources().settle_removed(resource.id).await?;
        return Ok(());
    }
    tx.provider_resources().set_removing(resource.id).await?;
    let remove = match resource.kind {
        ResourceKind::Webhook => OutboxKind::RemoveWebhook,
        ResourceKind::DeployKey => OutboxKind::RemoveDeployKey,
    };
    push_as(tx, link, source, remove, resource.id, credential).await
}

/// Replaces a deploy key: the new one is made before the old one goes.
pub(super) async fn renew_key(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    old: &Resource,
) -> Result<(), ServiceError> {
    tx.provider_resources().set_removing(old.id).await?;
    want(tx, link, source, ResourceKind::DeployKey).await?;
    push(tx, link, source, OutboxKind::RemoveDeployKey, old.id).await
}

/// Has something done to a resource at its provider, after what was decided for the repository before.
pub(super) async fn push(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    kind: OutboxKind,
    resource: ResourceId,
) -> Result<(), ServiceError> {
    push_as(tx, link, source, kind, resource, None).await
}

async fn push_as(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    kind: OutboxKind,
    resource: ResourceId,
    credential: Option<CredentialId>,
) -> Result<(), ServiceError> {
    // Each decision is a row of its own: the same resource may be wanted again after it failed.
    let decision = fresh_state();
    tx.outbox()
        .push(&NewOutboxRow {
            kind,
            idempotency_key: format!("{kind}:{resource}:{decision}"),
            order_key: format!("source:{}:{}", source.id, link.id),
            payload: &ResourceStep { resource, credential },
            forge: Some(source.forge),
            link: Some(link.id),
        })
        .await?;
    Ok(())
}
