//! Signing in at the simulated providers, and OAuth.
//!
//! # Driving it without a browser
//!
//! Keep cookies, do not follow redirects out of the forge, post forms as
//! `application/x-www-form-urlencoded`.
//!
//! | step | GitHub | Bitbucket |
//! | --- | --- | --- |
//! | sign in | `POST /session` `login, password, return_to` → 302 to `return_to` | `POST /account/signin` `username, password, next` → 302 to `next` |
//! | ask | `GET /login/oauth/authorize?…` → page, or 302 to `/login?return_to=…` when nobody is signed in | `GET /site/oauth2/authorize?…` → page, or 302 to `/account/signin?next=…` |
//! | switch account | `POST /login/select_account` `login, return_to` | sign in again |
//! | answer | `POST /login/oauth/authorize` with every hidden field of the page and `authorize=1` or `0`, once `granted_scope=…` per scope left ticked | `POST /site/oauth2/authorize` with every hidden field and `action=grant` or `deny` |
//!
//! The hidden field `authenticity_token` belongs to the cookie and is checked. The answer is a 302
//! to the client's callback with `code` and `state`, or `error` and `state`. Like GitHub, an
//! application that the user already granted the scopes asked for gets its code without a page,
//! unless `prompt` is given. `GET /logout` (GitHub) and `GET /account/signout` (Bitbucket) sign out.

pub(crate) mod bitbucket;
pub(crate) mod github;
pub(crate) mod pages;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::forge::Shared;
use crate::people::Kind;
use crate::secrets::{SecretKind, random_alphanumeric, random_hex, random_text};
use crate::state::{Code, Session, Side, Token};

/// GitHub: "The code will expire in 10 minutes". Bitbucket says nothing; the same is used.
const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// GitHub: "up to ten tokens … per user/application/scope combination".
const MOST_TOKENS: usize = 10;

const COOKIE: &str = "user_session";

/// What a browser's cookie stands for, copied out of the world.
pub(crate) struct Visitor {
    cookie: String,
    pub(crate) form_token: String,
    pub(crate) user: Option<u64>,
    users: Vec<u64>,
    is_new: bool,
}

/// The session of the request's cookie, or a fresh one.
pub(crate) fn visitor(forge: &Shared, kind: Kind, headers: &HeaderMap) -> Visitor {
    let mut world = forge.world();
    let sessions = &mut world.side_mut(kind).sessions;
    let known = cookie(headers).and_then(|value| sessions.iter().find(|session| session.cookie == value));
    if let Some(session) = known {
        return Visitor {
            cookie: session.cookie.clone(),
            form_token: session.form_token.clone(),
            user: session.current,
            users: session.users.clone(),
            is_new: false,
        };
    }
    let session = Session {
        cookie: random_text(24),
        form_token: random_text(24),
        users: Vec::new(),
        current: None,
    };
    let visitor = Visitor {
        cookie: session.cookie.clone(),
        form_token: session.form_token.clone(),
        user: None,
        users: Vec::new(),
        is_new: true,
    };
    sessions.push(session);
    visitor
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

pub(crate) fn with_cookie(visitor: &Visitor, mut response: Response) -> Response {
    if visitor.is_new {
        let value = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", visitor.cookie);
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(header::SET_COOKIE, value);
        }
    }
    response
}

/// 302, as both providers answer.
pub(crate) fn found(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, "the address is not one").into_response(),
    }
}

/// Only paths of this host: the sign-in page is no open redirect.
fn local(path: &str) -> &str {
    if path.starts_with('/') && !path.starts_with("//") {
        path
    } else {
        "/"
    }
}

