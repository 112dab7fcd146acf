//! Failures as programs read them: problem details (RFC 9457).
//!
//! A layer, so that every failure below `/api` looks the same: those that handlers return, those of extractors, the
//! router's own 404 and 405, and panics.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::extract::Of;
use crate::{
    app::App,
    failure::{Failure, FieldFailure, KINDS},
    web::{errors::failure_of, request::RequestId},
};

/// The media type of problem details.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(explain))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct KindPath {
    /// The kind's stable word.
    kind: String,
}

/// What a kind of problem means, and what to do about it.
#[utoipa::path(get, path = "/problems/{kind}", tag = "document", operation_id = "explain_problem", params(KindPath),
    security(()), responses((status = 200, content_type = "text/plain; charset=utf-8", body = String)))]
async fn explain(Of(path): Of<KindPath>) -> Result<String, Failure> {
    let kind = KINDS
        .iter()
        .find(|kind| kind.word == path.kind)
        .ok_or_else(Failure::not_found)?;
    Ok(format!("{} ({})\n\n{}\n", kind.title, kind.status, kind.advice))
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The kind of problem: a stable address below `/problems/`, by which programs tell problems apart.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not_found")]
    kind: String,
    /// What happened, in general; the same for all problems of a kind.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// The request's id, which is in the server's log, too.
    #[schema(example = "req_0123456789abcdef")]
    instance: Option<String>,
    /// What to do about it, for people.
    advice: String,
    /// A narrower stable word, where there is one: `name_taken`, `build_has_ended`.
    reason: Option<&'static str>,
    /// Fields of the request that are wrong, and how.
    errors: Vec<FieldFailure>,
}

/// Draws every failure that comes back from below.
pub(crate) async fn draw(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let Some(failure) = failure_of(&response) else {
        return response;
    };
    failure.log();
    answer(failure, id, response)
}

/// The failure, with what headers the refusal had: `Allow` of a 405 stays.
fn answer(failure: Failure, id: Option<RequestId>, refusal: Response) -> Response {
    let status = failure.status;
    let retry_after = failure.retry_after;
    let problem = Problem {
        kind: format!("/problems/{}", failure.kind),
        title: failure.title,
        status: status.as_u16(),
        detail: failure.why,
        instance: id.map(|id| id.as_str().to_owned()),
        advice: failure.advice,
        reason: failure.reason,
        errors: failure.fields,
    };
    let Ok(body) = serde_json::to_vec(&problem) else {
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (mut parts, _) = refusal.into_parts();
    parts.status = status;
    parts.extensions.clear();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if status == axum::http::StatusCode::UNAUTHORIZED {
        parts
            .headers
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry_after {
        parts
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Response::from_parts(parts, Body::from(body))
}
