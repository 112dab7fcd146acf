//! A developer's clone: commits made locally, pushed over smart HTTP with the person's password.
//!
//! One clone per repository is kept and fetched before each act, so that a test's pushes cost a
//! handful of git processes. The password travels in the environment (`http.extraHeader` by
//! `GIT_CONFIG_*`), never in an argument or a URL.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use crate::error::{DevForgeError, Result};
use crate::git;
use crate::people::{Account, AccountBody};
use crate::repository::Repository;

/// Commits get distinct, growing times even within one second, so that no two are ever the same
/// object by accident.
static LAST_COMMIT: AtomicI64 = AtomicI64::new(0);

/// Who commits and pushes.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    pub(crate) id: u64,
    pub(crate) login: String,
    name: String,
    email: String,
    password: String,
}

impl Author {
    pub(crate) fn of(account: &Account) -> Self {
        let password = match &account.body {
            AccountBody::User { password, .. } => password.clone(),
            AccountBody::Organization { .. } => String::new(),
        };
        Self {
            id: account.id,
            login: account.login.clone(),
            name: account.name.clone(),
            email: account.email.clone(),
            password,
        }
    }
}

pub(crate) struct WorkTree {
    dir: PathBuf,
    url: String,
    default_branch: String,
    author: Author,
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl WorkTree {
    /// The clone of `repository`, up to date, held for one act.
    pub(crate) async fn open(repository: &Repository, author: Author) -> Result<Self> {
        let record = repository.record()?;
        let forge = &repository.provider.forge;
        // Its own lock: the push made from here takes the repository's.
        let turn = forge.turn_of(record.id | (1 << 63)).lock_owned().await;
        let dir =
            forge
                .data
                .join("work")
                .join(format!("{}-{}", repository.provider.kind.as_str(), record.id));
        if !dir.join(".git").is_dir() {
            tokio::fs::create_dir_all(&dir)
                .await
                .map_err(DevForgeError::file(&dir))?;
            git::run(&dir, ["init", "--quiet", "."]).await?;
        }
        let url = repository.http_url()?;
        let tree = Self {
            dir,
            url,
            default_branch: record.default_branch,
            author,
            _turn: turn,
        };
        let refspecs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        let args = ["fetch", "--quiet", "--prune", "--no-write-fetch-head", &tree.url];
        git::finish(tree.signed_in(args.into_iter().chain(refspecs))).await?;
        Ok(tree)
    }

    fn signed_in<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let login = STANDARD.encode(format!("{}:{}", self.author.login, self.author.password));
        let mut command = git::command(&self.dir, args);
        command
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {login}"));
        command
    }

    fn authored<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let now = jiff::Timestamp::now().as_second();
        let previous =
            LAST_COMMIT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(now.max(last + 1)));
        let date = format!("{} +0000", previous.map_or(now, |last| now.max(last + 1)));
        let mut command = git::command(&self.dir, args);
        command
            .env("GIT_AUTHOR_NAME", &self.author.name)
            .env("GIT_AUTHOR_EMAIL", &self.author.email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", &self.author.name)
            .env("GIT_COMMITTER_EMAIL", &self.author.email)
            .env("GIT_COMMITTER_DATE", &date);
        command
    }

    async fn resolve(&self, revision: &str) -> Option<String> {
        let out = git::run(&self.dir, ["rev-parse", "--verify", "--quiet", revision])
            .await
            .ok()?;
        Some(out.trim().to_owned())
    }

    /// Commits on top of `branch` as it is at the forge.
    pub(crate) async fn commit(&self, branch: &str, files: &[(&str, &str)], message: &str) -> Result<String> {
        self.commit_after(branch, None, files, message).await
    }

    /// Commits on top of `parent`, else of `branch`, else of the default branch, else of nothing.
    pub(crate) async fn commit_after(
        &self,
        branch: &str,
        parent: Option<&str>,
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<String> {
        let mut start = parent.map(str::to_owned);
        for candidate in [branch, self.default_branch.as_str()] {
            if start.is_none() {
                start = self.resolve(&format!("refs/remotes/origin/{candidate}")).await;
            }
        }
        if let Some(start) = &start {
            git::run(&self.dir, ["checkout", "--quiet", "--force", "--detach", start]).await?;
        } else {
            // Refused when we already stand on the unborn branch, which is just as good.
            git::run(&self.dir, ["checkout", "--quiet", "--orphan", "unborn"])
                .await
                .ok();
            git::run(&self.dir, ["read-tree", "--empty"]).await?;
        }
        git::run(&self.dir, ["clean", "-fdxq"]).await?;
        for (path, content) in files {
            self.write(path, content).await?;
        }
        git::run(&self.dir, ["add", "--all", "--force", "."]).await?;
        // By a file: a message may be longer than an argument.
        let file = self.dir.join(".git/MESSAGE");
        tokio::fs::write(&file, message)
            .await
            .map_err(DevForgeError::file(&file))?;
        git::finish(self.authored([
            "commit",
            "--quiet",
            "--allow-empty",
            "--allow-empty-message",
            "--file",
            ".git/MESSAGE",
        ]))
        .await?;
        self.resolve("HEAD")
            .await
            .ok_or_else(|| DevForgeError::Unknown("commit just made".to_owned()))
    }

    /// Files below `hooks/`, and whatever starts with `#!`, are made executable.
    async fn write(&self, path: &str, content: &str) -> Result<()> {
        let relative = Path::new(path);
        if relative
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return Err(DevForgeError::Invalid(format!(
                "{path} leads out of the repository"
            )));
        }
        let target = self.dir.join(relative);
        if let Some(parent) = target.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(DevForgeError::file(parent))?;
        }
        tokio::fs::write(&target, content)
            .await
            .map_err(DevForgeError::file(&target))?;
        if content.starts_with("#!") {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::Permissions::from_mode(0o755);
            tokio::fs::set_permissions(&target, mode)
                .await
                .map_err(DevForgeError::file(&target))?;
        }
        Ok(())
    }

    /// Makes an annotated tag object.
    pub(crate) async fn annotate(&self, tag: &str, at: &str, message: &str) -> Result<String> {
        git::finish(self.authored(["tag", "--force", "--annotate", "-m", message, tag, at])).await?;
        self.resolve(&format!("refs/tags/{tag}"))
            .await
            .ok_or_else(|| DevForgeError::Unknown(format!("tag {tag} just made")))
    }

    /// Merges `head` (fetched from `from` when it is another repository) into `base`.
    pub(crate) async fn merge(&self, base: &str, head: &str, from: &Path, message: &str) -> Result<String> {
        git::run(
            &self.dir,
            [
                "fetch",
                "--quiet",
                "--no-write-fetch-head",
                &from.to_string_lossy(),
                head,
            ],
        )
        .await?;
        let start = format!("refs/remotes/origin/{base}");
        git::run(&self.dir, ["checkout", "--quiet", "--force", "--detach", &start]).await?;
        git::finish(self.authored(["merge", "--quiet", "--no-ff", "-m", message, head])).await?;
        self.resolve("HEAD")
            .await
            .ok_or_else(|| DevForgeError::Unknown("merge just made".to_owned()))
    }

    /// One `git push` with all refspecs.
    pub(crate) async fn push(&self, specs: &[String], force: bool) -> Result<()> {
        let mut args = vec!["push", "--quiet"];
        if force {
            args.push("--force");
        }
        args.push(&self.url);
        args.extend(specs.iter().map(String::as_str));
        git::finish(self.signed_in(args)).await.map(drop)
    }
}
