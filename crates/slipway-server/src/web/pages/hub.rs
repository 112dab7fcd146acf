//! My Hub: what runs, what needs attention, all repositories.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_store::Builder;
use slipway_types::{RepositoryId, SlugName, Timestamp};

use super::{
    Done, Page,
    builds::{cause_line, commit, estimate, tags, why},
    frame,
    linked_accounts::address,
    repositories::no_tags,
    setup::checks,
    to,
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        builds_read::{self, Filter},
        queue::Waiting,
        repositories::Named,
    },
    web::{
        session::SignedIn,
        view::{
            Check, Pager, Pill, Place,
            hub::{Attention, MyHubPage, NowRow, RepositoryRow},
        },
        words,
    },
};

/// How many repositories a page shows.
const REPOSITORIES: usize = 50;

/// What is wanted.
#[derive(Debug, Default, Deserialize)]
pub struct HubQuery {
    #[serde(default)]
    q: String,
    namespace: Option<SlugName>,
    after: Option<RepositoryId>,
}

/// `GET /`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    who: Option<SignedIn>,
    Query(query): Query<HubQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let Some(who) = who else {
        let first = app.accounts.is_empty().await?;
        return Ok(to(if first { "/setup" } else { "/sign-in" }));
    };
    let now = Timestamp::now();
    let namespaces = app.organizations.namespaces(&who.caller).await?;
    let (visible, next) = app
        .repositories
        .visible(&who.caller, query.q.trim(), query.after, REPOSITORIES)
        .await?;
    let nothing_yet = visible.is_empty() && query.q.trim().is_empty() && query.after.is_none();
    let shown: Vec<_> = visible
        .into_iter()
        .filter(|named| {
            query
                .namespace
                .as_ref()
                .is_none_or(|wanted| named.namespace == *wanted)
        })
        .collect();
    let mut rows = Vec::with_capacity(shown.len());
    for named in &shown {
        rows.push(repository_row(&app, &who, named, now).await?);
    }
    let mut now_rows = Vec::new();
    let (mut running, mut waiting) = (0, 0);
    for (namespace, _) in &namespaces {
        let all = app.queue.waiting(namespace.id).await?;
        running += all.iter().filter(|one| one.position.is_none()).count();
        waiting += all.iter().filter(|one| one.position.is_some()).count();
        now_rows.extend(now_of(&all, &shown, now));
    }
    let steps = checks(&app, &who).await?;
    let page = MyHubPage {
        frame: {
            let mut frame = frame(&app, &who, "My Hub", Place::Hub, &done);
            "/events".clone_into(&mut frame.live);
            frame
        },
        lead: format!(
            "{} in {}. {running} running, {waiting} waiting.",
            words::count(rows.len(), "repository", "repositories"),
            words::count(namespaces.len(), "namespace", "namespaces"),
        ),
        attention: attention(&app, &who).await?,
        now: now_rows,
        namespaces: std::iter::once(("All".to_owned(), "/".to_owned(), query.namespace.is_none()))
            .chain(namespaces.iter().map(|(namespace, _)| {
                let name = namespace.name.to_string();
                let here = query.namespace.as_ref() == Some(&namespace.name);
                (name.clone(), format!("/?namespace={name}"), here)
            }))
            .collect(),
        pager: Pager {
            shown: words::count(rows.len(), "repository", "repositories"),
            newest: query.after.map(|_| "/".to_owned()),
            older: next.map(|next| format!("/?after={next}")),
        },
        query: query.q,
        repositories: rows,
        nothing_yet,
        setup: if who.caller.is_admin {
            steps.iter().filter(|check| check.tone != "ok").cloned().collect()
        } else {
            Vec::new()
        },
        first_steps: first_steps(&who, &steps),
        builders: app
            .status
            .builders()
            .await?
            .iter()
            .map(|builder| builder_check(builder, now))
            .collect(),
    };
    Ok(Page(page).into_response())
}

