//! Pull requests, read-only: people open them, not the product.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::response::IntoResponse;
use serde_json::Value;

use super::{Answer, Found, KIND, Maybe, Params, RepoPath, find, not_found, paged, refuse, render};
use crate::forge::Shared;
use crate::people::Permission;
use crate::state::{Pull, PullState, Side};

fn shown<'a>(forge: &'a Shared, side: &'a Side, found: &'a Found, pull: &'a Pull) -> render::PullShown<'a> {
    let urls = &forge.addresses;
    let head = side.repo(pull.head_repo);
    render::PullShown {
        urls,
        side,
        repo: &found.repo,
        pull,
        base_repo: render::repository(urls, side, &found.repo, found.may),
        head_repo: head.map_or(Value::Null, |head| {
            render::repository(urls, side, head, Permission::Read)
        }),
    }
}

/// `GET …/pulls` with `state`, `head` (`owner:branch`) and `base`.
pub(super) async fn list(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let world = forge.world();
    let side = world.side(KIND);
    let state = params.get("state").map_or("open", String::as_str);
    let wanted = |pull: &&Pull| {
        let open = pull.state == PullState::Open;
        let head_owner = side
            .repo(pull.head_repo)
            .and_then(|repo| side.account(repo.owner));
        let label = format!(
            "{}:{}",
            head_owner.map_or("ghost", |owner| owner.login.as_str()),
            pull.head_branch
        );
        (state == "all" || (state == "open") == open)
            && params.get("base").is_none_or(|base| *base == pull.base_branch)
            && params.get("head").is_none_or(|head| *head == label)
    };
    let mut all: Vec<Pull> = found.repo.pulls.iter().filter(wanted).cloned().collect();
    all.reverse();
    Ok(paged(&forge, &uri, &params, all, |pull| {
        shown(&forge, side, &found, &pull).simple()
    }))
}

/// `GET …/pulls/{pull_number}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name, number)): Path<(String, String, u64)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let Some(pull) = found.repo.pulls.iter().find(|pull| pull.number == number) else {
        return refuse(not_found());
    };
    let world = forge.world();
    Ok(Json(shown(&forge, world.side(KIND), &found, pull).full()).into_response())
}
