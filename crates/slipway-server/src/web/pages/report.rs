//! The build report: what is built, why, how far it is, and how it went.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use slipway_store::{BuildTag, PhaseReport, TagResult};
use slipway_types::{
    SlugName, Timestamp,
    build::{BuildState, Cause, Phase, Purpose},
    protocol::Step,
    rights::Level,
};

use super::{
    Done, Page, act,
    builds::{commit, message, ref_of},
    frame, log,
    repositories::digest_copy,
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        builds_read::{self, Report},
        queue::Waiting,
    },
    web::{
        session::SignedIn,
        view::{
            Act, Alert, Crumbs, Pill, Place,
            report::{BuildReportPage, PhaseView, StepView, TagState},
        },
        words,
    },
};

/// `GET /{namespace}/{repository}/builds/{number}`
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Path<(SlugName, SlugName, i64)>,
    Query(window): Query<log::Window>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let now = Timestamp::now();
    let report = app.builds.report(&who.caller, &namespace, &name, number).await?;
    let waiting = waiting(&app, &report).await?;
    let base = format!("/{namespace}/{name}/builds/{number}");
    let runs = !report.build.state.is_final();
    let log = log::view(&app, &report, &base, &window).await?;
    let mut frame = frame(
        &app,
        &who,
        format!("Build {} of {namespace}/{name}", words::number(number as u64)),
        Place::Hub,
        &done,
    );
    if runs {
        frame.live = format!("{base}/events");
    }
    let may_write = report.granted.level >= Level::Write;
    let page = BuildReportPage {
        frame,
        crumbs: Crumbs {
            up: vec![
                (namespace.to_string(), format!("/?namespace={namespace}")),
                (name.to_string(), format!("/{namespace}/{name}")),
                ("Builds".to_owned(), format!("/{namespace}/{name}/builds")),
            ],
            here: words::number(number as u64),
        },
        number: words::number(number as u64),
        alerts: alerts(&report),
        state: words::build_state(report.build.state).large(),
        timing: timing(&report, waiting.as_ref(), now),
        ended: report.build.ended_at.map(|at| words::when(at, now)),
        cause: cause(&report),
        commit: commit(&report.build, report.source.as_ref()),
        cause_rest: cause_rest(&report),
        message: message(&report.build),
        facts: facts(&report, waiting.as_ref()),
        tags: tag_states(&report),
        cancel: (runs && may_write).then(|| stays(&report)),
        retries: if !runs && may_write {
            retries(&who, &base)
        } else {
            Vec::new()
        },
        phases: phases(&report, now),
        phases_done: phases_done(&report.phases),
        absent_hooks: absent_hooks(&report),
        variables: report.build.facts.variables.clone(),
        log,
        base,
    };
    Ok(Page(page).into_response())
}

async fn waiting(app: &App, report: &Report) -> Result<Option<Waiting>, Failure> {
    if report.build.state.is_final() {
        return Ok(None);
    }
    let all = app.queue.waiting(report.build.new.namespace).await?;
    Ok(all
        .into_iter()
        .find(|waiting| waiting.build.id == report.build.id))
}

fn alerts(report: &Report) -> Vec<Alert> {
    let build = &report.build;
    let mut alerts = Vec::new();
    match (build.state, build.failure) {
        (BuildState::Failed, Some(kind)) => {
            let said = build.message.clone().unwrap_or_default();
            alerts.push(Alert::bad(format!("{}.", words::failure(kind))).line(said));
        }
        (BuildState::TimedOut, _) => alerts.push(
            Alert::warn("It took longer than it may, and was ended.").line(format!(
                "The limit is {}. A shorter build, better caching or a longer limit helps.",
                words::duration(std::time::Duration::from_secs(
                    build.new.time_limit_s.unsigned_abs()
                ))
            )),
        ),
        (BuildState::Canceled, _) => alerts.extend(canceled(report)),
        (_, _) => alerts.extend(
            build
                .message
                .clone()
                .filter(|said| !said.is_empty())
                .map(|said| Alert::ok("Done.").line(said)),
        ),
    }
    alerts.extend(build.facts.warnings.iter().map(Alert::warn));
    alerts
}

