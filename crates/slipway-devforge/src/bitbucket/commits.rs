//! Commits, what they changed, and their build statuses (one per commit and key, replaced in place).

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Found, KIND, Known, Maybe, Params, Refusal, error, find, missing_scope, not_found, paged, refuse,
    render,
};
use crate::api::Caller;
use crate::forge::Shared;
use crate::git::inspect::{self, Commit, FileChange};
use crate::github::render::encode_path;
use crate::people::Permission;
use crate::state::{Side, Status};

async fn commit_of(found: &Found, sha: &str) -> Result<Commit, Refusal> {
    let commit = inspect::commit(&found.repo.dir, sha).await;
    commit.ok_or_else(|| Refusal::from(error(StatusCode::NOT_FOUND, &format!("Commit not found: {sha}"))))
}

/// `GET …/commit/{commit}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, sha)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let commit = commit_of(&found, &sha).await?;
    let world = forge.world();
    let side = world.side(KIND);
    let mut shown = render::commit(&forge.addresses, side, &found.repo, &commit);
    shown["repository"] = render::short_repository(&forge.addresses, side, &found.repo);
    shown["participants"] = json!([]);
    Ok(Json(shown).into_response())
}

/// `GET …/diffstat/{spec}`: one commit, or `new..old` in Bitbucket's order: the first is what the
/// changes lead to.
pub(super) async fn diffstat(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, spec)): Path<(String, String, String)>,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let dir = &found.repo.dir;
    let files = match spec.split_once("..") {
        None => inspect::commit_files(dir, &commit_of(&found, &spec).await?.sha, true).await,
        Some((new, old)) => {
            let (new, old) = (commit_of(&found, new).await?, commit_of(&found, old).await?);
            // Changes since the fork point, unless `topic=false` asks to compare the two as they are.
            let as_they_are = params.get("topic").is_some_and(|topic| topic == "false");
            let fork_point = if as_they_are {
                None
            } else {
                inspect::merge_base(dir, &old.sha, &new.sha).await
            };
            let base = fork_point.unwrap_or(old.sha);
            inspect::diff_files(dir, &base, &new.sha).await
        }
    };
    let files = files.map_err(|failure| {
        tracing::warn!(error = %failure, "git failed");
        Refusal::from(error(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"))
    })?;
    let api = format!(
        "{}/repositories/{}",
        forge.addresses.bitbucket_api, found.full_name
    );
    Ok(paged(&forge, &uri, &params, files, |file| show_file(&api, &file)))
}

fn show_file(api: &str, file: &FileChange) -> Value {
    let end = |path: &str| {
        let escaped = encode_path(path);
        json!({
            "type": "commit_file",
            "path": path,
            "escaped_path": escaped,
            "links": { "self": { "href": format!("{api}/src/HEAD/{escaped}") } },
        })
    };
    let mut shown = json!({
        "type": "diffstat",
        "status": file.status,
        "lines_added": file.additions,
        "lines_removed": file.deletions,
    });
    if file.status != "added" {
        shown["old"] = end(file.from.as_deref().unwrap_or(&file.path));
    }
    if file.status != "removed" {
        shown["new"] = end(&file.path);
    }
    shown
}

#[derive(Deserialize)]
pub(super) struct StatusBody {
    key: Option<String>,
    state: Option<String>,
    url: Option<String>,
    name: Option<String>,
    description: Option<String>,
    refname: Option<String>,
}

fn show_status(forge: &Shared, side: &Side, found: &Found, status: &Status) -> Value {
    let api = format!(
        "{}/repositories/{}",
        forge.addresses.bitbucket_api, found.full_name
    );
    let commit = format!("{api}/commit/{}", status.sha);
    let mut shown = json!({
        "type": "build",
        "uuid": status.uuid,
        "key": status.context,
        "name": status.name.as_deref().unwrap_or(&status.context),
        "state": status.state,
        "url": status.target_url,
        "description": status.description.as_deref().unwrap_or_default(),
        "created_on": render::time(status.created_at),
        "updated_on": render::time(status.updated_at),
        "commit": { "type": "commit", "hash": status.sha, "links": { "self": { "href": commit } } },
        "repository": render::short_repository(&forge.addresses, side, &found.repo),
        "links": {
            "self": { "href": format!("{commit}/statuses/build/{}", encode_path(&status.context)) },
            "commit": { "href": commit },
        },
    });
    if let Some(refname) = &status.refname {
        shown["refname"] = json!(refname);
    }
    shown
}

/// Statuses need the scope `repository` and write permission.
fn find_to_report(forge: &Shared, caller: &Caller, workspace: &str, slug: &str) -> Result<Found, Refusal> {
    if !caller.has(super::READ_SCOPES) {
        return refuse(missing_scope("repository", caller));
    }
    let found = find(forge, Some(caller), workspace, slug)?;
    if found.may < Permission::Write {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "You do not have write permission on this repository.",
        ));
    }
    Ok(found)
}

