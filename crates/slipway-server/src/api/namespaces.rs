//! Namespaces – people's own, and organizations – and who belongs to them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use slipway_types::{SlugName, rights::Role};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Body, NamespacePath, Of},
    page::{Page, address, whole},
    schema::{self, Time},
};
use crate::{app::App, failure::Failure};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(create))
        .routes(routes!(members))
        .routes(routes!(set_member, remove_member))
}

/// A user's or an organization's space of repositories.
#[derive(Debug, Serialize, ToSchema)]
struct Namespace {
    id: String,
    name: String,
    is_organization: bool,
    /// What you are there.
    #[schema(schema_with = schema::role)]
    role: &'static str,
    created_at: Time,
}

impl Namespace {
    fn new(namespace: &slipway_store::Namespace, role: Role) -> Self {
        Self {
            id: namespace.id.to_string(),
            name: namespace.name.to_string(),
            is_organization: namespace.is_organization(),
            role: role.as_str(),
            created_at: namespace.created_at.into(),
        }
    }
}

/// An organization to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrganization {
    /// Its name in addresses.
    name: String,
}

/// A member of an organization.
#[derive(Debug, Serialize, ToSchema)]
struct Member {
    /// The user's name.
    name: String,
    #[schema(schema_with = schema::role)]
    role: &'static str,
    since: Time,
}

/// What somebody is in an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Membership {
    #[schema(schema_with = schema::role)]
    role: Role,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct MemberPath {
    /// The organization's name.
    #[param(value_type = String)]
    namespace: SlugName,
    /// The user's name.
    user: String,
}

/// The namespaces that you belong to: your own first.
#[utoipa::path(get, path = "/api/v1/namespaces", tag = "namespaces", operation_id = "list_namespaces",
    responses((status = 200, body = Page<Namespace>)))]
async fn list(State(app): State<App>, who: Asker) -> Result<Json<Page<Namespace>>, Failure> {
    let namespaces = app.organizations.namespaces(&who).await?;
    Ok(whole(
        namespaces
            .iter()
            .map(|(namespace, role)| Namespace::new(namespace, *role)),
    ))
}

/// A namespace that you belong to.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}", tag = "namespaces", operation_id = "get_namespace",
    params(NamespacePath), responses((status = 200, body = Namespace)))]
async fn show(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<NamespacePath>,
) -> Result<Json<Namespace>, Failure> {
    let (namespace, role) = app.access.namespace(&who, &path.namespace).await?;
    Ok(Json(Namespace::new(&namespace, role)))
}

/// Creates an organization, whose first owner you are.
#[utoipa::path(post, path = "/api/v1/organizations", tag = "namespaces", operation_id = "create_organization",
    request_body = NewOrganization, responses((status = 201, body = Namespace)))]
async fn create(
    State(app): State<App>,
    who: Asker,
    Body(new): Body<NewOrganization>,
) -> Result<impl IntoResponse, Failure> {
    app.organizations.create(&who, &new.name).await?;
    let name: SlugName = new.name.parse().map_err(|_| Failure::not_found())?;
    let (namespace, role) = app.access.namespace(&who, &name).await?;
    let location = [(
        header::LOCATION,
        address(&app, &format!("/api/v1/namespaces/{name}")),
    )];
    Ok((
        StatusCode::CREATED,
        location,
        Json(Namespace::new(&namespace, role)),
    ))
}

/// The members of an organization that you belong to.
#[utoipa::path(get, path = "/api/v1/organizations/{namespace}/members", tag = "namespaces",
    operation_id = "list_members", params(NamespacePath), responses((status = 200, body = Page<Member>)))]
async fn members(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<NamespacePath>,
) -> Result<Json<Page<Member>>, Failure> {
    let members = app.organizations.members(&who, &path.namespace).await?;
    Ok(whole(members.into_iter().map(|member| Member {
        name: member.name.to_string(),
        role: member.role.as_str(),
        since: member.since.into(),
    })))
}

/// Makes somebody a member or an owner of an organization, or changes which.
#[utoipa::path(put, path = "/api/v1/organizations/{namespace}/members/{user}", tag = "namespaces",
    operation_id = "set_member", params(MemberPath), request_body = Membership,
    responses((status = 204, description = "So it is.")))]
async fn set_member(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<MemberPath>,
    Body(membership): Body<Membership>,
) -> Result<StatusCode, Failure> {
    app.organizations
        .set_member(&who, &path.namespace, &path.user, membership.role)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes somebody out of an organization.
#[utoipa::path(delete, path = "/api/v1/organizations/{namespace}/members/{user}", tag = "namespaces",
    operation_id = "remove_member", params(MemberPath), responses((status = 204, description = "They are out.")))]
async fn remove_member(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<MemberPath>,
) -> Result<StatusCode, Failure> {
    app.organizations
        .remove_member(&who, &path.namespace, &path.user)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
