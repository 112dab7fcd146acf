//! The one place where builds end, and where the forge is told how they stand.
//!
//! Ending is more than a state: the tags are given back, successors become ready, whoever waits hears of it, the
//! commit's status at the forge is put into the outbox, and a source that could not be fetched has its link looked at,
//! all in one transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_forge::{Status, StatusState};
use slipway_store::{Build, Ending, NewOutboxRow, Store, StoreError, Tx};
use slipway_types::{
    BuildId, CommitSha, SourceId, Timestamp,
    build::{BuildState, FailureKind},
    forge::OutboxKind,
};

use super::config::Config;

/// How long a link that works rests before failing builds have it looked at again: they may come by the hundred, and
/// the forge counts the questions.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);

/// The particulars of an outbox row that shows a build's state at the forge. What is shown is what holds when the
/// row is worked, so that late rows say nothing old.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The build.
    pub build: BuildId,
}

/// Ends a build, in the caller's transaction. `None` if it had ended already.
///
/// # Errors
/// What the database says.
pub(crate) async fn end(tx: &Tx, build: BuildId, how: &Ending) -> Result<Option<Build>, StoreError> {
    let Some(ended) = tx.builds().end(build, how).await? else {
        return Ok(None);
    };
    push_status(tx, &ended).await?;
    if ended.failure == Some(FailureKind::CHECKOUT) {
        look_at_link(tx, &ended).await?;
    }
    tracing::info!(
        build = %ended.id,
        state = %ended.state,
        failure = ended.failure.map(|kind| kind.to_string()),
        "build ended"
    );
    Ok(Some(ended))
}

/// A source that could not be fetched may be the first sign that a key or an account is out of order: the link is
/// looked at soon, instead of when it is due.
async fn look_at_link(tx: &Tx, build: &Build) -> Result<(), StoreError> {
    let source = tx.source_repositories().get(build.new.source).await?;
    let Some(link) = tx.links().current(source.namespace, source.forge).await? else {
        return Ok(());
    };
    let now = Timestamp::now();
    let rested = link.verified_at.map_or(now, |at| at.plus(BETWEEN_LOOKS));
    tx.links().check_again_at(link.id, now.max(rested)).await
}

/// Has the forge shown how a build stands, in the caller's transaction.
///
/// # Errors
/// What the database says.
pub(crate) async fn push_status(tx: &Tx, build: &Build) -> Result<(), StoreError> {
    let source = tx.source_repositories().get(build.new.source).await?;
    let row = NewOutboxRow {
        kind: OutboxKind::CommitStatus,
        idempotency_key: format!("status:{}:{}:{}", build.id, build.state, build.lease.0),
        order_key: format!("status:{}", build.id),
        payload: &CommitStatus { build: build.id },
        forge: Some(source.forge),
        link: None,
    };
    tx.outbox().push(&row).await?;
    Ok(())
}

/// What a forge is to be shown about a build: on which commit of which source, and what. `None` if there is no such
/// build any more. For the outbox.
///
/// # Errors
/// What the database says.
pub async fn commit_status(
    store: &Store,
    config: &Config,
    build: BuildId,
) -> Result<Option<(SourceId, CommitSha, Status)>, StoreError> {
    let Some(build) = store.builds().find(build).await? else {
        return Ok(None);
    };
    let Some(repository) = store.repositories().find(build.new.repository).await? else {
        return Ok(None);
    };
    let Some(namespace) = store.namespaces().find(repository.namespace).await? else {
        return Ok(None);
    };
    let name = format!("{}/{}", namespace.name, repository.name);
    let number = build.number.to_string();
    let status = Status {
        state: status_state(&build),
        context: format!("slipway/{name}: {}", build.new.plan.rule_text),
        description: description(&build),
        target_url: config.page(&[
            namespace.name.as_str(),
            repository.name.as_str(),
            "builds",
            &number,
        ]),
    };
    Ok(Some((build.new.source, build.new.sha.clone(), status)))
}

fn status_state(build: &Build) -> StatusState {
    match build.state {
        BuildState::Pending => StatusState::Pending,
        BuildState::InProgress => StatusState::Running,
        BuildState::Success => StatusState::Success,
        BuildState::Canceled => StatusState::Stopped,
        BuildState::TimedOut => StatusState::Failed,
        BuildState::Failed => match build.failure {
            Some(
                FailureKind::BUILDER_LOST
                | FailureKind::MACHINE
                | FailureKind::INTERNAL
                | FailureKind::SECRETS,
            ) => StatusState::Stopped,
            _ => StatusState::Failed,
        },
    }
}

fn description(build: &Build) -> String {
    let number = build.number;
    match build.state {
        BuildState::Pending => format!("Build #{number} waits"),
        BuildState::InProgress => format!("Build #{number} runs"),
        BuildState::Success => format!("Build #{number} succeeded"),
        BuildState::Canceled if build.superseded_by.is_some() => {
            format!("Build #{number} gave way to a newer one")
        }
        BuildState::Canceled => format!("Build #{number} was canceled"),
        BuildState::TimedOut => format!("Build #{number} took longer than it may"),
        BuildState::Failed => match (&build.failure, &build.message) {
            (_, Some(message)) => format!("Build #{number} failed: {message}"),
            (Some(kind), None) => format!("Build #{number} failed: {kind}"),
            (None, None) => format!("Build #{number} failed"),
        },
    }
}
