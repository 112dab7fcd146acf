//! What every request gets: an id, that error pages, problem details, the response and every log line of the
//! request share, and one line in the log when it is over.
//!
//! Paths are never logged, only the route that matched: hook paths and trigger addresses are secrets.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use rand::Rng as _;
use tracing::Instrument as _;

/// The id of a request: `req_` and 16 characters of Crockford's base 32 (80 random bits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    fn fresh() -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut random = rand::rng();
        let digits = (0..16).map(|_| char::from(ALPHABET[random.random_range(0..32)]));
        Self(format!("req_{}", digits.collect::<String>()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The outermost layer: gives the id, runs the request in its span, says how it ended.
pub async fn identify_request(mut request: Request, next: Next) -> Response {
    let id = RequestId::fresh();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", id = id.as_str(), %method, route);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-request-id"), value);
    }
    span.in_scope(|| {
        tracing::info!(
            status = response.status().as_u16(),
            ms = started.elapsed().as_millis() as u64,
            "answered"
        );
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ() {
        let (a, b) = (RequestId::fresh(), RequestId::fresh());
        assert_ne!(a, b);
        assert_eq!(a.as_str().len(), 20);
    }
}
