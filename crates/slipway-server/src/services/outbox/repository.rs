//! What all that is done at a source repository shares: through which link, at which present name, and what
//! is said when it cannot be done.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_forge::{Forge, ForgeError, RemoteRepositoryId, Repository, RepositoryKey};
use slipway_store::{Link, NewAct, OutboxRow, Resource, SourceRepository, StoreError, Tx};
use slipway_types::{
    CredentialId,
    forge::{HealthReason, ResourceKind, SourceState},
};

use super::{OutboxWorker, Trouble};
use crate::{
    fault,
    services::{
        linked_forges::facts,
        reach::{self, SLIPWAY},
        remaining,
        resources::ResourceStep,
    },
};

/// A resource's place, and the means to do something there.
pub(super) struct Place {
    pub(super) link: Link,
    pub(super) source: SourceRepository,
    /// By its present name: providers' ids survive renames, and each step asks for it anew.
    pub(super) repository: Repository,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) token: SecretString,
}

/// The resource that a row is about; none where it is gone from the records.
pub(super) async fn resource(worker: &OutboxWorker, row: &OutboxRow) -> Result<Option<Resource>, Trouble> {
    let step: ResourceStep = row.payload()?;
    Ok(worker.store.provider_resources().find(step.resource).await?)
}

/// Goes to a resource's repository, as the link.
pub(super) async fn go(worker: &OutboxWorker, resource: &Resource) -> Result<Place, Trouble> {
    go_as(worker, resource, None).await
}

/// Goes there to take something away: as the link, or as who made it.
pub(super) async fn go_to_remove(
    worker: &OutboxWorker,
    row: &OutboxRow,
    resource: &Resource,
) -> Result<Place, Trouble> {
    let step: ResourceStep = row.payload()?;
    go_as(worker, resource, step.credential).await
}

async fn go_as(
    worker: &OutboxWorker,
    resource: &Resource,
    credential: Option<CredentialId>,
) -> Result<Place, Trouble> {
    let link = worker.store.links().find(resource.link).await?;
    let link = link.ok_or_else(|| StoreError::NotFound("the link".to_owned()))?;
    let source = worker.store.source_repositories().get(resource.source).await?;
    let (forge, mut token) = match credential {
        Some(credential) => worker.forges.for_credential(credential).await?,
        None => worker.forges.for_link(&link).await?,
    };
    let id = RemoteRepositoryId::from(source.facts.provider_id.as_str());
    let ask = |token| {
        let (forge, id) = (&forge, &id);
        async move { forge.repository(&token, RepositoryKey::Id(id)).await }
    };
    let found = worker.forges.ask(&link, None, &mut token, ask).await?;
    let repository = match found {
        Ok(repository) => repository,
        Err(error) => {
            reach::failed(&worker.store, &link, &source, &error, true).await?;
            return Err(failed(worker, &link, error).await);
        }
    };
    let facts = facts(&repository);
    if facts != source.facts || source.state != SourceState::Present {
        let tx = worker.store.begin().await?;
        reach::reached(&tx, &source, &facts).await?;
        tx.commit().await?;
    }
    Ok(Place {
        link,
        source,
        repository,
        forge,
        token,
    })
}

/// What a failed call means for the row; the link's health hears of it too.
pub(super) async fn failed(worker: &OutboxWorker, link: &Link, error: ForgeError) -> Trouble {
    if let Err(store) = worker.forges.note_failure(link.id, &error).await {
        return store.into();
    }
    error.into()
}

/// The same, of a call at a resource's repository: that may be out of reach now.
pub(super) async fn failed_at(worker: &OutboxWorker, place: &Place, error: ForgeError) -> Trouble {
    if let Err(store) = reach::failed(&worker.store, &place.link, &place.source, &error, false).await {
        return store.into();
    }
    failed(worker, &place.link, error).await
}

/// What was wrong with a resource, if this is a repair of it.
pub(super) fn repaired_reason(resource: &Resource) -> Option<HealthReason> {
    resource.repaired_at.and(resource.reason)
}

/// Settles a resource that is there. A repair of one is told in the audit trail.
pub(super) async fn made(
    tx: &Tx,
    row: &OutboxRow,
    resource: &Resource,
    source: &SourceRepository,
    remote: &str,
) -> Result<(), StoreError> {
    let ours = tx.provider_resources().settle_active(resource.id, remote).await?;
    tx.outbox().done(row.id).await?;
    tx.outbox().hasten(resource.link).await?;
    let Some(reason) = repaired_reason(resource).filter(|_| ours) else {
        return Ok(());
    };
    let act = match resource.kind {
        ResourceKind::Webhook => "webhook.repaired",
        ResourceKind::DeployKey => "deploy_key.repaired",
    };
    let detail = serde_json::json!({ "resource": resource.id, "reason": reason.as_str() });
    record_for_all(tx, source, act, &detail).await
}

/// What Slipway did by itself at a source repository, in the audit trail of everything that is built from it.
pub(super) async fn record_for_all(
    tx: &Tx,
    source: &SourceRepository,
    act: &str,
    detail: &serde_json::Value,
) -> Result<(), StoreError> {
    let name = source.full_name();
    for configuration in tx.configurations().of_source(source.id).await? {
        tx.audit()
            .record(&NewAct {
                user: None,
                actor: SLIPWAY,
                address: None,
                namespace: Some(source.namespace),
                repository: Some(configuration.repository),
                act,
                object: &name,
                detail: detail.clone(),
            })
            .await?;
    }
    Ok(())
}

/// Settles a resource that could not be made.
pub(super) async fn not_made(
    worker: &OutboxWorker,
    row: &OutboxRow,
    reason: HealthReason,
    why: &str,
) -> Result<(), StoreError> {
    let step: ResourceStep = row.payload()?;
    let tx = worker.store.begin().await?;
    tx.provider_resources()
        .settle_failed(step.resource, reason, why)
        .await?;
    tx.outbox().give_up(row.id, why).await?;
    if let Some(link) = row.link {
        tx.outbox().hasten(link).await?;
    }
    tx.commit().await
}

/// Settles a resource that is gone.
pub(super) async fn removed(
    worker: &OutboxWorker,
    row: &OutboxRow,
    resource: &Resource,
) -> Result<(), StoreError> {
    let tx = worker.store.begin().await?;
    tx.provider_resources().settle_removed(resource.id).await?;
    tx.outbox().done(row.id).await?;
    tx.outbox().hasten(resource.link).await?;
    fault::RESOURCE_REMOVED.before();
    tx.commit().await?;
    fault::RESOURCE_REMOVED.after();
    Ok(())
}

/// Settles a resource that could not be removed, naming the place to do it by hand.
pub(super) async fn left_behind(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    let step: ResourceStep = row.payload()?;
    let Some(resource) = worker.store.provider_resources().find(step.resource).await? else {
        let tx = worker.store.begin().await?;
        tx.outbox().give_up(row.id, why).await?;
        return tx.commit().await;
    };
    let source = worker.store.source_repositories().get(resource.source).await?;
    let forge = worker.store.forges().find(source.forge).await?;
    let place = remaining::by_hand(
        forge.map(|forge| forge.fields.kind),
        &source.facts.web_url,
        resource.kind,
    );
    let detail = format!("{why}. To be removed by hand at {place}");
    let tx = worker.store.begin().await?;
    tx.provider_resources()
        .settle_left_behind(resource.id, &detail)
        .await?;
    tx.outbox().give_up(row.id, &detail).await?;
    tx.outbox().hasten(resource.link).await?;
    tx.commit().await
}
