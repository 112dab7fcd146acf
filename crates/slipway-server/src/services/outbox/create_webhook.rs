//! Making a webhook, once.

use slipway_forge::{ForgeError, HookSpec, RemoteHookId};
use slipway_store::{OutboxRow, StoreError};
use slipway_types::{
    Timestamp,
    forge::{HealthReason, LinkState, ResourceState},
};

use super::{
    OutboxWorker, Outcome, Trouble,
    repository::{self, Place},
    rotate_secret::good_until,
};
use crate::fault;

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let Some(resource) = repository::resource(worker, row).await? else {
        return Ok(Outcome::Done);
    };
    // It may have been given up, or taken back, since this was decided.
    if resource.state != ResourceState::Creating || !is_linked(worker, &resource).await? {
        return Ok(Outcome::Done);
    }
    let secrets = worker
        .store
        .provider_resources()
        .open_secrets(resource.id)
        .await?;
    let (Some(secrets), Some(hook_path)) = (secrets, &resource.hook_path) else {
        return Err(Trouble::Never {
            why: "the webhook's secret is gone".to_owned(),
        });
    };
    let url = worker.config.hook_url(hook_path);
    let spec = HookSpec {
        url: &url,
        secret: &secrets.current,
    };
    let place = repository::go(worker, &resource).await?;
    let made = make(&place, resource.remote_id.as_deref(), spec, fault::HOOK_CREATE).await;
    let remote = match made {
        Ok(remote) => remote,
        Err(error) => return Err(repository::failed_at(worker, &place, error).await),
    };
    let repaired = repository::repaired_reason(&resource);
    if repaired == Some(HealthReason::WebhookFailing) {
        try_out(&place, &remote).await;
    }
    let tx = worker.store.begin().await?;
    repository::made(&tx, row, &resource, &place.source, remote.as_str()).await?;
    // The provider has the current secret now, also where an exchange was under way.
    tx.provider_resources()
        .settle_rotation(resource.id, good_until())
        .await?;
    if repaired == Some(HealthReason::WebhookFailing) {
        let said = "the webhook was set again; whether deliveries get through now shows with the next one";
        tx.provider_resources()
            .set_trouble(resource.id, Some((HealthReason::WebhookFailing, said)))
            .await?;
    }
    if resource.remote_id.is_some() || repaired.is_some() {
        // It was there before: what happened meanwhile was not told.
        tx.source_repositories()
            .want_compared(resource.source, Timestamp::now())
            .await?;
    }
    fault::HOOK_CREATED.before();
    tx.commit().await?;
    fault::HOOK_CREATED.after();
    Ok(Outcome::Settled)
}

/// Has the provider send a delivery at once, so that the next look tells whether it gets through. A refusal changes
/// nothing: the next push tells as well.
async fn try_out(place: &Place, hook: &RemoteHookId) {
    let Place {
        forge,
        token,
        repository,
        ..
    } = place;
    if let Err(error) = forge.ping_hook(token, &repository.path, hook).await {
        tracing::info!(repository = %repository.path, error = error.kind(), "a webhook could not be tried out");
    }
}

/// Looks for ours by recorded id, then by its exact address, and makes it only then. `step` is what setting or making it
/// is.
pub(super) async fn make(
    place: &Place,
    recorded: Option<&str>,
    spec: HookSpec<'_>,
    step: fault::Step,
) -> Result<RemoteHookId, ForgeError> {
    let Place {
        forge,
        token,
        repository,
        ..
    } = place;
    let at = &repository.path;
    let by_id = match recorded {
        Some(id) => forge
            .hook(token, at, &id.into())
            .await?
            .filter(|hook| hook.url == spec.url.as_str()),
        None => None,
    };
    let ours = match by_id {
        Some(hook) => Some(hook),
        None => forge
            .hooks(token, at)
            .await?
            .into_iter()
            .find(|hook| hook.url == spec.url.as_str()),
    };
    step.before();
    let hook = match ours {
        // Its secret cannot be read back: it is set again.
        Some(hook) => forge.update_hook(token, at, &hook.id, spec).await,
        None => forge.create_hook(token, at, spec).await,
    };
    step.after();
    Ok(hook?.id)
}

pub(super) async fn is_linked(
    worker: &OutboxWorker,
    resource: &slipway_store::Resource,
) -> Result<bool, StoreError> {
    let link = worker.store.links().find(resource.link).await?;
    Ok(link.is_some_and(|link| link.state == LinkState::Linked))
}

/// Without a webhook the configuration stays, and polling covers the gap.
pub(super) async fn given_up(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    repository::not_made(worker, row, HealthReason::WebhookMissing, why).await
}
