//! A build, as it is rendered.

use serde::Serialize;
use slipway_store::{BuildTag, PhaseReport, TagResult};
use slipway_types::{
    build::Hold,
    protocol::{Facts, Step},
};
use utoipa::ToSchema;

use super::{
    configuration::SourceType,
    schema::{self, Time},
};
use crate::services::{
    build_logs::LogHead,
    builds_read::{self, Report},
    queue::Waiting,
};

/// A build.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Build {
    id: String,
    /// Within the repository, from 1.
    number: i64,
    #[schema(schema_with = schema::build_state)]
    state: &'static str,
    /// Why it failed; null unless it did.
    failure: Option<Failed>,
    /// How it ended, in a sentence for people.
    message: Option<String>,
    #[schema(schema_with = schema::cause)]
    cause: &'static str,
    #[schema(schema_with = schema::purpose)]
    purpose: &'static str,
    /// The full ref: `refs/heads/main`.
    #[serde(rename = "ref")]
    git_ref: String,
    /// The branch or tag: `main`.
    ref_name: String,
    ref_type: SourceType,
    /// The pull request's number.
    pull_request: Option<i64>,
    commit: String,
    commit_message: Option<String>,
    commit_author: Option<String>,
    /// The rule's id.
    rule: Option<String>,
    /// The rule as it was then, for people.
    rule_text: String,
    /// Where the image goes, without a tag.
    image: String,
    tags: Vec<Tag>,
    queued_at: Time,
    started_at: Option<Time>,
    ended_at: Option<Time>,
}

/// Why a build failed.
#[derive(Debug, Serialize, ToSchema)]
struct Failed {
    /// A stable word: `checkout`, `build`, `hook:pre_push`, …
    kind: String,
    /// A sentence for people.
    message: String,
}

/// A tag that a build writes.
#[derive(Debug, Serialize, ToSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "it is the name that tags have in every API of a registry"
)]
struct Tag {
    tag: String,
    /// What came of it: `pushed`, or `newer_holds_tag`; null until then.
    result: Option<&'static str>,
    /// What was pushed.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    digest: Option<String>,
    /// The compressed size that the manifest states, in bytes.
    size: Option<i64>,
    pushed_at: Option<Time>,
}

impl From<BuildTag> for Tag {
    fn from(tag: BuildTag) -> Self {
        Self {
            tag: tag.tag.to_string(),
            result: tag.result.map(TagResult::as_str),
            digest: tag.digest.map(|digest| digest.to_string()),
            size: tag.size,
            pushed_at: tag.pushed_at.map(Time),
        }
    }
}

impl Build {
    pub(super) fn new(build: &slipway_store::Build, tags: Vec<BuildTag>) -> Self {
        Self {
            id: build.id.to_string(),
            number: build.number,
            state: build.state.as_str(),
            failure: build.failure.map(|kind| Failed {
                kind: kind.to_string(),
                message: build.message.clone().unwrap_or_default(),
            }),
            message: build.message.clone(),
            cause: build.new.cause.as_str(),
            purpose: build.new.purpose.as_str(),
            git_ref: build.new.git_ref.full().to_owned(),
            ref_name: build.new.git_ref.name().to_owned(),
            ref_type: build.new.git_ref.kind().into(),
            pull_request: build.new.pull_request,
            commit: build.new.sha.to_string(),
            commit_message: builds_read::message(build).map(str::to_owned),
            commit_author: builds_read::author(build).map(str::to_owned),
            rule: build.new.rule.map(|rule| rule.to_string()),
            rule_text: build.new.plan.rule_text.clone(),
            image: build.new.plan.docker_repo(),
            tags: tags.into_iter().map(Tag::from).collect(),
            queued_at: build.queued_at.into(),
            started_at: build.started_at.map(Time),
            ended_at: build.ended_at.map(Time),
        }
    }
}

/// A build's report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BuildReport {
    #[serde(flatten)]
    build: Build,
    phases: Vec<PhaseOfBuild>,
    steps: Vec<StepOfBuild>,
    /// Of a build that waits: why it cannot be leased yet; null if it only waits for a free builder.
    #[schema(schema_with = schema::maybe_hold)]
    hold: Option<&'static str>,
    /// Of a build that waits: its place among the namespace's waiting builds, from 1.
    position: Option<usize>,
    /// Of a build that waits: in how many seconds it begins, by what is usual.
    estimate_s: Option<u64>,
    /// Seconds that builds of its rule usually take.
    usual_s: Option<u64>,
    /// Seconds that it may run.
    time_limit_s: i64,
    facts: FactsOfBuild,
    log: LogOfBuild,
    source: Option<SourceOfBuild>,
    /// The name of the builder that has, or had, it.
    builder: Option<String>,
    /// How often it was begun.
    runs: i32,
    /// Who started it.
    started_by: Option<String>,
    /// Who cancelled it.
    canceled_by: Option<String>,
    /// The number of the build that it repeats.
    retry_of: Option<i64>,
    /// The number of the build that took its place.
    superseded_by: Option<i64>,
}

