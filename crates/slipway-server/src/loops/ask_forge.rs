//! Asks forges where heads are, wherever a hint did not follow from the record, until they answer.

use std::{convert::Infallible, time::Duration};

use futures::future::try_join_all;
use slipway_store::{Enrichment, HeadCheck, Store, StoreError};
use slipway_types::{CommitSha, Timestamp, decision::ChangeResult};

use super::{Wakes, drive};
use crate::services::{
    ask::AskError,
    bells::Bells,
    observe::{Answered, Found, Observe, Saying},
};

/// How many forges are asked at once: a slow one must not hold up the others.
const AT_ONCE: i64 = 8;

/// How long one server has a question for itself, where there are others; one that dies meanwhile costs so long.
const CLAIM: Duration = Duration::from_mins(1);

/// The questions that are due, a few at once. `false` if none is.
///
/// # Errors
/// What the database says.
pub async fn ask_forge_one(store: &Store, observe: &Observe, bells: &Bells) -> Result<bool, StoreError> {
    let due = store.head_checks().due(Timestamp::now(), AT_ONCE).await?;
    if due.is_empty() {
        return Ok(false);
    }
    try_join_all(due.iter().map(|check| ask(store, observe, check))).await?;
    bells.changes.up();
    Ok(true)
}

async fn ask(store: &Store, observe: &Observe, check: &HeadCheck) -> Result<(), StoreError> {
    if store.is_shared() {
        let tx = store.begin().await?;
        let ours = tx
            .head_checks()
            .claim(check, Timestamp::now().plus(CLAIM))
            .await?;
        tx.commit().await?;
        if !ours {
            return Ok(());
        }
    }
    let Err(error) = try_ask(store, observe, check).await else {
        return Ok(());
    };
    if let AskError::Store(error @ StoreError::Unavailable(_)) = error {
        return Err(error);
    }
    tracing::warn!(subject = check.subject.full(), attempts = check.attempts, error = %error, "the forge did not answer");
    let tx = store.begin().await?;
    tx.head_checks()
        .postpone(check.id, error.again_at(check.attempts), &error.to_string())
        .await?;
    tx.commit().await
}

async fn try_ask(store: &Store, observe: &Observe, check: &HeadCheck) -> Result<(), AskError> {
    let source = store.source_repositories().get(check.source).await?;
    let asked = store.heads().known(check.source, &check.subject).await?;
    let mut found = observe.look(&source, &check.subject).await?;
    found.enrichment = enriched(check, &found);
    let saying = Saying {
        cause: check.cause,
        delivery: check.delivery.map(|(id, _)| id),
        actor: None,
    };
    let tx = store.begin().await?;
    if !tx.head_checks().remove(check.id).await? {
        // Another replica was faster.
        return Ok(());
    }
    let (result, change) = match observe
        .answered(&tx, check.source, &check.subject, &asked, &found, &saying)
        .await?
    {
        // The question stays.
        Answered::Overtaken => {
            drop(tx);
            let tx = store.begin().await?;
            tx.head_checks().ask_again(check.id).await?;
            return Ok(tx.commit().await?);
        }
        Answered::Unchanged => (ChangeResult::HeadUnchanged, None),
        Answered::Accepted(change) => (ChangeResult::Accepted, Some(change.id)),
    };
    if let Some((delivery, position)) = check.delivery {
        tx.deliveries()
            .settle_change(delivery, position, result, change)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// What the hint knew of its commit holds if the answer is that commit. Not the paths: they are from *its* before.
fn enriched(check: &HeadCheck, found: &Found) -> Enrichment {
    let said = check
        .hint
        .as_ref()
        .filter(|(sha, _)| found.sha.as_ref().map(CommitSha::as_str) == Some(sha));
    Enrichment {
        message: said.and_then(|(_, said)| said.message.clone()),
        author: said.and_then(|(_, said)| said.author.clone()),
        ..found.enrichment.clone()
    }
}

/// All questions, for ever.
pub async fn ask_forge(store: Store, observe: Observe, bells: Bells) -> Infallible {
    let wakes = Wakes::new(bells.checks.clone(), Duration::from_secs(1));
    drive("ask_forge", wakes, async || {
        Ok(ask_forge_one(&store, &observe, &bells).await?)
    })
    .await
}
