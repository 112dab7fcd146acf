//! The few pages a person meets: sign in, choose an account, allow an application.
//!
//! Plain HTML without scripts or styles from elsewhere; the forms are described in [`super`].

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use crate::people::Kind;

/// Text made safe for HTML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

pub(crate) fn frame(kind: Kind, title: &str, body: &str) -> Response {
    let forge = match kind {
        Kind::GitHub => "GitHub (simulated)",
        Kind::Bitbucket => "Bitbucket (simulated)",
    };
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · {forge}</title>\
         <style>body{{font:16px/1.5 system-ui;max-width:32rem;margin:3rem auto;padding:0 1rem}}\
         label{{display:block;margin:.5rem 0}}button{{font:inherit;padding:.4rem 1rem;margin-right:.5rem}}</style>\
         </head><body><p><strong>{forge}</strong></p><h1>{title}</h1>{body}</body></html>",
        title = escape(title),
    ))
    .into_response()
}

pub(crate) fn hidden(name: &str, value: &str) -> String {
    format!(
        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
        escape(value)
    )
}

/// The sign-in page.
pub(super) fn sign_in(kind: Kind, back: &str, failed: bool) -> Response {
    let (action, login, back_name) = match kind {
        Kind::GitHub => ("/session", "login", "return_to"),
        Kind::Bitbucket => ("/account/signin", "username", "next"),
    };
    let notice = if failed {
        "<p role=\"alert\">Incorrect username or password.</p>"
    } else {
        ""
    };
    let body = format!(
        "{notice}<form id=\"sign-in\" method=\"post\" action=\"{action}\">{}\
         <label>Username <input name=\"{login}\" autocomplete=\"username\" autofocus></label>\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\"></label>\
         <button>Sign in</button></form>",
        hidden(back_name, back),
    );
    let status = if failed {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::OK
    };
    (status, frame(kind, "Sign in", &body)).into_response()
}

/// The account switcher: who of those signed in shall act, or somebody else.
pub(super) fn select_account(logins: &[String], back: &str) -> Response {
    let choice = |login: &String| {
        format!(
            "<form method=\"post\" action=\"/login/select_account\">{}{}<button>Continue as {}</button></form>",
            hidden("login", login),
            hidden("return_to", back),
            escape(login),
        )
    };
    let choices = logins.iter().map(choice).collect::<Vec<_>>().concat();
    let other = super::with_query("/login", &[("return_to", back)]);
    let body = format!(
        "{choices}<p><a href=\"{}\">Use another account</a></p>",
        escape(&other)
    );
    frame(Kind::GitHub, "Select an account", &body)
}

/// What an authorize page shows.
pub(super) struct Consent<'a> {
    pub(super) kind: Kind,
    pub(super) app: &'a str,
    pub(super) login: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) fields: &'a [(&'a str, &'a str)],
}

/// The authorize page.
pub(super) fn consent(page: &Consent<'_>) -> Response {
    let fields: String = page
        .fields
        .iter()
        .map(|(name, value)| hidden(name, value))
        .collect();
    let scopes: String = page
        .scopes
        .iter()
        .map(|scope| match page.kind {
            Kind::GitHub => format!(
                "<label><input type=\"checkbox\" name=\"granted_scope\" value=\"{0}\" checked> {0}</label>",
                escape(scope)
            ),
            Kind::Bitbucket => format!("<p>{}</p>", escape(scope)),
        })
        .collect();
    let (action, yes, no) = match page.kind {
        Kind::GitHub => (
            "/login/oauth/authorize",
            "<button id=\"authorize\" name=\"authorize\" value=\"1\">Authorize</button>",
            "<button id=\"cancel\" name=\"authorize\" value=\"0\">Cancel</button>",
        ),
        Kind::Bitbucket => (
            "/site/oauth2/authorize",
            "<button id=\"authorize\" name=\"action\" value=\"grant\">Grant access</button>",
            "<button id=\"cancel\" name=\"action\" value=\"deny\">Cancel</button>",
        ),
    };
    let body = format!(
        "<p>Signed in as <strong id=\"signed-in-as\">{}</strong></p>\
         <p><strong>{}</strong> wants to access your account:</p>\
         <form id=\"consent\" method=\"post\" action=\"{action}\">{fields}{scopes}{yes}{no}</form>",
        escape(page.login),
        escape(page.app),
    );
    frame(page.kind, &format!("Authorize {}", page.app), &body)
}

/// A page with a body of its own, which must be safe HTML.
pub(crate) fn page(kind: Kind, title: &str, body: &str) -> Response {
    frame(kind, title, body).into_response()
}

/// A page that only says something.
pub(crate) fn message(kind: Kind, status: StatusCode, title: &str, text: &str) -> Response {
    (status, frame(kind, title, &format!("<p>{}</p>", escape(text)))).into_response()
}