fn canceled(report: &Report) -> Option<Alert> {
    if let Some(number) = report.superseded_by {
        let what = format!("Superseded by {}.", words::number(number as u64));
        return Some(Alert::warn(what).line("A newer build of the same rule and ref took its place."));
    }
    let by = report.canceled_by.as_ref()?;
    Some(Alert::warn(format!("Canceled by {by}.")))
}

fn timing(report: &Report, waiting: Option<&Waiting>, now: Timestamp) -> String {
    let build = &report.build;
    let estimate = waiting
        .map(super::builds::estimate)
        .filter(|text| text != "unknown");
    let estimate = estimate.map(|text| format!(", {text}")).unwrap_or_default();
    match (build.started_at, build.ended_at) {
        (Some(started), Some(ended)) => format!("after {}", words::duration(ended.since(started))),
        (Some(started), None) => format!("{}{estimate}", words::duration(now.since(started))),
        (None, Some(_)) => "never started".to_owned(),
        (None, None) => format!(
            "waits for {}{estimate}",
            words::duration(now.since(build.queued_at))
        ),
    }
}

fn cause(report: &Report) -> String {
    match report.build.new.cause {
        Cause::Retried => match report.retry_of {
            Some(number) => format!("Retry of {}:", words::number(number as u64)),
            None => "Retry of".to_owned(),
        },
        cause => format!("{}:", words::cause(cause)),
    }
}

fn cause_rest(report: &Report) -> String {
    let (icon, name) = ref_of(&report.build);
    let what = match icon {
        "pull" => "of pull request",
        "tag" => "as tag",
        _ => "on",
    };
    let by = match (&report.actor, builds_read::author(&report.build)) {
        (Some(actor), _) => format!(", by {actor}"),
        (None, Some(author)) => format!(", by {author}"),
        (None, None) => String::new(),
    };
    format!(" {what} {name}{by}")
}

fn facts(report: &Report, waiting: Option<&Waiting>) -> Vec<(&'static str, String)> {
    let build = &report.build;
    let found = &build.facts;
    let mut facts = Vec::new();
    let waited = build
        .started_at
        .unwrap_or(build.ended_at.unwrap_or_else(Timestamp::now));
    facts.push(("Waited", words::duration(waited.since(build.queued_at))));
    if let Some(builder) = &report.builder {
        facts.push((
            "Machine",
            format!("{} on builder {}", builder.facts.driver, builder.name),
        ));
    }
    if let Some(waiting) = waiting.filter(|waiting| waiting.position.is_some()) {
        facts.push(("Why it waits", super::builds::why(waiting, None)));
    }
    facts.push(("Rule", build.new.plan.rule_text.clone()));
    if let Some(dockerfile) = &found.dockerfile {
        let context = found.context.as_deref().unwrap_or(".");
        facts.push(("Dockerfile", format!("{dockerfile} in context {context}")));
    }
    if let Some(kind) = build.failure {
        facts.push(("Reason", kind.to_string()));
    }
    if build.runs > 1 {
        facts.push(("Run", format!("{}: a builder was lost before", build.runs)));
    }
    facts.push(("Image", build.new.plan.docker_repo()));
    if !found.versions.is_empty() {
        facts.push(("Versions", found.versions.join(", ")));
    }
    facts
}

fn tag_states(report: &Report) -> Vec<TagState> {
    if report.build.new.purpose == Purpose::Test {
        return Vec::new();
    }
    report
        .tags
        .iter()
        .map(|tag| tag_state(tag, report.build.state))
        .collect()
}

fn tag_state(tag: &BuildTag, state: BuildState) -> TagState {
    let pill = match (tag.result, state) {
        (Some(TagResult::Pushed), _) => Pill::new("ok", "check-circle", "Pushed"),
        (Some(TagResult::NewerHoldsTag), _) => Pill::new("", "skip", "Left to a newer build"),
        (None, BuildState::Pending | BuildState::InProgress) => Pill::new("", "clock", "Not yet pushed"),
        (None, _) => Pill::new("", "ban", "Not moved"),
    };
    TagState {
        tag: tag.tag.to_string(),
        state: pill,
        digest: tag
            .digest
            .as_ref()
            .map(|digest| digest_copy(digest.as_str(), tag.tag.as_str())),
        size: tag
            .size
            .and_then(|n| u64::try_from(n).ok())
            .map(words::bytes)
            .unwrap_or_default(),
    }
}

