//! Asking a provider for what it could not deliver: after Slipway was down, or did not answer well.
//!
//! The heads were compared before, so no push is missed without this. It brings what heads do not tell – a renamed
//! repository, a closed pull request – and fills the ledger of deliveries.
//!
//! A webhook's log is read as the link. A GitHub App has one log for all that is built through it, and reads it as itself:
//! at most once a minute, however many of its repositories missed something.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_forge::{AppError, FailedDelivery, ForgeError, RemoteHookId};
use slipway_store::{DeliveredTo, NewOutboxRow, OutboxRow, SourceRepository, StoreError, Tx};
use slipway_types::{
    ForgeClientId, ResourceId, Timestamp,
    forge::{OutboxKind, ResourceKind, ResourceState},
};

use super::{OutboxWorker, Outcome, Trouble, repository};
use crate::services::resources::app_of;

/// How long GitHub keeps its log ("Viewing webhook deliveries").
const KEPT: Duration = Duration::from_hours(3 * 24);
/// The clocks of two machines may differ by so much.
const CLOCKS: Duration = Duration::from_mins(5);
/// The most deliveries that are asked for at once, and then a minute later: GitHub allows 80 requests that change
/// something per minute.
const MOST: usize = 50;
/// How often a GitHub App's log is read at most, in milliseconds.
const BETWEEN_READS: i64 = 60_000;

/// The particulars of an outbox row that asks for failed deliveries again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RedeliverStep {
    /// Whose.
    to: DeliveredTo,
    /// Those since this moment.
    since: Timestamp,
}

/// Has what failed since the heads of a source were last compared asked for again, in the caller's transaction.
pub(crate) async fn push(tx: &Tx, source: &SourceRepository) -> Result<(), StoreError> {
    if let Some(app) = app_of(tx, source).await? {
        return push_app(tx, source, app).await;
    }
    let now = Timestamp::now();
    let since = source.reconciled_at.unwrap_or(source.created_at).minus(CLOCKS);
    for hook in tx.provider_resources().of_source(source.id).await? {
        if hook.kind != ResourceKind::Webhook || hook.state != ResourceState::Active {
            continue;
        }
        let step = RedeliverStep {
            to: DeliveredTo::Webhook(hook.id),
            since: since.max(now.minus(KEPT)),
        };
        let new = row(source, &format!("{}:{}", hook.id, now.millis()), &step);
        tx.outbox().push(&new).await?;
    }
    Ok(())
}

/// The whole log is read, as it is not of this source alone. One row is there for each minute: who comes later waits for
/// the next, and so for a reading that begins after it came.
async fn push_app(tx: &Tx, source: &SourceRepository, app: ForgeClientId) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let step = RedeliverStep {
        to: DeliveredTo::App(app),
        since: now.minus(KEPT),
    };
    let this = now.millis().div_euclid(BETWEEN_READS);
    for minute in [this, this + 1] {
        let at = Timestamp::from_millis(minute * BETWEEN_READS).max(now);
        let new = row(source, &format!("{app}:{minute}"), &step);
        if tx.outbox().push_for(&new, at).await? {
            break;
        }
    }
    Ok(())
}

fn row<'a>(source: &SourceRepository, key: &str, step: &'a RedeliverStep) -> NewOutboxRow<'a, RedeliverStep> {
    let of = match step.to {
        DeliveredTo::Webhook(hook) => hook.to_string(),
        DeliveredTo::App(app) => app.to_string(),
    };
    NewOutboxRow {
        kind: OutboxKind::Redeliver,
        idempotency_key: format!("redeliver:{key}"),
        order_key: format!("redeliver:{of}"),
        payload: step,
        forge: Some(source.forge),
        link: None,
    }
}

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: RedeliverStep = row.payload()?;
    let asked = match step.to {
        DeliveredTo::Webhook(hook) => of_webhook(worker, hook, step.since).await?,
        DeliveredTo::App(app) => of_app(worker, app, step.since).await?,
    };
    if asked > 0 {
        tracing::info!(to = ?step.to, asked, "failed deliveries were asked for again");
    }
    // There may be more.
    Ok(if asked == MOST {
        Outcome::NotYet
    } else {
        Outcome::Done
    })
}

async fn of_webhook(worker: &OutboxWorker, hook: ResourceId, since: Timestamp) -> Result<usize, Trouble> {
    let Some(hook) = worker.store.provider_resources().find(hook).await? else {
        return Ok(0);
    };
    let (ResourceState::Active, Some(remote)) = (hook.state, &hook.remote_id) else {
        return Ok(0);
    };
    let remote = RemoteHookId::from(remote.as_str());
    let place = repository::go(worker, &hook).await?;
    let (forge, token, at) = (&place.forge, &place.token, &place.repository.path);
    let failed = match forge.failed_deliveries(token, at, &remote, since).await {
        Ok(failed) => failed,
        Err(error) => return Err(repository::failed(worker, &place.link, error).await),
    };
    let to = DeliveredTo::Webhook(hook.id);
    let wanted = want(worker, to, &failed).await?;
    for one in &wanted {
        match forge.redeliver(token, at, &remote, &one.id).await {
            // The provider has forgotten it since.
            Ok(()) | Err(ForgeError::NotFound { .. }) => {}
            Err(error) => return Err(repository::failed(worker, &place.link, error).await),
        }
        asked(worker, to, one).await?;
    }
    Ok(wanted.len())
}

async fn of_app(worker: &OutboxWorker, client: ForgeClientId, since: Timestamp) -> Result<usize, Trouble> {
    let forge = worker.forges.by_client(client).await?;
    let Some(app) = forge.app() else {
        return Ok(0);
    };
    let failed = app.failed_deliveries(since).await?;
    let to = DeliveredTo::App(client);
    let wanted = want(worker, to, &failed).await?;
    for one in &wanted {
        match app.redeliver(&one.id).await {
            Ok(()) | Err(AppError::Forge(ForgeError::NotFound { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        asked(worker, to, one).await?;
    }
    Ok(wanted.len())
}

/// Writes down which are to be asked for now, before they are: what comes then is known to be late.
async fn want<'f>(
    worker: &OutboxWorker,
    to: DeliveredTo,
    failed: &'f [FailedDelivery],
) -> Result<Vec<&'f FailedDelivery>, StoreError> {
    let tx = worker.store.begin().await?;
    let mut wanted = Vec::new();
    for one in failed {
        if wanted.len() == MOST {
            break;
        }
        if tx.redeliveries().want(to, &one.delivery_id).await? {
            wanted.push(one);
        }
    }
    tx.commit().await?;
    Ok(wanted)
}

async fn asked(worker: &OutboxWorker, to: DeliveredTo, one: &FailedDelivery) -> Result<(), StoreError> {
    let tx = worker.store.begin().await?;
    tx.redeliveries().asked(to, &one.delivery_id).await?;
    tx.commit().await
}
