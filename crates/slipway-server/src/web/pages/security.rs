//! A person's password, and the browsers that they are signed in with.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use slipway_types::{SessionId, Timestamp};
use subtle::ConstantTimeEq as _;

use super::{Again, Done, Page, Told, act, frame, own_settings, to};
use crate::{
    app::App,
    failure::Failure,
    services::{PASSWORD_MIN, ServiceError},
    web::{
        entered,
        session::SignedIn,
        view::{
            Field, Place,
            settings::{SecurityPage, SessionRow},
        },
        words,
    },
};

/// A new password.
#[derive(Debug, Deserialize)]
pub struct PasswordForm {
    #[serde(deserialize_with = "entered::secret")]
    present: SecretString,
    #[serde(deserialize_with = "entered::secret")]
    password: SecretString,
    #[serde(deserialize_with = "entered::secret")]
    again: SecretString,
}

async fn page(app: &App, who: &SignedIn, done: &Done, told: Option<&Told>) -> Result<SecurityPage, Failure> {
    let now = Timestamp::now();
    let here = who.session_id()?;
    let sessions = app.accounts.sessions(&who.caller).await?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        browser: browser(&session.user_agent),
        address: session.address,
        since: words::when(session.created_at, now),
        seen: words::when(session.last_seen_at, now),
        here: session.id == here,
        end: (session.id != here).then(|| {
            let action = format!("/settings/security/sessions/{}/end", session.id);
            act(who, action, ("sm quiet danger", "", "Sign out"), "there")
        }),
    });
    let fields = [
        Field::password("present", "Password now", "current-password"),
        Field::password("password", "New password", "new-password").help(PASSWORD_HELP),
        Field::password("again", "New password again", "new-password"),
    ];
    Ok(SecurityPage {
        frame: frame(app, who, "Security", Place::Elsewhere, done),
        side: own_settings(who, "Security"),
        alert: told.map(Told::alert),
        fields: fields
            .into_iter()
            .map(|field| match told {
                Some(told) => told.mark(field),
                None => field,
            })
            .collect(),
        sessions: sessions.collect(),
        sign_out: act(who, "/sign-out", ("", "", "Sign out"), ""),
    })
}

/// What is asked of a password.
pub(super) const PASSWORD_HELP: &str = "At least 10 characters; several words are best";
const _: () = assert!(PASSWORD_MIN == 10, "the help says so");

/// `GET /settings/security`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(page(&app, &who, &done, None).await?).into_response())
}

/// `POST /settings/security/password`
///
/// # Errors
/// What the store says.
pub async fn change_password(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Failure> {
    let changed = if same(&form.password, &form.again) {
        app.accounts
            .change_password(&who.caller, &form.present, &form.password)
            .await
    } else {
        Err(ServiceError::invalid("again", "the two new passwords differ"))
    };
    match changed {
        Ok(()) => Ok(to("/settings/security?done=password")),
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(page(&app, &who, &Done::default(), Some(&told)).await?).into_response())
        }
    }
}

/// `POST /settings/security/sessions/{session}/end`
///
/// # Errors
/// Not found, when it is not this person's.
pub async fn end_session(
    State(app): State<App>,
    who: SignedIn,
    Path(session): Path<SessionId>,
) -> Result<Response, Failure> {
    app.accounts.end_session(&who.caller, session).await?;
    Ok(to("/settings/security?done=ended"))
}

/// Whether two entries agree.
pub(super) fn same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret()
        .as_bytes()
        .ct_eq(b.expose_secret().as_bytes())
        .into()
}

/// A browser's long name, for people. What is not known is shown as it is, cut.
fn browser(user_agent: &str) -> String {
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |of: &[(&str, &'static str)]| {
        of.iter()
            .find(|(mark, _)| user_agent.contains(mark))
            .map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) if user_agent.is_empty() => "unknown".to_owned(),
        (None, None) => user_agent.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names() {
        assert_eq!(
            browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            "Firefox on Linux"
        );
        assert_eq!(browser("curl/8.5.0"), "curl");
        assert_eq!(browser(""), "unknown");
    }
}
