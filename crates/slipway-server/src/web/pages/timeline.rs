//! The timeline: what happened to the source, and what every rule said to it.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_store::{Admission, Build, RuleVerdict, SourceRepository, Subject};
use slipway_types::{
    CommitSha, ConfigurationId, DeliveryId, Seq, SlugName, Timestamp,
    build::Cause,
    decision::{ChangeResult, DeliveryOutcome, Verdict},
    rights::Level,
};

use super::{
    Done, Page, act,
    builds::commit_page,
    frame,
    repositories::{crumbs, tabs},
    to,
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        builds_read::Configured,
        timeline::{ChangeEntry, DeliveryChangeEntry, DeliveryEntry},
    },
    web::{
        session::SignedIn,
        view::{
            Alert, Commit, Pager, Pill, Place, Tags,
            timeline::{ChangeView, Day, Event, TimelinePage, VerdictRow},
        },
        words,
    },
};

/// How many things a page shows.
const PAGE: usize = 50;

/// Where the page begins: after this delivery, and before this change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct From {
    delivery: Option<DeliveryId>,
    change: Option<i64>,
}

/// One thing that happened.
enum Happening {
    /// A provider told something.
    Delivery(Box<DeliveryEntry>),
    /// A head was found changed, or a person wished for a build.
    Change(Box<ChangeEntry>),
}

impl Happening {
    fn at(&self) -> Timestamp {
        match self {
            Self::Delivery(entry) => entry.delivery.received_at,
            Self::Change(entry) => entry.change.created_at,
        }
    }
}

/// Deliveries, and changes that none told of, by time; and where the next page begins.
async fn happenings(
    app: &App,
    configured: &Configured,
    from: From,
) -> Result<(Vec<Happening>, Option<From>), Failure> {
    let source = configured.source.id;
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX) + 1;
    let deliveries = app.timeline.deliveries(source, from.delivery, limit).await?;
    let changes = app.timeline.changes(source, from.change.map(Seq), limit).await?;
    let own = changes
        .into_iter()
        .filter(|entry| entry.change.delivery.is_none());
    let mut all: Vec<_> = deliveries
        .into_iter()
        .map(|entry| Happening::Delivery(Box::new(entry)))
        .chain(own.map(|entry| Happening::Change(Box::new(entry))))
        .collect();
    all.sort_by_key(|happening| std::cmp::Reverse(happening.at()));
    let more = all.len() > PAGE;
    all.truncate(PAGE);
    let next = all.iter().fold(from, |place, happening| match happening {
        Happening::Delivery(entry) => From {
            delivery: Some(entry.delivery.id),
            ..place
        },
        Happening::Change(entry) => From {
            change: Some(entry.change.seq.0),
            ..place
        },
    });
    Ok((all, more.then_some(next)))
}

/// `GET /{namespace}/{repository}/timeline`
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Query(from): Query<From>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let granted = app
        .access
        .repository(&who.caller, &namespace, &name, Level::Read)
        .await?;
    let base = format!("/{namespace}/{name}");
    let configured = app
        .builds
        .configuration(&who.caller, granted.repository.id)
        .await?;
    let (found, next) = match &configured {
        Some(configured) => happenings(&app, configured, from).await?,
        None => (Vec::new(), None),
    };
    let scene = Scene {
        who: &who,
        base: &base,
        source: configured.as_ref().map(|configured| &configured.source),
        configuration: configured.as_ref().map(|configured| configured.configuration.id),
        may_replay: granted.level >= Level::Write,
        now: Timestamp::now(),
    };
    let mut frame = frame(
        &app,
        &who,
        format!("Timeline of {namespace}/{name}"),
        Place::Hub,
        &done,
    );
    frame.live = format!("{base}/events");
    let page = TimelinePage {
        frame,
        crumbs: crumbs(&namespace, name.as_str()),
        tabs: tabs(&namespace, &name, "timeline"),
        alert: configured.is_none().then(|| {
            Alert::warn("No automated build is set up here.")
                .fix("Configure automated builds", format!("{base}/builds/configure"))
        }),
        days: days(
            found
                .iter()
                .map(|happening| (happening.at(), scene.event(happening))),
        ),
        pager: Pager {
            shown: words::count(found.len(), "thing", "things"),
            newest: (from != From::default()).then(|| format!("{base}/timeline")),
            older: next.map(|next| older(&base, next)),
        },
    };
    Ok(Page(page).into_response())
}

fn older(base: &str, next: From) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(delivery) = next.delivery {
        query.append_pair("delivery", &delivery.to_string());
    }
    if let Some(change) = next.change {
        query.append_pair("change", &change.to_string());
    }
    format!("{base}/timeline?{}", query.finish())
}

