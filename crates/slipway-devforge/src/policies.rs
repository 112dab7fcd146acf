//! What GitHub's organizations ask of OAuth apps: restrictions ("About OAuth app access restrictions") and single
//! sign-on ("About authentication with SAML single sign-on"); and suspended accounts.
//!
//! A restricted organization, until an owner approves the app: vanishes from lists; answers 403 to whatever is private
//! there and to every privileged act, with the message by which it is known; switches off the hooks that the app made
//! for its private repositories. Single sign-on answers 403 with `X-GitHub-SSO` until the person has authorized the
//! app for it. Public data stays readable in both. Apps ("GitHub Apps") are not restricted by either here.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::api::{Caller, Refusal};
use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::github::error;
use crate::oauth::{pages, visitor, with_cookie};
use crate::people::{Kind, Role};
use crate::provider::Provider;
use crate::state::{Repo, Side};

const KIND: Kind = Kind::GitHub;

/// What an organization asks of OAuth apps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    organization: u64,
    restricted: bool,
    approved: BTreeSet<String>,
    requested: BTreeSet<String>,
    single_sign_on: bool,
    /// Who has authorized which app for single sign-on.
    authorized: BTreeSet<(u64, String)>,
}

/// Whether an organization lets a caller's app in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// The organization's name.
    Restricted(String),
    /// Where to authorize.
    SingleSignOn(String),
}

impl Gate {
    /// The answer of a gate that is shut.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Open => None,
            Self::Restricted(name) => Some(Refusal::from(error(
                StatusCode::FORBIDDEN,
                &format!(
                    "Although you appear to have the correct authorization credentials, the `{name}` organization has \
                     enabled OAuth App access restrictions, meaning that data access to third-parties is limited. For \
                     more information on these restrictions, including how to enable this app, visit \
                     https://docs.github.com/articles/restricting-access-to-your-organization-s-data/"
                ),
            ))),
            Self::SingleSignOn(url) => {
                let mut response = error(
                    StatusCode::FORBIDDEN,
                    "Resource protected by organization SAML enforcement. You must grant your OAuth token access to \
                     this organization.",
                );
                if let Ok(value) = HeaderValue::try_from(format!("required; url={url}")) {
                    response.headers_mut().insert("x-github-sso", value);
                }
                Some(Refusal::from(response))
            }
        }
    }
}

/// Whether the owner of something lets the caller's app in.
pub(crate) fn gate(forge: &Shared, side: &Side, caller: Option<&Caller>, owner: u64) -> Gate {
    let app = caller.and_then(|caller| Some((caller, side.client_of(caller.token)?)));
    let policy = side.policies.iter().find(|policy| policy.organization == owner);
    let (Some((caller, client_id)), Some(policy)) = (app, policy) else {
        return Gate::Open;
    };
    let name = side
        .account(owner)
        .map(|account| account.login.clone())
        .unwrap_or_default();
    if policy.restricted && !policy.approved.contains(client_id) {
        return Gate::Restricted(name);
    }
    if policy.single_sign_on && !policy.authorized.contains(&(caller.user, client_id.to_owned())) {
        let web = &forge.addresses.github;
        return Gate::SingleSignOn(format!("{web}/orgs/{name}/sso?authorization_request={client_id}"));
    }
    Gate::Open
}

impl Side {
    /// The OAuth app that a token was given to.
    pub(crate) fn client_of(&self, token: u64) -> Option<&str> {
        let token = self.tokens.iter().find(|known| known.id == token)?;
        let app = self.app(&token.client_id)?;
        self.app_of_client(&app.client_id)
            .is_none()
            .then_some(app.client_id.as_str())
    }

    fn policy_mut(&mut self, organization: u64) -> &mut Policy {
        let at = self
            .policies
            .iter()
            .position(|policy| policy.organization == organization);
        let at = at.unwrap_or_else(|| {
            self.policies.push(Policy {
                organization,
                ..Policy::default()
            });
            self.policies.len() - 1
        });
        &mut self.policies[at]
    }

    /// Switches off what apps that are shut out made for private repositories of an organization.
    fn silence(&mut self, organization: u64) {
        let Some(policy) = self
            .policies
            .iter()
            .find(|policy| policy.organization == organization && policy.restricted)
            .cloned()
        else {
            return;
        };
        let private = |repo: &&mut Repo| repo.owner == organization && repo.private;
        for hook in self
            .repositories
            .iter_mut()
            .filter(private)
            .flat_map(|repo| &mut repo.hooks)
        {
            hook.active &= hook
                .made_by
                .as_ref()
                .is_none_or(|app| policy.approved.contains(app));
        }
    }
}

impl Provider {
    /// An organization's owner restricts OAuth apps, or lifts the restriction. Nothing is approved yet.
    ///
    /// # Errors
    /// When there is no such organization.
    pub fn restrict_apps(&self, organization: &str, restricted: bool) -> Result<()> {
        self.policy(organization, |policy| {
            policy.restricted = restricted;
            policy.approved.clear();
        })
    }

