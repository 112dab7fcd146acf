//! A repository as a test sees it: act on it like a developer, look at what the product made of it.

use serde::Serialize;

use crate::developer::{Author, WorkTree};
use crate::error::{DevForgeError, Result};
use crate::git::{self, inspect};
use crate::people::Permission;
use crate::provider::Provider;
use crate::pulls::PullRequest;
use crate::state::Repo;

/// Handle on one repository; cheap to clone. Acts as the owner (for an organization: its first
/// owner) unless [`Repository::acting_as`] says otherwise.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) provider: Provider,
    pub(crate) id: u64,
    acting_as: Option<u64>,
}

/// A webhook as configured by the product.
#[derive(Debug, Clone, Serialize)]
pub struct HookView {
    /// GitHub's numeric id.
    pub id: u64,
    /// Bitbucket's uuid, with braces.
    pub uuid: String,
    /// Where deliveries go.
    pub url: String,
    /// Subscribed events, in the provider's words.
    pub events: Vec<String>,
    /// The secret in clear, when one is set.
    pub secret: Option<String>,
    /// Inactive hooks are not delivered to.
    pub active: bool,
}

/// A deploy key as added by the product.
#[derive(Debug, Clone, Serialize)]
pub struct KeyView {
    /// The provider's id.
    pub id: u64,
    /// Title (GitHub) or label (Bitbucket).
    pub title: String,
    /// `ssh-ed25519 AAAA…` without a comment.
    pub key: String,
    /// May not push.
    pub read_only: bool,
}

/// A commit status as reported by the product.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// The commit.
    pub sha: String,
    /// The provider's word: `success`, `SUCCESSFUL`, …
    pub state: String,
    /// GitHub's context, Bitbucket's key.
    pub context: String,
    /// What is shown beside it.
    pub description: Option<String>,
    /// Where it links to.
    pub target_url: Option<String>,
}

impl Repository {
    pub(crate) fn new(provider: Provider, id: u64) -> Self {
        Self {
            provider,
            id,
            acting_as: None,
        }
    }

    pub(crate) fn record(&self) -> Result<Repo> {
        let world = self.provider.forge.world();
        let repo = world.side(self.provider.kind).repo(self.id).cloned();
        repo.ok_or_else(|| DevForgeError::Unknown(format!("repository {} (deleted?)", self.id)))
    }

    /// The provider's numeric id (GitHub).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bitbucket's uuid, with braces.
    ///
    /// # Errors
    /// When the repository was deleted.
    pub fn uuid(&self) -> Result<String> {
        Ok(self.record()?.uuid)
    }

    /// `owner/name`.
    ///
    /// # Errors
    /// When the repository was deleted.
    pub fn full_name(&self) -> Result<String> {
        let world = self.provider.forge.world();
        let side = world.side(self.provider.kind);
        let repo = side.repo(self.id);
        let repo = repo.ok_or_else(|| DevForgeError::Unknown(format!("repository {}", self.id)))?;
        Ok(side.full_name(repo))
    }

    /// `http://HOST/owner/name.git`.
    ///
    /// # Errors
    /// When the repository was deleted.
    pub fn http_url(&self) -> Result<String> {
        Ok(format!("{}/{}.git", self.provider.web_url(), self.full_name()?))
    }

    /// `ssh://git@HOST:PORT/owner/name.git`.
    ///
    /// # Errors
    /// When the repository was deleted.
    pub fn ssh_url(&self) -> Result<String> {
        Ok(format!(
            "ssh://git@{}/{}.git",
            self.provider.forge.addresses.ssh,
            self.full_name()?
        ))
    }

    /// The bare repository on disk, for looking into it with git.
    ///
    /// # Errors
    /// When the repository was deleted.
    pub fn path(&self) -> Result<std::path::PathBuf> {
        Ok(self.record()?.dir)
    }

