//! Who is signed in, and proof that a form came from our own page.
//!
//! Two layers stand before every page. [`recognise`] finds out who is asking. [`guard`] lets nothing through
//! that changes something unless two things hold: the browser does not call the request cross-site
//! (`Sec-Fetch-Site`, `Origin`), and the form carries the token of this very session (or, before signing in, of this
//! very browser), compared in constant time. As it is a layer, no handler can forget it.
//!
//! The cookie's token is random and kept as a hash only; `HttpOnly`, `SameSite=Lax`, and with https under
//! the `__Host-` prefix, so that no neighbouring site can plant one.

use std::net::SocketAddr;

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use slipway_types::{SessionId, SlugName};
use subtle::ConstantTimeEq as _;

use super::{
    view::{Csrf, Me},
    words,
};
use crate::{
    app::App,
    failure::{self, Failure},
    services::{Caller, accounts::Origin},
};

/// The largest form that is read. Rules and variables of a generous configuration fit many times.
const FORM_LIMIT: usize = 1 << 20;

/// A person who is signed in, with the token that their forms must carry.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub caller: Caller,
    /// What forms carry.
    pub csrf: Csrf,
}

impl std::ops::Deref for SignedIn {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl SignedIn {
    /// Their name, which is also their namespace's.
    pub fn name(&self) -> &SlugName {
        &self.caller.name
    }

    /// The session.
    ///
    /// # Errors
    /// Never for a browser.
    pub fn session_id(&self) -> Result<SessionId, Failure> {
        Ok(self.caller.session()?)
    }

    /// As the frame of a page shows them.
    pub fn me(&self) -> Me {
        Me {
            name: self.caller.name.to_string(),
            initials: words::initials(self.caller.name.as_str()),
            admin: self.caller.is_admin,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    /// Sends to the sign-in page whoever is not signed in, and back here afterwards.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        if let Some(signed_in) = parts.extensions.get::<Self>() {
            return Ok(signed_in.clone());
        }
        let back = match (&parts.method, parts.uri.path_and_query()) {
            (&Method::GET, Some(path)) if path.path() != "/" => path.as_str(),
            _ => return Err(Redirect::to("/sign-in").into_response()),
        };
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", back)
            .finish();
        Err(Redirect::to(&format!("/sign-in?{query}")).into_response())
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for SignedIn {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// A browser before signing in: forms of the first pages are bound to a cookie of their own.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What forms carry.
    pub csrf: Csrf,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Failure::new(failure::INTERNAL, "The request was not looked at."))
    }
}

/// Where a request comes from, for sessions and the audit trail.
pub fn origin(headers: &HeaderMap, peer: Option<&ConnectInfo<SocketAddr>>) -> Origin {
    let user_agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok());
    Origin {
        address: peer.map(|peer| peer.0.ip().to_string()).unwrap_or_default(),
        user_agent: user_agent.unwrap_or_default().to_owned(),
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(origin(&parts.headers, parts.extensions.get()))
    }
}

/// Names of our cookies.
#[derive(Debug, Clone, Copy)]
struct Names {
    session: &'static str,
    visitor: &'static str,
    secure: bool,
}

fn names(app: &App) -> Names {
    if app.is_https() {
        Names {
            session: "__Host-slipway",
            visitor: "__Host-slipway-visitor",
            secure: true,
        }
    } else {
        Names {
            session: "slipway",
            visitor: "slipway-visitor",
            secure: false,
        }
    }
}

/// The `Set-Cookie` that signs in.
pub fn begin(app: &App, token: &SecretString) -> HeaderValue {
    cookie(
        names(app),
        names(app).session,
        token.expose_secret(),
        "; Max-Age=1209600",
    )
}

/// The `Set-Cookie` that signs out.
pub fn end(app: &App) -> HeaderValue {
    cookie(names(app), names(app).session, "", "; Max-Age=0")
}

