//! Branches and tags, with the commits they show.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Answer, Found, KIND, Maybe, Params, Refusal, RepoPath, error, find, paged, refuse, render};
use crate::forge::Shared;
use crate::git::inspect::{self, RefTarget};

async fn refs_below(found: &Found, prefix: &str) -> Result<Vec<(String, RefTarget)>, Refusal> {
    let refs = inspect::refs(&found.repo.dir).await.map_err(|failure| {
        tracing::warn!(error = %failure, "git failed");
        Refusal::from(error(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"))
    })?;
    Ok(refs
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .collect())
}

async fn show(forge: &Shared, found: &Found, name: &str, at: &RefTarget) -> Value {
    let Some(commit) = inspect::commit(&found.repo.dir, &at.commit).await else {
        return Value::Null;
    };
    let tag = match (at.is_annotated(), name.strip_prefix("refs/tags/")) {
        (true, Some(tag)) => inspect::tag_details(&found.repo.dir, tag).await,
        _ => None,
    };
    let world = forge.world();
    let side = world.side(KIND);
    let mut target = render::commit(&forge.addresses, side, &found.repo, &commit);
    target["repository"] = render::short_repository(&forge.addresses, side, &found.repo);
    render::reference(&forge.addresses, side, &found.repo, name, &target, tag.as_ref())
}

async fn listed(
    forge: &Shared,
    found: &Found,
    uri: &OriginalUri,
    params: &HashMap<String, String>,
    prefix: &str,
) -> Answer {
    let mut shown = Vec::new();
    for (name, at) in refs_below(found, prefix).await? {
        shown.push(show(forge, found, &name, &at).await);
    }
    Ok(paged(forge, uri, params, shown, |value| value))
}

async fn single(forge: &Shared, found: &Found, full: &str) -> Answer {
    let refs = refs_below(found, full).await?;
    match refs.iter().find(|(name, _)| name == full) {
        Some((name, at)) => Ok(Json(show(forge, found, name, at).await).into_response()),
        None => refuse(missing(full)),
    }
}

fn missing(full: &str) -> Response {
    let short = full.splitn(3, '/').nth(2).unwrap_or(full);
    let what = if full.starts_with("refs/tags/") {
        "tag"
    } else {
        "branch"
    };
    error(StatusCode::NOT_FOUND, &format!("No {what} with name: {short}"))
}

/// `GET …/refs`.
pub(super) async fn all(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    listed(&forge, &found, &uri, &params, "refs/").await
}

/// `GET …/refs/branches`.
pub(super) async fn branches(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    listed(&forge, &found, &uri, &params, "refs/heads/").await
}

/// `GET …/refs/tags`.
pub(super) async fn tags(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    listed(&forge, &found, &uri, &params, "refs/tags/").await
}

/// `GET …/refs/branches/{name}`.
pub(super) async fn branch(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, name)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    single(&forge, &found, &format!("refs/heads/{name}")).await
}

/// `GET …/refs/tags/{name}`.
pub(super) async fn tag(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, name)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    single(&forge, &found, &format!("refs/tags/{name}")).await
}
