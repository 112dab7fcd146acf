//! The lines between a builder and the pipeline in its machine.
//!
//! Both directions are one JSON object a line, at most [`MAX_LINE`] bytes. The builder writes
//! [`ToPipeline`] to the pipeline's standard input, the pipeline writes [`FromPipeline`] to its standard
//! output; nothing else is ever written there (hooks and programs get pipes of their own). Standard input
//! ending, or renewals not coming, ends the pipeline and everything that it started.
//!
//! What comes out of a machine is the build's word: the builder adds build and lease number, bounds
//! sizes, and the server believes nothing that it cannot check (machines.md, "What is not hidden from a build").

use serde::{Deserialize, Serialize};

use crate::{
    build::{FailureKind, Phase, Purpose},
    ids::{BuildId, RepositoryId},
    names::{CommitSha, Digest, DockerTag, ImagePath},
    refs::RefName,
    secret::SecretString,
};

/// The longest line either side accepts, in bytes. Longer ones end the pipeline.
pub const MAX_LINE: usize = 1 << 20;

/// Everything that one run of a build needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildSpec {
    /// The build.
    pub build: BuildId,
    /// Docker Hub's `BUILD_CODE`: unique to this run, `[a-z0-9]+`, fit for a compose project's name.
    pub code: String,
    /// Build, test, push; or only build and test.
    pub purpose: Purpose,
    /// What to check out, and how.
    pub source: SourceSpec,
    /// Which image to build.
    pub image: ImageSpec,
    /// What the rule says of the build itself.
    pub rule: RuleSpec,
    /// Configured build environment variables, in order.
    pub variables: Vec<Variable>,
    /// Logins for the registries that this build may use.
    pub registry_logins: Vec<RegistryLogin>,
    /// Whose layers this build may use, and leaves for the next one; none where the rule has no caching, and for code from
    /// outside: reading a private layer would already be a leak.
    #[serde(default)]
    pub layers: Option<RepositoryId>,
    /// What the plan allows.
    pub limits: Limits,
}

/// What to check out, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceSpec {
    /// Without credentials: `ssh://git@host:port/owner/repo.git`, `https://…`, or `http://…` (a forge on loopback).
    pub clone_url: String,
    /// What git may show to the forge.
    pub credential: CloneCredential,
    /// `known_hosts` lines (sshd(8)) of the forge; git over SSH believes these and no others.
    pub known_hosts: Vec<String>,
    /// The branch or tag as whose head the commit is built; for a pull request the head's branch.
    pub git_ref: RefName,
    /// Where the server may refuse to send a commit by its id: the full ref to fetch instead, as
    /// `refs/heads/main` or `refs/pull/7/head`.
    pub fetch_ref: String,
    /// Exactly this commit.
    pub commit: CommitSha,
    /// The commit's message where it is known; else it is read after checkout.
    pub message: Option<String>,
    /// The configured `SSH_PRIVATE`, used instead of the deploy key.
    #[serde(with = "crate::secret::in_clear_option", default)]
    pub ssh_private: Option<SecretString>,
    /// Whether the credential is taken away after checkout (external pull requests).
    pub drop_credential: bool,
}

/// What git may show to the forge: read-only, and for this one repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CloneCredential {
    /// Nothing: the repository is public.
    None,
    /// A deploy key in OpenSSH's own format.
    DeployKey {
        /// The private half.
        #[serde(with = "crate::secret::in_clear")]
        private_key: SecretString,
    },
    /// A user name and a token for HTTP.
    Token {
        /// `x-access-token`, `x-token-auth`.
        user: String,
        /// The token.
        #[serde(with = "crate::secret::in_clear")]
        token: SecretString,
    },
}

/// Which image to build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageSpec {
    /// As in image names: `127.0.0.1:5000`, `registry.example.org`, `index.docker.io`.
    pub registry: String,
    /// The repository's path there.
    pub path: ImagePath,
    /// In the rule's order; the first is in `IMAGE_NAME`. For tests only: `this`.
    pub tags: Vec<DockerTag>,
    /// The comma list as the rule writes it, after substitution: `DOCKER_TAG`.
    pub tags_as_written: String,
}

impl ImageSpec {
    /// `DOCKER_REPO`: registry and path.
    pub fn docker_repo(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }
}

/// What the rule says of the build itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleSpec {
    /// As configured.
    pub dockerfile_location: String,
    /// As configured.
    pub build_context: String,
    /// Whether earlier layers may be used.
    pub build_caching: bool,
    /// `--platform`; empty for the engine's own.
    pub platforms: Vec<String>,
    /// `--build-arg`, in order; `${NAME}` refers to the variables.
    pub build_args: Vec<(String, String)>,
    /// `--target`.
    pub target: Option<String>,
}

/// A configured build environment variable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Variable {
    /// `[A-Za-z_][A-Za-z0-9_]*`
    pub name: String,
    /// Masked in everything that leaves the machine.
    #[serde(with = "crate::secret::in_clear")]
    pub value: SecretString,
}

