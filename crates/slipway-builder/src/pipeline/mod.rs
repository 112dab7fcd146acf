//! What runs inside a machine, as its first process: the phases of a build, in order (autobuild.md, "The pipeline").
//!
//! [`run`] reads what to build from its input and says what comes of it on its output. Invariants kept here:
//! - phases come in one order, which is the text of [`Machine::phases`]; a phase that fails ends the build;
//! - all that leaves is masked (`say`, `log`);
//! - when its input ends, its renewals stop or a signal comes, everything that it started is ended (`stop`,
//!   [`slipway_machine::processes`]), and what it made at the engine under its compose project is removed.

mod build;
mod buildkit;
mod checkout;
mod credentials;
mod engine;
mod environment;
mod exec;
mod failure;
mod hooks;
mod layout;
mod log;
mod push;
mod resolve;
mod say;
mod stop;
mod test;
mod tools;

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, Instant},
};

use secrecy::SecretString;
use slipway_machine::processes;
use slipway_registry::Retry;
use slipway_types::{
    DockerTag,
    build::{FailureKind, Phase, Purpose},
    protocol::{BuildSpec, CloneCredential, Facts, FenceAnswer, FromPipeline, Outcome},
};
use slipway_vault::mask::Masker;
use tokio::io::{AsyncRead, AsyncWrite};

pub use credentials::ask_pipeline;

use credentials::Credentials;
use engine::Engine;
use environment::Environment;
use failure::Failure;
use hooks::Hooks;
use layout::{Layout, write_private};
use resolve::Resolved;
use say::Say;
use stop::Grants;
use tools::Tools;

/// The engine's usual address.
const USUAL_ENGINE: &str = "unix:///var/run/docker.sock";
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last lines may take to be written to a builder that has closed its side.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What a pipeline is told by whoever starts the machine, rather than by the build.
#[derive(Debug, Clone)]
pub struct Options {
    /// An empty directory of its own, mode 0700.
    pub work: PathBuf,
    /// The engine, as `DOCKER_HOST` has it; else what the environment says, else the usual socket.
    pub docker_host: Option<String>,
    /// Where the machine's own engine, which is starting, writes what it says; none where the engine is there already.
    pub engine_log: Option<PathBuf>,
    /// The program (and arguments) that git runs to ask for a password. It prints what [`ask_pipeline`] gives.
    pub askpass: Vec<OsString>,
    /// Whether the engine keeps layers from build to build, so that no cache needs pulling.
    pub keeps_layers: bool,
    /// How pushes are tried again.
    pub push_retry: Retry,
}

impl Options {
    /// For a machine whose engine outlives it, with pushes tried again as autobuild.md says.
    pub fn new(work: PathBuf, askpass: Vec<OsString>) -> Self {
        Self {
            work,
            docker_host: None,
            engine_log: None,
            askpass,
            keeps_layers: true,
            push_retry: Retry {
                first: Duration::from_secs(2),
                ..Retry::default()
            },
        }
    }
}

/// Why a pipeline could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Nothing to build was said on the input.
    #[error("no build was given on standard input: this command is started by a builder")]
    NotStarted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whether builds on this engine would find what they need: the versions that were found to work together, in words, or
/// why there are none.
///
/// # Errors
/// In words, with what to do.
pub async fn try_engine(docker_host: Option<String>) -> Result<Vec<String>, String> {
    let place = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let layout = Layout::make(place.path()).map_err(|error| format!("no temporary directory: {error}"))?;
    let environment = Environment::of_programs(&layout, &engine_at(docker_host));
    let found = Tools::find(&layout, &environment).await;
    found
        .map(|tools| tools.versions)
        .map_err(|failure| failure.message)
}

/// Where the engine is: as configured, else as the environment says, else at the usual place.
fn engine_at(configured: Option<String>) -> String {
    configured
        .or_else(|| std::env::var("DOCKER_HOST").ok())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| USUAL_ENGINE.to_owned())
}

/// Runs one build. Returns when it has ended and everything that it started is gone.
///
/// # Errors
/// [`PipelineError::NotStarted`]; everything later is said on the output.
pub async fn run(
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
    options: Options,
) -> Result<(), PipelineError> {
    let started = stop::started(input).await;
    let (spec, ears, grants) = started.map_err(|why| PipelineError::NotStarted(Box::new(why)))?;
    let (say, writer) = Say::new(output, Masker::new(secrets(&spec)));
    if let Err(error) = processes::become_subreaper() {
        tracing::warn!(%error, "daemons of hooks may outlive this build: the kernel has no child subreapers");
    }
    let build = Build {
        spec,
        say: say.clone(),
        options,
        began: Instant::now(),
        engine: OnceLock::new(),
    };
    let stopped = ears.stopped();
    tokio::pin!(stopped);
    let (outcome, stopped_early) = tokio::select! {
        outcome = build.run(grants) => (outcome, false),
        why = &mut stopped => {
            let message = format!("the build was ended: {why}");
            (Err(Failure::new(FailureKind::MACHINE, message)), true)
        }
    };
    let me = std::process::id();
    processes::kill_all(|| processes::descendants(me), PATIENCE).await;
    if let Some(engine) = build.engine.get() {
        engine.remove_project().await;
    }
    let outcome = outcome.unwrap_or_else(|failure| Outcome::Failed {
        kind: failure.kind,
        message: failure.message,
    });
    let last_words = async {
        say.ended(outcome).await;
        drop((say, build));
        // It ends when all has been written, or nobody reads.
        let _ = writer.await;
    };
    if stopped_early {
        // A builder that is frozen does not read: it is not waited for.
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    } else {
        tokio::select! {
            () = last_words => {}
            _ = &mut stopped => {}
        }
    }
    Ok(())
}

