//! The user, the workspaces, the repositories.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::render;
use super::{
    Answer, KIND, Known, Maybe, Params, READ_SCOPES, RepoPath, find, missing_scope, not_found, paged, refuse,
};
use crate::forge::Shared;
use crate::people::{Account, Permission, Role};
use crate::state::Repo;

/// `GET /user`: needs `account`.
pub(super) async fn me(State(forge): State<Shared>, Known(caller): Known) -> Answer {
    if !caller.has(&["account", "account:write"]) {
        return refuse(missing_scope("account", &caller));
    }
    let world = forge.world();
    let Some(account) = world.side(KIND).account(caller.user) else {
        return refuse(not_found("User"));
    };
    let mut shown = render::user(&forge.addresses, account);
    shown["username"] = json!(account.login);
    shown["has_2fa_enabled"] = json!(false);
    shown["is_staff"] = json!(false);
    shown["account_status"] = json!("active");
    shown["created_on"] = json!("2020-01-01T00:00:00.000000+00:00");
    shown["links"]["repositories"] =
        json!({ "href": format!("{}/repositories/{}", forge.addresses.bitbucket_api, account.login) });
    Ok(Json(shown).into_response())
}

/// `GET /user/workspaces`: the successor of `/workspaces` and `/user/permissions/workspaces`.
pub(super) async fn workspaces(
    State(forge): State<Shared>,
    Known(caller): Known,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    if !caller.has(&["account", "account:write"]) {
        return refuse(missing_scope("account", &caller));
    }
    let mut all: Vec<(Account, Role)> = {
        let world = forge.world();
        let mine = world.side(KIND).organizations_of(caller.user);
        mine.into_iter()
            .map(|(account, role)| (account.clone(), role))
            .collect()
    };
    if let Some(wanted) = params.get("administrator") {
        all.retain(|(_, role)| (*role == Role::Owner) == (wanted == "true"));
    }
    Ok(paged(&forge, &uri, &params, all, |(account, role)| {
        json!({
            "type": "workspace_access",
            "administrator": role == Role::Owner,
            "workspace": {
                "type": "workspace_base",
                "uuid": account.uuid,
                "slug": account.login,
                "links": render::workspace(&forge.addresses, &account)["links"],
            },
        })
    }))
}

/// The text of `q=name ~ "text"`, the one query that the product asks.
fn name_query(params: &std::collections::HashMap<String, String>) -> Option<String> {
    let text = params.get("q")?.strip_prefix("name ~ \"")?.strip_suffix('"')?;
    Some(text.to_lowercase())
}

/// `GET /repositories/{workspace}` with `role`, `sort` and `q` by name.
pub(super) async fn of_workspace(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path(workspace): Path<String>,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    if let Some(caller) = caller.as_ref().filter(|caller| !caller.has(READ_SCOPES)) {
        return refuse(missing_scope("repository", caller));
    }
    let user = caller.map(|caller| caller.user);
    let world = forge.world();
    let side = world.side(KIND);
    let Some(owner) = side.organization(&workspace) else {
        return refuse(not_found(&format!(
            "No workspace with identifier '{workspace}'. Workspace"
        )));
    };
    let needed = match params.get("role").map(String::as_str) {
        Some("admin" | "owner") => Permission::Admin,
        Some("contributor") => Permission::Write,
        _ => Permission::Read,
    };
    let member = |repo: &Repo| {
        !params.contains_key("role")
            || user.is_some_and(|id| {
                owner.role_of(id).is_some() || repo.collaborators.iter().any(|(known, _)| *known == id)
            })
    };
    let mut all: Vec<Repo> = side
        .repositories
        .iter()
        .filter(|repo| repo.owner == owner.id && member(repo))
        .filter(|repo| side.permission(user, repo).is_some_and(|may| may >= needed))
        .cloned()
        .collect();
    if let Some(text) = name_query(&params) {
        all.retain(|repo| repo.name.to_lowercase().contains(&text));
    }
    match params.get("sort").map(String::as_str) {
        Some("-updated_on") => all.sort_by_key(|repo| std::cmp::Reverse(repo.pushed_at)),
        Some("updated_on") => all.sort_by_key(|repo| repo.pushed_at),
        Some("-name") => all.sort_by(|one, other| other.name.cmp(&one.name)),
        Some("name" | "slug" | "full_name") => all.sort_by(|one, other| one.name.cmp(&other.name)),
        _ => {}
    }
    let seen_by = user.and_then(|id| side.account(id));
    Ok(paged(&forge, &uri, &params, all, |repo| {
        render::repository(&forge.addresses, side, &repo, seen_by)
    }))
}

/// `GET /repositories/{workspace}/{repo_slug}`.
pub(super) async fn one(
    State(forge): State<Shared>,
    Maybe(caller): Maybe,
    Path((workspace, slug)): RepoPath,
) -> Answer {
    let found = find(&forge, caller.as_ref(), &workspace, &slug)?;
    let world = forge.world();
    let side = world.side(KIND);
    let seen_by = caller.and_then(|caller| side.account(caller.user));
    let shown: Response =
        Json(render::repository(&forge.addresses, side, &found.repo, seen_by)).into_response();
    Ok(shown)
}
