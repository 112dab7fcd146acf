//! GitHub's primary rate limit ("Rate limits for the REST API"): so many requests an hour for each user; a request that
//! is answered 304 is not counted.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;

use crate::api::caller;
use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::github::error;
use crate::people::Kind;
use crate::provider::Provider;

/// "5,000 requests per hour".
const USUAL: u64 = 5_000;
const WINDOW: Duration = Duration::from_hours(1);

/// What a user has used up of the present hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    since: Timestamp,
    used: u64,
}

impl Provider {
    /// How many requests a user has an hour (GitHub).
    pub fn set_hourly_limit(&self, limit: u64) {
        self.forge.world().side_mut(self.kind).hourly_limit = Some(limit);
    }

    /// How many requests a user has used up of the present hour (GitHub).
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn requests_used(&self, login: &str) -> Result<u64> {
        let world = self.forge.world();
        let side = world.side(self.kind);
        let user = side.user(login).map(|user| user.id);
        let user = user.ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?;
        Ok(side.spent.get(&user).map_or(0, |spent| spent.used))
    }
}

/// The layer that counts, around GitHub's API.
pub(crate) async fn count(State(forge): State<Shared>, request: Request, next: Next) -> Response {
    let caller = caller(&forge, Kind::GitHub, request.headers()).ok().flatten();
    let Some(user) = caller.map(|caller| caller.user) else {
        return next.run(request).await;
    };
    let mut response = match exhausted(&forge, user) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    spend(&forge, user, response.status(), response.headers_mut());
    response
}

/// The refusal of a user who has nothing left.
fn exhausted(forge: &Shared, user: u64) -> Option<Response> {
    let now = forge.now();
    let mut world = forge.world();
    let side = world.side_mut(Kind::GitHub);
    let limit = side.hourly_limit.unwrap_or(USUAL);
    let spent = side.spent.entry(user).or_insert(Spent { since: now, used: 0 });
    if now >= spent.since + WINDOW {
        *spent = Spent { since: now, used: 0 };
    }
    (spent.used >= limit).then(|| {
        error(
            StatusCode::FORBIDDEN,
            &format!("API rate limit exceeded for user ID {user}."),
        )
    })
}

/// Counts an answer, and says in its headers what is left.
fn spend(forge: &Shared, user: u64, status: StatusCode, headers: &mut HeaderMap) {
    let mut world = forge.world();
    let side = world.side_mut(Kind::GitHub);
    let limit = side.hourly_limit.unwrap_or(USUAL);
    let Some(spent) = side.spent.get_mut(&user) else {
        return;
    };
    if status != StatusCode::NOT_MODIFIED && spent.used < limit {
        spent.used += 1;
    }
    let reset = (spent.since + WINDOW).as_second();
    let values = [
        ("x-ratelimit-limit", limit.to_string()),
        ("x-ratelimit-used", spent.used.to_string()),
        (
            "x-ratelimit-remaining",
            (limit - spent.used.min(limit)).to_string(),
        ),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