/// A phase of a build.
#[derive(Debug, Serialize, ToSchema)]
struct PhaseOfBuild {
    #[schema(schema_with = schema::phase)]
    phase: &'static str,
    started_at: Time,
    ended_at: Option<Time>,
    /// Whether it did what it should.
    ok: Option<bool>,
}

impl From<PhaseReport> for PhaseOfBuild {
    fn from(report: PhaseReport) -> Self {
        Self {
            phase: report.phase.as_str(),
            started_at: report.started_at.into(),
            ended_at: report.ended_at.map(Time),
            ok: report.ok,
        }
    }
}

/// A step of the image build.
#[derive(Debug, Serialize, ToSchema)]
struct StepOfBuild {
    number: u32,
    name: String,
    stage: Option<String>,
    /// Whether it came from a cache.
    cached: bool,
    /// Milliseconds from the start of the run.
    started_ms: Option<u64>,
    /// Milliseconds from the start of the run.
    ended_ms: Option<u64>,
    error: Option<String>,
}

impl From<Step> for StepOfBuild {
    fn from(step: Step) -> Self {
        Self {
            number: step.number,
            name: step.name,
            stage: step.stage,
            cached: step.cached,
            started_ms: step.started_ms,
            ended_ms: step.ended_ms,
            error: step.error,
        }
    }
}

/// What was found out on the way.
#[derive(Debug, Serialize, ToSchema)]
struct FactsOfBuild {
    /// Versions of engine, CLI, compose and git, in words.
    versions: Vec<String>,
    /// The Dockerfile, from the root of the source.
    dockerfile: Option<String>,
    /// The build context, from the root of the source.
    context: Option<String>,
    /// The hooks' working directory, from the root of the source.
    working_directory: Option<String>,
    /// Names of the variables that hooks saw; never values.
    variables: Vec<String>,
    /// Hooks that were found.
    hooks: Vec<String>,
    /// Things worth a person's attention.
    warnings: Vec<String>,
}

impl From<Facts> for FactsOfBuild {
    fn from(facts: Facts) -> Self {
        Self {
            versions: facts.versions,
            dockerfile: facts.dockerfile,
            context: facts.context,
            working_directory: facts.working_directory,
            variables: facts.variables,
            hooks: facts.hooks,
            warnings: facts.warnings,
        }
    }
}

/// How much log there is.
#[derive(Debug, Serialize, ToSchema)]
struct LogOfBuild {
    lines: u64,
    bytes: i64,
}

/// What a build is of.
#[derive(Debug, Serialize, ToSchema)]
struct SourceOfBuild {
    id: String,
    /// `owner/name`, as it is called now.
    path: String,
    web_url: String,
}

impl BuildReport {
    pub(super) fn new(report: Report, waits: Option<Waiting>, log: LogHead) -> Self {
        let build = report.build;
        Self {
            build: Build::new(&build, report.tags),
            phases: report.phases.into_iter().map(PhaseOfBuild::from).collect(),
            steps: report.steps.into_iter().map(StepOfBuild::from).collect(),
            hold: waits.as_ref().and_then(|waits| waits.hold).map(Hold::as_str),
            position: waits.as_ref().and_then(|waits| waits.position),
            estimate_s: waits
                .and_then(|waits| waits.estimate)
                .map(|estimate| estimate.as_secs()),
            usual_s: report.usual.map(|usual| usual.as_secs()),
            time_limit_s: build.new.time_limit_s,
            facts: build.facts.into(),
            log: LogOfBuild {
                lines: log.lines,
                bytes: log.bytes,
            },
            source: report.source.map(|source| SourceOfBuild {
                id: source.id.to_string(),
                path: source.full_name(),
                web_url: source.facts.web_url,
            }),
            builder: report.builder.map(|builder| builder.name),
            runs: build.runs,
            started_by: report.actor.map(|name| name.to_string()),
            canceled_by: report.canceled_by.map(|name| name.to_string()),
            retry_of: report.retry_of,
            superseded_by: report.superseded_by,
        }
    }
}
