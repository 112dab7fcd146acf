//! Linked accounts: which source provider a namespace is linked to, and how well that works.

mod card;
mod groups;

use axum::{
    Form,
    extract::{Path, Query, RawQuery, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_forge::OauthError;
use slipway_types::{SlugName, forge::ClientKind, rights::Role};

use super::{Done, Page, frame, organization_settings, own_settings, to};
use crate::{
    app::App,
    failure::Failure,
    services::{ServiceError, linking::LinkOutcome},
    web::{
        headers::FormTargets,
        session::SignedIn,
        view::{
            Alert, Crumbs, Place,
            links::{LinkedAccountsPage, ReplaceLinkPage},
        },
    },
};

/// Whose links.
#[derive(Debug, Default, Deserialize)]
pub struct Of {
    namespace: Option<SlugName>,
}

/// Whose link.
#[derive(Debug, Deserialize)]
pub struct OfForm {
    namespace: SlugName,
    /// Through what to link; nothing for what is offered first.
    #[serde(default)]
    client: Option<ClientKind>,
}

/// The page of a namespace's links.
pub(super) fn address(namespace: &SlugName) -> String {
    format!("/settings/linked-accounts?namespace={namespace}")
}

/// `GET /settings/linked-accounts`
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(of): Query<Of>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let namespace = of.namespace.unwrap_or_else(|| who.name().clone());
    page(&app, &who, &namespace, &done, Vec::new()).await
}

async fn page(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    done: &Done,
    alerts: Vec<Alert>,
) -> Result<Response, Failure> {
    let (found, role) = app.access.namespace(&who.caller, namespace).await?;
    let overview = app.links.overview(&who.caller, namespace).await?;
    let owner = role == Role::Owner;
    let organization = found.user.is_none();
    let targets = overview
        .iter()
        .map(|forge| forge.forge.fields.web_url.origin().ascii_serialization());
    let targets = FormTargets(targets.collect());
    let page = LinkedAccountsPage {
        frame: frame(
            app,
            who,
            format!("Linked accounts of {namespace}"),
            Place::Elsewhere,
            done,
        ),
        side: if organization {
            organization_settings(namespace.as_str(), "Linked accounts")
        } else {
            own_settings(who, "Linked accounts")
        },
        crumbs: Crumbs {
            up: vec![(namespace.to_string(), format!("/?namespace={namespace}"))],
            here: "Linked accounts".to_owned(),
        },
        namespace: namespace.to_string(),
        organization,
        alerts,
        forges: overview
            .iter()
            .map(|forge| card::card(who, namespace, forge, owner))
            .collect(),
        may_add: who.caller.is_admin,
    };
    let mut response = Page(page).into_response();
    response.extensions_mut().insert(targets);
    Ok(response)
}

/// What the browser brings back from installing.
#[derive(Debug, Deserialize)]
pub struct Installed {
    #[serde(default)]
    installation_id: String,
    /// Which namespace's page asked for it; carried through the provider, and good for nothing else.
    state: Option<SlugName>,
}

/// `GET /settings/linked-accounts/{forge}/installed`: back from installing the GitHub App.
///
/// # Errors
/// Those that no page of links can show.
pub async fn installed(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Query(back): Query<Installed>,
) -> Result<Response, Failure> {
    let namespace = back.state.unwrap_or_else(|| who.name().clone());
    let found = app
        .health
        .installed(&who.caller, &namespace, &forge, &back.installation_id)
        .await;
    let alert = match found {
        Ok(true) => return Ok(to(&format!("{}&done=installed#{forge}", address(&namespace)))),
        Ok(false) => Alert::bad("Nothing was linked to this installation.").line(
            "The provider does not show it to the linked account: it belongs to somebody else, or the address was \
             made up. Nothing has changed.",
        ),
        Err(ServiceError::NotFound { what: "the link" }) => Alert::warn("The GitHub App is installed, and no account is linked yet.")
            .line("Link an account now: Slipway uses what the provider shows to it."),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            let failure = Failure::from(error);
            failure.log();
            Alert::bad("The provider could not be asked.").line(failure.why)
        }
        Err(error) => return Err(error.into()),
    };
    page(&app, &who, &namespace, &Done::default(), vec![alert]).await
}

/// `POST /settings/linked-accounts/{forge}/link`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn link(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OfForm>,
) -> Result<Response, Failure> {
    let url = app
        .linking
        .start_through(&who.caller, &form.namespace, &forge, form.client, true)
        .await?;
    Ok(to(url.as_str()))
}

/// What is asked, or said, of an organization.
#[derive(Debug, Deserialize)]
pub struct OwnerForm {
    namespace: SlugName,
    owner: String,
    #[serde(default)]
    then: String,
}

