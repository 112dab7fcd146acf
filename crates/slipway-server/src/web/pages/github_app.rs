//! A source provider's GitHub App: created in one click, tried out, and given other secrets.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Done, Page, administration, frame, source_providers, to};
use crate::{
    app::App,
    failure::Failure,
    services::ServiceError,
    web::{
        entered,
        headers::FormTargets,
        session::SignedIn,
        view::{Alert, Crumbs, Place, admin::GithubAppPage},
    },
};

/// Under which name, and whose.
#[derive(Debug, Deserialize)]
pub struct Asked {
    app_name: String,
    #[serde(default)]
    organization: String,
}

/// `POST /admin/source-providers/{forge}/app`: a page that carries the manifest on to GitHub.
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Response, Failure> {
    let made = app
        .github_apps
        .ask(&who.caller, &forge, &asked.app_name, &asked.organization)
        .await;
    let made = match made {
        Ok(made) => made,
        Err(ServiceError::Invalid { message, .. } | ServiceError::Conflict { message, .. }) => {
            let alert = Alert::bad("No GitHub App was created.").line(message);
            return source_providers::with_alert(&app, &who, &forge, alert).await;
        }
        Err(error) => return Err(error.into()),
    };
    let targets = FormTargets(vec![made.page.origin().ascii_serialization()]);
    let page = GithubAppPage {
        frame: frame(&app, &who, "Create GitHub App", Place::Admin, &Done::default()),
        side: administration("Source providers"),
        crumbs: Crumbs {
            up: vec![(
                "Source providers".to_owned(),
                "/admin/source-providers".to_owned(),
            )],
            here: "Create GitHub App".to_owned(),
        },
        host: made.page.authority().to_owned(),
        page: made.page.to_string(),
        manifest: made.manifest,
    };
    let mut response = Page(page).into_response();
    response.extensions_mut().insert(targets);
    Ok(response)
}

/// What the administrator's browser brings back.
#[derive(Debug, Deserialize)]
pub struct Created {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

/// `GET /admin/source-providers/{forge}/app/created`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn created(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Query(back): Query<Created>,
) -> Result<Response, Failure> {
    let created = app
        .github_apps
        .created(&who.caller, &forge, &back.state, &back.code)
        .await;
    let alert = match created {
        Ok(_) => return Ok(to(&format!("/admin/source-providers/{forge}?done=app-created"))),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Conflict { .. })) => {
            let failure = Failure::from(error);
            failure.log();
            Alert::bad("No GitHub App was taken over.").line(failure.why)
        }
        Err(error) => return Err(error.into()),
    };
    source_providers::with_alert(&app, &who, &forge, alert).await
}

/// What was made anew at GitHub; empty where it was not.
#[derive(Debug, Deserialize)]
pub struct Secrets {
    #[serde(deserialize_with = "entered::secret")]
    private_key: SecretString,
    #[serde(deserialize_with = "entered::secret")]
    webhook_secret: SecretString,
}

/// `POST /admin/source-providers/{forge}/app/secrets`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn replace_secrets(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(secrets): Form<Secrets>,
) -> Result<Response, Failure> {
    let given = |secret| Some(secret).filter(|secret: &&SecretString| !secret.expose_secret().is_empty());
    let (key, secret) = (given(&secrets.private_key), given(&secrets.webhook_secret));
    let replaced = app
        .github_apps
        .replace_secrets(&who.caller, &forge, key, secret)
        .await;
    let alert = match replaced {
        Ok(()) => return Ok(to(&format!("/admin/source-providers/{forge}?done=app-secrets"))),
        Err(ServiceError::Invalid { message, .. }) => Alert::bad("Nothing was replaced.").line(message),
        Err(error @ ServiceError::Forge(_)) => {
            Alert::bad("The provider could not be asked, so nothing was replaced.")
                .line(Failure::from(error).why)
        }
        Err(error) => return Err(error.into()),
    };
    source_providers::with_alert(&app, &who, &forge, alert).await
}

/// `POST /admin/source-providers/{forge}/app/test`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn test(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
) -> Result<Response, Failure> {
    let alert = match app.github_apps.test(&who.caller, &forge).await {
        Ok(()) => Alert::ok("The GitHub App’s key and its client secret are accepted."),
        Err(ServiceError::Invalid { message, .. }) => {
            Alert::bad("The provider was reached, but refused the GitHub App.").line(message)
        }
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            Alert::bad("The provider could not be asked.").line(Failure::from(error).why)
        }
        Err(error) => return Err(error.into()),
    };
    source_providers::with_alert(&app, &who, &forge, alert).await
}
