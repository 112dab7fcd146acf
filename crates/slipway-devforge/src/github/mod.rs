//! GitHub's REST API as the product uses it, under `/api/v3`.
//!
//! What a token cannot see is 404, what it sees and may not do is 403, a bad token is 401: the
//! product's health checks tell these apart. Bodies are held to the vendor's description by
//! [`crate::conformance`].

mod applications;
pub(crate) mod hooks;
mod keys;
mod pulls;
mod refs;
pub(crate) mod render;
mod repos;
mod statuses;
mod users;

use std::collections::HashMap;

use axum::extract::{FromRequestParts, OriginalUri, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::api::{Caller, Layer, Page, Refusal, caller, observe, page_url, refuse};
use crate::apps::{self, Acting};
use crate::forge::Shared;
use crate::git;
use crate::mishaps;
use crate::people::{Kind, Permission};
use crate::policies::{self, Gate, gate};
use crate::rates;
use crate::state::{Repo, Side};

const KIND: Kind = Kind::GitHub;

/// Web, git and API of the GitHub side.
pub(crate) fn router(forge: &Shared) -> Router {
    let layer = Layer {
        forge: forge.clone(),
        kind: KIND,
        prefix: "/api/v3",
    };
    let api = Router::new()
        .route("/meta", get(users::meta))
        .route("/user", get(users::me))
        .route("/user/orgs", get(users::organizations))
        .route("/user/memberships/orgs", get(users::memberships))
        .route("/user/memberships/orgs/{org}", get(users::membership))
        .route("/user/repos", get(repos::mine))
        .route("/orgs/{org}/repos", get(repos::of_organization))
        .route("/repositories/{repository_id}", get(repos::by_id))
        .route("/repos/{owner}/{repo}", get(repos::one))
        .route("/repos/{owner}/{repo}/branches", get(refs::branches))
        .route("/repos/{owner}/{repo}/tags", get(refs::tags))
        .route("/repos/{owner}/{repo}/git/ref/{*ref}", get(refs::one))
        .route(
            "/repos/{owner}/{repo}/git/matching-refs/{*ref}",
            get(refs::matching),
        )
        .route("/repos/{owner}/{repo}/commits/{*ref}", get(refs::commit))
        .route("/repos/{owner}/{repo}/compare/{*basehead}", get(refs::compare))
        .route("/repos/{owner}/{repo}/pulls", get(pulls::list))
        .route("/repos/{owner}/{repo}/pulls/{pull_number}", get(pulls::one))
        .route(
            "/repos/{owner}/{repo}/hooks",
            get(hooks::list).post(hooks::create),
        )
        .route(
            "/repos/{owner}/{repo}/hooks/{hook_id}",
            get(hooks::one).merge(patch(hooks::update)).delete(hooks::delete),
        )
        .route("/repos/{owner}/{repo}/hooks/{hook_id}/pings", post(hooks::ping))
        .route(
            "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
            get(hooks::deliveries),
        )
        .route(
            "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}",
            get(hooks::delivery),
        )
        .route(
            "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
            post(hooks::attempt),
        )
        .route("/repos/{owner}/{repo}/keys", get(keys::list).post(keys::create))
        .route(
            "/repos/{owner}/{repo}/keys/{key_id}",
            get(keys::one).delete(keys::delete),
        )
        .route("/repos/{owner}/{repo}/statuses/{sha}", post(statuses::create))
        .route(
            "/applications/{client_id}/token",
            post(applications::check).delete(applications::delete_token),
        )
        .route(
            "/applications/{client_id}/grant",
            axum::routing::delete(applications::delete_grant),
        )
        .route("/app", get(apps::api::app))
        .route(
            "/app/installations/{installation_id}/access_tokens",
            post(apps::api::access_token),
        )
        .route("/app/hook/deliveries", get(apps::api::deliveries))
        .route(
            "/app/hook/deliveries/{delivery_id}/attempts",
            post(apps::api::attempt),
        )
        .route("/app-manifests/{code}/conversions", post(apps::api::convert))
        .route("/user/installations", get(apps::api::installations))
        .route(
            "/user/installations/{installation_id}/repositories",
            get(apps::api::repositories),
        )
        .fallback(async || not_found())
        .layer(middleware::from_fn_with_state(layer, observe))
        .layer(middleware::from_fn_with_state(forge.clone(), rates::count))
        .layer(middleware::from_fn_with_state(
            (forge.clone(), KIND),
            mishaps::befall,
        ))
        .with_state(forge.clone());
    Router::new()
        .nest("/api/v3", api)
        .merge(crate::oauth::github::routes(forge.clone()))
        .merge(policies::routes(forge.clone()))
        .merge(apps::pages::routes(forge.clone()))
        .merge(git::http::routes(forge.clone(), KIND))
}

type Answer = Result<Response, Refusal>;

pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    (status, Json(body)).into_response()
}

pub(crate) fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Not Found")
}

/// 422 with one entry, as GitHub writes it.
fn invalid(resource: &str, field: &str, code: &str, message: &str) -> Response {
    let mut entry = json!({ "resource": resource, "code": code, "field": field });
    if !message.is_empty() {
        entry["message"] = json!(message);
    }
    let body = json!({
        "message": "Validation Failed",
        "errors": [entry],
        "documentation_url": "https://docs.github.com/rest",
        "status": "422",
    });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
}

