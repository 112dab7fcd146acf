//! Which builder is asking: by the credential that it shows.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use secrecy::SecretString;
use slipway_store::Builder;

use crate::{
    app::App,
    failure::{self, Failure},
};

/// A builder that was recognised.
#[derive(Debug)]
pub(super) struct Asker(Builder);

impl Deref for Asker {
    type Target = Builder;
    fn deref(&self) -> &Builder {
        &self.0
    }
}

impl FromRequestParts<App> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let credential = bearer(&parts.headers)?;
        Ok(Self(app.builders.recognise(&credential).await?))
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Result<SecretString, Failure> {
    let value = headers.get(header::AUTHORIZATION);
    let given = value.and_then(|value| value.to_str().ok()?.split_once(' '));
    match given {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim().to_owned().into()),
        _ => Err(Failure::new(
            failure::UNKNOWN_BUILDER,
            "The request carries no credential.",
        )),
    }
}