fn cookie(names: Names, name: &str, value: &str, age: &str) -> HeaderValue {
    let secure = if names.secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn read_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// The session's token, as the browser sent it.
pub(crate) fn presented(app: &App, headers: &HeaderMap) -> Option<SecretString> {
    read_cookie(headers, names(app).session).map(|token| SecretString::from(token.to_owned()))
}

/// Finds out who is asking, and gives browsers that are not signed in a cookie to bind their forms to.
pub async fn recognise(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let names = names(&app);
    let address = origin(request.headers(), request.extensions().get()).address;
    let mut me = None;
    if let Some(token) =
        read_cookie(request.headers(), names.session).map(|t| SecretString::from(t.to_owned()))
    {
        match app.access.by_session(&token, Some(address)).await {
            Ok(Some((caller, session))) => {
                let signed_in = SignedIn {
                    caller,
                    csrf: Csrf(session.csrf_token),
                };
                me = Some(signed_in.me());
                request.extensions_mut().insert(signed_in);
            }
            Ok(None) => {}
            Err(error) => return Failure::from(error).into_response(),
        }
    }
    let (visitor, fresh) = match read_cookie(request.headers(), names.visitor) {
        Some(known) => (known.to_owned(), false),
        None => (random(), true),
    };
    request.extensions_mut().insert(Visitor {
        csrf: Csrf(visitor_csrf(&visitor)),
    });
    let wants_page = me.is_none() && request.method() == Method::GET;
    let mut response = next.run(request).await;
    if fresh && wants_page && !response.headers().contains_key(header::CACHE_CONTROL) {
        let cookie = cookie(names, names.visitor, &visitor, "");
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if let Some(me) = me {
        response.extensions_mut().insert(me);
    }
    response
}

/// 256 random bits in hexadecimal.
fn random() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill(&mut bytes);
    hex::encode(bytes)
}

/// What the forms of a browser that is not signed in carry: computed from its cookie, which no other site sees.
fn visitor_csrf(visitor: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"slipway visitor form\0");
    hash.update(visitor.as_bytes());
    hex::encode(hash.finalize())
}

/// Lets nothing through that changes something, unless it came from a page of ours.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    if is_cross_site(request.headers(), &app.origin()) {
        return Failure::new(failure::CROSS_SITE, "Your browser said so.").into_response();
    }
    let expected = match (
        request.extensions().get::<SignedIn>(),
        request.extensions().get::<Visitor>(),
    ) {
        (Some(signed_in), _) => signed_in.csrf.0.clone(),
        (None, Some(visitor)) => visitor.csrf.0.clone(),
        (None, None) => {
            return Failure::new(failure::INTERNAL, "The request was not looked at.").into_response();
        }
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, FORM_LIMIT).await else {
        return Failure::new(failure::TOO_LARGE, "A form of up to 1 MiB is taken.").into_response();
    };
    let given = url::form_urlencoded::parse(&body).find(|(name, _)| name == "csrf");
    let right = given.is_some_and(|(_, token)| token.as_bytes().ct_eq(expected.as_bytes()).into());
    if !right {
        let why = "It was made before you signed in or out, or it is of another browser.";
        return Failure::new(failure::STALE_FORM, why).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// Whether the browser says that another site made it send this. Old browsers, and programs, say nothing: for them
/// the form's token decides.
fn is_cross_site(headers: &HeaderMap, own: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else {
        return false;
    };
    let host = text("host").unwrap_or_default();
    let of_host = origin.split_once("://").is_some_and(|(_, rest)| rest == host);
    origin != own && !of_host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn another_site_is_told_from_our_own() {
        let own = "https://ci.example";
        let says = |pairs| is_cross_site(&headers(pairs), own);
        assert!(!says(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(says(&[("sec-fetch-site", "cross-site")]));
        assert!(says(&[("sec-fetch-site", "same-site")]), "a neighbour is not us");
        assert!(says(&[
            ("origin", "https://evil.example"),
            ("host", "ci.example")
        ]));
        assert!(says(&[("origin", "null")]));
        assert!(!says(&[("origin", "https://ci.example")]));
        assert!(!says(&[
            ("origin", "http://127.0.0.1:8080"),
            ("host", "127.0.0.1:8080")
        ]));
        assert!(!says(&[]), "the form's token decides");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers(&[("cookie", "a=b; slipway=tok; slipway-visitor=v")]);
        assert_eq!(read_cookie(&headers, "slipway"), Some("tok"));
        assert_eq!(read_cookie(&headers, "slipway-visitor"), Some("v"));
        assert_eq!(read_cookie(&headers, "other"), None);
    }

    #[test]
    fn the_form_token_does_not_tell_the_cookie() {
        let visitor = random();
        assert_eq!(visitor.len(), 64);
        assert!(!visitor_csrf(&visitor).contains(&visitor));
        assert_ne!(visitor_csrf("a"), visitor_csrf("b"));
    }
}
