//! Organizations and their members.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_types::{SlugName, Timestamp, rights::Role};

use super::{Again, Done, Page, Told, act, frame, organization_settings, to};
use crate::{
    app::App,
    failure::Failure,
    web::{
        session::SignedIn,
        view::{
            Crumbs, Field, Place,
            settings::{MemberRow, MembersPage, OrganizationsPage},
        },
        words,
    },
};

/// An organization to be made.
#[derive(Debug, Deserialize)]
pub struct OrganizationForm {
    name: String,
}

/// Somebody to be made a member.
#[derive(Debug, Deserialize)]
pub struct MemberForm {
    user: String,
    role: Role,
}

async fn overview(
    app: &App,
    who: &SignedIn,
    done: &Done,
    entered: &str,
    told: Option<&Told>,
) -> Result<OrganizationsPage, Failure> {
    let namespaces = app.organizations.namespaces(&who.caller).await?;
    let name = Field::mono("name", "Name")
        .value(entered)
        .help("Lower-case letters and digits, with single . _ or - between them; part of image names");
    Ok(OrganizationsPage {
        frame: frame(app, who, "Organizations", Place::Organizations, done),
        alert: told.map(Told::alert),
        organizations: namespaces
            .into_iter()
            .filter(|(namespace, _)| namespace.user.is_none())
            .map(|(namespace, role)| {
                let name = namespace.name.to_string();
                let href = format!("/organizations/{name}/members");
                (name, role.to_string(), href)
            })
            .collect(),
        name: match told {
            Some(told) => told.mark(name),
            None => name,
        },
    })
}

/// `GET /organizations`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(overview(&app, &who, &done, "", None).await?).into_response())
}

/// `POST /organizations`
///
/// # Errors
/// What the store says.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<OrganizationForm>,
) -> Result<Response, Failure> {
    match app.organizations.create(&who.caller, form.name.trim()).await {
        Ok(_) => Ok(to(&format!(
            "/organizations/{}/members?done=created",
            form.name.trim()
        ))),
        Err(error) => {
            let told = Told::of(error)?;
            let page = overview(&app, &who, &Done::default(), &form.name, Some(&told)).await?;
            Ok(Again(page).into_response())
        }
    }
}

async fn members_page(
    app: &App,
    who: &SignedIn,
    name: &SlugName,
    done: &Done,
    told: Option<&Told>,
) -> Result<MembersPage, Failure> {
    let now = Timestamp::now();
    let (_, role) = app.access.namespace(&who.caller, name).await?;
    let members = app.organizations.members(&who.caller, name).await?;
    let action = format!("/organizations/{name}/members");
    let may_change = role == Role::Owner;
    let user = Field::mono("user", "User name");
    Ok(MembersPage {
        frame: frame(app, who, format!("Members of {name}"), Place::Organizations, done),
        side: organization_settings(name.as_str(), "Members"),
        crumbs: Crumbs {
            up: vec![("Organizations".to_owned(), "/organizations".to_owned())],
            here: name.to_string(),
        },
        alert: told.map(Told::alert),
        organization: name.to_string(),
        members: members
            .into_iter()
            .map(|member| {
                let user = member.name.to_string();
                MemberRow {
                    initials: words::initials(&user),
                    role: member.role.to_string(),
                    since: Some(words::when(member.since, now)),
                    remove: may_change.then(|| {
                        act(
                            who,
                            format!("{action}/{user}/remove"),
                            ("sm quiet danger", "", "Remove"),
                            &*user,
                        )
                    }),
                    name: user,
                }
            })
            .collect(),
        action,
        may_change,
        user: match told {
            Some(told) => told.mark(user),
            None => user,
        },
        roles: vec![("member", "Member", true), ("owner", "Owner", false)],
    })
}

/// `GET /organizations/{name}/members`
///
/// # Errors
/// Not found, for those who do not belong to it.
pub async fn members(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(members_page(&app, &who, &name, &done, None).await?).into_response())
}

/// `POST /organizations/{name}/members`
///
/// # Errors
/// Forbidden, for those who do not own it.
pub async fn set_member(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<SlugName>,
    Form(form): Form<MemberForm>,
) -> Result<Response, Failure> {
    let set = app
        .organizations
        .set_member(&who.caller, &name, form.user.trim(), form.role)
        .await;
    match set {
        Ok(()) => Ok(to(&format!("/organizations/{name}/members?done=saved"))),
        Err(error) => {
            let told = Told::of(error)?;
            let page = members_page(&app, &who, &name, &Done::default(), Some(&told)).await?;
            Ok(Again(page).into_response())
        }
    }
}

/// `POST /organizations/{name}/members/{user}/remove`
///
/// # Errors
/// Forbidden, for those who do not own it.
pub async fn remove_member(
    State(app): State<App>,
    who: SignedIn,
    Path((name, user)): Path<(SlugName, SlugName)>,
) -> Result<Response, Failure> {
    match app
        .organizations
        .remove_member(&who.caller, &name, user.as_str())
        .await
    {
        Ok(()) => Ok(to(&format!("/organizations/{name}/members?done=removed"))),
        Err(error) => {
            let told = Told::of(error)?;
            let page = members_page(&app, &who, &name, &Done::default(), Some(&told)).await?;
            Ok(Again(page).into_response())
        }
    }
}
