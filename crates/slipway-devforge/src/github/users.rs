//! `/user…` and `/meta`.

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Answer, KIND, Known, Params, error, not_found, paged, refuse, render};
use crate::api::Caller;
use crate::forge::Shared;
use crate::people::{Account, Role};
use crate::policies::{Gate, gate};

/// `GET /meta`.
pub(super) async fn meta(State(forge): State<Shared>) -> Response {
    let host_key = &forge.addresses.ssh_host_key;
    Json(json!({
        "verifiable_password_authentication": true,
        "ssh_keys": [host_key],
        "installed_version": "3.17.0",
    }))
    .into_response()
}

/// `GET /user`.
pub(super) async fn me(State(forge): State<Shared>, Known(caller): Known) -> Answer {
    let now = forge.now();
    let world = forge.world();
    let side = world.side(KIND);
    let Some(account) = side.account(caller.user) else {
        return refuse(not_found());
    };
    let mut shown = render::whole_user(&forge.addresses, side, account, now);
    // Stable over calls, so that conditional requests work.
    let since: jiff::Timestamp = "2020-01-01T00:00:00Z".parse().unwrap_or(now);
    shown["created_at"] = json!(render::time(since));
    shown["updated_at"] = json!(render::time(since));
    Ok(Json(shown).into_response())
}

/// The caller's organizations, as lists show them: without those that do not let the app in.
fn mine(forge: &Shared, caller: &Caller) -> Vec<(Account, Role)> {
    let world = forge.world();
    let side = world.side(KIND);
    side.organizations_of(caller.user)
        .into_iter()
        .filter(|(account, _)| gate(forge, side, Some(caller), account.id) == Gate::Open)
        .map(|(account, role)| (account.clone(), role))
        .collect()
}

/// `GET /user/orgs`: needs `read:org` or `user`.
pub(super) async fn organizations(
    State(forge): State<Shared>,
    Known(caller): Known,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    if !caller.has(&["read:org", "write:org", "admin:org", "user"]) {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "You need at least read:org scope or user scope to list your organizations.",
        ));
    }
    let all = mine(&forge, &caller);
    Ok(paged(&forge, &uri, &params, all, |(account, _)| {
        render::organization(&forge.addresses, &account)
    }))
}

/// `GET /user/memberships/orgs`: needs `read:org`.
pub(super) async fn memberships(
    State(forge): State<Shared>,
    Known(caller): Known,
    uri: OriginalUri,
    Query(params): Params,
) -> Answer {
    if !caller.has(&["read:org", "write:org", "admin:org"]) {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "You need at least read:org scope to list your organization memberships.",
        ));
    }
    let Some(me) = forge.world().side(KIND).account(caller.user).cloned() else {
        return refuse(not_found());
    };
    let all = mine(&forge, &caller);
    let show = |(account, role): (Account, Role)| -> Value {
        render::membership(&forge.addresses, &account, &me, role)
    };
    Ok(paged(&forge, &uri, &params, all, show))
}

/// `GET /user/memberships/orgs/{org}`: 404 for those who are not in it, 403 "if org blocks the application".
pub(super) async fn membership(
    State(forge): State<Shared>,
    Known(caller): Known,
    Path(org): Path<String>,
) -> Answer {
    if !caller.has(&["read:org", "write:org", "admin:org"]) {
        return refuse(error(
            StatusCode::FORBIDDEN,
            "You need at least read:org scope to get your organization membership.",
        ));
    }
    let Some(me) = forge.world().side(KIND).account(caller.user).cloned() else {
        return refuse(not_found());
    };
    let world = forge.world();
    let side = world.side(KIND);
    let mut all = side.organizations_of(caller.user).into_iter();
    let Some((account, role)) = all.find(|(account, _)| account.login.eq_ignore_ascii_case(&org)) else {
        return refuse(not_found());
    };
    if let Some(refusal) = gate(&forge, side, Some(&caller), account.id).refusal() {
        return Err(refusal);
    }
    Ok(Json(render::membership(&forge.addresses, account, &me, role)).into_response())
}
