//! Bitbucket's OAuth: sign-in, authorize page, code exchange, refresh.
//!
//! The scopes are those ticked on the consumer. Refresh tokens rotate: each use hands out a new
//! one and kills the old; unused for three months they die by themselves. No PKCE and no
//! revocation endpoint, like the real one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::{NewCode, enter, found, issue_code, issue_token, leave, local, pages, redeem_code, visitor};
use super::{with_cookie, with_query};
use crate::forge::Shared;
use crate::git::http::basic;
use crate::people::Kind;
use crate::secrets::{SecretKind, random_alphanumeric};
use crate::state::{Grant, OAuthApp, RefreshToken};

const KIND: Kind = Kind::Bitbucket;
/// "Refresh tokens expire after three months without use."
const REFRESH_LIFETIME: Duration = Duration::from_hours(90 * 24);

type Pairs = HashMap<String, String>;

pub(crate) fn routes(forge: Shared) -> Router {
    Router::new()
        .route("/account/signin", get(sign_in_page).post(sign_in))
        .route("/account/signout", get(sign_out))
        .route("/site/oauth2/authorize", get(ask).post(answer))
        .route("/site/oauth2/access_token", post(exchange))
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
        pages::sign_in(KIND, local(field(&query, "next")), false),
    )
}

async fn sign_in(State(forge): State<Shared>, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let back = local(field(&form, "next"));
    let entered = enter(
        &forge,
        KIND,
        &visitor,
        field(&form, "username"),
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
    found("/account/signin")
}

fn understand(forge: &Shared, pairs: &Pairs) -> Result<(OAuthApp, String), Box<Response>> {
    let refuse = |text: &str| {
        Box::new(pages::message(
            KIND,
            StatusCode::BAD_REQUEST,
            "Invalid request",
            text,
        ))
    };
    let app = forge.world().side(KIND).app(field(pairs, "client_id")).cloned();
    let app = app.ok_or_else(|| refuse("Invalid client_id. This integration is misconfigured."))?;
    if field(pairs, "response_type") != "code" {
        return Err(refuse("Unsupported response_type."));
    }
    let given = pairs.get("redirect_uri").filter(|uri| !uri.is_empty());
    let callback = given.unwrap_or(&app.redirect_uri).clone();
    if !callback.starts_with(&app.redirect_uri) {
        return Err(refuse(
            "Invalid redirect_uri: it must start with the consumer's callback URL.",
        ));
    }
    Ok((app, callback))
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
        return with_cookie(&visitor, found(&with_query("/account/signin", &[("next", here)])));
    };
    let (app, callback) = match understand(&forge, &query) {
        Ok(understood) => understood,
        Err(response) => return with_cookie(&visitor, *response),
    };
    let wanted: BTreeSet<String> = app.scopes.iter().cloned().collect();
    let (login, granted) = {
        let world = forge.world();
        let side = world.side(KIND);
        let grant = side
            .grants
            .iter()
            .find(|grant| grant.user == user && grant.client_id == app.client_id);
        let login = side
            .account(user)
            .map(|user| user.login.clone())
            .unwrap_or_default();
        (login, grant.is_some_and(|grant| wanted.is_subset(&grant.scopes)))
    };
    if granted {
        let to = allow(
            &forge,
            user,
            &app,
            &callback,
            query.get("redirect_uri"),
            field(&query, "state"),
        );
        return with_cookie(&visitor, found(&to));
    }
    let fields = [
        ("authenticity_token", visitor.form_token.as_str()),
        ("client_id", app.client_id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", field(&query, "redirect_uri")),
        ("state", field(&query, "state")),
    ];
    let page = pages::Consent {
        kind: KIND,
        app: &app.name,
        login: &login,
        scopes: &app.scopes,
        fields: &fields,
    };
    with_cookie(&visitor, pages::consent(&page))
}

async fn answer(State(forge): State<Shared>, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    let visitor = visitor(&forge, KIND, &headers);
    let Some(user) = visitor
        .user
        .filter(|_| field(&form, "authenticity_token") == visitor.form_token)
    else {
        return pages::message(
            KIND,
            StatusCode::FORBIDDEN,
            "Forbidden",
            "The form is not yours, or is too old.",
        );
    };
    let (app, callback) = match understand(&forge, &form) {
        Ok(understood) => understood,
        Err(response) => return *response,
    };
    let state = field(&form, "state");
    if field(&form, "action") != "grant" {
        let refusal = [
            ("error", "access_denied"),
            ("error_description", "The user denied access"),
            ("state", state),
        ];
        return found(&with_query(&callback, &refusal));
    }
    found(&allow(
        &forge,
        user,
        &app,
        &callback,
        form.get("redirect_uri"),
        state,
    ))
}

fn allow(
    forge: &Shared,
    user: u64,
    app: &OAuthApp,
    callback: &str,
    redirect_uri: Option<&String>,
    state: &str,
) -> String {
    let scopes: BTreeSet<String> = app.scopes.iter().cloned().collect();
    {
        let mut world = forge.world();
        let grants = &mut world.side_mut(KIND).grants;
        grants.retain(|grant| grant.user != user || grant.client_id != app.client_id);
        grants.push(Grant {
            user,
            client_id: app.client_id.clone(),
            scopes: scopes.clone(),
        });
    }
    let redirect_uri = redirect_uri.filter(|uri| !uri.is_empty()).cloned();
    let code = NewCode {
        user,
        client_id: &app.client_id,
        redirect_uri,
        scopes,
        challenge: None,
    };
    let code = issue_code(forge, KIND, code);
    with_query(callback, &[("code", &code), ("state", state)])
}

/// An error of the token endpoint (RFC 6749, 5.2).
type Refusal = (StatusCode, &'static str, &'static str);

async fn exchange(State(forge): State<Shared>, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    match tokens_for(&forge, &headers, &form) {
        Ok(answer) => Json(answer).into_response(),
        Err((status, error, description)) => (
            status,
            Json(json!({ "error": error, "error_description": description })),
        )
            .into_response(),
    }
}

fn tokens_for(forge: &Shared, headers: &HeaderMap, form: &Pairs) -> Result<serde_json::Value, Refusal> {
    let (id, secret) = basic(headers).unwrap_or_else(|| {
        (
            field(form, "client_id").to_owned(),
            field(form, "client_secret").to_owned(),
        )
    });
    let app = forge
        .world()
        .side(KIND)
        .app(&id)
        .cloned()
        .filter(|app| app.client_secret == secret)
        .ok_or((
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
            "Invalid OAuth client credentials",
        ))?;
    match field(form, "grant_type") {
        "authorization_code" => {
            let refused = (
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "The specified code is not valid.",
            );
            let code = redeem_code(forge, KIND, field(form, "code"), &app.client_id).ok_or(refused)?;
            let given = form.get("redirect_uri").filter(|uri| !uri.is_empty());
            if code.redirect_uri.is_some() && code.redirect_uri.as_ref() != given {
                return Err((
                    StatusCode::BAD_REQUEST,
                    "invalid_grant",
                    "redirect_uri does not match.",
                ));
            }
            Ok(token_pair(forge, &app, code.user, &code.scopes))
        }
        "refresh_token" => {
            let (user, scopes) = use_refresh_token(forge, &app, field(form, "refresh_token")).ok_or((
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "Invalid refresh_token",
            ))?;
            Ok(token_pair(forge, &app, user, &scopes))
        }
        _ => Err((
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "This grant_type is not supported.",
        )),
    }
}

/// Kills the token and says whom it stood for.
fn use_refresh_token(forge: &Shared, app: &OAuthApp, value: &str) -> Option<(u64, BTreeSet<String>)> {
    let now = forge.now();
    let mut world = forge.world();
    let side = world.side_mut(KIND);
    side.refreshes += 1;
    let token = side
        .refresh_tokens
        .iter_mut()
        .find(|token| token.value == value && token.client_id == app.client_id);
    let found = token.and_then(|token| {
        let usable = !token.dead && now < token.last_used + REFRESH_LIFETIME;
        token.dead = true;
        usable.then(|| (token.user, token.scopes.clone()))
    });
    if found.is_none() {
        side.refreshes_refused += 1;
    }
    found
}

fn token_pair(forge: &Shared, app: &OAuthApp, user: u64, scopes: &BTreeSet<String>) -> serde_json::Value {
    let lifetime = forge.config.bitbucket_token_lifetime;
    let access = issue_token(forge, KIND, user, &app.client_id, scopes, Some(lifetime));
    let refresh = random_alphanumeric(18);
    forge.ledger.note(SecretKind::RefreshToken, &refresh);
    let last_used = forge.now();
    forge.world().side_mut(KIND).refresh_tokens.push(RefreshToken {
        value: refresh.clone(),
        user,
        client_id: app.client_id.clone(),
        scopes: scopes.clone(),
        last_used,
        dead: false,
    });
    let mut answer = json!({
        "access_token": access,
        "refresh_token": refresh,
        "expires_in": lifetime.as_secs(),
        "token_type": "bearer",
        "state": "authorization_code",
    });
    let scope = scopes.iter().cloned().collect::<Vec<_>>().join(" ");
    answer[forge.config.bitbucket_scope_field.name()] = json!(scope);
    answer
}