fn first_steps(who: &SignedIn, steps: &[Check]) -> Vec<Check> {
    let linked = steps
        .iter()
        .any(|step| step.title == "Link an account" && step.tone == "ok");
    let link = if linked {
        Check::done("Link GitHub or Bitbucket", "Linked.")
    } else {
        Check::next(
            "Link GitHub or Bitbucket",
            "You choose which repositories Slipway may see.",
            "/settings/linked-accounts",
        )
    };
    vec![
        Check::done("Sign in", format!("You are {}.", who.name())),
        link,
        Check::to_do(
            "Create a repository and pick its source",
            "The first rule is there already: the default branch becomes latest.",
            linked.then(|| "/repositories/new".to_owned()),
        ),
        Check::to_do("Push", "Or press Save and build, and watch the log.", None),
    ]
}

async fn attention(app: &App, who: &SignedIn) -> Result<Vec<Attention>, Failure> {
    let links = app.links.needing_attention(&who.caller).await?;
    Ok(links
        .into_iter()
        .map(|(namespace, forge, link)| Attention {
            text: format!(
                "{namespace} at {}: {}",
                forge.fields.display_name,
                link.health_detail
                    .clone()
                    .unwrap_or_else(|| link.health.to_string())
            ),
            reason: link
                .health_reason
                .map(|reason| reason.to_string())
                .unwrap_or_default(),
            href: address(&namespace),
            label: "See the link",
        })
        .collect())
}

fn now_of(all: &[Waiting], shown: &[Named], now: Timestamp) -> Vec<NowRow> {
    all.iter()
        .filter_map(|waiting| {
            let build = &waiting.build;
            let named = shown
                .iter()
                .find(|named| named.repository.id == build.new.repository)?;
            let name = format!("{}/{}", named.namespace, named.repository.name);
            let behind = builds_read::predecessor(all.iter().map(|w| &w.build), build);
            Some(NowRow {
                href: format!("/{name}/builds/{}", build.number),
                repository: name,
                number: words::number(build.number.unsigned_abs()),
                state: words::build_state(build.state),
                cause: cause_line(build),
                tags: tags(build),
                time: match build.started_at {
                    Some(started) => {
                        format!("{}, {}", words::duration(now.since(started)), estimate(waiting))
                    }
                    None => why(waiting, behind),
                },
            })
        })
        .collect()
}

async fn repository_row(
    app: &App,
    who: &SignedIn,
    named: &Named,
    now: Timestamp,
) -> Result<RepositoryRow, Failure> {
    let name = format!("{}/{}", named.namespace, named.repository.name);
    let configured = app.builds.configuration(&who.caller, named.repository.id).await?;
    let (last, _) = app
        .builds
        .list(&who.caller, named.repository.id, &Filter::default(), None, 1)
        .await?;
    let last = last.first();
    let source = configured.as_ref().map(|configured| &configured.source);
    Ok(RepositoryRow {
        href: format!("/{name}/builds"),
        name,
        source: match &configured {
            Some(configured) => format!("{} at {}", configured.source.full_name(), configured.forge),
            None => "no automated build yet".to_owned(),
        },
        state: last.map(|build| words::build_state(build.state)),
        commit: last.map(|build| commit(build, source)),
        tags: last.map_or_else(|| no_tags(""), tags),
        when: last.map(|build| words::when(build.ended_at.unwrap_or(build.queued_at), now)),
    })
}

fn builder_check(builder: &Builder, now: Timestamp) -> Check {
    let facts = &builder.facts;
    let about = format!(
        "{}, {}, {}",
        facts.driver,
        facts.platforms.join(", "),
        words::count(facts.slots.unsigned_abs() as usize, "slot", "slots"),
    );
    let Pill { tone, icon, word, .. } = super::builders::state(builder, now);
    Check::at(tone, icon, &*builder.name, about, word)
}
