//! `/app…`, `/app-manifests/…` and `/user/installations…`.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Acting, AppRecord, CONVERSION_LIFETIME, Installation, Permissions, allows, jwt, mint};
use crate::api::{Caller, Page, Refusal, presented_token, refuse};
use crate::forge::{Addresses, Shared};
use crate::github::hooks::delivery_item;
use crate::github::render::{self, merged};
use crate::github::{error, invalid_request, link_header, not_found, paged, permission};
use crate::people::Kind;
use crate::state::Side;
use crate::webhooks;

const KIND: Kind = Kind::GitHub;

type Answer = Result<Response, Refusal>;

/// An App in its own name: 401 for a token that its key did not sign.
pub(crate) struct AsApp(AppRecord);

impl FromRequestParts<Shared> for AsApp {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, forge: &Shared) -> Result<Self, Response> {
        let token = presented_token(KIND, &parts.headers).unwrap_or_default();
        let now = forge.now();
        let world = forge.world();
        match jwt::verify(&world.side(KIND).github_apps, &token, now) {
            Ok(app) => Ok(Self(app.clone())),
            Err(why) => Err(error(StatusCode::UNAUTHORIZED, why)),
        }
    }
}

/// `integration`.
fn shown(urls: &Addresses, side: &Side, app: &AppRecord) -> Value {
    json!({
        "id": app.id,
        "slug": app.slug,
        "node_id": render::node_id("A_", app.id),
        "client_id": app.client_id,
        "owner": side.account(app.owner).map(|owner| render::user(urls, owner)),
        "name": app.name,
        "description": app.description,
        "external_url": app.external_url,
        "html_url": page_of(urls, app),
        "created_at": render::time(app.created_at),
        "updated_at": render::time(app.created_at),
        "permissions": app.permissions,
        "events": app.events,
    })
}

pub(crate) fn page_of(urls: &Addresses, app: &AppRecord) -> String {
    format!("{}/apps/{}", urls.github, app.slug)
}

/// `installation`, in REST and, without what `in_payload` leaves out, in payloads.
pub(crate) fn shown_installation(
    urls: &Addresses,
    side: &Side,
    app: &AppRecord,
    one: &Installation,
    in_payload: bool,
) -> Value {
    let account = side.account(one.account);
    let (login, is_user) = account.map_or(("ghost", true), |it| (it.login.as_str(), it.is_user()));
    let settings = if is_user {
        format!("{}/settings/installations/{}", urls.github, one.id)
    } else {
        format!(
            "{}/organizations/{login}/settings/installations/{}",
            urls.github, one.id
        )
    };
    let api = format!("{}/app/installations/{}", urls.github_api, one.id);
    let by = one.suspended.and_then(|(_, by)| side.account(by));
    let mut shown = json!({
        "id": one.id,
        "account": account.map(|account| render::user(urls, account)),
        "repository_selection": if one.selected.is_some() { "selected" } else { "all" },
        "access_tokens_url": format!("{api}/access_tokens"),
        "repositories_url": format!("{}/installation/repositories", urls.github_api),
        "html_url": settings,
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": one.account,
        "target_type": if is_user { "User" } else { "Organization" },
        "permissions": app.permissions,
        "events": app.events,
        "created_at": render::time(one.created_at),
        "updated_at": render::time(one.updated_at),
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "suspended_by": by.map(|by| render::user(urls, by)),
        "suspended_at": one.suspended.map(|(at, _)| render::time(at)),
    });
    if !in_payload {
        shown["client_id"] = json!(app.client_id);
    }
    shown
}

/// `GET /app`.
pub(crate) async fn app(State(forge): State<Shared>, AsApp(app): AsApp) -> Response {
    let world = forge.world();
    let side = world.side(KIND);
    let count = side.installations.iter().filter(|one| one.app == app.id).count();
    let whole = merged(
        shown(&forge.addresses, side, &app),
        json!({ "installations_count": count }),
    );
    Json(whole).into_response()
}

/// `GET /app/hook/deliveries`, newest first.
pub(crate) async fn deliveries(
    State(forge): State<Shared>,
    AsApp(app): AsApp,
    uri: OriginalUri,
    Query(params): Query<HashMap<String, String>>,
) -> Response {
    let mut all = forge.courier.log();
    all.retain(|delivery| delivery.hook_id == app.hook.id && !delivery.attempts.is_empty());
    all.reverse();
    paged(&forge, &uri, &params, all, |delivery| delivery_item(&delivery))
}

/// `POST /app/hook/deliveries/{delivery_id}/attempts`: delivered again, answered 202 at once.
pub(crate) async fn attempt(State(forge): State<Shared>, AsApp(app): AsApp, Path(id): Path<u64>) -> Answer {
    if !webhooks::attempt_again(&forge, &app.hook, id) {
        return refuse(not_found());
    }
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}

/// `POST /app-manifests/{code}/conversions`: everything, once.
pub(crate) async fn convert(State(forge): State<Shared>, Path(code): Path<String>) -> Answer {
    let now = forge.now();
    let mut world = forge.world();
    let side = world.side_mut(KIND);
    let found = side
        .github_apps
        .iter_mut()
        .find(|app| app.conversion.as_ref() == Some(&code))
        .filter(|app| now < app.created_at + CONVERSION_LIFETIME);
    let Some(app) = found else {
        return refuse(not_found());
    };
    app.conversion = None;
    let app = app.clone();
    let secret = side
        .app(&app.client_id)
        .map(|client| client.client_secret.clone())
        .unwrap_or_default();
    let more = json!({
        "client_secret": secret,
        "webhook_secret": app.hook.secret,
        "pem": app.pem,
    });
    let whole = merged(shown(&forge.addresses, side, &app), more);
    Ok((StatusCode::CREATED, Json(whole)).into_response())
}

