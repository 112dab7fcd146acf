//! Reading again: every JSON answer to a GET names its content (`ETag`), and whoever has it already
//! (`If-None-Match`) is told so in a line (RFC 9110, 13.1.2).
//!
//! The name is a hash of the body: it saves the way, not the work. Where a resource has a version, the name begins
//! with it, and a PUT may say which version it was made from (`If-Match`).

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::failure::{self, Failure};

/// The longest JSON answer there is, far off.
const LONGEST: usize = 32 << 20;

/// Rides on a response: the version of what it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version(pub(super) i64);

/// Names what is answered, and answers 304 to who has it.
pub(super) async fn name(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .cloned()
        .collect::<Vec<_>>();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST).await else {
        return Failure::new(failure::INTERNAL, "The answer could not be put together.").into_response();
    };
    let hash = hex::encode(&Sha256::digest(&bytes)[..16]);
    let tag = match parts.extensions.get::<Version>() {
        Some(Version(version)) => format!("\"{version}-{hash}\""),
        None => format!("W/\"{hash}\""),
    };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    parts.headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    parts
        .headers
        .insert(header::VARY, HeaderValue::from_static("authorization, cookie"));
    if known
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| names(list, &tag))
    {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// Whether a list of entity tags holds this one, compared weakly.
fn names(list: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.split(',')
        .any(|one| one.trim() == "*" || opaque(one) == opaque(tag))
}

/// The version that a change was made from, by `If-Match`; none where the header is not there, or is `*`.
pub(super) fn made_from(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let version = inner
        .and_then(|tag| tag.split('-').next())
        .and_then(|version| version.parse().ok());
    version.map(Some).ok_or_else(|| {
        Failure::new(
            failure::STALE,
            "`If-Match` does not hold the `ETag` that the configuration was read with.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        assert!(names("W/\"a\", \"b\"", "\"a\""));
        assert!(names("*", "W/\"x\""));
        assert!(!names("\"ab\"", "\"a\""));
    }

    #[test]
    fn a_version_is_read_from_its_tag() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(text));
            made_from(&headers)
        };
        assert_eq!(made_from(&HeaderMap::new()).unwrap(), None);
        assert_eq!(with("\"7-abc\"").unwrap(), Some(7));
        assert_eq!(with("\"7\"").unwrap(), Some(7));
        assert_eq!(with("*").unwrap(), None);
        assert!(with("W/\"x\"").is_err());
    }
}
