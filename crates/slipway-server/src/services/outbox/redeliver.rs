//! Asking a provider for what it could not deliver: after Slipway was down, or did not answer well.
//!
//! The heads were compared before, so no push is missed without this. It brings what heads do not tell – a renamed
//! repository, a closed pull request – and fills the ledger of deliveries.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_forge::RemoteHookId;
use slipway_store::{NewOutboxRow, OutboxRow, SourceRepository, StoreError, Tx};
use slipway_types::{
    ResourceId, Timestamp,
    forge::{OutboxKind, ResourceKind, ResourceState},
};

use super::{OutboxWorker, Outcome, Trouble, repository};

/// How long GitHub keeps its log ("Viewing webhook deliveries").
const KEPT: Duration = Duration::from_hours(3 * 24);
/// The clocks of two machines may differ by so much.
const CLOCKS: Duration = Duration::from_mins(5);
/// The most deliveries that are asked for at once: GitHub allows 80 requests that change something per minute.
const MOST: usize = 50;

/// The particulars of an outbox row that asks for failed deliveries again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RedeliverStep {
    /// Of which webhook.
    resource: ResourceId,
    /// Those since this moment.
    since: Timestamp,
}

/// Has what failed since the heads of a source were last compared asked for again, in the caller's transaction.
pub(crate) async fn push(tx: &Tx, source: &SourceRepository) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let since = source.reconciled_at.unwrap_or(source.created_at).minus(CLOCKS);
    for hook in tx.provider_resources().of_source(source.id).await? {
        if hook.kind != ResourceKind::Webhook || hook.state != ResourceState::Active {
            continue;
        }
        tx.outbox()
            .push(&NewOutboxRow {
                kind: OutboxKind::Redeliver,
                idempotency_key: format!("redeliver:{}:{}", hook.id, now.millis()),
                order_key: format!("redeliver:{}", hook.id),
                payload: &RedeliverStep {
                    resource: hook.id,
                    since: since.max(now.minus(KEPT)),
                },
                forge: Some(source.forge),
                link: None,
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: RedeliverStep = row.payload()?;
    let Some(hook) = worker.store.provider_resources().find(step.resource).await? else {
        return Ok(Outcome::Done);
    };
    let (ResourceState::Active, Some(remote)) = (hook.state, &hook.remote_id) else {
        return Ok(Outcome::Done);
    };
    let remote = RemoteHookId::from(remote.as_str());
    let place = repository::go(worker, &hook).await?;
    let at = &place.repository.path;
    let failed = match place
        .forge
        .failed_deliveries(&place.token, at, &remote, step.since)
        .await
    {
        Ok(failed) => failed,
        Err(error) => return Err(repository::failed(worker, &place.link, error).await),
    };
    let mut asked = 0;
    for one in failed.iter().take(MOST) {
        if !want(worker, hook.id, &one.delivery_id).await? {
            continue;
        }
        if let Err(error) = place.forge.redeliver(&place.token, at, &remote, &one.id).await {
            return Err(repository::failed(worker, &place.link, error).await);
        }
        let tx = worker.store.begin().await?;
        tx.redeliveries().asked(hook.id, &one.delivery_id).await?;
        tx.commit().await?;
        asked += 1;
    }
    if asked > 0 {
        let left = failed.len().saturating_sub(MOST);
        tracing::info!(hook = %hook.id, asked, left, "failed deliveries were asked for again");
    }
    Ok(Outcome::Done)
}

async fn want(worker: &OutboxWorker, hook: ResourceId, delivery: &str) -> Result<bool, StoreError> {
    let tx = worker.store.begin().await?;
    let wanted = tx.redeliveries().want(hook, delivery).await?;
    tx.commit().await?;
    Ok(wanted)
}
