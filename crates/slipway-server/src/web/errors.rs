//! Error pages: what failed, why, what to do, and the id under which the log says more.
//!
//! A layer, so that every failure looks the same: those that handlers return, those of extractors and of the router
//! itself, and panics.

use askama::Template as _;
use axum::{
    extract::{OriginalUri, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};

use super::{
    request::RequestId,
    view::{CopyLine, Csrf, Frame, Me, Place, start::ErrorPage},
};
use crate::{
    app::App,
    failure::{self, Failure},
};

/// Draws every failure that comes back from below.
pub(super) async fn draw(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let path = request
        .extensions()
        .get::<OriginalUri>()
        .map_or_else(|| request.uri().path().to_owned(), |uri| uri.path().to_owned());
    let response = next.run(request).await;
    let Some(failure) = failure_of(&response) else {
        return response;
    };
    failure.log();
    let me = response.extensions().get::<Me>().cloned();
    let page = ErrorPage {
        frame: Frame {
            title: failure.title.clone(),
            me,
            place: Place::Elsewhere,
            host: app.host(),
            toast: None,
            csrf: Csrf(String::new()),
            live: String::new(),
        },
        status: failure.status.as_u16(),
        title: failure.title,
        why: failure.why,
        advice: failure.advice,
        path,
        id: CopyLine {
            text: id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            what: "error id".to_owned(),
        },
    };
    let Ok(html) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut answer = (failure.status, Html(html)).into_response();
    if let Some(seconds) = failure.retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    for cookie in response.headers().get_all(header::SET_COOKIE) {
        answer.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    answer
}

/// The failure that a response is, if it is one: ours, or one of the framework's plain answers.
pub(crate) fn failure_of(response: &Response) -> Option<Failure> {
    if let Some(failure) = response.extensions().get::<Failure>() {
        return Some(failure.clone());
    }
    let drawn = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    if drawn {
        return None;
    }
    let kind = match response.status() {
        StatusCode::NOT_FOUND => return Some(Failure::not_found()),
        StatusCode::METHOD_NOT_ALLOWED => failure::METHOD_NOT_ALLOWED,
        StatusCode::PAYLOAD_TOO_LARGE => failure::TOO_LARGE,
        status if status.is_server_error() => failure::INTERNAL,
        status if status.is_client_error() => failure::MALFORMED,
        _ => return None,
    };
    Some(Failure {
        status: response.status(),
        ..Failure::new(kind, "The request did not fit this address.")
    })
}
