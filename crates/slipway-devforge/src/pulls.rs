//! Pull requests: opened, moved by pushes, closed, merged.
//!
//! GitHub keeps `refs/pull/N/head` in the base repository, with the fork's objects; Bitbucket has
//! nothing of the kind, and the head of an external pull request is only in the fork.

use crate::developer::WorkTree;
use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::git::{self, inspect};
use crate::people::Kind;
use crate::repository::Repository;
use crate::state::{Pull, PullState};
use crate::webhooks::{self, PullAct, Push};

/// Handle on one pull request.
#[derive(Debug, Clone)]
pub struct PullRequest {
    base: Repository,
    number: u64,
}

pub(crate) async fn open(
    base: &Repository,
    head: &Repository,
    head_branch: &str,
    base_branch: &str,
    title: &str,
) -> Result<PullRequest> {
    let forge = &base.provider.forge;
    let kind = base.provider.kind;
    let missing = |branch: &str| DevForgeError::Unknown(format!("branch {branch}"));
    let head_sha = head
        .head(&format!("refs/heads/{head_branch}"))
        .await
        .ok_or_else(|| missing(head_branch))?;
    let base_sha = base
        .head(&format!("refs/heads/{base_branch}"))
        .await
        .ok_or_else(|| missing(base_branch))?;
    let author = head.actor()?.id;
    let now = forge.now();
    let number = {
        let mut world = forge.world();
        let id = world.next_id();
        let repo = world.side_mut(kind).repo_mut(base.id);
        let repo = repo.ok_or_else(|| DevForgeError::Unknown("base repository".to_owned()))?;
        repo.next_number += 1;
        let number = repo.next_number;
        repo.pulls.push(Pull {
            id,
            number,
            title: title.to_owned(),
            author,
            head_repo: head.id,
            head_branch: head_branch.to_owned(),
            head_sha,
            base_branch: base_branch.to_owned(),
            base_sha,
            state: PullState::Open,
            merge_sha: None,
            created_at: now,
            updated_at: now,
            closed_by: None,
        });
        number
    };
    show_head(forge, kind, base.id, number).await?;
    webhooks::pull_request(forge, kind, base.id, number, author, &PullAct::Opened);
    Ok(PullRequest {
        base: base.clone(),
        number,
    })
}

/// Puts a pull request's head where GitHub shows it.
async fn show_head(forge: &Shared, kind: Kind, base: u64, number: u64) -> Result<()> {
    if kind != Kind::GitHub {
        return Ok(());
    }
    let found = {
        let world = forge.world();
        let side = world.side(kind);
        side.repo(base).and_then(|repo| {
            let pull = repo.pulls.iter().find(|pull| pull.number == number)?;
            let head = side.repo(pull.head_repo)?;
            Some((repo.dir.clone(), head.dir.clone(), pull.head_sha.clone()))
        })
    };
    let Some((base_dir, head_dir, sha)) = found else {
        return Ok(());
    };
    let from = head_dir.to_string_lossy();
    let to = format!("+{sha}:refs/pull/{number}/head");
    git::run(
        &base_dir,
        ["fetch", "--quiet", "--no-write-fetch-head", &from, &to],
    )
    .await
    .map(drop)
}

/// Moves the open pull requests whose head branch a push moved, and tells their hooks.
pub(crate) async fn follow_push(forge: &Shared, kind: Kind, push: &Push) -> Result<()> {
    for change in push.changes.iter().filter(|change| !change.is_tag()) {
        let affected = open_from(forge, kind, push.repo, change.short());
        for (base, number) in affected {
            let act = match &change.new {
                Some(new) => {
                    let before = move_head(forge, kind, base, number, &new.commit);
                    show_head(forge, kind, base, number).await?;
                    PullAct::Synchronized { before }
                }
                // GitHub closes a pull request whose branch is gone; Bitbucket leaves it open.
                None if kind == Kind::GitHub => {
                    set_state(forge, kind, base, number, PullState::Closed, push.pusher);
                    PullAct::Closed
                }
                None => continue,
            };
            webhooks::pull_request(forge, kind, base, number, push.pusher, &act);
        }
    }
    Ok(())
}

fn open_from(forge: &Shared, kind: Kind, head_repo: u64, branch: &str) -> Vec<(u64, u64)> {
    let world = forge.world();
    let repos = world.side(kind).repositories.iter();
    repos
        .flat_map(|repo| repo.pulls.iter().map(move |pull| (repo.id, pull)))
        .filter(|(_, pull)| {
            pull.state == PullState::Open && pull.head_repo == head_repo && pull.head_branch == branch
        })
        .map(|(base, pull)| (base, pull.number))
        .collect()
}