#[derive(Default, Deserialize)]
struct Narrowed {
    repository_ids: Option<Vec<u64>>,
    permissions: Option<Permissions>,
}

/// `POST /app/installations/{installation_id}/access_tokens`.
pub(crate) async fn access_token(
    State(forge): State<Shared>,
    AsApp(app): AsApp,
    Path(id): Path<u64>,
    body: Bytes,
) -> Answer {
    let asked: Narrowed = if body.is_empty() {
        Narrowed::default()
    } else {
        match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(_) => return refuse(invalid_request("Problems parsing JSON")),
        }
    };
    let (repositories, selection) = {
        let world = forge.world();
        let side = world.side(KIND);
        let Some(one) = side.installation(id).filter(|one| one.app == app.id) else {
            return refuse(not_found());
        };
        if one.suspended.is_some() {
            let words = "This installation has been suspended";
            return refuse(error(StatusCode::FORBIDDEN, words));
        }
        let covered: Vec<u64> = side.covered(one).iter().map(|repo| repo.id).collect();
        let asked = asked.repository_ids;
        if asked.iter().flatten().any(|id| !covered.contains(id)) {
            return refuse(invalid_request(
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            ));
        }
        let all = one.selected.is_none() && asked.is_none();
        (asked, if all { "all" } else { "selected" })
    };
    let permissions = asked.permissions.unwrap_or_else(|| app.permissions.clone());
    if permissions
        .iter()
        .any(|(name, level)| !allows(&app.permissions, name, level))
    {
        return refuse(invalid_request(
            "The permissions requested are not granted to this installation.",
        ));
    }
    let token = mint(&forge, id, repositories, permissions);
    let world = forge.world();
    let side = world.side(KIND);
    let mut answer = json!({
        "token": token.value,
        "expires_at": render::time(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": selection,
    });
    if let Some(ids) = &token.repositories {
        let shown = ids
            .iter()
            .filter_map(|id| side.repo(*id))
            .map(|repo| render::repository(&forge.addresses, side, repo, crate::people::Permission::Read));
        answer["repositories"] = shown.collect();
    }
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// A person, by a token that an App got.
fn person_of(caller: &Caller) -> Result<u64, Refusal> {
    match caller.acting {
        Acting::Person { app } => Ok(app),
        _ => refuse(error(
            StatusCode::FORBIDDEN,
            "You must authenticate with an access token authorized to a GitHub App in order to list installations",
        )),
    }
}

/// Installations that a person may see: of accounts that are theirs, or where they reach a repository of it.
fn visible(side: &Side, app: u64, user: u64) -> Vec<&Installation> {
    let sees = |one: &&Installation| {
        let belongs = side
            .account(one.account)
            .is_some_and(|account| account.role_of(user).is_some());
        let reaches = || {
            let granted = |repo: &&crate::state::Repo| repo.collaborators.iter().any(|(id, _)| *id == user);
            side.covered(one).iter().any(granted)
        };
        one.app == app && (belongs || reaches())
    };
    side.installations.iter().filter(sees).collect()
}

/// `GET /user/installations`.
pub(crate) async fn installations(
    State(forge): State<Shared>,
    crate::github::Known(caller): crate::github::Known,
    uri: OriginalUri,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    let app = person_of(&caller)?;
    let world = forge.world();
    let side = world.side(KIND);
    let Some(app) = side.github_app(app) else {
        return refuse(not_found());
    };
    let all = visible(side, app.id, caller.user);
    let show = |one: &Installation| shown_installation(&forge.addresses, side, app, one, false);
    Ok(counted(&forge, &uri, &params, "installations", all, show))
}

/// `GET /user/installations/{installation_id}/repositories`: what both the person and the installation reach.
pub(crate) async fn repositories(
    State(forge): State<Shared>,
    crate::github::Known(caller): crate::github::Known,
    Path(id): Path<u64>,
    uri: OriginalUri,
    Query(params): Query<HashMap<String, String>>,
) -> Answer {
    let app = person_of(&caller)?;
    let world = forge.world();
    let side = world.side(KIND);
    let found = visible(side, app, caller.user)
        .into_iter()
        .find(|one| one.id == id);
    let Some(one) = found else {
        return refuse(not_found());
    };
    let all: Vec<_> = side
        .covered(one)
        .into_iter()
        .filter_map(|repo| Some((repo, permission(side, Some(&caller), repo)?)))
        .collect();
    let show = |(repo, may)| render::repository(&forge.addresses, side, repo, may);
    Ok(counted(&forge, &uri, &params, "repositories", all, show))
}

/// A page of a list that stands, with its whole count, in an object.
fn counted<T>(
    forge: &Shared,
    uri: &OriginalUri,
    params: &HashMap<String, String>,
    name: &str,
    all: Vec<T>,
    show: impl FnMut(T) -> Value,
) -> Response {
    let number = |name: &str, default| {
        let given = params.get(name).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let page = Page::cut(all, number("page", 1), number("per_page", 30).clamp(1, 100));
    let link = link_header(forge, uri, &page);
    let total = page.total;
    let items: Vec<Value> = page.items.into_iter().map(show).collect();
    let mut response = Json(json!({ "total_count": total, name: items })).into_response();
    if let Some(value) = link.and_then(|link| link.try_into().ok()) {
        response.headers_mut().insert("link", value);
    }
    response
}
