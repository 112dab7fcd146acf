//! Signing in and out.
//!
//! Tries are limited twice: for a name from an address, and for the address alone, so that neither one
//! password against many names nor many against one gets far.

use std::time::{Duration, Instant};

use axum::{
    Form,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{Again, Page, outside, to};
use crate::{
    app::App,
    failure::Failure,
    services::accounts::Origin,
    web::{
        entered,
        limit::{Exceeded, Limit},
        next, session,
        session::{SignedIn, Visitor},
        view::{Alert, Csrf, Field, start::SignInPage},
        words,
    },
};

/// Tries of signing in that are left to strangers.
#[derive(Debug)]
pub struct SignInLimits {
    by_name: Limit<(String, String)>,
    by_address: Limit<String>,
}

impl Default for SignInLimits {
    fn default() -> Self {
        let window = Duration::from_mins(15);
        Self {
            by_name: Limit::new(5, window),
            by_address: Limit::new(50, window),
        }
    }
}

impl SignInLimits {
    fn take(&self, name: &str, address: &str) -> Result<u32, Exceeded> {
        let now = Instant::now();
        self.by_address.take(&address.to_owned(), now)?;
        // Names are longer than this only to fill memory.
        let name: String = name.chars().take(64).collect();
        self.by_name.take(&(name.to_lowercase(), address.to_owned()), now)
    }

    fn forget(&self, name: &str, address: &str) {
        let name: String = name.chars().take(64).collect();
        self.by_name.forget(&(name.to_lowercase(), address.to_owned()));
    }
}

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
pub struct Wish {
    #[serde(default)]
    next: String,
}

/// What is entered.
#[derive(Debug, Deserialize)]
pub struct SignInForm {
    user: String,
    #[serde(deserialize_with = "entered::secret")]
    password: SecretString,
    #[serde(default)]
    next: String,
}

fn page(app: &App, csrf: Csrf, user: &str, wish: &str, alert: Option<Alert>) -> SignInPage {
    SignInPage {
        frame: outside(app, csrf, "Sign in"),
        alert,
        next: next::safe(wish).to_owned(),
        user: Field::mono("user", "User name")
            .value(user)
            .autocomplete("username"),
        password: Field::password("password", "Password", "current-password"),
    }
}

/// `GET /sign-in`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Query(wish): Query<Wish>,
) -> Result<Response, Failure> {
    if app.accounts.is_empty().await? {
        return Ok(to("/setup"));
    }
    Ok(Page(page(&app, visitor.csrf, "", &wish.next, None)).into_response())
}

/// `POST /sign-in`
///
/// # Errors
/// What the store says.
pub async fn sign_in(
    State(app): State<App>,
    visitor: Visitor,
    origin: Origin,
    Form(form): Form<SignInForm>,
) -> Result<Response, Failure> {
    let again = |alert| {
        Again(page(
            &app,
            visitor.csrf.clone(),
            &form.user,
            &form.next,
            Some(alert),
        ))
    };
    let left = match app.web.sign_in.take(&form.user, &origin.address) {
        Ok(left) => left,
        Err(exceeded) => {
            let wait = words::duration(Duration::from_secs(exceeded.wait.as_secs().max(1)));
            let alert = Alert::bad("Too many tries.").line(format!("Wait {wait}, then try again."));
            let mut response = again(alert).into_response();
            *response.status_mut() = axum::http::StatusCode::TOO_MANY_REQUESTS;
            let seconds = header::HeaderValue::from(exceeded.wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return Ok(response);
        }
    };
    let Some(signed_in) = app.accounts.sign_in(&form.user, &form.password, &origin).await? else {
        let alert = Alert::bad("User name or password is wrong.").line(match left {
            0 => "That was the last try for 15 minutes.".to_owned(),
            n => format!(
                "{} left, then wait 15 minutes.",
                words::count(n as usize, "try", "tries")
            ),
        });
        return Ok(again(alert).into_response());
    };
    app.web.sign_in.forget(&form.user, &origin.address);
    Ok(enter(&app, &signed_in.token, next::safe(&form.next)))
}

/// Gives the browser its cookie and sends it on.
pub(super) fn enter(app: &App, token: &SecretString, path: &str) -> Response {
    let mut response = Redirect::to(path).into_response();
    response
        .headers_mut()
        .append(header::SET_COOKIE, session::begin(app, token));
    response
}

/// `POST /sign-out`
///
/// # Errors
/// What the store says.
pub async fn sign_out(State(app): State<App>, who: SignedIn) -> Result<Response, Failure> {
    app.accounts.end_session(&who.caller, who.session_id()?).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    response
        .headers_mut()
        .append(header::SET_COOKIE, session::end(&app));
    Ok(response)
}