    /// The same repository with another user acting.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn acting_as(&self, login: &str) -> Result<Self> {
        let world = self.provider.forge.world();
        let user = world.side(self.provider.kind).user(login);
        let id = user
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        drop(world);
        Ok(Self {
            acting_as: Some(id),
            ..self.clone()
        })
    }

    /// Gives a user a permission on this repository; `None` takes it away.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn grant(&self, login: &str, permission: Option<Permission>) -> Result<()> {
        let mut world = self.provider.forge.world();
        let side = world.side_mut(self.provider.kind);
        let user = side
            .user(login)
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        if let Some(repo) = side.repo_mut(self.id) {
            repo.collaborators.retain(|(known, _)| *known != user);
            repo.collaborators
                .extend(permission.map(|permission| (user, permission)));
        }
        Ok(())
    }

    /// Renames the repository; its id stays.
    pub fn rename(&self, name: &str) {
        if let Some(repo) = self
            .provider
            .forge
            .world()
            .side_mut(self.provider.kind)
            .repo_mut(self.id)
        {
            name.clone_into(&mut repo.name);
        }
    }

    /// Makes the repository private or public.
    pub fn set_private(&self, private: bool) {
        if let Some(repo) = self
            .provider
            .forge
            .world()
            .side_mut(self.provider.kind)
            .repo_mut(self.id)
        {
            repo.private = private;
        }
    }

    /// Deletes the repository with its hooks and keys.
    pub fn delete(&self) {
        self.provider
            .forge
            .world()
            .side_mut(self.provider.kind)
            .repositories
            .retain(|repo| repo.id != self.id);
    }

    pub(crate) fn actor(&self) -> Result<Author> {
        let world = self.provider.forge.world();
        let side = world.side(self.provider.kind);
        let owner = side.repo(self.id).and_then(|repo| side.account(repo.owner));
        let id = self
            .acting_as
            .or_else(|| owner.and_then(crate::people::Account::spokesperson));
        let account = id.and_then(|id| side.account(id));
        let account = account.ok_or_else(|| DevForgeError::Unknown("user to act as".to_owned()))?;
        Ok(Author::of(account))
    }

    async fn work_tree(&self) -> Result<WorkTree> {
        WorkTree::open(self, self.actor()?).await
    }

    /// Commits `files` on top of `branch` (made from the default branch when new) and pushes it
    /// over smart HTTP. Returns the commit's id. An empty list makes an empty commit.
    ///
    /// # Errors
    /// When git fails, for one because the actor may not push.
    pub async fn push(&self, branch: &str, files: &[(&str, &str)], message: &str) -> Result<String> {
        let tree = self.work_tree().await?;
        let sha = tree.commit(branch, files, message).await?;
        tree.push(&[format!("{sha}:refs/heads/{branch}")], false).await?;
        Ok(sha)
    }

    /// Like [`Repository::push`] for several branches, in one `git push`.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_branches(
        &self,
        branches: &[&str],
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<Vec<String>> {
        let tree = self.work_tree().await?;
        let mut shas = Vec::new();
        for branch in branches {
            shas.push(tree.commit(branch, files, message).await?);
        }
        let specs: Vec<String> = branches
            .iter()
            .zip(&shas)
            .map(|(branch, sha)| format!("{sha}:refs/heads/{branch}"))
            .collect();
        tree.push(&specs, false).await?;
        Ok(shas)
    }

    /// Pushes several commits in one push, one per message. Returns their ids, oldest first.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_commits(
        &self,
        branch: &str,
        commits: &[(&str, &[(&str, &str)])],
    ) -> Result<Vec<String>> {
        let tree = self.work_tree().await?;
        let mut shas: Vec<String> = Vec::new();
        for (message, files) in commits {
            shas.push(
                tree.commit_after(branch, shas.last().map(String::as_str), files, message)
                    .await?,
            );
        }
        if let Some(last) = shas.last() {
            tree.push(&[format!("{last}:refs/heads/{branch}")], false).await?;
        }
        Ok(shas)
    }

    /// Moves a branch to any commit, as `git push --force` does.
    ///
    /// # Errors
    /// When git fails.
    pub async fn force_push(&self, branch: &str, sha: &str) -> Result<()> {
        self.work_tree()
            .await?
            .push(&[format!("{sha}:refs/heads/{branch}")], true)
            .await
    }

    /// Makes a branch at a commit that exists.
    ///
    /// # Errors
    /// When git fails.
    pub async fn create_branch(&self, branch: &str, at: &str) -> Result<()> {
        self.create_branches(&[(branch, at)]).await
    }

    /// Makes several branches in one push.
    ///
    /// # Errors
    /// When git fails.
    pub async fn create_branches(&self, branches: &[(&str, &str)]) -> Result<()> {
        let specs: Vec<String> = branches
            .iter()
            .map(|(branch, at)| format!("{at}:refs/heads/{branch}"))
            .collect();
        self.work_tree().await?.push(&specs, false).await
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// When git fails.
    pub async fn delete_branch(&self, branch: &str) -> Result<()> {
        self.work_tree()
            .await?
            .push(&[format!(":refs/heads/{branch}")], false)
            .await
    }

    /// Pushes a lightweight tag.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_tag(&self, tag: &str, at: &str) -> Result<()> {
        self.push_tags(&[(tag, at)]).await
    }

    /// Pushes an annotated tag. Returns the id of the tag object.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_annotated_tag(&self, tag: &str, at: &str, message: &str) -> Result<String> {
        let tree = self.work_tree().await?;
        let object = tree.annotate(tag, at, message).await?;
        tree.push(&[format!("{object}:refs/tags/{tag}")], true).await?;
        Ok(object)
    }

    /// Pushes several lightweight tags in one push.
    ///
    /// # Errors
    /// When git fails.
    pub async fn push_tags(&self, tags: &[(&str, &str)]) -> Result<()> {
        let specs: Vec<String> = tags
            .iter()
            .map(|(tag, at)| format!("{at}:refs/tags/{tag}"))
            .collect();
        self.work_tree().await?.push(&specs, true).await
    }

    /// Deletes a tag.
    ///
    /// # Errors
    /// When git fails.
    pub async fn delete_tag(&self, tag: &str) -> Result<()> {
        self.work_tree()
            .await?
            .push(&[format!(":refs/tags/{tag}")], false)
            .await
    }

    /// The commit a branch (`main`), tag or full ref points at.
    pub async fn head(&self, name: &str) -> Option<String> {
        let dir = self.record().ok()?.dir;
        inspect::commit(&dir, name).await.map(|commit| commit.sha)
    }

    /// All files of a commit with `git ls-tree`, as paths.
    ///
    /// # Errors
    /// When git fails.
    pub async fn files(&self, revision: &str) -> Result<Vec<String>> {
        let out = git::run(&self.record()?.dir, ["ls-tree", "-r", "--name-only", revision]).await?;
        Ok(out.lines().map(str::to_owned).collect())
    }

    /// Opens a pull request from a branch of this repository.
    ///
    /// # Errors
    /// When a branch is missing or git fails.
    pub async fn open_pull_request(&self, head: &str, base: &str, title: &str) -> Result<PullRequest> {
        crate::pulls::open(self, self, head, base, title).await
    }

    /// Opens a pull request from a branch of a fork: an external one.
    ///
    /// # Errors
    /// When a branch is missing or git fails.
    pub async fn open_pull_request_from(
        &self,
        fork: &Repository,
        head: &str,
        base: &str,
        title: &str,
    ) -> Result<PullRequest> {
        crate::pulls::open(self, fork, head, base, title).await
    }

    /// Webhooks configured now.
    pub fn hooks(&self) -> Vec<HookView> {
        let hooks = self.record().map(|repo| repo.hooks).unwrap_or_default();
        hooks
            .into_iter()
            .map(|hook| HookView {
                id: hook.id,
                uuid: hook.uuid,
                url: hook.url,
                events: hook.events,
                secret: hook.secret,
                active: hook.active,
            })
            .collect()
    }

    /// Deploy keys added now.
    pub fn keys(&self) -> Vec<KeyView> {
        let keys = self.record().map(|repo| repo.keys).unwrap_or_default();
        keys.into_iter()
            .map(|key| KeyView {
                id: key.id,
                title: key.title,
                key: key.key,
                read_only: key.read_only,
            })
            .collect()
    }

    /// Commit statuses reported so far, oldest first.
    pub fn statuses(&self) -> Vec<StatusView> {
        let statuses = self.record().map(|repo| repo.statuses).unwrap_or_default();
        statuses
            .into_iter()
            .map(|status| StatusView {
                sha: status.sha,
                state: status.state,
                context: status.context,
                description: status.description,
                target_url: status.target_url,
            })
            .collect()
    }
}
