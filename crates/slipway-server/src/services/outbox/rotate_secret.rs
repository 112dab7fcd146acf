//! Giving the provider a webhook's new secret.

use std::time::Duration;

use slipway_forge::HookSpec;
use slipway_store::{OutboxRow, Rotation};
use slipway_types::{Timestamp, forge::ResourceState};

use super::{OutboxWorker, Outcome, Trouble, create_webhook, repository};
use crate::fault;

/// How long a delivery that was signed with the secret before may be under way. Providers give up a delivery after ten
/// seconds, and Bitbucket tries it twice more ("Manage webhooks"); the pauses between are not documented.
const UNDER_WAY: Duration = Duration::from_mins(15);

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let Some(resource) = repository::resource(worker, row).await? else {
        return Ok(Outcome::Done);
    };
    // It may have been given by a repair, or the hook be on its way out.
    if resource.state != ResourceState::Active || resource.rotation != Rotation::UnderWay {
        return Ok(Outcome::Done);
    }
    let secrets = worker
        .store
        .provider_resources()
        .open_secrets(resource.id)
        .await?;
    let (Some(secrets), Some(hook_path)) = (secrets, &resource.hook_path) else {
        return Ok(Outcome::Done);
    };
    let url = worker.config.hook_url(hook_path);
    let spec = HookSpec {
        url: &url,
        secret: &secrets.current,
    };
    let place = repository::go(worker, &resource).await?;
    let made = create_webhook::make(&place, resource.remote_id.as_deref(), spec, fault::ROTATE_TELL).await;
    let remote = match made {
        Ok(remote) => remote,
        Err(error) => return Err(repository::failed(worker, &place.link, error).await),
    };
    let tx = worker.store.begin().await?;
    tx.provider_resources()
        .settle_active(resource.id, remote.as_str())
        .await?;
    tx.provider_resources()
        .settle_rotation(resource.id, good_until())
        .await?;
    tx.outbox().done(row.id).await?;
    fault::ROTATED.before();
    tx.commit().await?;
    fault::ROTATED.after();
    Ok(Outcome::Settled)
}

/// Until when the previous secret is good, once the provider has the current one.
pub(super) fn good_until() -> Timestamp {
    Timestamp::now().plus(UNDER_WAY)
}
