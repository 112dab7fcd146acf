//! Bitbucket's REST API as the product uses it, under `/2.0`.

mod commits;
mod hooks;
mod keys;
mod pulls;
mod refs;
pub(crate) mod render;
mod repos;

use std::collections::HashMap;

use axum::extract::{FromRequestParts, OriginalUri, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::api::{Caller, Layer, Page, Refusal, caller, observe, page_url, refuse};
use crate::forge::Shared;
use crate::git;
use crate::mishaps;
use crate::people::{Kind, Permission};
use crate::state::Repo;

const KIND: Kind = Kind::Bitbucket;

/// Web, git and API of the Bitbucket side.
pub(crate) fn router(forge: &Shared) -> Router {
    let layer = Layer {
        forge: forge.clone(),
        kind: KIND,
        prefix: "/2.0",
    };
    let api = Router::new()
        .route("/user", get(repos::me))
        .route("/user/workspaces", get(repos::workspaces))
        .route("/user/permissions/workspaces", get(async || gone()))
        .route("/user/permissions/repositories", get(async || gone()))
        .route("/workspaces", get(async || gone()))
        .route("/repositories", get(async || gone()))
        .route("/repositories/{workspace}", get(repos::of_workspace))
        .route("/repositories/{workspace}/{repo_slug}", get(repos::one))
        .route("/repositories/{workspace}/{repo_slug}/refs", get(refs::all))
        .route(
            "/repositories/{workspace}/{repo_slug}/refs/branches",
            get(refs::branches),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/refs/branches/{*name}",
            get(refs::branch),
        )
        .route("/repositories/{workspace}/{repo_slug}/refs/tags", get(refs::tags))
        .route(
            "/repositories/{workspace}/{repo_slug}/refs/tags/{*name}",
            get(refs::tag),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/commit/{commit}",
            get(commits::one),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/commit/{commit}/statuses/build",
            post(commits::set_status),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/commit/{commit}/statuses/build/{key}",
            get(commits::status).put(commits::update_status),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/diffstat/{spec}",
            get(commits::diffstat),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/pullrequests",
            get(pulls::list),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}",
            get(pulls::one),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/hooks",
            get(hooks::list).post(hooks::create),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/hooks/{uid}",
            get(hooks::one).put(hooks::update).delete(hooks::delete),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/deploy-keys",
            get(keys::list).post(keys::create),
        )
        .route(
            "/repositories/{workspace}/{repo_slug}/deploy-keys/{key_id}",
            get(keys::one).delete(keys::delete),
        )
        .fallback(async || error(StatusCode::NOT_FOUND, "Resource not found"))
        .layer(middleware::from_fn_with_state(layer, observe))
        .layer(middleware::from_fn_with_state(
            (forge.clone(), KIND),
            mishaps::befall,
        ))
        .with_state(forge.clone());
    let host_keys = format!("{} {}\n", forge.addresses.ssh.ip(), forge.addresses.ssh_host_key);
    Router::new()
        .nest("/2.0", api)
        // Where Bitbucket lists its host keys for `known_hosts` files.
        .route("/site/ssh", get(async || host_keys))
        .merge(crate::oauth::bitbucket::routes(forge.clone()))
        .merge(git::http::routes(forge.clone(), KIND))
}

type Answer = Result<Response, Refusal>;

fn error(status: StatusCode, message: &str) -> Response {
    (
        status,
        Json(json!({ "type": "error", "error": { "message": message } })),
    )
        .into_response()
}

fn not_found(what: &str) -> Response {
    error(StatusCode::NOT_FOUND, &format!("{what} not found"))
}

/// What cross-workspace endpoints answer since their removal ("CHANGE-2770").
fn gone() -> Response {
    let message = "This API endpoint has been removed. See https://developer.atlassian.com/cloud/bitbucket/changelog/#CHANGE-2770";
    error(StatusCode::GONE, message)
}

/// 403 as Bitbucket explains missing scopes.
fn missing_scope(needed: &str, granted: &Caller) -> Response {
    let granted: Vec<&String> = granted.scopes.iter().collect();
    let body = json!({
        "type": "error",
        "error": {
            "message": "Your credentials lack one or more required privilege scopes.",
            "detail": format!("granted: {granted:?}, required: [{needed}]"),
        },
    });
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

/// The caller, nobody for an anonymous call; 401 for a bad token.
pub(crate) struct Maybe(pub(crate) Option<Caller>);

impl FromRequestParts<Shared> for Maybe {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        let message = "Token is invalid, expired, or not supported for this endpoint.";
        let refusal = |()| error(StatusCode::UNAUTHORIZED, message);
        caller(forge, KIND, &parts.headers).map(Self).map_err(refusal)
    }
}

