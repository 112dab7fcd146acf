//! Lists of repositories, and single ones.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::response::{IntoResponse, Response};

use super::{
    Answer, Found, KIND, Known, Maybe, Params, RepoPath, find, is_listed, look, not_found, paged, permission,
    refuse, render,
};
use crate::api::Caller;
use crate::forge::Shared;
use crate::people::Permission;
use crate::policies::gate;
use crate::state::{Repo, Side};

/// `GET /user/repos` with `affiliation`, `visibility`, `sort` and `direction`.
pub(super) async fn mine(
    State(forge): State<Shared>,
    Known(caller): Known,
    uri: OriginalUri,
    Query(params): Params,
) -> Response {
    let given = params
        .get("affiliation")
        .map_or("owner,collaborator,organization_member", String::as_str);
    let affiliations: Vec<&str> = given.split(',').map(str::trim).collect();
    let wanted = |side: &Side, repo: &Repo| {
        affiliation(side, repo, caller.user)
            .iter()
            .any(|known| affiliations.contains(known))
    };
    listed(&forge, &uri, &params, Some(&caller), wanted)
}

fn affiliation(side: &Side, repo: &Repo, user: u64) -> Vec<&'static str> {
    let mut all = Vec::new();
    if repo.owner == user {
        all.push("owner");
    } else if side
        .account(repo.owner)
        .is_some_and(|owner| owner.role_of(user).is_some())
    {
        all.push("organization_member");
    }
    if repo.collaborators.iter().any(|(id, _)| *id == user) {
        all.push("collaborator");
    }
    all
}

/// `GET /orgs/{org}/repos`.
pub(super) async fn of_organization(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path(org): Path<String>,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let id = {
        let world = forge.world();
        let side = world.side(KIND);
        let Some(id) = side.organization(&org).map(|account| account.id) else {
            return refuse(not_found());
        };
        if let Some(refusal) = gate(&forge, side, caller.as_ref(), id).refusal() {
            return Err(refusal);
        }
        id
    };
    Ok(listed(&forge, &uri, &params, caller.as_ref(), |_, repo| {
        repo.owner == id
    }))
}

fn listed(
    forge: &Shared,
    uri: &OriginalUri,
    params: &HashMap<String, String>,
    caller: Option<&Caller>,
    wanted: impl Fn(&Side, &Repo) -> bool,
) -> Response {
    let mut all: Vec<(Repo, Permission)> = {
        let world = forge.world();
        let side = world.side(KIND);
        let seen = side.repositories.iter().filter(|repo| wanted(side, repo));
        let seen = seen.filter(|repo| is_listed(forge, side, caller, repo));
        seen.filter_map(|repo| Some((repo.clone(), permission(side, caller, repo)?)))
            .collect()
    };
    match params.get("visibility").map(String::as_str) {
        Some("public") => all.retain(|(repo, _)| !repo.private),
        Some("private") => all.retain(|(repo, _)| repo.private),
        _ => {}
    }
    let sort = params.get("sort").map_or("full_name", String::as_str);
    let newest_first = params
        .get("direction")
        .map_or(sort != "full_name", |direction| direction == "desc");
    match sort {
        "pushed" | "updated" => all.sort_by_key(|(repo, _)| repo.pushed_at),
        "created" => all.sort_by_key(|(repo, _)| repo.created_at),
        _ => all.sort_by_cached_key(|(repo, _)| forge.world().side(KIND).full_name(repo)),
    }
    if newest_first {
        all.reverse();
    }
    let world = forge.world();
    let side = world.side(KIND);
    paged(forge, uri, params, all, |(repo, may)| {
        render::repository(&forge.addresses, side, &repo, may)
    })
}

fn show(forge: &Shared, found: &Found) -> Response {
    let world = forge.world();
    let shown = render::full_repository(&forge.addresses, world.side(KIND), &found.repo, found.may);
    Json(shown).into_response()
}

/// `GET /repos/{owner}/{repo}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name)): RepoPath,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    Ok(show(&forge, &found))
}

/// `GET /repositories/{repository_id}`: not in the reference, but where GitHub's own redirects of
/// renamed repositories lead.
pub(super) async fn by_id(State(forge): State<Shared>, Maybe(caller): Maybe, Path(id): Path<u64>) -> Answer {
    let found = {
        let world = forge.world();
        let side = world.side(KIND);
        look(&forge, side, caller.as_ref(), side.repo(id))?
    };
    Ok(show(&forge, &found))
}