/// A build, before anything is known of its source.
struct Build {
    spec: BuildSpec,
    say: Say,
    options: Options,
    began: Instant,
    /// Known once it was reached; what it holds for the build is removed at the end, however that comes.
    engine: OnceLock<Engine>,
}

/// A build that is checked out, and everything its phases need.
struct Machine<'a> {
    spec: &'a BuildSpec,
    options: &'a Options,
    say: &'a Say,
    began: Instant,
    layout: &'a Layout,
    tools: &'a Tools,
    engine: &'a Engine,
    paths: &'a Resolved,
}

impl Build {
    async fn run(&self, grants: Grants) -> Result<Outcome, Failure> {
        let layout = Layout::make(&self.options.work);
        let layout = layout.map_err(|error| Failure::not_written("its work directory", &error))?;
        let mut programs = Environment::of_programs(&layout, &self.docker_host());
        let source = &self.spec.source;

        let checkout = async {
            let tools = self.find_tools(&layout, &programs).await?;
            let mut credentials =
                Credentials::prepare(source, &layout, &programs, &self.options.askpass).await?;
            credentials.apply(&mut programs);
            let checked_out =
                checkout::check_out(source, &layout, &programs, tools.git_lfs, &self.say).await?;
            if source.drop_credential {
                credentials.take_away(&mut programs).await;
            }
            Ok((tools, credentials, checked_out))
        };
        let (tools, _credentials, checked_out) = self.phase(Phase::Checkout, checkout).await?;
        let paths = self
            .phase(Phase::Resolve, async {
                resolve::resolve(&self.spec.rule, &layout)
            })
            .await?;

        let environment = programs.of_build(&self.spec, &checked_out.message, &paths.text, tools.buildkit);
        let engine = self
            .engine
            .get_or_init(|| self.engine(&tools, &programs, &layout));
        let machine = Machine {
            spec: &self.spec,
            options: &self.options,
            say: &self.say,
            began: self.began,
            layout: &layout,
            tools: &tools,
            engine,
            paths: &paths,
        };
        machine.phases(self, &environment, grants).await
    }

    fn docker_host(&self) -> String {
        engine_at(self.options.docker_host.clone())
    }

    async fn find_tools(&self, layout: &Layout, programs: &Environment) -> Result<Tools, Failure> {
        if let Some(log) = &self.options.engine_log {
            engine::started(&self.docker_host(), log).await?;
        }
        let tools = Tools::find(layout, programs).await?;
        let _ = self.engine.set(self.engine(&tools, programs, layout));
        for version in &tools.versions {
            self.say.remark(Phase::Checkout, version).await;
        }
        self.say
            .facts(Facts {
                versions: tools.versions.clone(),
                ..Facts::default()
            })
            .await;
        if !tools.buildkit {
            let text = "no docker command here can build with BuildKit, so the legacy builder is used: install docker-buildx";
            self.say.warn(Phase::Checkout, text).await;
        }
        Ok(tools)
    }

    fn engine(&self, tools: &Tools, programs: &Environment, layout: &Layout) -> Engine {
        Engine {
            docker: tools.docker.clone(),
            environment: programs.clone(),
            directory: layout.home.clone(),
            project: self.spec.code.clone(),
        }
    }

    /// Runs a phase, and says that it began and how it ended.
    async fn phase<T>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.say.line(FromPipeline::PhaseStarted { phase }).await;
        let outcome = work.await;
        if let Err(failure) = &outcome {
            self.say.remark(phase, &failure.message).await;
        }
        let ok = outcome.is_ok();
        self.say.line(FromPipeline::PhaseEnded { phase, ok }).await;
        outcome
    }
}

