//! The builds of a repository: chart, queue, history.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_store::{Build, SourceRepository};
use slipway_types::{
    RefKind, SlugName, Timestamp,
    build::{Cause, Hold, Purpose},
    rights::Level,
    rule::{ConfigurationState, DeliveryMode, RuleFields},
};

use super::{
    Done, Page, act, frame,
    repositories::{crumbs, tabs as repository_tabs},
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        Granted,
        builds_read::{self, Configured, Filter},
        queue::Waiting,
    },
    web::{
        chart,
        session::SignedIn,
        view::{
            Alert, Commit, Pager, Place, Tags,
            builds::{BuildsPage, HistoryRow, QueueRow, SourceLine, TriggerChoice},
        },
        words,
    },
};

/// How many builds a page of the history shows.
const HISTORY: usize = 25;
/// How many builds the chart shows.
const CHART: usize = 40;

/// What of the history is wanted.
#[derive(Debug, Default, Deserialize)]
pub struct HistoryQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    cause: String,
    before: Option<i64>,
}

impl HistoryQuery {
    /// Words that are no state or cause ask for nothing, so that old addresses go on working.
    fn filter(&self) -> Filter {
        Filter {
            text: self.q.trim().to_owned(),
            state: self.state.parse().ok(),
            cause: self.cause.parse().ok(),
            ended: true,
        }
    }

    fn address(&self, base: &str, before: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", &self.q), ("state", &self.state), ("cause", &self.cause)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        match query.finish() {
            query if query.is_empty() => format!("{base}/builds"),
            query => format!("{base}/builds?{query}"),
        }
    }
}

/// `GET /{namespace}/{repository}/builds`
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Query(query): Query<HistoryQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let now = Timestamp::now();
    let granted = app
        .access
        .repository(&who.caller, &namespace, &name, Level::Read)
        .await?;
    let repository = granted.repository.id;
    let base = format!("/{namespace}/{name}");
    let configured = app.builds.configuration(&who.caller, repository).await?;
    let filter = query.filter();
    let (ended, next) = app
        .builds
        .list(&who.caller, repository, &filter, query.before, HISTORY)
        .await?;
    let (recent, _) = app
        .builds
        .list(&who.caller, repository, &Filter::default(), None, CHART)
        .await?;
    let waiting = app.queue.waiting(granted.namespace.id).await?;
    let plan = app.builds.plan(&who.caller, repository).await?;
    let mut frame = frame(
        &app,
        &who,
        format!("Builds of {namespace}/{name}"),
        Place::Hub,
        &done,
    );
    frame.live = format!("{base}/events");
    let page = BuildsPage {
        frame,
        crumbs: crumbs(&namespace, name.as_str()),
        tabs: repository_tabs(&namespace, &name, "builds"),
        source: configured.as_ref().map(|c| source_line(c, now)),
        alert: configured.as_ref().and_then(|c| cannot_build(c, &namespace)),
        may_configure: granted.level >= Level::Admin,
        triggers: match &configured {
            Some(configured) if granted.level >= Level::Write => trigger_choices(configured),
            _ => Vec::new(),
        },
        chart: chart::draw(&recent, &base, now),
        queue: queue_rows(&who, &granted, &waiting, configured.as_ref(), &base),
        slots: slots(&namespace, &waiting, plan.concurrency),
        query: query.q.clone(),
        states: choices(
            &query.state,
            &[
                ("", "Any state"),
                ("success", "Success"),
                ("failed", "Failed"),
                ("canceled", "Canceled"),
                ("timed_out", "Timed out"),
            ],
        ),
        causes: choices(
            &query.cause,
            &[
                ("", "Any cause"),
                ("push", "Push"),
                ("pull_request", "Pull request"),
                ("triggered", "Triggered"),
                ("reconciled", "Reconciled"),
                ("polled", "Polled"),
                ("replayed", "Replayed"),
                ("retried", "Retried"),
            ],
        ),
        history: ended
            .iter()
            .map(|build| history_row(build, configured.as_ref(), &base, now))
            .collect(),
        filtered: !filter.is_empty() || query.before.is_some(),
        pager: Pager {
            shown: words::count(ended.len(), "build", "builds"),
            newest: query.before.map(|_| query.address(&base, None)),
            older: next.map(|next| query.address(&base, Some(next))),
        },
        base,
    };
    Ok(Page(page).into_response())
}