fn days(events: impl Iterator<Item = (Timestamp, Event)>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for (at, event) in events {
        let id = format!("d-{}", at.to_string().get(..10).unwrap_or_default());
        match days.last_mut() {
            Some(day) if day.id == id => day.events.push(event),
            _ => days.push(Day {
                title: words::day(at),
                id,
                events: vec![event],
            }),
        }
    }
    days
}

/// What every event is drawn with.
struct Scene<'a> {
    who: &'a SignedIn,
    base: &'a str,
    source: Option<&'a SourceRepository>,
    /// Other repositories may build from the same source: only this one's rules are shown.
    configuration: Option<ConfigurationId>,
    may_replay: bool,
    now: Timestamp,
}

impl Scene<'_> {
    fn event(&self, happening: &Happening) -> Event {
        match happening {
            Happening::Delivery(entry) => self.delivery(entry),
            Happening::Change(entry) => self.change(entry),
        }
    }

    fn delivery(&self, entry: &DeliveryEntry) -> Event {
        let DeliveryEntry { delivery, changes } = entry;
        let short = delivery
            .remote_id
            .get(..8)
            .unwrap_or(&delivery.remote_id)
            .to_owned();
        let built: usize = changes
            .iter()
            .filter_map(|one| one.change.as_ref())
            .map(|entry| self.built(entry))
            .sum();
        let names: Vec<_> = changes.iter().map(|one| subject(&one.said.subject)).collect();
        let what = match (delivery.outcome, names.as_slice()) {
            (DeliveryOutcome::Received, _) => format!("{}: being looked at", delivery.event),
            (DeliveryOutcome::Ping, _) => "The provider tried the webhook".to_owned(),
            (DeliveryOutcome::Observed, []) => format!(
                "{}: nothing in it concerns a branch, tag or pull request",
                delivery.event
            ),
            (DeliveryOutcome::Observed, names) => format!(
                "{} of {}: {}",
                delivery.event,
                names.join(", "),
                match built {
                    0 => "no build".to_owned(),
                    n => words::count(n, "build", "builds"),
                }
            ),
            (outcome, _) => format!("{}: {}", delivery.event, outcome_words(outcome)),
        };
        let commit = changes
            .iter()
            .find_map(|one| one.said.after.as_ref())
            .map(|sha| self.commit(sha));
        let replayed = delivery.replay_of.map(|_| "a replay, ").unwrap_or_default();
        Event {
            id: delivery.id.to_string(),
            tone: match (delivery.outcome, built) {
                (DeliveryOutcome::Malformed, _) => "bad",
                (_, 0) => "",
                _ => "run",
            },
            icon: "delivery",
            title: what,
            when: words::when(delivery.received_at, self.now),
            commit,
            text: delivery.detail.clone().unwrap_or_default(),
            summary: format!(
                "Delivery {short}, {replayed}signature valid, outcome {}",
                delivery.outcome
            ),
            changes: changes.iter().map(|one| self.told(one)).collect(),
            replay: (self.may_replay && delivery.outcome != DeliveryOutcome::Received).then(|| {
                let action = format!("{}/timeline/{}/replay", self.base, delivery.id);
                act(
                    self.who,
                    action,
                    ("sm", "replay", "Replay"),
                    format!("delivery {short}"),
                )
            }),
        }
    }

    fn told(&self, one: &DeliveryChangeEntry) -> ChangeView {
        let (result, meaning) = match one.said.result {
            ChangeResult::HeadUnchanged => (
                "head_unchanged",
                "it was known to be there already, so nothing happens",
            ),
            ChangeResult::Accepted => ("accepted", "it is the new head"),
            ChangeResult::AskingForge => (
                "asking_forge",
                "it does not follow from what was known, so the provider is asked",
            ),
        };
        ChangeView {
            name: subject(&one.said.subject),
            result: result.to_owned(),
            meaning: meaning.to_owned(),
            verdicts: one
                .change
                .as_ref()
                .map(|entry| self.verdicts(entry))
                .unwrap_or_default(),
        }
    }

    fn change(&self, entry: &ChangeEntry) -> Event {
        let change = &entry.change;
        let name = subject(&change.subject);
        let how = match change.cause {
            Cause::Triggered => format!("Triggered: {name}"),
            Cause::Reconciled => {
                format!("{name} was found changed by comparing all heads: its webhook was lost")
            }
            Cause::Polled => format!("{name} was found changed by polling"),
            Cause::Replayed => format!("Replayed: {name}"),
            cause => format!("{}: {name}", words::cause(cause)),
        };
        let verdicts = self.verdicts(entry);
        Event {
            id: change.id.to_string(),
            tone: if self.built(entry) > 0 { "run" } else { "" },
            icon: match change.cause {
                Cause::Triggered => "play",
                Cause::Replayed => "replay",
                _ => "refresh",
            },
            title: how,
            when: words::when(change.created_at, self.now),
            commit: change.new.as_ref().map(|sha| self.commit(sha)),
            text: change
                .enrichment
                .message
                .as_deref()
                .map(words::first_line)
                .unwrap_or_default(),
            summary: match change.decided_at {
                Some(_) => format!("Verdicts of {}", words::count(verdicts.len(), "rule", "rules")),
                None => "Not decided yet".to_owned(),
            },
            changes: vec![ChangeView {
                name,
                result: "accepted".to_owned(),
                meaning: String::new(),
                verdicts,
            }],
            replay: None,
        }
    }

    fn own<'e>(&self, entry: &'e ChangeEntry) -> impl Iterator<Item = &'e RuleVerdict> {
        let configuration = self.configuration;
        entry
            .verdicts
            .iter()
            .filter(move |verdict| Some(verdict.configuration) == configuration)
    }

    fn built(&self, entry: &ChangeEntry) -> usize {
        self.own(entry).filter(|verdict| verdict.build.is_some()).count()
    }

    fn verdicts(&self, entry: &ChangeEntry) -> Vec<VerdictRow> {
        self.own(entry)
            .map(|verdict| {
                let build = entry.builds.iter().find(|build| Some(build.id) == verdict.build);
                self.verdict(verdict, build)
            })
            .collect()
    }

    fn verdict(&self, said: &RuleVerdict, build: Option<&Build>) -> VerdictRow {
        let rule = format!("{}, {}", said.position + 1, said.rule_text);
        let build = build.map(|build| {
            let number = build.number.unsigned_abs();
            (words::number(number), format!("{}/builds/{number}", self.base))
        });
        match (&said.verdict, said.admission) {
            (Verdict::No { because }, _) => VerdictRow {
                rule,
                state: Pill::new("", "x", "No build"),
                reason: because.to_string(),
                meaning: words::no_build(*because).to_owned(),
                build,
                tags: Tags::default(),
            },
            (Verdict::Build { unknown, .. }, Some(Admission::Not(why))) => VerdictRow {
                rule,
                state: Pill::new("warn", "alert", "Matched, not queued"),
                reason: why.to_string(),
                meaning: with_unknown(words::not_admitted(why), unknown),
                build,
                tags: Tags::default(),
            },
            (Verdict::Build { tags, push, unknown }, admission) => VerdictRow {
                rule,
                state: match admission {
                    Some(_) => Pill::new("ok", "check", "Matched"),
                    None => Pill::new("run", "running", "Matched, being queued"),
                },
                reason: String::new(),
                meaning: with_unknown("", unknown),
                build,
                tags: Tags {
                    tags: if *push {
                        tags.iter().map(ToString::to_string).collect()
                    } else {
                        Vec::new()
                    },
                    none: "a test only",
                },
            },
        }
    }

    fn commit(&self, sha: &CommitSha) -> Commit {
        Commit {
            short: sha.short().to_owned(),
            href: self.source.and_then(|source| commit_page(source, sha.as_str())),
        }
    }
}

