//! GitHub's primary rate limit ("Rate limits for the REST API"): so many requests an hour for each user; a request that
//! is answered 304 is not counted.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use crate::api::caller;
use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::github::error;
use crate::people::Kind;
use crate::provider::Provider;

/// "5,000 requests per hour".
const HOURLY: u64 = 5_000;
const WINDOW: Duration = Duration::from_hours(1);

/// What a user has used up of the present hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    since: Timestamp,
    used: u64,
    /// What came after that.
    refused: u64,
}

impl Provider {
    /// Has a user use up all requests of the present hour, of which so much is left (GitHub). Says when it is over, in
    /// seconds of UTC, as the headers do.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn use_up_the_hour(&self, login: &str, left: Duration) -> Result<i64> {
        let now = self.forge.now();
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let user = side.user(login).map(|user| user.id);
        let user = user.ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?;
        // The headers tell whole seconds.
        let since = now - SignedDuration::from_nanos(now.subsec_nanosecond().into()) + left - WINDOW;
        let spent = Spent {
            since,
            used: HOURLY,
            refused: 0,
        };
        side.spent.insert(user, spent);
        Ok((since + WINDOW).as_second())
    }

    /// How many requests of a user were refused since their hour was used up (GitHub).
    pub fn requests_refused(&self, login: &str) -> u64 {
        let world = self.forge.world();
        let side = world.side(self.kind);
        let spent = side.user(login).and_then(|user| side.spent.get(&user.id));
        spent.map_or(0, |spent| spent.refused)
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
    let fresh = Spent {
        since: now,
        used: 0,
        refused: 0,
    };
    let spent = side.spent.entry(user).or_insert(fresh);
    if now >= spent.since + WINDOW {
        // Still to be told.
        *spent = Spent {
            refused: spent.refused,
            ..fresh
        };
    }
    (spent.used >= HOURLY).then(|| {
        spent.refused += 1;
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
    let Some(spent) = side.spent.get_mut(&user) else {
        return;
    };
    if status != StatusCode::NOT_MODIFIED && spent.used < HOURLY {
        spent.used += 1;
    }
    let reset = (spent.since + WINDOW).as_second();
    let values = [
        ("x-ratelimit-limit", HOURLY.to_string()),
        ("x-ratelimit-used", spent.used.to_string()),
        ("x-ratelimit-remaining", (HOURLY - spent.used).to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