    /// An organization's owner approves an app, or denies it.
    ///
    /// # Errors
    /// When there is no such organization.
    pub fn approve_app(&self, organization: &str, client_id: &str, approved: bool) -> Result<()> {
        self.policy(organization, |policy| {
            policy.requested.remove(client_id);
            if approved {
                policy.approved.insert(client_id.to_owned());
            } else {
                policy.approved.remove(client_id);
            }
        })
    }

    /// An organization asks for single sign-on, or does not any more. Nobody has authorized anything yet.
    ///
    /// # Errors
    /// When there is no such organization.
    pub fn require_single_sign_on(&self, organization: &str, required: bool) -> Result<()> {
        self.policy(organization, |policy| {
            policy.single_sign_on = required;
            policy.authorized.clear();
        })
    }

    /// Suspends an account, or takes that back.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn suspend(&self, login: &str, suspended: bool) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let user = side.user(login).map(|user| user.id);
        let user = user.ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?;
        if suspended {
            side.suspended.insert(user);
        } else {
            side.suspended.remove(&user);
        }
        Ok(())
    }

    fn policy(&self, organization: &str, change: impl FnOnce(&mut Policy)) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let id = side.organization(organization).map(|account| account.id);
        let id = id.ok_or_else(|| DevForgeError::Unknown(format!("organization {organization}")))?;
        change(side.policy_mut(id));
        side.silence(id);
        Ok(())
    }
}

/// The pages where people decide: a person's authorized application, an organization's policy, single sign-on.
pub(crate) fn routes(forge: Shared) -> Router {
    Router::new()
        .route(
            "/settings/connections/applications/{client_id}",
            get(connection).post(change_connection),
        )
        .route(
            "/organizations/{organization}/settings/oauth_application_policy",
            get(application_policy).post(change_policy),
        )
        .route("/orgs/{organization}/sso", get(sign_on).post(signed_on))
        .with_state(forge)
}

#[derive(Deserialize, Default)]
struct Pressed {
    #[serde(default)]
    authenticity_token: String,
    #[serde(default)]
    organization: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    action: String,
}

#[derive(Deserialize)]
struct SsoQuery {
    authorization_request: String,
}

/// The signed-in person, or the answer for nobody.
struct Person {
    id: u64,
    form_token: String,
}

fn person(forge: &Shared, headers: &HeaderMap, here: &str) -> std::result::Result<Person, Box<Response>> {
    let visitor = visitor(forge, KIND, headers);
    if let Some(id) = visitor.user {
        let form_token = visitor.form_token;
        return Ok(Person { id, form_token });
    }
    let sign_in = crate::oauth::with_query("/login", &[("return_to", here)]);
    Err(Box::new(with_cookie(&visitor, crate::oauth::found(&sign_in))))
}

fn form(person: &Person, id: &str, fields: &[(&str, &str)], buttons: &[(&str, &str)]) -> String {
    let token = ("authenticity_token", person.form_token.as_str());
    let fields = fields.iter().chain([&token]).map(|(name, value)| {
        format!(
            "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
            pages::escape(value)
        )
    });
    let buttons = buttons
        .iter()
        .map(|(value, label)| format!("<button name=\"action\" value=\"{value}\">{label}</button>"));
    let inside: String = fields.chain(buttons).collect();
    format!(
        "<form id=\"{}\" method=\"post\">{inside}</form>",
        pages::escape(id)
    )
}

fn section(title: &str, body: &str) -> String {
    format!("<h2>{}</h2>{body}", pages::escape(title))
}

fn refused(status: StatusCode) -> Response {
    pages::message(KIND, status, status.as_str(), "You may not do this here.")
}

/// A person's authorized application: *Revoke*, and per organization *Grant* (owners) or *Request*.
async fn connection(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(client_id): Path<String>,
) -> Response {
    let here = format!("/settings/connections/applications/{client_id}");
    let person = match person(&forge, &headers, &here) {
        Ok(person) => person,
        Err(response) => return *response,
    };
    let world = forge.world();
    let side = world.side(KIND);
    let granted = side
        .grants
        .iter()
        .any(|grant| grant.user == person.id && grant.client_id == client_id);
    let Some(app) = side.app(&client_id).filter(|_| granted) else {
        return refused(StatusCode::NOT_FOUND);
    };
    let mut body = form(&person, "revoke", &[], &[("revoke", "Revoke access")]);
    for (organization, role) in side.organizations_of(person.id) {
        let policy = side
            .policies
            .iter()
            .find(|policy| policy.organization == organization.id && policy.restricted);
        let name = organization.login.as_str();
        let fields = [("organization", name)];
        let rest = match policy {
            Some(policy) if !policy.approved.contains(&client_id) => {
                let button = match role {
                    Role::Owner => ("grant", "Grant"),
                    Role::Member => ("request", "Request"),
                };
                form(&person, &format!("organization-{name}"), &fields, &[button])
            }
            _ => "<p>Access granted</p>".to_owned(),
        };
        body += &section(name, &rest);
    }
    pages::page(KIND, &app.name, &body)
}

