//! Pull requests, read-only.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, RawQuery, State};
use axum::response::IntoResponse;

use super::{Answer, KIND, Maybe, Params, RepoPath, find, missing_scope, not_found, paged, refuse, render};
use crate::api::Caller;
use crate::forge::Shared;
use crate::state::{Pull, PullState};

const SCOPES: &[&str] = &["pullrequest", "pullrequest:write"];

fn check(caller: Option<&Caller>) -> Result<(), super::Refusal> {
    match caller {
        Some(caller) if !caller.has(SCOPES) => refuse(missing_scope("pullrequest", caller)),
        _ => Ok(()),
    }
}

/// `GET …/pullrequests`: `state` may be repeated; open ones when it is not given.
pub(super) async fn list(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug)): RepoPath,
    uri: OriginalUri,
    RawQuery(query): RawQuery,
    Query(params): Params,
) -> Answer {
    check(caller.as_ref())?;
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let query = query.unwrap_or_default();
    let mut states: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "state")
        .map(|(_, state)| state.into_owned())
        .collect();
    if states.is_empty() {
        states.push("OPEN".to_owned());
    }
    let shown_state = |pull: &Pull| match pull.state {
        PullState::Open => "OPEN",
        PullState::Closed => "DECLINED",
        PullState::Merged => "MERGED",
    };
    let mut all: Vec<Pull> = found
        .repo
        .pulls
        .iter()
        .filter(|pull| states.iter().any(|state| state == shown_state(pull)))
        .cloned()
        .collect();
    all.reverse();
    let world = forge.world();
    let side = world.side(KIND);
    Ok(paged(&forge, &uri, &params, all, |pull| {
        render::pull_request(&forge.addresses, side, &found.repo, &pull)
    }))
}

/// `GET …/pullrequests/{pull_request_id}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, number)): Path<(String, String, u64)>,
) -> Answer {
    check(caller.as_ref())?;
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let Some(pull) = found.repo.pulls.iter().find(|pull| pull.number == number) else {
        return refuse(not_found("Pull request"));
    };
    let world = forge.world();
    let shown = render::pull_request(&forge.addresses, world.side(KIND), &found.repo, pull);
    Ok(Json(shown).into_response())
}