fn with_unknown(meaning: &str, unknown: &[String]) -> String {
    match (meaning.is_empty(), unknown.is_empty()) {
        (_, true) => meaning.to_owned(),
        (true, false) => unknown.join("; "),
        (false, false) => format!("{meaning}; {}", unknown.join("; ")),
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Ref(name) => name.name().to_owned(),
        Subject::PullRequest(number) => format!("#{number}"),
    }
}

const fn outcome_words(outcome: DeliveryOutcome) -> &'static str {
    match outcome {
        DeliveryOutcome::Received => "being looked at",
        DeliveryOutcome::Ping => "the provider tried the webhook",
        DeliveryOutcome::EventIgnored => "an event that starts no builds",
        DeliveryOutcome::NoConfiguration => "no automated build uses this source",
        DeliveryOutcome::Malformed => "not of a shape that the provider documents",
        DeliveryOutcome::Observed => "looked at",
    }
}

/// `POST /{namespace}/{repository}/timeline/{delivery}/replay`
///
/// # Errors
/// Forbidden, for those without write on it.
pub async fn replay(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, delivery)): Path<(SlugName, SlugName, DeliveryId)>,
) -> Result<Response, Failure> {
    let granted = app
        .access
        .repository(&who.caller, &namespace, &name, Level::Write)
        .await?;
    // Only a delivery of this repository's own source.
    let configured = app
        .builds
        .configuration(&who.caller, granted.repository.id)
        .await?;
    let entry = app.timeline.delivery(delivery).await?;
    let of_source = entry
        .zip(configured)
        .is_some_and(|(e, c)| e.delivery.source == c.source.id);
    if !of_source {
        return Err(Failure::not_found());
    }
    app.deliveries.replay(delivery, Some(who.caller.user)).await?;
    Ok(to(&format!("/{namespace}/{name}/timeline?done=replayed")))
}
