//! Branches, tags, refs, commits and comparisons: read from the bare repository by git.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{
    Answer, Found, KIND, Maybe, Params, Refusal, RepoPath, error, find, not_found, paged, refuse, render,
};
use crate::error::DevForgeError;
use crate::forge::Shared;
use crate::git::inspect::{self, Commit, RefTarget, Refs};

/// Git failed where it should not: GitHub's 500.
fn broken(failure: &DevForgeError) -> Refusal {
    tracing::warn!(error = %failure, "git failed");
    Refusal::from(error(StatusCode::INTERNAL_SERVER_ERROR, "Server Error"))
}

async fn refs_of(found: &Found) -> Result<Refs, Refusal> {
    inspect::refs(&found.repo.dir)
        .await
        .map_err(|failure| broken(&failure))
}

fn below(refs: Refs, prefix: &str) -> Vec<(String, RefTarget)> {
    refs.into_iter()
        .filter_map(|(name, at)| Some((name.strip_prefix(prefix)?.to_owned(), at)))
        .collect()
}

fn api(forge: &Shared, found: &Found) -> String {
    format!("{}/repos/{}", forge.addresses.github_api, found.full_name)
}

/// `GET …/branches`.
pub(super) async fn branches(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let all = below(refs_of(&found).await?, "refs/heads/");
    let api = api(&forge, &found);
    Ok(paged(&forge, &uri, &params, all, |(name, at)| {
        json!({
            "name": name,
            "commit": { "sha": at.commit, "url": format!("{api}/commits/{}", at.commit) },
            "protected": false,
        })
    }))
}

/// `GET …/tags`.
pub(super) async fn tags(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name)): RepoPath,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let mut all = below(refs_of(&found).await?, "refs/tags/");
    all.reverse();
    let api = api(&forge, &found);
    Ok(paged(&forge, &uri, &params, all, |(name, at)| {
        let path = render::encode_path(&name);
        json!({
            "name": name,
            "commit": { "sha": at.commit, "url": format!("{api}/commits/{}", at.commit) },
            "zipball_url": format!("{api}/zipball/refs/tags/{path}"),
            "tarball_url": format!("{api}/tarball/refs/tags/{path}"),
            "node_id": render::node_id("REF_", &name),
        })
    }))
}

fn show_ref(api: &str, name: &str, at: &RefTarget) -> Value {
    let plural = if at.is_annotated() { "tags" } else { "commits" };
    json!({
        "ref": name,
        "node_id": render::node_id("REF_", name),
        "url": format!("{api}/git/{}", render::encode_path(name)),
        "object": { "sha": at.object, "type": at.object_type, "url": format!("{api}/git/{plural}/{}", at.object) },
    })
}

/// `GET …/git/ref/{ref}`: `heads/main`, `tags/v1`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name, wanted)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let full = format!("refs/{wanted}");
    match refs_of(&found).await?.get(&full) {
        Some(at) => Ok(Json(show_ref(&api(&forge, &found), &full, at)).into_response()),
        None => refuse(not_found()),
    }
}

/// `GET …/git/matching-refs/{ref}`: everything that starts so.
pub(super) async fn matching(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name, prefix)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let (api, prefix) = (api(&forge, &found), format!("refs/{prefix}"));
    let refs = refs_of(&found).await?;
    let shown: Vec<Value> = refs
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, at)| show_ref(&api, name, at))
        .collect();
    Ok(Json(shown).into_response())
}

fn show_commit(forge: &Shared, found: &Found, commit: &Commit) -> Value {
    let world = forge.world();
    render::commit(&forge.addresses, world.side(KIND), &found.repo, commit)
}

/// `GET …/commits/{ref}`: a commit by id, branch or tag, with its files.
pub(super) async fn commit(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name, wanted)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let Some(commit) = inspect::commit(&found.repo.dir, &wanted).await else {
        return refuse(error(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("No commit found for SHA: {wanted}"),
        ));
    };
    let files = inspect::commit_files(&found.repo.dir, &commit.sha, true)
        .await
        .map_err(|failure| broken(&failure))?;
    let mut shown = show_commit(&forge, &found, &commit);
    let additions: u64 = files.iter().map(|file| file.additions).sum();
    let deletions: u64 = files.iter().map(|file| file.deletions).sum();
    shown["stats"] =
        json!({ "additions": additions, "deletions": deletions, "total": additions + deletions });
    shown["files"] = files
        .iter()
        .map(|file| render::file(&forge.addresses, &found.full_name, &commit.sha, file))
        .collect();
    Ok(Json(shown).into_response())
}

/// `GET …/compare/{base}...{head}`.
pub(super) async fn compare(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((owner, name, basehead)): Path<(String, String, String)>,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &owner, &name)?;
    let dir = &found.repo.dir;
    let Some((base, head)) = basehead.split_once("...") else {
        return refuse(not_found());
    };
    let (Some(base), Some(head)) = (inspect::commit(dir, base).await, inspect::commit(dir, head).await)
    else {
        return refuse(not_found());
    };
    let Some(fork_point) = inspect::merge_base(dir, &base.sha, &head.sha).await else {
        return refuse(error(
            StatusCode::NOT_FOUND,
            "No common ancestor between the commits.",
        ));
    };
    let Some(fork_point) = inspect::commit(dir, &fork_point).await else {
        return refuse(not_found());
    };
    let failed = |failure: DevForgeError| broken(&failure);
    let ahead_range = format!("{}..{}", base.sha, head.sha);
    let behind = inspect::count(dir, &format!("{}..{}", head.sha, base.sha))
        .await
        .map_err(failed)?;
    let ahead = inspect::commits(dir, &["--reverse", &ahead_range])
        .await
        .map_err(failed)?;
    let files = inspect::diff_files(dir, &fork_point.sha, &head.sha)
        .await
        .map_err(failed)?;

    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let web = format!(
        "{}/{}/compare/{basehead}",
        forge.addresses.github, found.full_name
    );
    let commits: Vec<Value> = ahead
        .iter()
        .take(250)
        .map(|commit| show_commit(&forge, &found, commit))
        .collect();
    let shown_files: Vec<Value> = files
        .iter()
        .take(300)
        .map(|file| render::file(&forge.addresses, &found.full_name, &head.sha, file))
        .collect();
    Ok(Json(json!({
        "url": format!("{}/compare/{basehead}", api(&forge, &found)),
        "html_url": web,
        "permalink_url": web,
        "diff_url": format!("{web}.diff"),
        "patch_url": format!("{web}.patch"),
        "base_commit": show_commit(&forge, &found, &base),
        "merge_base_commit": show_commit(&forge, &found, &fork_point),
        "status": status,
        "ahead_by": ahead.len(),
        "behind_by": behind,
        "total_commits": ahead.len(),
        "commits": commits,
        "files": shown_files,
    }))
    .into_response())
}
