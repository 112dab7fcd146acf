//! GitHub's OAuth: sign-in, account switcher, authorize page, code exchange.
//!
//! As documented under "Authorizing OAuth apps" and "Troubleshooting OAuth app access token request
//! errors": token errors come with HTTP 200 and an `error` field. That a wrong PKCE verifier is
//! `bad_verification_code` is from memory; the documentation names no other word.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{NewCode, enter, found, issue_code, issue_token, leave, local, pages, redeem_code, scope_set};
use super::{visitor, with_cookie, with_query};
use crate::forge::Shared;
use crate::git::http::basic;
use crate::people::Kind;
use crate::secrets::{SecretKind, random_alphanumeric};
use crate::state::{Code, Grant, OAuthApp, RefreshToken};

const KIND: Kind = Kind::GitHub;

/// A person's token for a GitHub App: eight hours; what renews it: six months.
const APP_TOKEN_LIFETIME: Duration = Duration::from_hours(8);
const REFRESH_LIFETIME: Duration = Duration::from_hours(184 * 24);

type Pairs = HashMap<String, String>;

pub(crate) fn routes(forge: Shared) -> Router {
    Router::new()
        .route("/login", get(sign_in_page))
        .route("/session", post(sign_in))
        .route("/logout", get(sign_out))
        .route("/login/select_account", post(select_account))
        .route("/login/oauth/authorize", get(ask).post(answer))
        .route("/login/oauth/access_token", post(exchange))
        .with_state(forge)
}

fn field<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.get(name).map(String::as_str).unwrap_or_default()
}

async fn sign_in_page(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    with_cookie(
        &visitor,
        pages::sign_in(KIND, local(field(&query, "return_to")), false),
    )
}

async fn sign_in(State(forge): State<Shared>, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let back = local(field(&form, "return_to"));
    let entered = enter(
        &forge,
        KIND,
        &visitor,
        field(&form, "login"),
        field(&form, "password"),
    );
    let response = if entered {
        found(back)
    } else {
        pages::sign_in(KIND, back, true)
    };
    with_cookie(&visitor, response)
}

async fn sign_out(State(forge): State<Shared>, headers: HeaderMap) -> Response {
    leave(&forge, KIND, &visitor(&forge, KIND, &headers));
    found("/login")
}

async fn select_account(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<Pairs>,
) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let mut world = forge.world();
    let side = world.side_mut(KIND);
    let chosen = side
        .user(field(&form, "login"))
        .map(|user| user.id)
        .filter(|id| visitor.users.contains(id));
    for session in side
        .sessions
        .iter_mut()
        .filter(|session| session.cookie == visitor.cookie)
    {
        session.current = chosen.or(session.current);
    }
    // The choice is made: asking for it again would go round in circles.
    let back = local(field(&form, "return_to")).replace("prompt=select_account", "prompt=chosen");
    found(&back)
}

/// An authorization request that may be shown to a person.
struct Request {
    app: OAuthApp,
    /// As given, to be repeated at the exchange.
    redirect_uri: Option<String>,
    callback: String,
    state: String,
    scopes: BTreeSet<String>,
    challenge: Option<String>,
}

/// What an authorize URL or form asks for, or the answer that ends it at once.
fn understand(forge: &Shared, pairs: &Pairs) -> Result<Request, Box<Response>> {
    let Some(app) = forge.world().side(KIND).app(field(pairs, "client_id")).cloned() else {
        return Err(Box::new(pages::message(
            KIND,
            StatusCode::NOT_FOUND,
            "404",
            "There is no such application.",
        )));
    };
    let state = field(pairs, "state").to_owned();
    let given = pairs.get("redirect_uri").filter(|uri| !uri.is_empty()).cloned();
    let callback = given.clone().unwrap_or_else(|| app.redirect_uri.clone());
    let fail = |error: &str, text: &str| {
        let pairs = [
            ("error", error),
            ("error_description", text),
            ("state", state.as_str()),
        ];
        Box::new(found(&with_query(&app.redirect_uri, &pairs)))
    };
    if !redirect_allowed(&app.redirect_uri, &callback) {
        return Err(fail(
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        ));
    }
    let challenge = pairs
        .get("code_challenge")
        .filter(|challenge| !challenge.is_empty())
        .cloned();
    if challenge.is_some() && field(pairs, "code_challenge_method") != "S256" {
        return Err(fail(
            "invalid_request",
            "Only the code challenge method S256 is supported.",
        ));
    }
    let scopes = scope_set(field(pairs, "scope"));
    Ok(Request {
        redirect_uri: given,
        callback,
        state,
        scopes,
        challenge,
        app,
    })
}