/// A login at a registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// As in image names.
    pub registry: String,
    /// The user.
    pub user: String,
    /// The password or token.
    #[serde(with = "crate::secret::in_clear")]
    pub password: SecretString,
}

/// What the plan allows one build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limits {
    /// In seconds, from the start of the run. The builder ends the machine then.
    pub time_s: u64,
    /// In bytes; the middle of the log is cut beyond, the end always kept.
    pub log_bytes: u64,
    /// In bytes, of the built image.
    pub image_bytes: u64,
}

/// What a builder tells the pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToPipeline {
    /// Once, first.
    Start {
        /// The build.
        spec: Box<BuildSpec>,
    },
    /// The lease was renewed: end the machine unless this comes again within `for_ms`.
    Renewed {
        /// In milliseconds from now.
        for_ms: u64,
    },
    /// The answer to [`FromPipeline::FenceWanted`].
    Fence {
        /// One answer for each tag that was asked for.
        grants: Vec<(DockerTag, FenceAnswer)>,
    },
}

/// Whether a tag may be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceAnswer {
    /// Push it; the grant lives as long as the lease.
    Granted,
    /// A newer build has moved it already: leave it out, the build is a success all the same.
    NewerHoldsTag,
}

/// What the pipeline tells its builder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromPipeline {
    /// A phase began. A phase that has nothing to do is not mentioned.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// A phase ended.
    PhaseEnded {
        /// Which.
        phase: Phase,
        /// Whether it did what it should.
        ok: bool,
    },
    /// Output, already masked. Not necessarily whole lines; valid UTF-8 (what was not is replaced).
    Log {
        /// Where it came from.
        phase: Phase,
        /// The text.
        text: String,
    },
    /// A step of the image build (one BuildKit vertex) began, went on or ended; the last one said of a name counts.
    Step {
        /// The step.
        step: Step,
    },
    /// What was found out on the way, for the build report.
    Resolved {
        /// The facts.
        facts: Facts,
    },
    /// May these be pushed? The push waits for [`ToPipeline::Fence`].
    FenceWanted {
        /// All of the build's tags.
        tags: Vec<DockerTag>,
    },
    /// A tag was pushed.
    Pushed {
        /// Which.
        tag: DockerTag,
        /// What it holds now, as the registry said it.
        digest: Digest,
        /// The compressed size that the manifest states, in bytes, where known.
        size: Option<u64>,
    },
    /// The last line.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// A step of the image build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its place in the build, from 1.
    pub number: u32,
    /// As `[builder 2/5] RUN make`.
    pub name: String,
    /// The stage it belongs to, where the Dockerfile names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stage: Option<String>,
    /// Whether it came from a cache.
    pub cached: bool,
    /// In milliseconds from the start of the run.
    pub started_ms: Option<u64>,
    /// In milliseconds from the start of the run.
    pub ended_ms: Option<u64>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// What was found out on the way, for the build report. Only what is given is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Versions of engine, CLI, buildx, compose and git, in words.
    pub versions: Vec<String>,
    /// The Dockerfile, from the source root.
    pub dockerfile: Option<String>,
    /// The build context, from the source root.
    pub context: Option<String>,
    /// The hooks' working directory, from the source root.
    pub working_directory: Option<String>,
    /// The names of all variables that hooks saw; never values.
    pub variables: Vec<String>,
    /// Hooks that were found.
    pub hooks: Vec<String>,
    /// The head commit's message, first line.
    pub message: Option<String>,
    /// The head commit's author.
    pub author: Option<String>,
    /// Things worth a person's attention, each a sentence.
    pub warnings: Vec<String>,
}

/// How a run ended, as the pipeline says it. Cancelling and time limits are the builder's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// All phases did what they should.
    Success {
        /// Tags that were left out because a newer build holds them.
        #[serde(default)]
        skipped: Vec<DockerTag>,
    },
    /// One did not.
    Failed {
        /// Why.
        kind: FailureKind,
        /// One sentence for the owner: what failed, why, what to do. Masked.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_its_json() {
        let line = FromPipeline::Ended {
            outcome: Outcome::Failed {
                kind: FailureKind::Hook(Phase::PreBuild),
                message: "hooks/pre_build ended with code 3".into(),
            },
        };
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(
            json,
            r#"{"say":"ended","outcome":{"outcome":"failed","kind":"hook:pre_build","message":"hooks/pre_build ended with code 3"}}"#
        );
        assert!(matches!(
            serde_json::from_str(&json).unwrap(),
            FromPipeline::Ended { .. }
        ));
    }

    #[test]
    fn secrets_are_not_in_the_debug_form() {
        let login = RegistryLogin {
            registry: "r".into(),
            user: "u".into(),
            password: "pass-canary".into(),
        };
        assert!(!format!("{login:?}").contains("canary"));
    }
}
