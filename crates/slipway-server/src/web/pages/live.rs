//! Streams that say "something changed": the page then looks again.
//!
//! What is compared is what the database says, every second and whenever a bell rings; so a page also follows what
//! another server did.

use std::{hash::Hash as _, time::Duration};

use axum::{
    extract::{Path, Query, State},
    response::{Response, sse::Event},
};
use futures::stream;
use serde::Deserialize;
use slipway_types::{LinkId, NamespaceId, SlugName, rights::Level};

use super::log::sse;
use crate::{app::App, failure::Failure, web::session::SignedIn};

/// How often a stream looks by itself.
const LOOK: Duration = Duration::from_secs(1);

/// `GET /events`: something of one's namespaces changed.
///
/// # Errors
/// What the store says.
pub async fn hub(State(app): State<App>, who: SignedIn) -> Result<Response, Failure> {
    let namespaces = app.organizations.namespaces(&who.caller).await?;
    let ids = namespaces
        .into_iter()
        .map(|(namespace, _)| namespace.id)
        .collect();
    Ok(follow(app, ids))
}

/// `GET /{namespace}/{repository}/events`: something of a repository's namespace changed.
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn repository(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
) -> Result<Response, Failure> {
    let granted = app
        .access
        .repository(&who.caller, &namespace, &name, Level::Read)
        .await?;
    Ok(follow(app, vec![granted.namespace.id]))
}

fn follow(app: App, namespaces: Vec<NamespaceId>) -> Response {
    let bell = app.bells.queue.listen();
    let events = stream::unfold(
        (app, namespaces, bell, None),
        |(app, namespaces, mut bell, mut seen)| async move {
            loop {
                let now = mark(&app, &namespaces).await.ok()?;
                let changed = seen.is_some_and(|seen| seen != now);
                seen = Some(now);
                if changed {
                    return Some((
                        Ok(Event::default().event("changed").data("")),
                        (app, namespaces, bell, seen),
                    ));
                }
                let _ = tokio::time::timeout(LOOK, bell.rung()).await;
            }
        },
    );
    sse(events)
}

/// A number that changes with what runs and waits.
async fn mark(app: &App, namespaces: &[NamespaceId]) -> Result<u64, Failure> {
    let mut all = std::hash::DefaultHasher::new();
    for namespace in namespaces {
        for waiting in app.queue.waiting(*namespace).await? {
            (
                waiting.build.id,
                waiting.build.state,
                waiting.build.ready,
                waiting.position,
            )
                .hash(&mut all);
            (waiting.build.runs, waiting.build.cancel.is_some()).hash(&mut all);
        }
    }
    Ok(std::hash::Hasher::finish(&all))
}

/// Whose ledger, and of which link; without it, of the one that was taken apart last.
#[derive(Debug, Deserialize)]
pub struct Of {
    namespace: SlugName,
    #[serde(default)]
    link: Option<LinkId>,
}

/// `GET /settings/linked-accounts/{forge}/ledger/events`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn ledger(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Query(of): Query<Of>,
) -> Result<Response, Failure> {
    let found = app
        .unlinking
        .ledger(&who.caller, &of.namespace, &forge, of.link)
        .await?;
    let place = (forge, of.namespace, found.link.id);
    let start = (app, who, place, None::<Vec<_>>, false);
    let events = stream::unfold(start, |(app, who, place, mut seen, over)| async move {
        if over {
            return None;
        }
        loop {
            let ledger = app
                .unlinking
                .ledger(&who.caller, &place.1, &place.0, Some(place.2))
                .await
                .ok()?;
            let now: Vec<_> = ledger
                .steps
                .iter()
                .map(|step| (step.state, step.attempts))
                .collect();
            if ledger.is_finished() {
                let event = Event::default().event("over").data("");
                return Some((Ok(event), (app, who, place, seen, true)));
            }
            if seen.as_ref().is_some_and(|seen| *seen != now) {
                let event = Event::default().event("changed").data("");
                return Some((Ok(event), (app, who, place, Some(now), false)));
            }
            seen = Some(now);
            tokio::time::sleep(LOOK).await;
        }
    });
    Ok(sse(events))
}