/// "The redirect URL's host and port must exactly match the callback URL, its path must reference a
/// subdirectory of it"; the port of a loopback callback may differ.
fn redirect_allowed(registered: &str, given: &str) -> bool {
    let (Ok(registered), Ok(given)) = (url::Url::parse(registered), url::Url::parse(given)) else {
        return false;
    };
    let loopback = matches!(registered.host_str(), Some("127.0.0.1" | "[::1]"));
    let base = registered.path().trim_end_matches('/');
    registered.scheme() == given.scheme()
        && registered.host_str() == given.host_str()
        && (loopback || registered.port_or_known_default() == given.port_or_known_default())
        && given
            .path()
            .strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn ask(
    State(forge): State<Shared>,
    uri: axum::extract::OriginalUri,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let here = uri
        .path_and_query()
        .map_or("/", axum::http::uri::PathAndQuery::as_str);
    let Some(user) = visitor.user else {
        return with_cookie(&visitor, found(&with_query("/login", &[("return_to", here)])));
    };
    let mut request = match understand(&forge, &query) {
        Ok(request) => request,
        Err(response) => return with_cookie(&visitor, *response),
    };
    let prompt = field(&query, "prompt");
    let (login, logins, granted) = {
        let world = forge.world();
        let side = world.side(KIND);
        let login = |id: u64| {
            side.account(id)
                .map(|user| user.login.clone())
                .unwrap_or_default()
        };
        let grant = side
            .grants
            .iter()
            .find(|grant| grant.user == user && grant.client_id == request.app.client_id);
        let logins: Vec<String> = visitor.users.iter().map(|&id| login(id)).collect();
        (login(user), logins, grant.map(|grant| grant.scopes.clone()))
    };
    if prompt == "select_account" {
        return with_cookie(&visitor, pages::select_account(&logins, here));
    }
    if request.scopes.is_empty() {
        // Without `scope`, what was granted before is used again.
        request.scopes = granted.clone().unwrap_or_default();
    }
    if prompt.is_empty() && granted.is_some_and(|granted| request.scopes.is_subset(&granted)) {
        return with_cookie(&visitor, found(&allow(&forge, user, &request)));
    }
    let scopes: Vec<String> = request.scopes.iter().cloned().collect();
    let scope = scopes.join(" ");
    let fields = [
        ("authenticity_token", visitor.form_token.as_str()),
        ("client_id", request.app.client_id.as_str()),
        (
            "redirect_uri",
            request.redirect_uri.as_deref().unwrap_or_default(),
        ),
        ("state", request.state.as_str()),
        ("scope", scope.as_str()),
        ("code_challenge", request.challenge.as_deref().unwrap_or_default()),
        (
            "code_challenge_method",
            if request.challenge.is_some() { "S256" } else { "" },
        ),
    ];
    let page = pages::Consent {
        kind: KIND,
        app: &request.app.name,
        login: &login,
        scopes: &scopes,
        fields: &fields,
    };
    with_cookie(&visitor, pages::consent(&page))
}

/// `POST /login/oauth/authorize`: Authorize or Cancel was pressed.
async fn answer(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let ticked: BTreeSet<String> = form
        .iter()
        .filter(|(name, _)| name == "granted_scope")
        .map(|(_, scope)| scope.clone())
        .collect();
    let pairs: Pairs = form.into_iter().collect();
    let Some(user) = visitor
        .user
        .filter(|_| field(&pairs, "authenticity_token") == visitor.form_token)
    else {
        let text = "Your browser did something unexpected. Please try again.";
        return pages::message(KIND, StatusCode::UNPROCESSABLE_ENTITY, "422", text);
    };
    let mut request = match understand(&forge, &pairs) {
        Ok(request) => request,
        Err(response) => return *response,
    };
    if field(&pairs, "authorize") != "1" {
        let refusal = [
            ("error", "access_denied"),
            (
                "error_description",
                "The user has denied your application access.",
            ),
            (
                "error_uri",
                "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-authorization-request-errors/#access-denied",
            ),
            ("state", request.state.as_str()),
        ];
        return found(&with_query(&request.callback, &refusal));
    }
    request.scopes.retain(|scope| ticked.contains(scope));
    found(&allow(&forge, user, &request))
}

/// Records the grant and returns where the browser goes with its code.
fn allow(forge: &Shared, user: u64, request: &Request) -> String {
    let client_id = request.app.client_id.as_str();
    {
        let mut world = forge.world();
        let grants = &mut world.side_mut(KIND).grants;
        let known = grants
            .iter_mut()
            .find(|grant| grant.user == user && grant.client_id == client_id);
        if let Some(grant) = known {
            grant.scopes.extend(request.scopes.iter().cloned());
        } else {
            let scopes = request.scopes.clone();
            grants.push(Grant {
                user,
                client_id: client_id.to_owned(),
                scopes,
            });
        }
    }
    let code = NewCode {
        user,
        client_id,
        redirect_uri: request.redirect_uri.clone(),
        scopes: request.scopes.clone(),
        challenge: request.challenge.clone(),
    };
    let code = issue_code(forge, KIND, code);
    with_query(&request.callback, &[("code", &code), ("state", &request.state)])
}

/// `POST /login/oauth/access_token`.
async fn exchange(
    State(forge): State<Shared>,
    query: Query<Pairs>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut pairs = query.0;
    let is_json = content_type(&headers).starts_with("application/json");
    if is_json {
        let sent: HashMap<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
        pairs.extend(
            sent.into_iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))),
        );
    } else {
        pairs.extend(url::form_urlencoded::parse(&body).into_owned());
    }
    if let Some((id, secret)) = basic(&headers) {
        pairs.entry("client_id".to_owned()).or_insert(id);
        pairs.entry("client_secret".to_owned()).or_insert(secret);
    }
    let result = token_for(&forge, &pairs).unwrap_or_else(|(error, description)| {
        let anchor = error.replace('_', "-");
        json!({
            "error": error,
            "error_description": description,
            "error_uri": format!("https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#{anchor}"),
        })
    });
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if wants_json.is_some_and(|accept| accept.contains("json")) {
        return Json(result).into_response();
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in result.as_object().into_iter().flatten() {
        form.append_pair(name, value.as_str().unwrap_or_default());
    }
    (
        [(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        )],
        form.finish(),
    )
        .into_response()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

type Refusal = (&'static str, &'static str);

const BAD_CODE: Refusal = (
    "bad_verification_code",
    "The code passed is incorrect or expired.",
);

fn token_for(forge: &Shared, pairs: &Pairs) -> Result<Value, Refusal> {
    let app = forge.world().side(KIND).app(field(pairs, "client_id")).cloned();
    let app = app
        .filter(|app| app.client_secret == field(pairs, "client_secret"))
        .ok_or((
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
        ))?;
    if field(pairs, "grant_type") == "refresh_token" {
        return refreshed(forge, &app, field(pairs, "refresh_token"));
    }
    let code = redeem_code(forge, KIND, field(pairs, "code"), &app.client_id).ok_or(BAD_CODE)?;
    let given = pairs.get("redirect_uri").filter(|uri| !uri.is_empty());
    if given.is_some_and(|uri| {
        !redirect_allowed(&app.redirect_uri, uri) || code.redirect_uri.as_ref() != Some(uri)
    }) {
        return Err((
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        ));
    }
    if !verifier_fits(forge, &code, field(pairs, "code_verifier")) {
        return Err(BAD_CODE);
    }
    let verified = forge
        .world()
        .side(KIND)
        .account(code.user)
        .is_some_and(|user| user.email_verified);
    if !verified {
        return Err((
            "unverified_user_email",
            "The user must have a verified primary email.",
        ));
    }
    if forge.world().side(KIND).app_of_client(&app.client_id).is_some() {
        return Ok(token_pair(forge, code.user, &app.client_id));
    }
    let token = issue_token(forge, KIND, code.user, &app.client_id, &code.scopes, None);
    let scope = code.scopes.iter().cloned().collect::<Vec<_>>().join(",");
    Ok(json!({ "access_token": token, "scope": scope, "token_type": "bearer" }))
}

/// A person's token for a GitHub App, and what renews it ("Refreshing user access tokens").
fn token_pair(forge: &Shared, user: u64, client_id: &str) -> Value {
    let none = BTreeSet::new();
    let access = issue_token(forge, KIND, user, client_id, &none, Some(APP_TOKEN_LIFETIME));
    let refresh = format!("ghr_{}", random_alphanumeric(76));
    forge.ledger.note(SecretKind::RefreshToken, &refresh);
    let last_used = forge.now();
    forge.world().side_mut(KIND).refresh_tokens.push(RefreshToken {
        value: refresh.clone(),
        user,
        client_id: client_id.to_owned(),
        scopes: none,
        last_used,
        dead: false,
    });
    json!({
        "access_token": access,
        "expires_in": APP_TOKEN_LIFETIME.as_secs(),
        "refresh_token": refresh,
        "refresh_token_expires_in": REFRESH_LIFETIME.as_secs(),
        "scope": "",
        "token_type": "bearer",
    })
}

/// "Once you use a refresh token, that refresh token and the old user access token will no longer work."
fn refreshed(forge: &Shared, app: &OAuthApp, value: &str) -> Result<Value, Refusal> {
    let now = forge.now();
    let user = {
        let mut world = forge.world();
        let side = world.side_mut(KIND);
        let found = side
            .refresh_tokens
            .iter_mut()
            .find(|token| token.value == value && token.client_id == app.client_id)
            .filter(|token| !token.dead && now < token.last_used + REFRESH_LIFETIME);
        let Some(token) = found else {
            return Err((
                "bad_refresh_token",
                "The refresh token passed is incorrect or expired.",
            ));
        };
        token.dead = true;
        let (user, made) = (token.user, token.last_used);
        // Access and refresh token of a pair are of one moment.
        let old = side
            .tokens
            .iter()
            .filter(|token| {
                token.user == user && token.client_id == app.client_id && token.created_at <= made
            })
            .max_by_key(|token| token.created_at)
            .map(|token| token.id);
        if let Some(old) = old {
            side.revoke_token(old);
        }
        user
    };
    Ok(token_pair(forge, user, &app.client_id))
}

/// RFC 7636, S256: the challenge is the unpadded base64url of the verifier's SHA-256.
fn verifier_fits(forge: &Shared, code: &Code, verifier: &str) -> bool {
    forge.ledger.note(SecretKind::CodeVerifier, verifier);
    match &code.challenge {
        None => true,
        Some(challenge) => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == *challenge,
    }
}
