//! Creating twice: a POST that carries an `Idempotency-Key` happens once. Its repetition gets the first answer again,
//! marked `Idempotency-Replayed: true`; the same key with another request is refused.
//!
//! A request that is under way goes on when its client is gone, so that what is remembered is what happened.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use slipway_types::UserId;
use tracing::Instrument as _;

use super::auth::Asker;
use crate::{
    app::App,
    failure::{self, Failure},
    services::idempotency::{Answer, Begun},
};

const KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest answer that is remembered.
const LONGEST: usize = 1 << 20;

/// Rides on a response that holds a secret: what its repetition is answered with in its place.
#[derive(Debug, Clone)]
pub(super) struct Instead(pub(super) serde_json::Value);

/// An answer as it is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    location: Option<String>,
    body: String,
}

/// Sees to it that a request with a key happens once.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    // A build trigger's call is nobody's: its builds are told apart by what they build.
    let is_ours = request.uri().path().starts_with("/api/v1/");
    if !is_ours || request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let asker = match Asker::from_request_parts(&mut parts, &app).await {
        Ok(asker) => asker,
        Err(failure) => return failure.into_response(),
    };
    let Some(key) = key(&parts) else {
        return Failure::invalid("Idempotency-Key", "A key has 1 to 200 printable characters.")
            .into_response();
    };
    let Ok(body) = to_bytes(body, super::BODY_LIMIT).await else {
        return Failure::new(failure::TOO_LARGE, "A body of up to 1 MiB is taken.").into_response();
    };
    let hash = hash(&parts, &body);
    match app.idempotency.begin(asker.user, &key, &hash).await {
        Ok(Begun::First) => {}
        Ok(Begun::Again(answer)) => return again(&answer),
        Ok(Begun::UnderWay) => return Failure::new(failure::CONFLICT, UNDER_WAY).into_response(),
        Ok(Begun::OfAnother) => return Failure::new(failure::KEY_REUSED, OF_ANOTHER).into_response(),
        Err(error) => return Failure::from(error).into_response(),
    }
    let request = Request::from_parts(parts, Body::from(body));
    let work = async move {
        let response = next.run(request).await;
        remember(&app, asker.user, &key, response).await
    };
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or_else(|_| Failure::new(failure::INTERNAL, "The request was ended.").into_response())
}

const UNDER_WAY: &str = "The first request with this Idempotency-Key has not been answered yet, or was cut off by a \
    restart. Ask again in a moment; if it stays, look whether it took effect, and use another key.";
const OF_ANOTHER: &str = "This Idempotency-Key came with another request before.";

fn key(parts: &Parts) -> Option<String> {
    let key = parts.headers.get(KEY)?.to_str().ok()?.trim();
    (1..=200).contains(&key.len()).then(|| key.to_owned())
}

/// What tells requests apart. A password is left out: its hash would be kept.
fn hash(parts: &Parts, body: &Bytes) -> String {
    let mut hash = Sha256::new();
    for part in [
        parts.method.as_str(),
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.remove("password");
            hash.update(serde_json::Value::Object(fields).to_string());
        }
        _ => hash.update(body),
    }
    hex::encode(hash.finalize())
}

/// Remembers what was created. A request that failed may be sent again under its key.
async fn remember(app: &App, user: UserId, key: &str, response: Response) -> Response {
    if !response.status().is_success() {
        if let Err(error) = app.idempotency.forget(user, key).await {
            return Failure::from(error).into_response();
        }
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST).await else {
        return Failure::new(failure::INTERNAL, "The answer could not be put together.").into_response();
    };
    let shown = match parts.extensions.get::<Instead>() {
        Some(instead) => instead.0.to_string(),
        None => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let location = parts
        .headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    let remembered = Remembered {
        location: location.map(str::to_owned),
        body: shown,
    };
    let answer = Answer {
        status: parts.status.as_u16(),
        body: serde_json::to_string(&remembered).unwrap_or_default(),
    };
    // What was asked for has happened: a record that could not be written must not say otherwise.
    if let Err(error) = app.idempotency.finish(user, key, &answer).await {
        Failure::from(error).log();
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn again(answer: &Answer) -> Response {
    let remembered = serde_json::from_str::<Remembered>(&answer.body).ok();
    let (Some(remembered), Ok(status)) = (remembered, StatusCode::from_u16(answer.status)) else {
        return Failure::new(failure::INTERNAL, "The first answer cannot be read any more.").into_response();
    };
    let mut response = (status, remembered.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(location) = remembered
        .location
        .and_then(|text| HeaderValue::from_str(&text).ok())
    {
        headers.insert(header::LOCATION, location);
    }
    response
}