/// `POST /settings/linked-accounts/{forge}/owners`: *Check again* of a row, *Check an organization by name*, *I have
/// requested it*.
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn owner(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OwnerForm>,
) -> Result<Response, Failure> {
    let (namespace, owner) = (&form.namespace, form.owner.as_str());
    let (asked, done) = if form.then == "requested" {
        let said = app.health.requested(&who.caller, namespace, &forge, owner).await;
        (said, "requested")
    } else {
        let asked = app
            .health
            .check_owner(&who.caller, namespace, &forge, owner)
            .await;
        (asked, "checked")
    };
    let what = format!("{owner} could not be checked.");
    let Err(error) = asked else {
        return Ok(to(&format!("{}&done={done}#{forge}-groups", address(namespace))));
    };
    let alert = match error {
        ServiceError::Invalid { message, .. } => Alert::bad(what).line(format!("{message}.")),
        ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. } => {
            let failure = Failure::from(error);
            failure.log();
            Alert::bad(what).line(failure.why)
        }
        error => return Err(error.into()),
    };
    page(&app, &who, namespace, &Done::default(), vec![alert]).await
}

/// `POST /settings/linked-accounts/{forge}/check`
///
/// # Errors
/// Not found, for those who do not belong to the namespace.
pub async fn check(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<OfForm>,
) -> Result<Response, Failure> {
    let page_of = address(&form.namespace);
    match app.health.check(&who.caller, &form.namespace, &forge).await {
        Ok(_) => Ok(to(&format!("{page_of}&done=checked#{forge}"))),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            let failure = Failure::from(error);
            failure.log();
            let alert = Alert::bad("It could not be checked.").line(failure.why);
            page(&app, &who, &form.namespace, &Done::default(), vec![alert]).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /settings/linked-accounts/{forge}/callback`: back from the provider.
///
/// # Errors
/// Those that no page of links can show.
pub async fn callback(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    match app.linking.callback(&who.caller, &forge, &query).await {
        Ok(LinkOutcome::Linked { namespace, .. }) => {
            Ok(to(&format!("{}&done=linked#{forge}", address(&namespace))))
        }
        Ok(LinkOutcome::OtherAccount(other)) => {
            let page = ReplaceLinkPage {
                frame: frame(
                    &app,
                    &who,
                    "Link another account?",
                    Place::Elsewhere,
                    &Done::default(),
                ),
                action: format!("/settings/linked-accounts/{forge}/answer"),
                sign_out: other.sign_out.into(),
                namespace: other.namespace.to_string(),
                forge: other.forge,
                old: other.old,
                new: other.new,
                pending: other.pending,
            };
            Ok(Page(page).into_response())
        }
        Err(error) => outcome(&app, &who, &forge, &query, error).await,
    }
}

/// Linking failed: each way has its own message, and nothing has changed.
async fn outcome(
    app: &App,
    who: &SignedIn,
    forge: &str,
    query: &str,
    error: ServiceError,
) -> Result<Response, Failure> {
    let again = match &error {
        ServiceError::Oauth(OauthError::Forge(cause)) | ServiceError::Forge(cause) => cause.is_transient(),
        ServiceError::Oauth(_) | ServiceError::Conflict { .. } => false,
        _ => return Err(error.into()),
    };
    let failure = Failure::from(error);
    failure.log();
    let mut alert = if again {
        Alert::bad("The provider could not be reached.")
            .line(failure.why)
            .line("Nothing has changed. What you granted is still good for some minutes.")
            .fix(
                "Try again",
                format!("/settings/linked-accounts/{forge}/callback?{query}"),
            )
    } else {
        Alert::bad("Nothing was linked.").line(failure.why)
    };
    if let Some(reason) = failure.reason {
        alert = alert.line(format!("Reason: {reason}"));
    }
    let namespace = app.linking.whose(&who.caller, query).await?;
    let namespace = namespace.as_ref().unwrap_or_else(|| who.name());
    page(app, who, namespace, &Done::default(), vec![alert]).await
}

/// Whether the other account shall replace the one before.
#[derive(Debug, Deserialize)]
pub struct AnswerForm {
    pending: String,
    namespace: SlugName,
    #[serde(default)]
    replace: String,
}

/// `POST /settings/linked-accounts/{forge}/answer`
///
/// # Errors
/// A conflict, where the question has expired.
pub async fn answer(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<AnswerForm>,
) -> Result<Response, Failure> {
    let linked = app
        .linking
        .answer(&who.caller, &form.pending, form.replace == "yes")
        .await?;
    let done = if linked.is_some() { "&done=linked" } else { "" };
    Ok(to(&format!("{}{done}", address(&form.namespace))))
}
