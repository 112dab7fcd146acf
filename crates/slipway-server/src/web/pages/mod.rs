//! The pages' handlers: parse, let a service authorise, call one service, render.

pub mod access_tokens;
pub mod audit;
pub mod build_acts;
pub mod builders;
pub mod builds;
pub mod configure;
pub mod github_app;
pub mod hub;
pub mod ledger;
pub mod linked_accounts;
pub mod live;
pub mod log;
pub mod organizations;
pub mod registries;
pub mod report;
pub mod repositories;
pub mod security;
pub mod setup;
pub mod sign_in;
pub mod source_providers;
pub mod timeline;
pub mod troubles;
pub mod unlink;
pub mod users;

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    session::SignedIn,
    view::{Act, Alert, Csrf, Field, Frame, Place, SideNav},
};
use crate::{
    app::App,
    failure::{self, Failure},
    services::ServiceError,
};

/// A page to be drawn.
#[derive(Debug)]
pub struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Failure::new(failure::INTERNAL, "The page could not be drawn.")
                .caused_by(&error)
                .into_response(),
        }
    }
}

/// A form that is shown again, because something in it cannot be right.
#[derive(Debug)]
pub struct Again<T>(pub T);

impl<T: Template> IntoResponse for Again<T> {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Page(self.0)).into_response()
    }
}

/// What a page's address may say: what was just done. The words are ours, so nobody can put theirs on the page.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Done {
    /// One of [`toast`]'s words.
    #[serde(default)]
    pub done: Option<String>,
    /// A build's number, where the word is about one.
    #[serde(default)]
    pub n: Option<u64>,
}

/// What a word in the address means, in a sentence.
fn toast(done: &Done) -> Option<String> {
    let build = done.n.map(super::words::number).unwrap_or_default();
    Some(match done.done.as_deref()? {
        "saved" => "Saved.".to_owned(),
        "created" => "Created.".to_owned(),
        "deleted" => "Deleted.".to_owned(),
        "removed" => "Removed.".to_owned(),
        "rotating" => "The provider is being given the new secret.".to_owned(),
        "password" => "The password was changed, and all other browsers were signed out.".to_owned(),
        "ended" => "That browser is signed out.".to_owned(),
        "revoked" => "The token was revoked: it opens nothing any more.".to_owned(),
        "queued" if done.n.is_some() => format!("Build {build} is queued."),
        "queued" => "Builds are queued as the rules say.".to_owned(),
        "canceled" => format!("Build {build} is being canceled."),
        "replayed" => "The delivery is being looked at again, with today’s rules.".to_owned(),
        "checked" => "Checked just now.".to_owned(),
        "unanswered" => "The provider could not be asked now; what it said last is shown.".to_owned(),
        "repairing" => "It is being repaired.".to_owned(),
        "requested" => "Noted. It is granted when an owner of the organization approves it.".to_owned(),
        "linked" => "Linked.".to_owned(),
        "installed" => {
            "The provider shows this installation to the linked account; it is listed below.".to_owned()
        }
        "app-secrets" => "Replaced. What is asked of GitHub from now on is signed by it.".to_owned(),
        "app-created" => "The GitHub App is created. Accounts can be linked through it now.".to_owned(),
        _ => return None,
    })
}

/// What surrounds a page.
pub(super) fn frame(app: &App, who: &SignedIn, title: impl Into<String>, place: Place, done: &Done) -> Frame {
    Frame {
        title: title.into(),
        me: Some(who.me()),
        place,
        host: app.host(),
        toast: toast(done),
        csrf: who.csrf.clone(),
        live: String::new(),
    }
}

/// What surrounds a page before signing in.
pub(super) fn outside(app: &App, csrf: Csrf, title: &str) -> Frame {
    Frame {
        title: title.to_owned(),
        me: None,
        place: Place::Elsewhere,
        host: app.host(),
        toast: None,
        csrf,
        live: String::new(),
    }
}

/// To a page of ours, by GET.
pub(super) fn to(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// What a form is told of an error: which field, and a sentence. Errors that no form can mend stay failures.
pub(super) struct Told {
    field: String,
    message: String,
    alert: Alert,
}

impl Told {
    /// Takes what the person who filled the form in can do something about.
    pub(super) fn of(error: ServiceError) -> Result<Self, Failure> {
        if let ServiceError::Invalid { field, message } = error {
            return Ok(Self {
                field,
                alert: Alert::bad("Nothing was saved.").line(format!("{message}.")),
                message,
            });
        }
        let failure = Failure::from(error);
        if failure.status.is_server_error() && !matches!(failure.kind, "provider" | "registry") {
            return Err(failure);
        }
        if failure.kind == "not_found" || failure.kind == "forbidden" {
            return Err(failure);
        }
        failure.log();
        Ok(Self {
            field: String::new(),
            message: String::new(),
            alert: Alert::bad(failure.title).line(failure.why),
        })
    }

    /// The alert above the form.
    pub(super) fn alert(&self) -> Alert {
        self.alert.clone()
    }

    /// Puts the message at its field.
    pub(super) fn mark(&self, field: Field) -> Field {
        if field.name == self.field {
            return field.error(Some(self.message.clone()));
        }
        field
    }
}

/// A button that posts.
pub(super) fn act(
    who: &SignedIn,
    action: impl Into<String>,
    (class, icon, label): (&'static str, &'static str, &'static str),
    of: impl Into<String>,
) -> Act {
    Act {
        action: action.into(),
        csrf: who.csrf.clone(),
        fields: Vec::new(),
        class,
        icon,
        label,
        of: of.into(),
    }
}

/// A person's own settings, at the side of each of them.
pub(super) fn own_settings(who: &SignedIn, here: &'static str) -> SideNav {
    let name = who.name().to_string();
    let links = [
        ("Security", "/settings/security".to_owned()),
        ("Access tokens", "/settings/access-tokens".to_owned()),
        (
            "Linked accounts",
            format!("/settings/linked-accounts?namespace={name}"),
        ),
        ("Audit trail", format!("/settings/audit?namespace={name}")),
    ];
    SideNav {
        label: "Settings",
        groups: vec![(name, mark(links, here))],
    }
}

/// An organization's settings, at the side of each of them.
pub(super) fn organization_settings(organization: &str, here: &'static str) -> SideNav {
    let links = [
        ("Members", format!("/organizations/{organization}/members")),
        (
            "Linked accounts",
            format!("/settings/linked-accounts?namespace={organization}"),
        ),
        ("Audit trail", format!("/settings/audit?namespace={organization}")),
    ];
    SideNav {
        label: "Settings",
        groups: vec![(organization.to_owned(), mark(links, here))],
    }
}

/// The administration, at the side of each of its pages.
pub(super) fn administration(here: &'static str) -> SideNav {
    let links = [
        ("Users", "/admin/users".to_owned()),
        ("Source providers", "/admin/source-providers".to_owned()),
        ("Registries", "/admin/registries".to_owned()),
        ("Builders", "/admin/builders".to_owned()),
        ("Audit trail", "/admin/audit".to_owned()),
        ("Check-list", "/setup".to_owned()),
    ];
    SideNav {
        label: "Administration",
        groups: vec![("Admin".to_owned(), mark(links, here))],
    }
}

fn mark<const N: usize>(
    links: [(&'static str, String); N],
    here: &'static str,
) -> Vec<(&'static str, String, bool)> {
    links
        .into_iter()
        .map(|(label, href)| (label, href, label == here))
        .collect()
}
