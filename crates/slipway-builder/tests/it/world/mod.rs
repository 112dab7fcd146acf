//! A build around the real pipeline: a source, a registry, an engine, and everything that it says.

pub(crate) mod coordinator;
pub(crate) mod git;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use slipway_builder::protocol::{Lines, write_line};
use slipway_parts::{Engine, Registry};
use slipway_types::{
    BuildId, DockerTag, RefName,
    build::{FailureKind, Phase, Purpose},
    protocol::{
        BuildSpec, CloneCredential, Facts, FenceAnswer, FromPipeline, ImageSpec, Limits, Outcome,
        RegistryLogin, RuleSpec, SourceSpec, Step, ToPipeline, Variable,
    },
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use git::Source;

/// The pipeline as a program.
pub(crate) const PIPELINE: &str = env!("CARGO_BIN_EXE_slipway-pipeline");

/// A spec that builds the source's newest commit of `main` for `registry`, tagged `latest`.
pub(crate) fn spec(source: &Source, registry: &Registry) -> BuildSpec {
    let registry_logins = registry.login.iter().map(|login| RegistryLogin {
        registry: registry.host.clone(),
        user: login.user.clone(),
        password: login.password.clone(),
    });
    let id = BuildId::fresh();
    let code = format!("b{}", id.uuid().simple());
    BuildSpec {
        build: id,
        purpose: Purpose::Push,
        source: SourceSpec {
            clone_url: source.url(),
            credential: CloneCredential::None,
            known_hosts: Vec::new(),
            git_ref: RefName::branch("main").unwrap(),
            fetch_ref: "refs/heads/main".into(),
            commit: source.head().parse().unwrap(),
            message: None,
            ssh_private: None,
            drop_credential: false,
        },
        image: ImageSpec {
            registry: registry.host.clone(),
            path: format!("builder-tests/{code}").parse().unwrap(),
            tags: vec![tag("latest")],
            tags_as_written: "latest".into(),
        },
        rule: RuleSpec {
            dockerfile_location: "Dockerfile".into(),
            build_context: "/".into(),
            build_caching: true,
            platforms: Vec::new(),
            build_args: Vec::new(),
            target: None,
        },
        variables: Vec::new(),
        registry_logins: registry_logins.collect(),
        layers: None,
        limits: Limits {
            time_s: 600,
            log_bytes: 1 << 20,
            image_bytes: 1 << 30,
        },
        code,
    }
}

pub(crate) fn tag(text: &str) -> DockerTag {
    text.parse().unwrap()
}

pub(crate) fn variable(name: &str, value: &str) -> Variable {
    Variable {
        name: name.into(),
        value: value.into(),
    }
}

/// A Dockerfile on the small base image that `registry` holds.
pub(crate) fn dockerfile(registry: &Registry, rest: &str) -> String {
    format!(
        "FROM {}\n{rest}\n",
        Engine::shared().push_base(registry, "base:busybox")
    )
}

/// A pipeline that runs, with its work directory.
pub(crate) struct Pipeline {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    lines: Lines<ChildStdout>,
    said: Said,
    _work: tempfile::TempDir,
}

impl Pipeline {
    /// Starts one and says `Start`.
    pub(crate) async fn start(spec: &BuildSpec, docker_host: &str) -> Self {
        let work = tempfile::tempdir().unwrap();
        let mut child = Command::new(PIPELINE)
            .args(["--quick-push", "--docker-host", docker_host])
            .current_dir(work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut this = Self {
            child,
            stdin,
            lines: Lines::new(stdout),
            said: Said::default(),
            _work: work,
        };
        let spec = Box::new(spec.clone());
        this.tell(&ToPipeline::Start { spec }).await;
        this.tell(&ToPipeline::Renewed { for_ms: 600_000 }).await;
        this
    }

    pub(crate) async fn tell(&mut self, line: &ToPipeline) {
        write_line(self.stdin.as_mut().unwrap(), line).await.unwrap();
    }

    /// What was read so far.
    pub(crate) fn said(&self) -> &Said {
        &self.said
    }

    /// Reads until the log has this text.
    pub(crate) async fn until_log(&mut self, text: &str) {
        while !self.said.log().contains(text) {
            let line = self.lines.next().await.unwrap();
            self.said
                .lines
                .push(line.unwrap_or_else(|| panic!("ended before {text:?}:\n{}", self.said.log())));
        }
    }

    /// Reads to the end, granting all tags but those in `newer`.
    pub(crate) async fn finish(mut self, newer: &[&str]) -> Said {
        while let Some(line) = self.lines.next().await.unwrap() {
            if let FromPipeline::FenceWanted { tags } = &line {
                let answer = |tag: &DockerTag| {
                    let newer = newer.contains(&tag.as_str());
                    if newer {
                        FenceAnswer::NewerHoldsTag
                    } else {
                        FenceAnswer::Granted
                    }
                };
                let grants = tags.iter().map(|tag| (tag.clone(), answer(tag))).collect();
                self.tell(&ToPipeline::Fence { grants }).await;
            }
            self.said.lines.push(line);
        }
        assert!(self.child.wait().await.unwrap().success());
        self.said
    }
}

/// Runs a build to its end, granting all tags.
pub(crate) async fn run(spec: &BuildSpec) -> Said {
    Pipeline::start(spec, &Engine::shared().host)
        .await
        .finish(&[])
        .await
}

/// Everything that a pipeline said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) lines: Vec<FromPipeline>,
}

impl Said {
    pub(crate) fn log(&self) -> String {
        let text = |line: &FromPipeline| match line {
            FromPipeline::Log { text, .. } => Some(text.clone()),
            _ => None,
        };
        self.lines.iter().filter_map(text).collect()
    }

    /// The log's lines that begin with `prefix`, without it.
    pub(crate) fn log_lines(&self, prefix: &str) -> Vec<String> {
        self.log()
            .lines()
            .filter_map(|line| line.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        let phase = |line: &FromPipeline| match line {
            FromPipeline::PhaseStarted { phase } => Some(*phase),
            _ => None,
        };
        self.lines.iter().filter_map(phase).collect()
    }

    pub(crate) fn steps(&self) -> Vec<&Step> {
        let lines = self.lines.iter();
        lines
            .filter_map(|line| {
                if let FromPipeline::Step { step } = line {
                    Some(step)
                } else {
                    None
                }
            })
            .collect()
    }

    /// `(tag, digest)` of every push.
    pub(crate) fn pushed(&self) -> Vec<(String, String)> {
        let pushed = |line: &FromPipeline| match line {
            FromPipeline::Pushed { tag, digest, .. } => Some((tag.to_string(), digest.to_string())),
            _ => None,
        };
        self.lines.iter().filter_map(pushed).collect()
    }

    pub(crate) fn facts(&self) -> Vec<&Facts> {
        let lines = self.lines.iter();
        lines
            .filter_map(|line| {
                if let FromPipeline::Resolved { facts } = line {
                    Some(facts)
                } else {
                    None
                }
            })
            .collect()
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        match self.lines.last() {
            Some(FromPipeline::Ended { outcome }) => outcome,
            other => panic!("the last line is {other:?}:\n{}", self.log()),
        }
    }

    /// Fails the test unless the build succeeded.
    pub(crate) fn succeeded(&self) -> &Self {
        let success = matches!(self.outcome(), Outcome::Success { .. });
        assert!(success, "{:?}\n{}", self.outcome(), self.log());
        self
    }

    /// Kind and message of the failure.
    pub(crate) fn failed(&self) -> (FailureKind, &str) {
        match self.outcome() {
            Outcome::Failed { kind, message } => (*kind, message),
            Outcome::Success { .. } => panic!("the build succeeded:\n{}", self.log()),
        }
    }
}

/// Looks again and again until it is so, for things that tell nobody.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process of this number, as text, lives.
pub(crate) fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