fn choices(chosen: &str, all: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str, bool)> {
    all.iter()
        .map(|(word, label)| (*word, *label, *word == chosen))
        .collect()
}

fn source_line(configured: &Configured, now: Timestamp) -> SourceLine {
    let rules = words::count(configured.rules.len(), "rule", "rules");
    SourceLine {
        name: format!("{} at {}", configured.source.full_name(), configured.forge),
        href: Some(configured.source.facts.web_url.clone()).filter(|url| url.starts_with("http")),
        about: format!(
            "{rules}, {}",
            delivery_words(configured.configuration.fields.delivery_mode)
        ),
        last: configured.last_delivery.map(|at| words::when(at, now)),
    }
}

/// How pushes become known, in words.
pub(super) const fn delivery_words(mode: DeliveryMode) -> &'static str {
    match mode {
        DeliveryMode::Webhook => "webhook",
        DeliveryMode::WebhookAndPolling => "webhook + polling",
        DeliveryMode::Polling => "polling only",
    }
}

fn cannot_build(configured: &Configured, namespace: &SlugName) -> Option<Alert> {
    let reason = configured.configuration.state_reason.clone();
    let links = format!("/settings/linked-accounts?namespace={namespace}");
    match configured.configuration.state {
        ConfigurationState::Active => None,
        ConfigurationState::Disconnected => Some(
            Alert::warn("Disconnected: nothing builds.")
                .line("The account was unlinked. The configuration is kept, and reconnects when an account is linked again.")
                .fix("Linked accounts", links),
        ),
        ConfigurationState::Blocked => Some(
            Alert::bad("Blocked: the link cannot reach the source.")
                .line(reason.unwrap_or_default())
                .fix("Linked accounts", links),
        ),
    }
}

/// A rule, as people say it: `branch main`, `tag /^v/`.
pub(super) fn rule_words(rule: &RuleFields) -> String {
    format!("{} {}", rule.source_type.as_str(), rule.source)
}

fn trigger_choices(configured: &Configured) -> Vec<TriggerChoice> {
    configured
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| TriggerChoice {
            rule: rule.id.to_string(),
            label: format!("Rule {}, {}", index + 1, rule_words(&rule.fields)),
            help: format!("makes {}", rule.fields.docker_tag),
            chosen: index == 0,
            asks_ref: rule.fields.source.starts_with('/'),
        })
        .collect()
}

fn slots(namespace: &SlugName, waiting: &[Waiting], slots: i32) -> String {
    let running = waiting.iter().filter(|w| w.position.is_none()).count();
    format!("{namespace} uses {running} of {slots} slots; free slots are shared fairly between namespaces")
}

fn queue_rows(
    who: &SignedIn,
    granted: &Granted,
    waiting: &[Waiting],
    configured: Option<&Configured>,
    base: &str,
) -> Vec<QueueRow> {
    let pending = waiting.iter().filter(|w| w.position.is_some()).count();
    let row = |waiting_here: &Waiting| {
        let build = &waiting_here.build;
        let (ref_icon, ref_name) = ref_of(build);
        let href = format!("{base}/builds/{}", build.number);
        let number = words::number(build.number as u64);
        let before = builds_read::predecessor(waiting.iter().map(|w| &w.build), build);
        QueueRow {
            cancel: (granted.level >= Level::Write).then(|| {
                act(
                    who,
                    format!("{href}/cancel"),
                    ("sm quiet danger", "stop", "Cancel"),
                    &*number,
                )
            }),
            state: words::build_state(build.state),
            message: message(build),
            commit: commit(build, configured.map(|c| &c.source)),
            ref_icon,
            ref_name,
            tags: tags(build),
            position: waiting_here
                .position
                .map_or_else(|| "running".to_owned(), |n| format!("{n} of {pending}")),
            estimate: estimate(waiting_here),
            why: why(waiting_here, before),
            number,
            href,
        }
    };
    waiting
        .iter()
        .filter(|waiting| waiting.build.new.repository == granted.repository.id)
        .map(row)
        .collect()
}

/// When it ends or begins, as far as that is known.
pub(super) fn estimate(waiting: &Waiting) -> String {
    match (waiting.position, waiting.estimate) {
        (None, Some(left)) if left.is_zero() => "soon".to_owned(),
        (None, Some(left)) => format!("{} left", words::duration(left)),
        (Some(_), Some(left)) if left.is_zero() => "now".to_owned(),
        (Some(_), Some(left)) => format!("starts in {}", words::duration(left)),
        (_, None) => "unknown".to_owned(),
    }
}

