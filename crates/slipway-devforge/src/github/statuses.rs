//! Commit statuses: appended, never changed; 1,000 per commit and context.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, KIND, Known, error, find, invalid, refuse, render};
use crate::forge::Shared;
use crate::git::inspect;
use crate::people::Permission;
use crate::state::Status;

const MOST: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct StatusBody {
    state: Option<String>,
    context: Option<String>,
    description: Option<String>,
    target_url: Option<String>,
}

/// `POST …/statuses/{sha}`.
pub(super) async fn create(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path((owner, name, sha)): Path<(String, String, String)>,
    Json(body): Json<StatusBody>,
) -> Answer {
    let mut found = find(&forge, Some(&caller), &owner, &name)?;
    if caller.has(&["repo:status"]) {
        let world = forge.world();
        found.may = world
            .side(KIND)
            .permission(Some(caller.user), &found.repo)
            .unwrap_or(found.may);
    }
    if found.may < Permission::Write {
        return refuse(error(StatusCode::NOT_FOUND, "Not Found"));
    }
    let state = body.state.unwrap_or_default();
    if !matches!(state.as_str(), "error" | "failure" | "pending" | "success") {
        return refuse(invalid(
            "Status",
            "state",
            "custom",
            "state is not included in the list",
        ));
    }
    let description = body.description.filter(|text| !text.is_empty());
    if description
        .as_ref()
        .is_some_and(|text| text.chars().count() > 140)
    {
        return refuse(invalid(
            "Status",
            "description",
            "custom",
            "description is too long (maximum is 140 characters)",
        ));
    }
    if inspect::commit(&found.repo.dir, &sha).await.is_none() {
        return refuse(error(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("No commit found for SHA: {sha}"),
        ));
    }
    let context = body.context.unwrap_or_else(|| "default".to_owned());
    let alike = found
        .repo
        .statuses
        .iter()
        .filter(|known| known.sha == sha && known.context == context)
        .count();
    if alike >= MOST {
        let message = "This SHA and context has reached the maximum number of statuses.";
        return refuse(invalid("Status", "context", "custom", message));
    }
    let now = forge.now();
    let mut world = forge.world();
    let status = Status {
        id: world.next_id(),
        uuid: String::new(),
        sha: sha.clone(),
        state,
        context,
        name: None,
        description,
        target_url: body.target_url,
        refname: None,
        created_at: now,
        updated_at: now,
    };
    if let Some(repo) = world.side_mut(KIND).repo_mut(found.repo.id) {
        repo.statuses.push(status.clone());
    }
    let creator = world
        .side(KIND)
        .account(caller.user)
        .map(|user| render::user(&forge.addresses, user));
    let shown = json!({
        "url": format!("{}/repos/{}/statuses/{sha}", forge.addresses.github_api, found.full_name),
        "avatar_url": format!("{}/avatars/u/{}", forge.addresses.github, caller.user),
        "id": status.id,
        "node_id": render::node_id("SC_", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": render::time(now),
        "updated_at": render::time(now),
        "creator": creator,
    });
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}
