//! Mishaps on demand: what a provider's API answers on a bad day, for the calls that a test names.
//!
//! A mishap takes the place of the answer, or delays it, before any handler is asked. Its answers are not held to the
//! vendors' descriptions: these describe good days.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::forge::Shared;
use crate::people::Kind;
use crate::provider::Provider;
use crate::secrets::lock;

/// Something that goes wrong with API calls.
#[derive(Debug, Clone)]
pub struct Mishap {
    what: What,
    method: Option<Method>,
    path: String,
    left: Option<usize>,
}

#[derive(Debug, Clone)]
enum What {
    Answer {
        status: StatusCode,
        headers: Vec<(HeaderName, String)>,
        message: &'static str,
    },
    Slow(Duration),
    Late(Duration),
    Cut,
}

impl Mishap {
    fn new(what: What) -> Self {
        Self {
            what,
            method: None,
            path: String::new(),
            left: None,
        }
    }

    /// Answers this status.
    ///
    /// # Panics
    /// When it is none.
    pub fn status(status: u16) -> Self {
        Self::new(What::Answer {
            status: StatusCode::from_u16(status).expect("a status between 100 and 999"),
            headers: Vec::new(),
            message: "Something went wrong while executing your request.",
        })
    }

    /// GitHub's secondary rate limit: 403 with `Retry-After`.
    pub fn secondary_limit(retry_after: Duration) -> Self {
        Self::new(What::Answer {
            status: StatusCode::FORBIDDEN,
            headers: vec![(header::RETRY_AFTER, retry_after.as_secs().to_string())],
            message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        })
    }

    /// Bitbucket's: 429 ("API request limits").
    pub fn too_many(retry_after: Duration) -> Self {
        Self::new(What::Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: vec![(header::RETRY_AFTER, retry_after.as_secs().to_string())],
            message: "Rate limit for this resource has been exceeded",
        })
    }

    /// Begins late with what it was asked for. Nothing comes of it where nobody waits any more.
    pub fn slow(by: Duration) -> Self {
        Self::new(What::Slow(by))
    }

    /// Does what it was asked for at once, and answers late: whoever does not wait does not know.
    pub fn late(by: Duration) -> Self {
        Self::new(What::Late(by))
    }

    /// Ends the connection in the middle of the answer.
    pub fn cut() -> Self {
        Self::new(What::Cut)
    }

    /// Only calls whose path, below the API's own, holds this.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Only calls by this method.
    #[must_use]
    pub fn by(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Only so many times; else until [`Provider::calm`].
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }
}

impl Provider {
    /// Lets a mishap befall the API. Of several, the one that came last counts.
    pub fn befall(&self, mishap: Mishap) {
        lock(&self.forge.mishaps).push((self.kind, mishap));
    }

    /// Ends all mishaps.
    pub fn calm(&self) {
        lock(&self.forge.mishaps).retain(|(kind, _)| *kind != self.kind);
    }
}

/// The layer around each API.
pub(crate) async fn befall(
    State((forge, kind)): State<(Shared, Kind)>,
    request: Request,
    next: Next,
) -> Response {
    match befallen(&forge, kind, request.method(), request.uri().path()) {
        None => next.run(request).await,
        Some(What::Slow(by)) => {
            tokio::time::sleep(by).await;
            next.run(request).await
        }
        Some(What::Late(by)) => {
            let response = next.run(request).await;
            tokio::time::sleep(by).await;
            response
        }
        Some(What::Answer {
            status,
            headers,
            message,
        }) => answer(kind, status, headers, message),
        Some(What::Cut) => {
            let broken = futures::stream::iter([
                Ok("{".to_owned()),
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            ]);
            Body::from_stream(broken).into_response()
        }
    }
}

fn answer(
    kind: Kind,
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    message: &'static str,
) -> Response {
    let body = match kind {
        Kind::GitHub => json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }),
        Kind::Bitbucket => json!({ "type": "error", "error": { "message": message } }),
    };
    let mut response = (status, Json(body)).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The mishap that befalls this call, if one does.
fn befallen(forge: &Shared, kind: Kind, method: &Method, path: &str) -> Option<What> {
    let mut all = lock(&forge.mishaps);
    let (_, mishap) = all.iter_mut().rev().find(|(of, mishap)| {
        *of == kind
            && mishap.left != Some(0)
            && mishap.method.as_ref().is_none_or(|only| only == method)
            && path.contains(&mishap.path)
    })?;
    if let Some(left) = &mut mishap.left {
        *left -= 1;
    }
    Some(mishap.what.clone())
}
