//! Who is asking: an access token, or a browser that is signed in.
//!
//! A browser sends its cookie by itself, whoever made it ask. So a cookie is good for reading only, unless the
//! request carries the token of a page of ours (`X-CSRF-Token`), which no other site knows.

use std::ops::Deref;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use secrecy::SecretString;
use slipway_types::rights::TokenScope;
use subtle::ConstantTimeEq as _;

use crate::{
    app::App,
    failure::{self, Failure},
    services::{Caller, Via},
    web::session,
};

/// Carries the token of a page of ours.
const CSRF: &str = "x-csrf-token";

/// Whoever asks, recognised. What they may is for the services to decide.
#[derive(Debug, Clone)]
pub(super) struct Asker(Caller);

impl Deref for Asker {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequestParts<App> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let address = session::origin(&parts.headers, parts.extensions.get()).address;
        let caller = match bearer(&parts.headers)? {
            Some(token) => by_token(app, &token, address).await?,
            None => by_cookie(app, parts, address).await?,
        };
        if !parts.method.is_safe() && caller.via == Via::Token(TokenScope::Read) {
            let why = "An access token of scope `read` changes nothing: this needs one of scope `build` or `admin`.";
            return Err(Failure::new(failure::FORBIDDEN, why));
        }
        let asker = Self(caller);
        parts.extensions.insert(asker.clone());
        Ok(asker)
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750); none without the header.
fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let given = value.to_str().ok().and_then(|text| text.split_once(' '));
    match given {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim().to_owned().into()))
        }
        _ => Err(nobody(
            "The Authorization header is not `Bearer` and an access token.",
        )),
    }
}

async fn by_token(app: &App, token: &SecretString, address: String) -> Result<Caller, Failure> {
    let caller = app.access.by_access_token(token, Some(address)).await?;
    caller.ok_or_else(|| {
        nobody("The access token is unknown: it was revoked, has expired, or was not copied whole.")
    })
}

async fn by_cookie(app: &App, parts: &Parts, address: String) -> Result<Caller, Failure> {
    let missing = || nobody("The request carries no access token.");
    let token = session::presented(app, &parts.headers).ok_or_else(missing)?;
    let (caller, session) = app
        .access
        .by_session(&token, Some(address))
        .await?
        .ok_or_else(missing)?;
    if parts.method.is_safe() {
        return Ok(caller);
    }
    let given = parts
        .headers
        .get(CSRF)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    if given.ct_eq(session.csrf_token.as_bytes()).into() {
        return Ok(caller);
    }
    Err(nobody(
        "A browser’s cookie is good for reading only. To change something, send an access token.",
    ))
}

fn nobody(why: &str) -> Failure {
    Failure::new(failure::UNAUTHENTICATED, why)
}
