//! The CLI trap (machines.md): a Docker CLI of today without buildx cannot build with BuildKit, and an old one may
//! be refused by a new engine. So a pair that works is found by trying, and used by its absolute path.

use std::{
    collections::HashSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use slipway_types::build::FailureKind;

use super::{environment::Environment, exec::Program, failure::Failure, layout::Layout};

/// Looked through after `PATH`.
const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin", "/snap/bin"];
/// From this version on, the CLI builds with BuildKit only through the buildx plugin.
const BUILDX_NEEDED_SINCE: u32 = 23;

/// What was found to work.
#[derive(Debug)]
pub(super) struct Tools {
    /// The `docker` command.
    pub(super) docker: PathBuf,
    /// Whether it builds with BuildKit.
    pub(super) buildkit: bool,
    pub(super) compose: Compose,
    pub(super) git_lfs: bool,
    /// In words, one each.
    pub(super) versions: Vec<String>,
}

/// How compose files are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Compose {
    /// `docker compose`
    Plugin,
    /// `docker-compose` 1.x
    Standalone(PathBuf),
    /// Not at all.
    Missing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: OneVersion,
    server: OneVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OneVersion {
    version: String,
    #[serde(default)]
    api_version: String,
}

/// One `docker` command that reaches the engine.
struct Candidate {
    docker: PathBuf,
    versions: Versions,
    buildx: Option<String>,
}

impl Candidate {
    fn buildkit(&self) -> bool {
        let major = self
            .versions
            .client
            .version
            .split('.')
            .next()
            .and_then(|n| n.parse().ok());
        self.buildx.is_some() || major.is_some_and(|major: u32| major < BUILDX_NEEDED_SINCE)
    }
}

impl Tools {
    /// Finds a CLI that reaches the engine, one that builds with BuildKit if there is any, and puts it first in `PATH`.
    pub(super) async fn find(layout: &Layout, environment: &Environment) -> Result<Self, Failure> {
        let found = docker_commands(environment);
        if found.is_empty() {
            return Err(Failure::new(
                FailureKind::MACHINE,
                "there is no docker command where this builder runs: install Docker's CLI there",
            ));
        }
        let mut refusal = String::new();
        let mut legacy = None;
        for docker in found {
            match try_out(&docker, layout, environment).await? {
                Ok(candidate) if candidate.buildkit() => {
                    return Self::of(candidate, layout, environment).await;
                }
                Ok(candidate) => legacy = legacy.or(Some(candidate)),
                Err(why) => refusal = why,
            }
        }
        match legacy {
            Some(candidate) => Self::of(candidate, layout, environment).await,
            None => Err(unreachable(environment, &refusal)),
        }
    }

    async fn of(candidate: Candidate, layout: &Layout, environment: &Environment) -> Result<Self, Failure> {
        let failed = |error| Failure::not_written("its own directory", &error);
        layout.prefer("docker", &candidate.docker).map_err(failed)?;
        let (compose, compose_version) = compose(&candidate.docker, layout, environment).await?;
        let git = said(
            Program::new("git", environment, &layout.home).args(["--version"]),
            "git",
        )
        .await?;
        let git = git
            .ok_or_else(|| Failure::new(FailureKind::MACHINE, "git does not work where this builder runs"))?;
        let git_lfs = in_path("git-lfs", environment).is_some();
        let (client, server) = (&candidate.versions.client, &candidate.versions.server);
        let mut versions = vec![
            format!("Docker Engine {} (API {})", server.version, server.api_version),
            format!("Docker CLI {} ({})", client.version, candidate.docker.display()),
        ];
        let buildkit = candidate.buildkit();
        versions.extend(candidate.buildx);
        versions.push(compose_version);
        versions.push(git);
        Ok(Self {
            docker: candidate.docker,
            buildkit,
            compose,
            git_lfs,
            versions,
        })
    }
}

/// Asks engine and plugins through one CLI. The inner error is why it cannot be used.
async fn try_out(
    docker: &Path,
    layout: &Layout,
    environment: &Environment,
) -> Result<Result<Candidate, String>, Failure> {
    let ask = Program::new(docker, environment, &layout.home).args(["version", "--format", "{{json .}}"]);
    let Ok(answer) = ask.captured().await else {
        return Ok(Err(format!("{} cannot be run", docker.display())));
    };
    let versions: Versions = match serde_json::from_str(&answer.stdout) {
        Ok(versions) if answer.status.success() => versions,
        _ => return Ok(Err(answer.stderr)),
    };
    let buildx = Program::new(docker, environment, &layout.home).args(["buildx", "version"]);
    Ok(Ok(Candidate {
        docker: docker.to_owned(),
        versions,
        buildx: said(buildx, "docker").await?.map(|v| format!("buildx: {v}")),
    }))
}

async fn compose(
    docker: &Path,
    layout: &Layout,
    environment: &Environment,
) -> Result<(Compose, String), Failure> {
    let plugin = Program::new(docker, environment, &layout.home).args(["compose", "version", "--short"]);
    if let Some(version) = said(plugin, "docker").await? {
        return Ok((Compose::Plugin, format!("Docker Compose {version}")));
    }
    Ok(match in_path("docker-compose", environment) {
        // Not asked for its version here: it takes a second to say.
        Some(program) => {
            let words = format!("docker-compose ({})", program.display());
            (Compose::Standalone(program), words)
        }
        None => (Compose::Missing, "no Docker Compose".to_owned()),
    })
}

/// The first line that a program says, if it ends well.
async fn said(program: Program<'_>, name: &str) -> Result<Option<String>, Failure> {
    let said = program
        .captured()
        .await
        .map_err(|error| Failure::not_run(name, &error))?;
    let line = said.stdout.lines().next().map(str::to_owned);
    Ok(line.filter(|_| said.status.success()))
}

fn unreachable(environment: &Environment, refusal: &str) -> Failure {
    let host = environment
        .get("DOCKER_HOST")
        .unwrap_or_default()
        .to_string_lossy();
    let why = refusal.lines().last().unwrap_or_default();
    let gone = ["Cannot connect", "connection refused", "no such file", "dial "];
    let message = if why.is_empty() || gone.iter().any(|g| refusal.contains(g)) {
        format!("Docker is not running at {host}: start it or set --docker-host")
    } else {
        format!("Docker at {host} cannot be used: {why}")
    };
    Failure::new(FailureKind::MACHINE, message)
}

/// All different `docker` commands, in the order of `PATH`.
fn docker_commands(environment: &Environment) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let all = places(environment)
        .map(|place| place.join("docker"))
        .filter(|p| is_program(p));
    all.filter(|p| p.canonicalize().is_ok_and(|real| seen.insert(real)))
        .collect()
}

fn in_path(name: &str, environment: &Environment) -> Option<PathBuf> {
    places(environment)
        .map(|place| place.join(name))
        .find(|p| is_program(p))
}

fn places(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    let path = environment.get("PATH").unwrap_or(OsStr::new(""));
    std::env::split_paths(path)
        .chain(USUAL.iter().map(PathBuf::from))
        .collect::<Vec<_>>()
        .into_iter()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