/// 422 without particulars.
pub(crate) fn invalid_request(message: &str) -> Response {
    error(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// The caller, nobody for an anonymous call; 401 for a bad token.
pub(crate) struct Maybe(pub(crate) Option<Caller>);

impl FromRequestParts<Shared> for Maybe {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        match caller(forge, KIND, &parts.headers) {
            Ok(Some(caller)) if forge.world().side(KIND).suspended.contains(&caller.user) => {
                Err(error(StatusCode::FORBIDDEN, "Sorry. Your account was suspended."))
            }
            Ok(caller) => Ok(Self(caller)),
            Err(()) => Err(error(StatusCode::UNAUTHORIZED, "Bad credentials")),
        }
    }
}

/// The caller; 401 when there is none.
pub(crate) struct Known(pub(crate) Caller);

impl FromRequestParts<Shared> for Known {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        match Maybe::from_request_parts(parts, forge).await? {
            Maybe(Some(caller)) => Ok(Self(caller)),
            Maybe(None) => Err(error(StatusCode::UNAUTHORIZED, "Requires authentication")),
        }
    }
}

/// A repository found for a caller, with what they may do there.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) repo: Repo,
    pub(crate) full_name: String,
    pub(crate) may: Permission,
}

/// What a token may do with a repository: the user's permission, as far as its scopes reach.
/// Without `repo`, private repositories do not exist and public ones are only read.
pub(crate) fn permission(side: &Side, caller: Option<&Caller>, repo: &Repo) -> Option<Permission> {
    let public = (!repo.private).then_some(Permission::Read);
    match caller.map(|caller| (&caller.acting, caller.user)) {
        // Which routes it may use was decided before; see `apps::needed`.
        Some((Acting::Installation(token), _)) => {
            return if token.reaches(side, repo) {
                Some(Permission::Write)
            } else {
                public
            };
        }
        Some((Acting::Person { app }, user)) => {
            let both = side
                .covering(*app, repo)
                .and_then(|_| side.permission(Some(user), repo));
            return both.or(public);
        }
        Some((Acting::OAuth, _)) | None => {}
    }
    let may = side.permission(caller.map(|caller| caller.user), repo)?;
    let whole = caller.is_some_and(|caller| caller.has(&["repo"]));
    let public = !repo.private && caller.is_some_and(|caller| caller.has(&["public_repo"]));
    if whole || public {
        return Some(may);
    }
    (!repo.private).then_some(Permission::Read)
}

/// Looks a repository up by path parameters `owner` and `repo`.
fn find(forge: &Shared, caller: Option<&Caller>, owner: &str, name: &str) -> Result<Found, Refusal> {
    let world = forge.world();
    let side = world.side(KIND);
    look(forge, side, caller, side.repo_named(owner, name))
}

/// What a caller is shown of a repository. An organization that does not let the caller's app in shows what is public.
fn look(forge: &Shared, side: &Side, caller: Option<&Caller>, repo: Option<&Repo>) -> Result<Found, Refusal> {
    let seen = repo.and_then(|repo| Some((repo, permission(side, caller, repo)?)));
    let (repo, mut may) = seen.ok_or_else(|| Refusal::from(not_found()))?;
    if let Some(refusal) = gate(forge, side, caller, repo.owner).refusal() {
        if repo.private {
            return Err(refusal);
        }
        may = Permission::Read;
    }
    Ok(Found {
        repo: repo.clone(),
        full_name: side.full_name(repo),
        may,
    })
}

/// Whether a list shows a repository to a caller.
fn is_listed(forge: &Shared, side: &Side, caller: Option<&Caller>, repo: &Repo) -> bool {
    !repo.private || gate(forge, side, caller, repo.owner) == Gate::Open
}

/// Looks a repository up for something only its administrators may do. GitHub answers 404 also
/// to those who see the repository but lack admin, except with 403 where it says so by name.
fn find_to_administer(forge: &Shared, caller: &Caller, owner: &str, name: &str) -> Result<Found, Refusal> {
    let mut found = find(forge, Some(caller), owner, name)?;
    {
        let world = forge.world();
        if let Some(refusal) = gate(forge, world.side(KIND), Some(caller), found.repo.owner).refusal() {
            return Err(refusal);
        }
    }
    // `admin:repo_hook` and its like reach hooks without `repo`.
    if found.may < Permission::Admin && caller.has(&["admin:repo_hook", "write:repo_hook"]) {
        let world = forge.world();
        found.may = world
            .side(KIND)
            .permission(Some(caller.user), &found.repo)
            .unwrap_or(found.may);
    }
    if found.may < Permission::Admin {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "Must have admin rights to Repository.",
        ));
    }
    Ok(found)
}

pub(crate) type RepoPath = Path<(String, String)>;
pub(crate) type Params = Query<HashMap<String, String>>;

/// Cuts a list to the page asked for and adds GitHub's `Link` header.
pub(crate) fn paged<T>(
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
    let size = number("per_page", 30).clamp(1, 100);
    let page = Page::cut(all, number("page", 1), size);
    let link = link_header(forge, uri, &page);
    let items: Vec<Value> = page.items.into_iter().map(show).collect();
    let mut response = Json(items).into_response();
    if let Some(value) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

pub(crate) fn link_header<T>(forge: &Shared, uri: &OriginalUri, page: &Page<T>) -> Option<String> {
    let last = page.last();
    if last == 1 {
        return None;
    }
    let base = format!("{}{}", forge.addresses.github, uri.path());
    let query = uri.query().unwrap_or_default();
    let link = |number: usize, rel: &str| format!("<{}>; rel=\"{rel}\"", page_url(&base, query, number));
    let mut links = Vec::new();
    if page.number > 1 {
        links.push(link(page.number - 1, "prev"));
        links.push(link(1, "first"));
    }
    if page.number < last {
        links.push(link(page.number + 1, "next"));
        links.push(link(last, "last"));
    }
    Some(links.join(", "))
}