impl Machine<'_> {
    /// Everything after checkout, in order.
    async fn phases(
        &self,
        build: &Build,
        environment: &Environment,
        grants: Grants,
    ) -> Result<Outcome, Failure> {
        let hooks = Hooks::of(&self.paths.working_directory, self.layout);
        self.say_what_was_found(&hooks, environment).await;
        build::forget_earlier(self).await?;

        self.hook(build, &hooks, Phase::PostCheckout, environment).await?;
        if !self.spec.registry_logins.is_empty() {
            build.phase(Phase::RegistryLogin, self.log_in()).await?;
        }
        self.hook(build, &hooks, Phase::PreBuild, environment).await?;
        build.phase(Phase::Build, self.build(&hooks, environment)).await?;
        self.hook(build, &hooks, Phase::PostBuild, environment).await?;
        self.hook(build, &hooks, Phase::PreTest, environment).await?;
        build.phase(Phase::Test, self.test(&hooks, environment)).await?;
        self.hook(build, &hooks, Phase::PostTest, environment).await?;
        if self.spec.purpose == Purpose::Test {
            return Ok(Outcome::Success { skipped: Vec::new() });
        }

        let (granted, skipped) = self.fence(grants).await;
        if granted.is_empty() {
            return Ok(Outcome::Success { skipped });
        }
        self.hook(build, &hooks, Phase::PrePush, environment).await?;
        build
            .phase(Phase::Push, self.push(&hooks, environment, &granted))
            .await?;
        self.hook(build, &hooks, Phase::PostPush, environment).await?;
        Ok(Outcome::Success { skipped })
    }

    /// Runs the hook of a phase that has no default.
    async fn hook(
        &self,
        build: &Build,
        hooks: &Hooks,
        phase: Phase,
        environment: &Environment,
    ) -> Result<(), Failure> {
        if !hooks.has(phase) {
            return Ok(());
        }
        build.phase(phase, hooks.run(phase, environment, self.say)).await
    }

    async fn say_what_was_found(&self, hooks: &Hooks, environment: &Environment) {
        let facts = Facts {
            dockerfile: Some(self.paths.text.dockerfile.clone()),
            context: Some(self.paths.text.context.clone()),
            working_directory: Some(self.paths.text.working_directory.clone()),
            variables: environment.names(),
            hooks: hooks.names(),
            ..Facts::default()
        };
        self.say.facts(facts).await;
    }

    /// Writes the logins where only this build's `docker` finds them, and tries each out.
    async fn log_in(&self) -> Result<(), Failure> {
        let logins = &self.spec.registry_logins;
        let config = environment::docker_config(logins).to_string();
        write_private(
            &self.layout.docker_config.join("config.json"),
            0o600,
            config.as_bytes(),
        )
        .map_err(|error| Failure::not_written("the registry logins", &error))?;
        for login in logins {
            match push::check_login(login).await {
                Ok(()) => {
                    let text = format!("Logged in at {}.", login.registry);
                    self.say.remark(Phase::RegistryLogin, &text).await;
                }
                Err(error) if error.is_auth() => {
                    return Err(Failure::new(FailureKind::REGISTRY_AUTH, error.to_string()));
                }
                // It may be back when it is needed.
                Err(error) => self.say.warn(Phase::RegistryLogin, &error.to_string()).await,
            }
        }
        Ok(())
    }

    async fn build(&self, hooks: &Hooks, environment: &Environment) -> Result<(), Failure> {
        let by_hook = hooks.has(Phase::Build);
        if by_hook {
            hooks.run(Phase::Build, environment, self.say).await?;
        } else {
            build::build(self, environment).await?;
        }
        build::finish(self, by_hook).await
    }

    async fn test(&self, hooks: &Hooks, environment: &Environment) -> Result<(), Failure> {
        if hooks.has(Phase::Test) {
            return hooks.run(Phase::Test, environment, self.say).await;
        }
        test::test(self, environment).await
    }

    async fn push(
        &self,
        hooks: &Hooks,
        environment: &Environment,
        tags: &[DockerTag],
    ) -> Result<(), Failure> {
        if !hooks.has(Phase::Push) {
            return push::push(self, environment, tags).await;
        }
        hooks.run(Phase::Push, environment, self.say).await?;
        push::record_what_a_hook_pushed(self, tags).await
    }

    /// Asks which tags may be pushed, and waits for the answer. Returns those that may, and those that a newer build has.
    async fn fence(&self, mut grants: Grants) -> (Vec<DockerTag>, Vec<DockerTag>) {
        let tags = self.spec.image.tags.clone();
        self.say
            .line(FromPipeline::FenceWanted { tags: tags.clone() })
            .await;
        let Some(answers) = grants.recv().await else {
            // The input has ended, which ends this as well.
            return std::future::pending().await;
        };
        // Only a tag that was asked for and granted is pushed.
        let is_granted = |tag: &DockerTag| {
            answers
                .iter()
                .any(|(t, a)| t == tag && *a == FenceAnswer::Granted)
        };
        let (granted, skipped): (Vec<_>, Vec<_>) = tags.into_iter().partition(is_granted);
        for tag in &skipped {
            let text = format!("{tag} is left as it is: a newer build has moved it already.");
            self.say.remark(Phase::Push, &text).await;
        }
        (granted, skipped)
    }
}

/// Everything that must not be seen in the log.
fn secrets(spec: &BuildSpec) -> Vec<SecretString> {
    let mut secrets: Vec<SecretString> = spec.variables.iter().map(|v| v.value.clone()).collect();
    secrets.extend(spec.registry_logins.iter().map(|login| login.password.clone()));
    match &spec.source.credential {
        CloneCredential::None => {}
        CloneCredential::DeployKey { private_key } => secrets.push(private_key.clone()),
        CloneCredential::Token { token, .. } => secrets.push(token.clone()),
    }
    if let Some(key) = &spec.source.ssh_private {
        secrets.push(key.clone());
        secrets.push(credentials::as_entered(key));
    }
    secrets
}
