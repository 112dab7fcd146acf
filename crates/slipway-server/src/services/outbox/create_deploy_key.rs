//! Adding a read-only deploy key, once.

use slipway_forge::{ForgeError, RemoteKeyId};
use slipway_store::{OutboxRow, StoreError};
use slipway_types::forge::{HealthReason, ResourceState};

use super::{
    OutboxWorker, Outcome, Trouble,
    create_webhook::is_linked,
    repository::{self, Place},
};
use crate::fault;

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let Some(resource) = repository::resource(worker, row).await? else {
        return Ok(Outcome::Done);
    };
    if resource.state != ResourceState::Creating || !is_linked(worker, &resource).await? {
        return Ok(Outcome::Done);
    }
    let Some(public_key) = &resource.public_key else {
        return Err(Trouble::Never {
            why: "the deploy key's public half is gone".to_owned(),
        });
    };
    let place = repository::go(worker, &resource).await?;
    let remote = match add(&place, resource.remote_id.as_deref(), public_key, &title(worker)).await {
        Ok(remote) => remote,
        Err(error) => return Err(repository::failed_at(worker, &place, error).await),
    };
    let tx = worker.store.begin().await?;
    repository::made(&tx, row, &resource, &place.source, remote.as_str()).await?;
    fault::KEY_CREATED.before();
    tx.commit().await?;
    fault::KEY_CREATED.after();
    Ok(Outcome::Settled)
}

/// Looks for ours by recorded id, then by the key itself, and adds it only then.
async fn add(
    place: &Place,
    recorded: Option<&str>,
    public_key: &str,
    title: &str,
) -> Result<RemoteKeyId, ForgeError> {
    let Place {
        forge,
        token,
        repository,
        ..
    } = place;
    let at = &repository.path;
    if let Some(id) = recorded
        && let Some(key) = forge
            .key(token, at, &id.into())
            .await?
            .filter(|key| key.is(public_key))
    {
        return Ok(key.id);
    }
    if let Some(key) = forge
        .keys(token, at)
        .await?
        .into_iter()
        .find(|key| key.is(public_key))
    {
        return Ok(key.id);
    }
    fault::KEY_CREATE.before();
    let key = forge.create_key(token, at, title, public_key).await;
    fault::KEY_CREATE.after();
    Ok(key?.id)
}

/// What a person reads among a repository's deploy keys: whose it is.
fn title(worker: &OutboxWorker) -> String {
    format!(
        "Slipway ({})",
        worker.config.public_url.host_str().unwrap_or("builds")
    )
}

pub(super) async fn given_up(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    repository::not_made(worker, row, HealthReason::DeployKeyMissing, why).await
}