/// Signs a user in, in this visitor's session; others who were signed in stay selectable.
fn enter(forge: &Shared, kind: Kind, visitor: &Visitor, login: &str, password: &str) -> bool {
    let mut world = forge.world();
    let side = world.side_mut(kind);
    let Some(user) = side.sign_in(login, password).map(|account| account.id) else {
        return false;
    };
    for session in side
        .sessions
        .iter_mut()
        .filter(|session| session.cookie == visitor.cookie)
    {
        session.current = Some(user);
        session.users.retain(|known| *known != user);
        session.users.push(user);
    }
    true
}

fn leave(forge: &Shared, kind: Kind, visitor: &Visitor) {
    let mut world = forge.world();
    world
        .side_mut(kind)
        .sessions
        .retain(|session| session.cookie != visitor.cookie);
}

/// `base` with more query parameters.
pub(crate) fn with_query(base: &str, pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs.iter().copied())
        .finish();
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}{query}")
}

/// What an authorization code will stand for.
struct NewCode<'a> {
    user: u64,
    client_id: &'a str,
    redirect_uri: Option<String>,
    scopes: BTreeSet<String>,
    challenge: Option<String>,
}

fn issue_code(forge: &Shared, kind: Kind, new: NewCode<'_>) -> String {
    let value = random_hex(10);
    forge.ledger.note(SecretKind::Code, &value);
    let now = forge.now();
    forge.world().side_mut(kind).codes.push(Code {
        value: value.clone(),
        user: new.user,
        client_id: new.client_id.to_owned(),
        redirect_uri: new.redirect_uri,
        scopes: new.scopes,
        challenge: new.challenge,
        created_at: now,
        used: false,
    });
    value
}

/// Takes a code out of circulation: `None` when it is unknown, used, expired or another client's.
fn redeem_code(forge: &Shared, kind: Kind, value: &str, client_id: &str) -> Option<Code> {
    let now = forge.now();
    let mut world = forge.world();
    let codes = &mut world.side_mut(kind).codes;
    let code = codes
        .iter_mut()
        .find(|code| code.value == value && code.client_id == client_id)?;
    let fresh = !code.used && now < code.created_at + CODE_LIFETIME;
    code.used = true;
    fresh.then(|| code.clone())
}

/// Makes an access token and, on GitHub, applies the ten-token rule.
fn issue_token(
    forge: &Shared,
    kind: Kind,
    user: u64,
    client_id: &str,
    scopes: &BTreeSet<String>,
    lifetime: Option<Duration>,
) -> String {
    let is_app = forge.world().side(kind).app_of_client(client_id).is_some();
    let value = match kind {
        // "Tokens may be long": one that is taken for 40 characters should show.
        Kind::GitHub if is_app => format!("ghu_{}", random_alphanumeric(120)),
        Kind::GitHub => format!("gho_{}", random_alphanumeric(36)),
        Kind::Bitbucket => format!("{}=={}", random_text(60), random_text(12)),
    };
    forge.ledger.note(SecretKind::AccessToken, &value);
    let now = forge.now();
    let mut world = forge.world();
    let id = world.next_id();
    let side = world.side_mut(kind);
    side.tokens.push(Token {
        id,
        value: value.clone(),
        user,
        client_id: client_id.to_owned(),
        scopes: scopes.clone(),
        created_at: now,
        expires_at: lifetime.map(|lifetime| now + lifetime),
        revoked: false,
    });
    if kind == Kind::GitHub {
        revoke_surplus(side, user, client_id, scopes);
    }
    value
}

fn revoke_surplus(side: &mut Side, user: u64, client_id: &str, scopes: &BTreeSet<String>) {
    let alike: Vec<u64> = side
        .tokens
        .iter()
        .filter(|token| {
            !token.revoked && token.user == user && token.client_id == client_id && token.scopes == *scopes
        })
        .map(|token| token.id)
        .collect();
    let surplus = alike.len().saturating_sub(MOST_TOKENS);
    for id in alike.into_iter().take(surplus) {
        side.revoke_token(id);
    }
}

/// Splits at spaces and commas.
fn scope_set(text: &str) -> BTreeSet<String> {
    text.split([' ', ','])
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}