async fn change_connection(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(client_id): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Response {
    let here = format!("/settings/connections/applications/{client_id}");
    let person = match person(&forge, &headers, &here) {
        Ok(person) if person.form_token == pressed.authenticity_token => person,
        Ok(_) => return refused(StatusCode::UNPROCESSABLE_ENTITY),
        Err(response) => return *response,
    };
    let mut world = forge.world();
    let side = world.side_mut(KIND);
    let organization = side.organization(&pressed.organization);
    let theirs = organization.and_then(|account| Some((account.id, account.role_of(person.id)?)));
    match (pressed.action.as_str(), theirs) {
        ("revoke", _) => side.revoke_grant(person.id, &client_id),
        ("grant", Some((id, Role::Owner))) => {
            side.policy_mut(id).approved.insert(client_id);
        }
        ("request", Some((id, _))) => {
            side.policy_mut(id).requested.insert(client_id);
        }
        _ => return refused(StatusCode::FORBIDDEN),
    }
    drop(world);
    crate::oauth::found(&here)
}

/// An organization's third-party access: an owner grants or denies each app.
async fn application_policy(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(organization): Path<String>,
) -> Response {
    let here = format!("/organizations/{organization}/settings/oauth_application_policy");
    let person = match person(&forge, &headers, &here) {
        Ok(person) => person,
        Err(response) => return *response,
    };
    let world = forge.world();
    let side = world.side(KIND);
    let account = side.organization(&organization);
    let Some(account) = account.filter(|account| account.role_of(person.id) == Some(Role::Owner)) else {
        return refused(StatusCode::NOT_FOUND);
    };
    let policy = side
        .policies
        .iter()
        .find(|policy| policy.organization == account.id);
    let mut body = String::new();
    for app in &side.apps {
        let approved =
            policy.is_none_or(|policy| !policy.restricted || policy.approved.contains(&app.client_id));
        let requested = policy.is_some_and(|policy| policy.requested.contains(&app.client_id));
        let state = match (approved, requested) {
            (true, _) => "Approved",
            (false, true) => "Requested",
            (false, false) => "Denied",
        };
        let fields = [("client_id", app.client_id.as_str())];
        let buttons = [("grant", "Grant access"), ("deny", "Deny access")];
        let form = form(&person, &format!("app-{}", app.client_id), &fields, &buttons);
        body += &section(&format!("{}: {state}", app.name), &form);
    }
    pages::page(KIND, &format!("Third-party access of {organization}"), &body)
}

async fn change_policy(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(organization): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Response {
    let here = format!("/organizations/{organization}/settings/oauth_application_policy");
    let person = match person(&forge, &headers, &here) {
        Ok(person) if person.form_token == pressed.authenticity_token => person,
        Ok(_) => return refused(StatusCode::UNPROCESSABLE_ENTITY),
        Err(response) => return *response,
    };
    let owns = {
        let world = forge.world();
        let account = world.side(KIND).organization(&organization);
        account.is_some_and(|account| account.role_of(person.id) == Some(Role::Owner))
    };
    let approved = pressed.action == "grant";
    let provider = Provider::new(forge, KIND);
    if !owns
        || provider
            .approve_app(&organization, &pressed.client_id, approved)
            .is_err()
    {
        return refused(StatusCode::NOT_FOUND);
    }
    crate::oauth::found(&here)
}

/// Where `X-GitHub-SSO` leads: the organization's identity provider says yes at once here.
async fn sign_on(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(organization): Path<String>,
    Query(query): Query<SsoQuery>,
) -> Response {
    let app = query.authorization_request;
    let here = format!("/orgs/{organization}/sso?authorization_request={app}");
    match person(&forge, &headers, &here) {
        Ok(person) => {
            let fields = [("client_id", app.as_str())];
            let body = form(&person, "sso", &fields, &[("continue", "Continue")]);
            pages::page(KIND, &format!("Single sign-on to {organization}"), &body)
        }
        Err(response) => *response,
    }
}

async fn signed_on(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(organization): Path<String>,
    Form(pressed): Form<Pressed>,
) -> Response {
    let person = match person(&forge, &headers, "/") {
        Ok(person) if person.form_token == pressed.authenticity_token => person,
        Ok(_) => return refused(StatusCode::UNPROCESSABLE_ENTITY),
        Err(response) => return *response,
    };
    let mut world = forge.world();
    let side = world.side_mut(KIND);
    let account = side.organization(&organization);
    let Some(id) = account
        .filter(|account| account.role_of(person.id).is_some())
        .map(|account| account.id)
    else {
        return refused(StatusCode::NOT_FOUND);
    };
    side.policy_mut(id)
        .authorized
        .insert((person.id, pressed.client_id));
    drop(world);
    crate::oauth::found(&format!("/{organization}"))
}