/// What stays when it is cancelled now.
fn stays(report: &Report) -> String {
    let pushed: Vec<_> = report
        .tags
        .iter()
        .filter(|tag| tag.result == Some(TagResult::Pushed))
        .map(|tag| tag.tag.as_str())
        .collect();
    let kept = if pushed.is_empty() {
        "No tag has been pushed yet.".to_owned()
    } else {
        format!("Tags already pushed stay: {}.", pushed.join(", "))
    };
    match report.build.state {
        BuildState::Pending => "It does not start.".to_owned(),
        _ => format!("Its machine is killed within 5 seconds. {kept} The log is kept."),
    }
}

fn retries(who: &SignedIn, base: &str) -> Vec<Act> {
    let action = format!("{base}/retry");
    let with = |label, icon, fields| Act {
        fields,
        ..act(who, &*action, ("", icon, label), "")
    };
    vec![
        with("Retry", "refresh", vec![("with", "today".to_owned())]),
        with("Retry as it was", "replay", vec![("with", "then".to_owned())]),
        with(
            "Build as newest",
            "upload",
            vec![("with", "today".to_owned()), ("newest", "on".to_owned())],
        ),
    ]
}

fn phases(report: &Report, now: Timestamp) -> Vec<PhaseView> {
    let ended = report.build.state.is_final();
    report
        .phases
        .iter()
        .map(|phase| {
            let hook = phase
                .phase
                .hook()
                .filter(|hook| report.build.facts.hooks.iter().any(|h| h == hook));
            let steps = match phase.phase {
                Phase::Build => report.steps.iter().map(|step| step_view(step, report)).collect(),
                _ => Vec::new(),
            };
            let (tone, icon, word) = match (phase.ok, ended) {
                (Some(true), _) => ("ok", "check-circle", ""),
                (Some(false), _) => ("bad", "x-circle", "failed"),
                (None, false) => ("run", "running", "running"),
                (None, true) => ("idle", "ban", "ended with the build"),
            };
            let until = phase.ended_at.or(report.build.ended_at).unwrap_or(now);
            PhaseView {
                name: phase.phase.to_string(),
                tone,
                icon,
                word,
                hook: hook.is_some(),
                took: words::duration(until.since(phase.started_at)),
                line: None,
                note: cached(&report.steps, phase.phase),
                steps,
            }
        })
        .collect()
}

fn cached(steps: &[Step], phase: Phase) -> String {
    if phase != Phase::Build || steps.is_empty() {
        return String::new();
    }
    let cached = steps.iter().filter(|step| step.cached).count();
    format!(
        "{cached} of {} cached",
        words::count(steps.len(), "step", "steps")
    )
}

fn step_view(step: &Step, report: &Report) -> StepView {
    let took = match (step.started_ms, step.ended_ms) {
        (Some(started), Some(ended)) => {
            words::duration(std::time::Duration::from_millis(ended.saturating_sub(started)))
        }
        (Some(_), None) if !report.build.state.is_final() => "running".to_owned(),
        _ => String::new(),
    };
    StepView {
        name: step.name.clone(),
        took,
        cached: step.cached,
        failed: step.error.is_some(),
    }
}

fn phases_done(phases: &[PhaseReport]) -> String {
    let done = phases.iter().filter(|phase| phase.ended_at.is_some()).count();
    format!("{done} of {} done", phases.len())
}

/// Hooks that the repository does not have; nothing before they were looked for.
fn absent_hooks(report: &Report) -> Vec<&'static str> {
    let looked = report.phases.iter().any(|phase| phase.phase > Phase::Resolve);
    if !looked {
        return Vec::new();
    }
    Phase::ALL
        .iter()
        .filter_map(|phase| phase.hook())
        .filter(|hook| !report.build.facts.hooks.iter().any(|found| found == hook))
        .collect()
}