fn bad(field: &str, message: &str) -> Response {
    let body = json!({
        "type": "error",
        "error": { "message": format!("{field}: {message}"), "data": { "field": field } },
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// `POST …/statuses/build`: a key that is there is replaced.
pub(super) async fn set_status(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, sha)): Path<(String, String, String)>,
    Json(body): Json<StatusBody>,
) -> Answer {
    let Some(key) = body.key.clone().filter(|key| !key.is_empty()) else {
        return refuse(bad("key", "required key not provided"));
    };
    put_status(
        &forge,
        &caller,
        (&workspace, &slug, &sha),
        &key,
        body,
        StatusCode::CREATED,
    )
    .await
}

/// `PUT …/statuses/build/{key}`.
pub(super) async fn update_status(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((workspace, slug, sha, key)): Path<(String, String, String, String)>,
    Json(body): Json<StatusBody>,
) -> Answer {
    let found = find_to_report(&forge, &caller, &workspace, &slug)?;
    if !found
        .repo
        .statuses
        .iter()
        .any(|status| status.sha == sha && status.context == key)
    {
        return refuse(not_found("Build status"));
    }
    put_status(
        &forge,
        &caller,
        (&workspace, &slug, &sha),
        &key,
        body,
        StatusCode::OK,
    )
    .await
}

async fn put_status(
    forge: &Shared,
    caller: &Caller,
    (workspace, slug, sha): (&str, &str, &str),
    key: &str,
    body: StatusBody,
    answered_with: StatusCode,
) -> Answer {
    let found = find_to_report(forge, caller, workspace, slug)?;
    let commit = commit_of(&found, sha).await?;
    let state = body.state.unwrap_or_default();
    if !matches!(state.as_str(), "INPROGRESS" | "SUCCESSFUL" | "FAILED" | "STOPPED") {
        return refuse(bad(
            "state",
            "must be one of INPROGRESS, SUCCESSFUL, FAILED, STOPPED",
        ));
    }
    let Some(url) = body.url.filter(|url| url.starts_with("http")) else {
        return refuse(bad("url", "required key not provided"));
    };
    let now = forge.now();
    let mut world = forge.world();
    let id = world.next_id();
    let mut status = Status {
        id,
        uuid: format!("{{{}}}", uuid::Uuid::new_v4()),
        sha: commit.sha.clone(),
        state,
        context: key.to_owned(),
        name: body.name,
        description: body.description,
        target_url: Some(url),
        refname: body.refname,
        created_at: now,
        updated_at: now,
    };
    if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
        let known = repo
            .statuses
            .iter()
            .position(|known| known.sha == commit.sha && known.context == key);
        if let Some(known) = known {
            let replaced = repo.statuses.remove(known);
            status.uuid = replaced.uuid;
            status.created_at = replaced.created_at;
        }
        repo.statuses.push(status.clone());
    }
    let shown = show_status(forge, world.side(KIND), &found, &status);
    Ok((answered_with, Json(shown)).into_response())
}

/// `GET …/statuses/build/{key}`.
pub(super) async fn status(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug, sha, key)): Path<(String, String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let status = found
        .repo
        .statuses
        .iter()
        .find(|status| status.sha == sha && status.context == key);
    let Some(status) = status else {
        return refuse(not_found("Build status"));
    };
    let world = forge.world();
    Ok(Json(show_status(&forge, world.side(KIND), &found, status)).into_response())
}
