//! Removing a deploy key.

use slipway_forge::ForgeError;
use slipway_store::OutboxRow;
use slipway_types::forge::ResourceState;

use super::{
    OutboxWorker, Outcome, Trouble,
    repository::{self, Place},
};
use crate::fault;

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let Some(resource) = repository::resource(worker, row).await? else {
        return Ok(Outcome::Done);
    };
    if resource.state != ResourceState::Removing {
        return Ok(Outcome::Done);
    }
    let place = repository::go_to_remove(worker, row, &resource).await?;
    fault::KEY_REMOVE.before();
    let removed = remove(
        &place,
        resource.remote_id.as_deref(),
        resource.public_key.as_deref(),
    )
    .await;
    fault::KEY_REMOVE.after();
    if let Err(error) = removed {
        return Err(repository::failed_at(worker, &place, error).await);
    }
    repository::removed(worker, row, &resource).await?;
    Ok(Outcome::Settled)
}

async fn remove(place: &Place, recorded: Option<&str>, public_key: Option<&str>) -> Result<(), ForgeError> {
    let Place {
        forge,
        token,
        repository,
        ..
    } = place;
    let at = &repository.path;
    if let Some(id) = recorded {
        forge.delete_key(token, at, &id.into()).await?;
    }
    let ours = |key: &slipway_forge::DeployKey| public_key.is_some_and(|public| key.is(public));
    for key in forge.keys(token, at).await?.into_iter().filter(ours) {
        forge.delete_key(token, at, &key.id).await?;
    }
    Ok(())
}
