//! The users of this installation, for its administrators.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use slipway_types::SlugName;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Body, Of},
    page::{Page, address, whole},
    schema::Time,
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
}

/// A person who can sign in.
#[derive(Debug, Serialize, ToSchema)]
struct User {
    id: String,
    /// Also the name of their namespace.
    name: String,
    is_administrator: bool,
    /// Since when they cannot sign in any more.
    disabled_at: Option<Time>,
    created_at: Time,
}

impl From<slipway_store::User> for User {
    fn from(user: slipway_store::User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.to_string(),
            is_administrator: user.is_admin,
            disabled_at: user.disabled_at.map(Time),
            created_at: user.created_at.into(),
        }
    }
}

/// A user to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    /// The first password: 10 characters at least.
    #[serde(with = "slipway_types::secret::in_clear")]
    #[schema(value_type = String, write_only, format = Password)]
    password: SecretString,
    #[serde(default)]
    is_administrator: bool,
}

/// What is to be different. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    /// Another password; ends all sessions of the user.
    #[serde(default, with = "slipway_types::secret::in_clear_option")]
    #[schema(value_type = Option<String>, write_only, format = Password)]
    password: Option<SecretString>,
    /// Whether they can sign in no more.
    #[serde(default)]
    is_disabled: Option<bool>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct UserPath {
    /// The user's name.
    #[param(value_type = String)]
    user: SlugName,
}

/// Everybody. Takes an administrator, as all of these.
#[utoipa::path(get, path = "/api/v1/users", tag = "administration", operation_id = "list_users",
    responses((status = 200, body = Page<User>)))]
async fn list(State(app): State<App>, who: Asker) -> Result<Json<Page<User>>, Failure> {
    Ok(whole(app.users.all(&who).await?.into_iter().map(User::from)))
}

/// Creates a user, with a namespace of their own.
#[utoipa::path(post, path = "/api/v1/users", tag = "administration", operation_id = "create_user",
    request_body = NewUser, responses((status = 201, body = User)))]
async fn create(
    State(app): State<App>,
    who: Asker,
    Body(new): Body<NewUser>,
) -> Result<impl IntoResponse, Failure> {
    app.users
        .create(&who, &new.name, &new.password, new.is_administrator)
        .await?;
    let name: SlugName = new.name.parse().map_err(|_| Failure::not_found())?;
    let user = app.users.get(&who, &name).await?;
    let location = [(header::LOCATION, address(&app, &format!("/api/v1/users/{name}")))];
    Ok((StatusCode::CREATED, location, Json(User::from(user))))
}

/// A user.
#[utoipa::path(get, path = "/api/v1/users/{user}", tag = "administration", operation_id = "get_user",
    params(UserPath), responses((status = 200, body = User)))]
async fn show(State(app): State<App>, who: Asker, Of(path): Of<UserPath>) -> Result<Json<User>, Failure> {
    Ok(Json(app.users.get(&who, &path.user).await?.into()))
}

/// Gives somebody else another password, disables or enables them.
#[utoipa::path(patch, path = "/api/v1/users/{user}", tag = "administration", operation_id = "change_user",
    params(UserPath), request_body = UserChange, responses((status = 200, body = User)))]
async fn change(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<UserPath>,
    Body(change): Body<UserChange>,
) -> Result<Json<User>, Failure> {
    if let Some(password) = &change.password {
        app.users.set_password(&who, &path.user, password).await?;
    }
    match change.is_disabled {
        Some(true) => app.users.disable(&who, &path.user).await?,
        Some(false) => app.users.enable(&who, &path.user).await?,
        None => {}
    }
    Ok(Json(app.users.get(&who, &path.user).await?.into()))
}