/// The caller; 401 when there is none.
pub(crate) struct Known(pub(crate) Caller);

impl FromRequestParts<Shared> for Known {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        match Maybe::from_request_parts(parts, forge).await? {
            Maybe(Some(caller)) => Ok(Self(caller)),
            Maybe(None) => Err(error(StatusCode::UNAUTHORIZED, "Authentication required")),
        }
    }
}

/// `repository` is implied by its wider forms and by `pullrequest`.
const READ_SCOPES: &[&str] = &[
    "repository",
    "repository:write",
    "repository:admin",
    "pullrequest",
    "pullrequest:write",
];

/// A repository found for a caller.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) repo: Repo,
    pub(crate) full_name: String,
    pub(crate) may: Permission,
}

/// Looks a repository up by workspace and slug or by uuids; a private one that the caller cannot
/// see is 404, one that the token's scopes do not reach 403.
fn find(forge: &Shared, caller: Option<&Caller>, workspace: &str, slug: &str) -> Result<Found, Refusal> {
    let world = forge.world();
    let side = world.side(KIND);
    let user = caller.map(|caller| caller.user);
    let found = side.repo_named(workspace, slug).and_then(|repo| {
        let may = side.permission(user, repo)?;
        Some(Found {
            repo: repo.clone(),
            full_name: side.full_name(repo),
            may,
        })
    });
    let Some(found) = found else {
        let message = format!(
            "You may not have access to this repository or it no longer exists in this workspace: {workspace}/{slug}"
        );
        return refuse(error(StatusCode::NOT_FOUND, &message));
    };
    match caller {
        Some(caller) if !caller.has(READ_SCOPES) => refuse(missing_scope("repository", caller)),
        _ => Ok(found),
    }
}

/// Looks a repository up for what needs admin there, and one of `scopes`.
fn find_to_administer(
    forge: &Shared,
    caller: &Caller,
    (workspace, slug): (&str, &str),
    scopes: &[&str],
) -> Result<Found, Refusal> {
    let mut found = match find(forge, Some(caller), workspace, slug) {
        Ok(found) => Some(found),
        Err(refusal) if refusal.status() == StatusCode::FORBIDDEN && caller.has(scopes) => None,
        Err(refusal) => return Err(refusal),
    };
    if found.is_none() {
        // The scope in question (`webhook`) does not include reading the repository.
        let reader = Caller {
            scopes: std::iter::once("repository".to_owned()).collect(),
            ..caller.clone()
        };
        found = Some(find(forge, Some(&reader), workspace, slug)?);
    }
    let Some(found) = found else {
        return refuse(not_found("Repository"));
    };
    if !caller.has(scopes) {
        return refuse(missing_scope(scopes.first().copied().unwrap_or_default(), caller));
    }
    if found.may < Permission::Admin {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "You do not have admin permission on this repository.",
        ));
    }
    Ok(found)
}

pub(crate) type RepoPath = Path<(String, String)>;
pub(crate) type Params = Query<HashMap<String, String>>;

/// Cuts a list to the page asked for, in Bitbucket's envelope.
fn paged<T>(
    forge: &Shared,
    uri: &OriginalUri,
    params: &HashMap<String, String>,
    all: Vec<T>,
    show: impl FnMut(T) -> Value,
) -> Response {
    let number = |name: &str, default| {
        params
            .get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let page = Page::cut(all, number("page", 1), number("pagelen", 10).clamp(1, 100));
    let base = format!("{}{}", forge.addresses.bitbucket, uri.path());
    let query = uri.query().unwrap_or_default();
    let (at, last) = (page.number, page.last());
    let mut envelope = json!({ "pagelen": page.size, "size": page.total, "page": at });
    if at < last {
        envelope["next"] = json!(page_url(&base, query, at + 1));
    }
    if at > 1 {
        envelope["previous"] = json!(page_url(&base, query, at - 1));
    }
    envelope["values"] = page.items.into_iter().map(show).collect();
    Json(envelope).into_response()
}
