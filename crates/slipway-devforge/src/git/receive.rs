//! What a push changed, and who is told.
//!
//! Invariant: webhooks come from comparing the refs before and after a real `git receive-pack`,
//! never from the intention of a test. One push at a time per repository, so that nobody's
//! changes are taken for somebody else's.

use std::sync::Arc;

use super::inspect::{self, RefTarget, Refs};
use crate::error::Result;
use crate::forge::Shared;
use crate::people::Kind;
use crate::webhooks;

/// One ref that a push moved.
#[derive(Debug, Clone)]
pub(crate) struct RefChange {
    /// `refs/heads/main` or `refs/tags/v1`.
    pub(crate) name: String,
    pub(crate) old: Option<RefTarget>,
    pub(crate) new: Option<RefTarget>,
}

impl RefChange {
    /// The name without `refs/heads/` or `refs/tags/`.
    pub(crate) fn short(&self) -> &str {
        self.name.splitn(3, '/').nth(2).unwrap_or(&self.name)
    }

    pub(crate) fn is_tag(&self) -> bool {
        self.name.starts_with("refs/tags/")
    }

    pub(crate) fn ref_type(&self) -> &'static str {
        if self.is_tag() { "tag" } else { "branch" }
    }
}

/// A repository held for one push.
pub(crate) struct Receiving {
    kind: Kind,
    repo: u64,
    dir: std::path::PathBuf,
    before: Refs,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

/// Waits for the repository's turn and remembers its refs.
pub(crate) async fn begin(forge: &Shared, kind: Kind, repo: u64) -> Result<Receiving> {
    let turn = forge.turn_of(repo).lock_owned().await;
    let dir = forge.world().side(kind).repo(repo).map(|repo| repo.dir.clone());
    let dir = dir.ok_or_else(|| crate::DevForgeError::Unknown(format!("repository {repo}")))?;
    let before = inspect::refs(&dir).await?;
    Ok(Receiving {
        kind,
        repo,
        dir,
        before,
        _turn: turn,
    })
}

/// Compares, brings pull requests up to date, and queues the webhooks. Returns after they are
/// queued, so that whoever pushed can wait for all of them.
pub(crate) async fn finish(forge: &Shared, receiving: Receiving, pusher: u64) -> Result<()> {
    let Receiving {
        kind,
        repo,
        dir,
        before,
        _turn,
    } = receiving;
    let after = inspect::refs(&dir).await?;
    let changes = differences(&before, &after);
    if changes.is_empty() {
        return Ok(());
    }
    let now = forge.now();
    if let Some(repo) = forge.world().side_mut(kind).repo_mut(repo) {
        repo.pushed_at = now;
    }
    let push = webhooks::Push {
        repo,
        pusher,
        dir,
        before: Arc::new(before),
        changes,
    };
    webhooks::pushed(forge, kind, &push).await?;
    crate::pulls::follow_push(forge, kind, &push).await
}

fn differences(before: &Refs, after: &Refs) -> Vec<RefChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| RefChange {
            name: name.clone(),
            old: before.get(name).cloned(),
            new: after.get(name).cloned(),
        })
        .filter(|change| change.old != change.new)
        .collect()
}
