//! Giving the provider a webhook's new secret.

use std::time::Duration;

use slipway_forge::HookSpec;
use slipway_store::{OutboxRow, Rotation, StoreError};
use slipway_types::{Timestamp, forge::ResourceState};

use super::{OutboxWorker, Outcome, Trouble, create_webhook, repository};
use crate::{fault, services::resources::ResourceStep};

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

/// The provider does not take it: the secret before is the current one again, and both stay good, as an earlier try may
/// have reached the provider before its answer got lost. A person is told, and may try again.
pub(super) async fn given_up(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    let step: ResourceStep = row.payload()?;
    let tx = worker.store.begin().await?;
    let resource = tx.provider_resources().find(step.resource).await?;
    let resource = resource.ok_or_else(|| StoreError::NotFound("the webhook".to_owned()))?;
    if tx.provider_resources().refuse_rotation(resource.id, why).await? {
        let source = tx.source_repositories().get(resource.source).await?;
        let detail = serde_json::json!({ "resource": resource.id, "why": why });
        repository::record_for_all(&tx, &source, "webhook.secret_refused", &detail).await?;
    }
    tx.outbox().give_up(row.id, why).await?;
    fault::ROTATE_REFUSED.before();
    tx.commit().await?;
    fault::ROTATE_REFUSED.after();
    Ok(())
}

/// Until when the previous secret is good, once the provider has the current one.
pub(super) fn good_until() -> Timestamp {
    Timestamp::now().plus(UNDER_WAY)
}