/// Returns the head as it was.
fn move_head(forge: &Shared, kind: Kind, base: u64, number: u64, sha: &str) -> String {
    let now = forge.now();
    let mut world = forge.world();
    let pulls = world
        .side_mut(kind)
        .repo_mut(base)
        .into_iter()
        .flat_map(|repo| &mut repo.pulls);
    let mut before = String::new();
    for pull in pulls.filter(|pull| pull.number == number) {
        before = std::mem::replace(&mut pull.head_sha, sha.to_owned());
        pull.updated_at = now;
    }
    before
}

fn set_state(forge: &Shared, kind: Kind, base: u64, number: u64, state: PullState, by: u64) {
    let now = forge.now();
    let mut world = forge.world();
    let pulls = world
        .side_mut(kind)
        .repo_mut(base)
        .into_iter()
        .flat_map(|repo| &mut repo.pulls);
    for pull in pulls.filter(|pull| pull.number == number) {
        pull.state = state;
        pull.updated_at = now;
        pull.closed_by = (state != PullState::Open).then_some(by);
    }
}

impl PullRequest {
    /// Its number in the base repository.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The head commit now.
    ///
    /// # Errors
    /// When the base repository was deleted.
    pub fn head_sha(&self) -> Result<String> {
        Ok(self.record()?.head_sha)
    }

    fn record(&self) -> Result<Pull> {
        let pull = self
            .base
            .record()?
            .pulls
            .into_iter()
            .find(|pull| pull.number == self.number);
        pull.ok_or_else(|| DevForgeError::Unknown(format!("pull request {}", self.number)))
    }

    fn change(&self, state: PullState, act: &PullAct) -> Result<()> {
        let (forge, kind) = (&self.base.provider.forge, self.base.provider.kind);
        let by = self.base.actor()?.id;
        set_state(forge, kind, self.base.id, self.number, state, by);
        webhooks::pull_request(forge, kind, self.base.id, self.number, by, act);
        Ok(())
    }

    /// Pushes a commit to the head branch, as the head repository's owner.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push(&self, files: &[(&str, &str)], message: &str) -> Result<String> {
        let pull = self.record()?;
        Repository::new(self.base.provider.clone(), pull.head_repo)
            .push(&pull.head_branch, files, message)
            .await
    }

    /// Closes (Bitbucket: declines) it without merging.
    ///
    /// # Errors
    /// When the base repository was deleted.
    pub fn close(&self) -> Result<()> {
        self.change(PullState::Closed, &PullAct::Closed)
    }

    /// Opens it again; only GitHub can.
    ///
    /// # Errors
    /// On Bitbucket, where a declined pull request stays declined.
    pub fn reopen(&self) -> Result<()> {
        if self.base.provider.kind == Kind::Bitbucket {
            return Err(DevForgeError::Invalid(
                "Bitbucket cannot reopen a pull request".to_owned(),
            ));
        }
        self.change(PullState::Open, &PullAct::Reopened)
    }

    /// Merges it with a merge commit, pushed like any other. Returns that commit.
    ///
    /// # Errors
    /// When git fails, for one on a conflict.
    pub async fn merge(&self) -> Result<String> {
        let pull = self.record()?;
        let (forge, kind) = (&self.base.provider.forge, self.base.provider.kind);
        let head = Repository::new(self.base.provider.clone(), pull.head_repo)
            .record()?
            .dir;
        let message = format!("Merge pull request #{}\n\n{}", pull.number, pull.title);
        let tree = WorkTree::open(&self.base, self.base.actor()?).await?;
        let sha = tree
            .merge(&pull.base_branch, &pull.head_sha, &head, &message)
            .await?;
        tree.push(&[format!("{sha}:refs/heads/{}", pull.base_branch)], false)
            .await?;
        drop(tree);
        if let Some(repo) = forge.world().side_mut(kind).repo_mut(self.base.id) {
            for pull in repo.pulls.iter_mut().filter(|pull| pull.number == self.number) {
                pull.merge_sha = Some(sha.clone());
            }
        }
        self.change(PullState::Merged, &PullAct::Merged)?;
        Ok(sha)
    }

    /// Whether the head can be read from the base repository's `refs/pull/N/head` (GitHub).
    pub async fn head_ref_exists(&self) -> bool {
        let Ok(repo) = self.base.record() else {
            return false;
        };
        inspect::commit(&repo.dir, &format!("refs/pull/{}/head", self.number))
            .await
            .is_some()
    }
}
