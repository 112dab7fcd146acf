//! Removing a webhook: ours, and every other with our exact address.

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
    let url = resource
        .hook_path
        .as_deref()
        .map(|path| worker.config.hook_url(path));
    fault::HOOK_REMOVE.before();
    let removed = remove(
        &place,
        resource.remote_id.as_deref(),
        url.as_ref().map(url::Url::as_str),
    )
    .await;
    fault::HOOK_REMOVE.after();
    if let Err(error) = removed {
        return Err(repository::failed_at(worker, &place, error).await);
    }
    repository::removed(worker, row, &resource).await?;
    Ok(Outcome::Settled)
}

async fn remove(place: &Place, recorded: Option<&str>, url: Option<&str>) -> Result<(), ForgeError> {
    let Place {
        forge,
        token,
        repository,
        ..
    } = place;
    let at = &repository.path;
    if let Some(id) = recorded {
        forge.delete_hook(token, at, &id.into()).await?;
    }
    // A crash before the id was recorded may have left one that only its address tells.
    for hook in forge
        .hooks(token, at)
        .await?
        .into_iter()
        .filter(|hook| Some(hook.url.as_str()) == url)
    {
        forge.delete_hook(token, at, &hook.id).await?;
    }
    Ok(())
}
