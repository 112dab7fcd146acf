//! What a request says, parsed; what cannot be parsed is refused with the field named.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use slipway_types::SlugName;
use utoipa::IntoParams;

use crate::failure::{self, Failure, FieldFailure};

/// A JSON body. Unknown fields are refused, as far as `T` says so; nesting is bounded by the parser (128 levels).
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let essence = kind
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let is_json = essence.eq_ignore_ascii_case("application/json");
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        if !is_json && !bytes.is_empty() {
            return Err(Failure {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ..Failure::new(
                    failure::MALFORMED,
                    "The body has to be JSON: send `Content-Type: application/json`.",
                )
            });
        }
        // Where every field may be left out, so may the body.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        parse(text).map(Self)
    }
}

/// A body that could not be read to its end.
pub(super) fn unread(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::new(failure::TOO_LARGE, "A body of up to 1 MiB is taken.");
    }
    Failure::new(failure::MALFORMED, "The body ended before it was complete.")
}

/// JSON as `T`, or which field is wrong, and how.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            return Failure::invalid(field, error.to_string());
        }
        Failure::new(failure::MALFORMED, format!("The body is not JSON: {error}."))
    })?;
    json.end()
        .map_err(|error| Failure::new(failure::MALFORMED, format!("The body is not JSON: {error}.")))?;
    Ok(parsed)
}

/// `rules[0].source` as `rules/0/source`, the manner of all `errors`.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let parts = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The query string.
#[derive(Debug)]
pub(super) struct Ask<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let message = text
                .split_once(": ")
                .map_or(text.as_str(), |(_, message)| message)
                .to_owned();
            let mut failure = Failure::new(failure::MALFORMED, message.clone());
            failure.fields.push(FieldFailure {
                field: "query".to_owned(),
                message,
                column: None,
            });
            failure
        })
    }
}

/// What the path names. What is not even a name of its kind names nothing.
#[derive(Debug)]
pub(super) struct Of<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Of<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(rejection) if rejection.status().is_server_error() => Err(Failure::new(
                failure::INTERNAL,
                "The route does not name what its handler reads.",
            )),
            Err(_) => Err(Failure::not_found()),
        }
    }
}

/// A namespace, in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct NamespacePath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    pub(super) namespace: SlugName,
}

/// A repository, in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RepositoryPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    pub(super) namespace: SlugName,
    /// The repository's name.
    #[param(value_type = String)]
    pub(super) name: SlugName,
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Outer {
        rules: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        on: bool,
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        let wrong = parse::<Outer>(br#"{"rules":[{"on":true},{"on":"yes"}]}"#).unwrap_err();
        assert_eq!(wrong.fields[0].field, "rules/1/on");
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        let unknown = parse::<Outer>(br#"{"rules":[{"on":true,"off":1}]}"#).unwrap_err();
        assert_eq!(unknown.fields[0].field, "rules/0/off");
        assert!(unknown.why.contains("unknown field"), "{}", unknown.why);
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_malformed() {
        for text in ["{", "[1] 2", ""] {
            assert_eq!(
                parse::<serde_json::Value>(text.as_bytes()).unwrap_err().status,
                StatusCode::BAD_REQUEST
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse::<serde_json::Value>(deep.as_bytes()).unwrap_err().status,
            StatusCode::BAD_REQUEST
        );
    }
}
