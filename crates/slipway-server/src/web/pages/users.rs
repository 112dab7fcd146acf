//! The users of this installation, for its administrators.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use slipway_store::User;
use slipway_types::{SlugName, Timestamp};

use super::{Again, Done, Page, Told, act, administration, frame, to};
use crate::{
    app::App,
    failure::Failure,
    services::ServiceError,
    web::{
        entered,
        session::SignedIn,
        view::{
            Crumbs, Field, Pill, Place,
            admin::{UserActs, UserPage, UserRow, UsersPage},
        },
        words,
    },
};

/// What somebody new is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Administrator,
}

/// Somebody to be created.
#[derive(Debug, Deserialize)]
pub struct UserForm {
    name: String,
    #[serde(deserialize_with = "entered::secret")]
    password: SecretString,
    role: Role,
}

/// Another password.
#[derive(Debug, Deserialize)]
pub struct PasswordForm {
    #[serde(deserialize_with = "entered::secret")]
    password: SecretString,
}

fn row(user: &User, now: Timestamp) -> UserRow {
    let name = user.name.to_string();
    UserRow {
        initials: words::initials(&name),
        href: format!("/admin/users/{name}"),
        role: if user.is_admin { "Administrator" } else { "User" },
        state: match user.disabled_at {
            None => Pill::new("ok", "check-circle", "Active"),
            Some(_) => Pill::new("", "ban", "Disabled"),
        },
        since: words::when(user.created_at, now),
        name,
    }
}

async fn everybody(
    app: &App,
    who: &SignedIn,
    done: &Done,
    entered: &str,
    told: Option<&Told>,
) -> Result<UsersPage, Failure> {
    let now = Timestamp::now();
    let users = app.users.all(&who.caller).await?;
    let fields = [
        Field::mono("name", "Name")
            .value(entered)
            .autocomplete("off")
            .help("Lower-case letters and digits, with single . _ or - between them; part of image names"),
        password("First password"),
    ];
    Ok(UsersPage {
        frame: frame(app, who, "Users", Place::Admin, done),
        side: administration("Users"),
        alert: told.map(Told::alert),
        users: users.iter().map(|user| row(user, now)).collect(),
        fields: fields
            .into_iter()
            .map(|field| match told {
                Some(told) => told.mark(field),
                None => field,
            })
            .collect(),
    })
}

fn password(label: &'static str) -> Field {
    Field::password("password", label, "new-password")
        .help("10 characters at least; tell it to them, and they change it")
}

/// `GET /admin/users`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(everybody(&app, &who, &done, "", None).await?).into_response())
}

/// `POST /admin/users`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<UserForm>,
) -> Result<Response, Failure> {
    let is_admin = form.role == Role::Administrator;
    match app
        .users
        .create(&who.caller, form.name.trim(), &form.password, is_admin)
        .await
    {
        Ok(_) => Ok(to("/admin/users?done=created")),
        Err(error) => {
            let told = Told::of(error)?;
            let page = everybody(&app, &who, &Done::default(), &form.name, Some(&told)).await?;
            Ok(Again(page).into_response())
        }
    }
}

async fn one(
    app: &App,
    who: &SignedIn,
    name: &SlugName,
    done: &Done,
    told: Option<&Told>,
) -> Result<UserPage, Failure> {
    let user = app.users.get(&who.caller, name).await?;
    let here = format!("/admin/users/{name}");
    let is_disabled = user.disabled_at.is_some();
    let (to, look) = if is_disabled {
        ("enable", ("", "", "Enable"))
    } else {
        ("disable", ("danger", "", "Disable"))
    };
    let acts = (user.id != who.caller.user).then(|| UserActs {
        password: match told {
            Some(told) => told.mark(password("New password")),
            None => password("New password"),
        },
        switch: act(who, format!("{here}/{to}"), look, name.to_string()),
        is_disabled,
    });
    Ok(UserPage {
        frame: frame(app, who, name.to_string(), Place::Admin, done),
        side: administration("Users"),
        crumbs: Crumbs {
            up: vec![("Users".to_owned(), "/admin/users".to_owned())],
            here: name.to_string(),
        },
        alert: told.map(Told::alert),
        user: row(&user, Timestamp::now()),
        action: format!("{here}/password"),
        acts,
    })
}

/// `GET /admin/users/{user}`
///
/// # Errors
/// Forbidden, for those who do not administer; not found, when nobody is called so.
pub async fn user(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(one(&app, &who, &name, &done, None).await?).into_response())
}

/// The user's page again: as it is now, or with what was wrong.
async fn answered(
    app: &App,
    who: &SignedIn,
    name: &SlugName,
    came_of_it: Result<(), ServiceError>,
) -> Result<Response, Failure> {
    match came_of_it {
        Ok(()) => Ok(to(&format!("/admin/users/{name}?done=saved"))),
        Err(error) => {
            let told = Told::of(error)?;
            let page = one(app, who, name, &Done::default(), Some(&told)).await?;
            Ok(Again(page).into_response())
        }
    }
}

/// `POST /admin/users/{user}/password`
///
/// # Errors
/// As [`user`].
pub async fn set_password(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Failure> {
    let set = app.users.set_password(&who.caller, &name, &form.password).await;
    answered(&app, &who, &name, set).await
}

/// `POST /admin/users/{user}/disable`
///
/// # Errors
/// As [`user`].
pub async fn disable(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
) -> Result<Response, Failure> {
    let disabled = app.users.disable(&who.caller, &name).await;
    answered(&app, &who, &name, disabled).await
}

/// `POST /admin/users/{user}/enable`
///
/// # Errors
/// As [`user`].
pub async fn enable(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
) -> Result<Response, Failure> {
    let enabled = app.users.enable(&who.caller, &name).await;
    answered(&app, &who, &name, enabled).await
}