/// Why a build waits, in a few words.
pub(super) fn why(waiting: &Waiting, behind: Option<i64>) -> String {
    if waiting.position.is_none() {
        return if waiting.build.cancel.is_some() {
            "is being canceled"
        } else {
            "runs"
        }
        .to_owned();
    }
    match (waiting.hold, behind) {
        (Some(Hold::Predecessor), Some(number)) => {
            format!("{} writes one of its tags first", words::number(number as u64))
        }
        (Some(Hold::Predecessor), None) => "another build writes one of its tags first".to_owned(),
        (Some(Hold::Concurrency), _) => "all slots of the namespace are taken".to_owned(),
        (Some(Hold::Cooling), _) => "its last run may still be ending".to_owned(),
        (Some(Hold::NoBuilder), _) => "no builder takes work".to_owned(),
        (Some(Hold::NoBuilderFits), _) => {
            "no builder that takes work has its labels and platforms, and is for this namespace".to_owned()
        }
        (None, _) => "waits for a free builder".to_owned(),
    }
}

fn history_row(build: &Build, configured: Option<&Configured>, base: &str, now: Timestamp) -> HistoryRow {
    let (ref_icon, ref_name) = ref_of(build);
    let ended = build.ended_at.unwrap_or(build.queued_at);
    HistoryRow {
        number: words::number(build.number as u64),
        href: format!("{base}/builds/{}", build.number),
        state: words::build_state(build.state),
        note: note(build),
        message: message(build),
        commit: commit(build, configured.map(|c| &c.source)),
        cause: words::cause(build.new.cause).to_owned(),
        ref_icon,
        ref_name,
        tags: tags(build),
        waited: words::duration(build.started_at.unwrap_or(ended).since(build.queued_at)),
        took: match build.started_at {
            Some(started) => words::duration(ended.since(started)),
            None => "not started".to_owned(),
        },
        ended: words::when(ended, now),
    }
}

fn note(build: &Build) -> String {
    if let Some(kind) = build.failure {
        return kind.to_string();
    }
    if build.superseded_by.is_some() {
        return "superseded".to_owned();
    }
    match build.new.purpose {
        Purpose::Test => "test only".to_owned(),
        Purpose::Push => String::new(),
    }
}

/// The first line of the commit's message; its number where it is not known.
pub(super) fn message(build: &Build) -> String {
    builds_read::message(build).map_or_else(|| "message not known".to_owned(), words::first_line)
}

/// The commit, with its page at the forge.
pub(super) fn commit(build: &Build, source: Option<&SourceRepository>) -> Commit {
    Commit {
        short: build.new.sha.short().to_owned(),
        href: source.and_then(|source| commit_page(source, build.new.sha.as_str())),
    }
}

/// A commit's page: GitHub says `commit`, Bitbucket `commits`.
pub(super) fn commit_page(source: &SourceRepository, sha: &str) -> Option<String> {
    let web = source.facts.web_url.trim_end_matches('/');
    if !web.starts_with("http") {
        return None;
    }
    let bitbucket = source.facts.provider_id.starts_with('{');
    let word = if bitbucket { "commits" } else { "commit" };
    Some(format!("{web}/{word}/{sha}"))
}

/// The icon and the name of what was built: a branch, a tag or a pull request.
pub(super) fn ref_of(build: &Build) -> (&'static str, String) {
    match (build.new.pull_request, build.new.git_ref.kind()) {
        (Some(number), _) => ("pull", format!("#{number}")),
        (None, RefKind::Branch) => ("branch", build.new.git_ref.name().to_owned()),
        (None, RefKind::Tag) => ("tag", build.new.git_ref.name().to_owned()),
    }
}

/// "push to main", for lists.
pub(super) fn cause_line(build: &Build) -> String {
    let (_, name) = ref_of(build);
    match build.new.cause {
        Cause::Push => format!("push to {name}"),
        Cause::PullRequest => format!("pull request {name}"),
        cause => format!("{} {name}", cause.as_str()),
    }
}

/// The tags that it makes.
pub(super) fn tags(build: &Build) -> Tags {
    let pushes = build.new.purpose == Purpose::Push;
    Tags {
        tags: if pushes {
            build.new.plan.tags.iter().map(ToString::to_string).collect()
        } else {
            Vec::new()
        },
        none: "test only",
    }
}
