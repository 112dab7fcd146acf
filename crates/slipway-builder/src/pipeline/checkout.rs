//! Checkout: shallow, of exactly the commit in question, in the shape that hooks know from Docker Hub (autobuild.md,
//! "The pipeline", 1).

use std::time::Duration;

use slipway_types::{
    RefKind,
    build::{FailureKind, Phase},
    protocol::{Facts, SourceSpec},
};
use url::Url;

use super::{
    environment::Environment,
    exec::{Program, Said, how},
    failure::Failure,
    layout::Layout,
    say::Say,
};

const PHASE: Phase = Phase::Checkout;
const UPDATE: [&str; 5] = ["submodule", "-q", "update", "--init", "--recursive"];
/// Waits before asking a forge again that could not be reached.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How far a ref is deepened, step by step, until the commit is there; then all of it is fetched.
const DEPTHS: [&str; 3] = ["--deepen=50", "--deepen=500", "--deepen=5000"];

/// What a checkout found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CheckedOut {
    /// The whole message.
    pub(super) message: String,
    pub(super) author: String,
}

/// Checks out the commit into the source tree.
pub(super) async fn check_out(
    source: &SourceSpec,
    layout: &Layout,
    environment: &Environment,
    git_lfs: bool,
    say: &Say,
) -> Result<CheckedOut, Failure> {
    let git = Git {
        source,
        layout,
        environment,
        say,
    };
    say.remark(
        PHASE,
        &format!("Fetching {} of {}", source.commit, source.clone_url),
    )
    .await;
    git.run(&["init", "-q", "."]).await?;
    git.run(&["remote", "add", "origin", &source.clone_url]).await?;
    git.fetch_commit().await?;
    git.name_it().await?;
    if layout.source.join(".gitmodules").exists() {
        git.submodules().await?;
    }
    git.large_files(git_lfs).await?;
    git.describe().await
}

struct Git<'a> {
    source: &'a SourceSpec,
    layout: &'a Layout,
    environment: &'a Environment,
    say: &'a Say,
}

