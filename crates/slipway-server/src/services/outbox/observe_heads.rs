//! Looking at all heads of a source repository: the baseline after a configuration was saved.

use serde::{Deserialize, Serialize};
use slipway_store::{NewOutboxRow, OutboxRow, SourceRepository, StoreError, Tx};
use slipway_types::{SourceId, UserId, build::Cause, forge::OutboxKind};

use super::{OutboxWorker, Outcome, Trouble};
use crate::services::observe::Saying;

/// The particulars of an outbox row that looks at all heads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ObserveStep {
    /// Of which source repository.
    pub(crate) source: SourceId,
    /// Who had it looked at.
    pub(crate) actor: Option<UserId>,
}

/// Has all heads looked at, in the caller's transaction.
pub(crate) async fn push(tx: &Tx, source: &SourceRepository, actor: UserId) -> Result<(), StoreError> {
    tx.outbox()
        .push(&NewOutboxRow {
            kind: OutboxKind::ObserveHeads,
            idempotency_key: format!("observe:{}:{}", source.id, slipway_forge::fresh_state()),
            order_key: format!("observe:{}", source.id),
            payload: &ObserveStep {
                source: source.id,
                actor: Some(actor),
            },
            forge: Some(source.forge),
            link: None,
        })
        .await?;
    Ok(())
}

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: ObserveStep = row.payload()?;
    let Some(source) = worker.store.source_repositories().find(step.source).await? else {
        return Ok(Outcome::Done);
    };
    let saying = Saying {
        cause: Cause::Reconciled,
        delivery: None,
        actor: step.actor,
    };
    worker.observe.look_at_all(&source, &saying).await?;
    Ok(Outcome::Done)
}