impl Git<'_> {
    fn program<'a>(&self, arguments: &[&str]) -> Program<'a> {
        Program::new("git", self.environment, &self.layout.source)
            // Large files come in one go, after the checkout.
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            // Submodules name addresses: none of them may be a path of this host or a command.
            .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git")
            .args(arguments)
    }

    async fn said(&self, arguments: &[&str]) -> Result<Said, Failure> {
        let said = self.program(arguments).captured().await;
        said.map_err(|error| Failure::not_run("git", &error))
    }

    /// Runs git into the log.
    async fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = self.program(arguments).logged(self.say, PHASE).await;
        let status = status.map_err(|error| Failure::not_run("git", &error))?;
        if status.success() {
            return Ok(());
        }
        let what = arguments.first().copied().unwrap_or_default();
        Err(failed(format!(
            "git {what} ended with {}: the log says why",
            how(status)
        )))
    }

    async fn has_commit(&self) -> Result<bool, Failure> {
        let object = format!("{}^{{commit}}", self.source.commit);
        Ok(self.said(&["cat-file", "-e", &object]).await?.status.success())
    }

    /// Gets the commit: by its id, or where the server does not send that, by the ref that had it.
    async fn fetch_commit(&self) -> Result<(), Failure> {
        let commit = self.source.commit.as_str();
        let by_id = self.fetch(&["--depth=1", "--no-tags", "origin", commit]).await?;
        if by_id.is_ok() && self.has_commit().await? {
            return Ok(());
        }
        let by_ref = self.source.fetch_ref.as_str();
        if let Err(said) = self.fetch(&["--depth=1", "--no-tags", "origin", by_ref]).await? {
            self.say.remark(PHASE, &said).await;
            return Err(self.explain(&said));
        }
        for more in DEPTHS.into_iter().chain(["--unshallow"]) {
            if self.has_commit().await? {
                return Ok(());
            }
            // A repository that is whole already cannot be made wholer: then the commit is not there.
            if self.fetch(&[more, "--no-tags", "origin", by_ref]).await?.is_err() {
                break;
            }
        }
        if self.has_commit().await? {
            return Ok(());
        }
        Err(self.gone())
    }

    /// Fetches, again where the forge could not be reached. The inner error is what git said.
    async fn fetch(&self, arguments: &[&str]) -> Result<Result<(), String>, Failure> {
        let mut waits = AGAIN.into_iter();
        let arguments = [&["fetch", "-q"], arguments].concat();
        loop {
            let said = self.said(&arguments).await?;
            if said.status.success() {
                return Ok(Ok(()));
            }
            let Some(wait) = waits.next().filter(|_| is_unreachable(&said.stderr)) else {
                return Ok(Err(said.stderr));
            };
            self.say.remark(PHASE, &said.stderr).await;
            self.say
                .remark(PHASE, &format!("Trying again in {} s.", wait.as_secs()))
                .await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Checks the commit out on a branch of the source branch's name, or with the tag present.
    async fn name_it(&self) -> Result<(), Failure> {
        let (name, commit) = (self.source.git_ref.name(), self.source.commit.as_str());
        match self.source.git_ref.kind() {
            RefKind::Branch => {
                self.run(&["checkout", "-q", "-B", name, commit]).await?;
                if self.source.fetch_ref == self.source.git_ref.full() {
                    let remote = format!("refs/remotes/origin/{name}");
                    self.run(&["update-ref", &remote, commit]).await?;
                }
                Ok(())
            }
            RefKind::Tag => {
                self.run(&["checkout", "-q", "--detach", commit]).await?;
                self.tag(name, commit).await
            }
        }
    }

    /// Has the tag itself, which may be an object of its own (`git describe` looks for that); or, where it has been moved
    /// meanwhile, one of its name at the commit that is built.
    async fn tag(&self, name: &str, commit: &str) -> Result<(), Failure> {
        let full = self.source.git_ref.full();
        let refspec = format!("+{full}:{full}");
        let fetched = self
            .fetch(&["--depth=1", "--no-tags", "origin", &refspec])
            .await?;
        let points_at = self
            .said(&["rev-parse", "-q", "--verify", &format!("{full}^{{commit}}")])
            .await?;
        if fetched.is_ok() && points_at.stdout == commit {
            return Ok(());
        }
        self.run(&["tag", "-f", name, commit]).await
    }

    /// After the right commit is out, so that it is its submodules that come.
    async fn submodules(&self) -> Result<(), Failure> {
        self.say.remark(PHASE, "Fetching submodules").await;
        let shallow = self.said(&[&UPDATE[..], &["--depth=1"]].concat()).await?;
        if shallow.status.success() {
            return Ok(());
        }
        // Servers that do not send commits by id need the whole, and what was begun shallow would stay so.
        self.said(&["submodule", "-q", "deinit", "--all", "--force"])
            .await?;
        let begun = self.layout.source.join(".git/modules");
        if let Err(error) = std::fs::remove_dir_all(begun)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Failure::not_written("the submodules", &error));
        }
        let status = self.program(&UPDATE).logged(self.say, PHASE).await;
        let status = status.map_err(|error| Failure::not_run("git", &error))?;
        if status.success() {
            return Ok(());
        }
        Err(failed(
            "a submodule could not be fetched: the log says which; if it is private, configure SSH_PRIVATE with a key that can read it",
        ))
    }

    async fn large_files(&self, git_lfs: bool) -> Result<(), Failure> {
        let uses = ["grep", "-q", "filter=lfs", "--", ":(glob)**/.gitattributes"];
        if !self.said(&uses).await?.status.success() {
            return Ok(());
        }
        if !git_lfs {
            let text = "the repository uses Git LFS, and git-lfs is not installed where this builder runs: \
                        large files are only pointers in this build";
            self.say.warn(PHASE, text).await;
            return Ok(());
        }
        self.say.remark(PHASE, "Fetching large files (LFS)").await;
        self.run(&["lfs", "install", "--local"]).await?;
        self.run(&["lfs", "pull"]).await
    }

    async fn describe(&self) -> Result<CheckedOut, Failure> {
        let said = self.said(&["log", "-1", "--format=%an <%ae>%n%B"]).await?;
        let (author, message) = said.stdout.split_once('\n').unwrap_or((&said.stdout, ""));
        let found = CheckedOut {
            author: author.to_owned(),
            message: self.source.message.clone().unwrap_or_else(|| message.to_owned()),
        };
        self.say
            .facts(Facts {
                message: found.message.lines().next().map(str::to_owned),
                author: Some(found.author.clone()),
                ..Facts::default()
            })
            .await;
        Ok(found)
    }

    fn gone(&self) -> Failure {
        failed(format!(
            "commit {} is not in {} any more: it was pushed over, or its branch or tag was deleted",
            self.source.commit, self.source.clone_url
        ))
    }

    /// Says in a sentence what git said in many.
    fn explain(&self, said: &str) -> Failure {
        let host = Url::parse(&self.source.clone_url).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or("the forge");
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if has(&["Host key verification failed", "HOST IDENTIFICATION HAS CHANGED"]) {
            return failed(format!(
                "{host} did not show the host key that is known for it: check the provider's host keys"
            ));
        }
        if is_unreachable(said) {
            return failed(format!("git could not reach {host}: the log says why"));
        }
        if has(&["couldn't find remote ref", "not our ref", "unadvertised object"]) {
            return self.gone();
        }
        if has(&[
            "Permission denied",
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "not found",
            "does not appear to be a git repository",
            "403",
            "access rights",
        ]) {
            return failed(format!(
                "{host} does not let this build read {}: check that the repository exists and that its deploy key or link is in order",
                self.source.clone_url
            ));
        }
        failed("the source could not be fetched: the log says why")
    }
}

fn is_unreachable(said: &str) -> bool {
    [
        "Could not resolve host",
        "Could not resolve hostname",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Failed to connect",
        "Network is unreachable",
        "No route to host",
        "timed out",
        "early EOF",
        "The requested URL returned error: 5",
        "Temporary failure",
        "Connection closed",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::CHECKOUT, message)
}
