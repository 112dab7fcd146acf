//! Source providers, and choosing a source repository through a link. These ask the provider.

use axum::{
    Json,
    extract::{OriginalUri, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use slipway_forge::{Head, RepositoryPath};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Of},
    links::{LinkPath, Owner},
    page::{Page, page, whole},
    schema::{self, Time},
};
use crate::{app::App, failure::Failure, services::sources::SourceChoice};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(forges))
        .routes(routes!(owners))
        .routes(routes!(repositories))
        .routes(routes!(refs))
}

/// A source provider.
#[derive(Debug, Serialize, ToSchema)]
struct SourceProvider {
    id: String,
    #[schema(schema_with = schema::forge_kind)]
    kind: &'static str,
    /// Its stable name in addresses.
    name: String,
    display_name: String,
    web_url: String,
    /// Whether accounts can be linked.
    can_link: bool,
}

/// The source providers that this installation knows.
#[utoipa::path(get, path = "/api/v1/forges", tag = "linked accounts", operation_id = "list_forges",
    responses((status = 200, body = Page<SourceProvider>)))]
async fn forges(State(app): State<App>, _who: Asker) -> Result<Json<Page<SourceProvider>>, Failure> {
    let providers = app.providers.list().await?;
    Ok(whole(providers.into_iter().map(|provider| SourceProvider {
        id: provider.record.id.to_string(),
        kind: provider.record.fields.kind.as_str(),
        name: provider.record.fields.name,
        display_name: provider.record.fields.display_name,
        web_url: provider.record.fields.web_url.into(),
        can_link: provider.client.is_some() || provider.app.is_some(),
    })))
}

/// Whose repositories a link reaches, as far as is known. Nothing is asked.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links/{forge}/owners", tag = "linked accounts",
    operation_id = "list_owners", params(LinkPath), responses((status = 200, body = Page<Owner>)))]
async fn owners(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
) -> Result<Json<Page<Owner>>, Failure> {
    let owners = app.sources.owners(&who, &path.namespace, &path.forge).await?;
    Ok(whole(owners.into_iter().map(Owner::from)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Search {
    /// Whose repositories.
    owner: String,
    /// A piece of the name.
    q: Option<String>,
    /// From `next` of the page before.
    cursor: Option<String>,
}

/// A repository at a source provider.
#[derive(Debug, Serialize, ToSchema)]
struct SourceRepository {
    /// `owner/name`.
    path: String,
    private: bool,
    /// Null while it is empty.
    default_branch: Option<String>,
    web_url: String,
    /// Whether the account may make webhooks and keys there; null if the provider did not say.
    admin: Option<bool>,
    pushed_at: Option<Time>,
}

impl From<slipway_forge::Repository> for SourceRepository {
    fn from(repository: slipway_forge::Repository) -> Self {
        Self {
            path: repository.path.to_string(),
            private: repository.private,
            default_branch: repository.default_branch,
            web_url: repository.web_url.into(),
            admin: repository.admin,
            pushed_at: repository.pushed_at.map(Time),
        }
    }
}

/// Repositories of an owner, the last pushed to first. A page may be empty although more follow.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links/{forge}/repositories", tag = "linked accounts",
    operation_id = "search_sources", params(LinkPath, Search),
    responses((status = 200, body = Page<SourceRepository>)))]
async fn repositories(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    OriginalUri(asked): OriginalUri,
    Ask(search): Ask<Search>,
) -> Result<Response, Failure> {
    let (text, cursor) = (search.q.as_deref(), search.cursor.as_deref());
    let found = app
        .sources
        .repositories(&who, &path.namespace, &path.forge, &search.owner, text, cursor)
        .await?;
    let items: Vec<SourceRepository> = found
        .repositories
        .into_iter()
        .map(SourceRepository::from)
        .collect();
    Ok(page(&app, &asked, items, found.next))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfWhich {
    /// `owner/name`.
    #[param(value_type = String)]
    path: RepositoryPath,
}

/// A branch or a tag.
#[derive(Debug, Serialize, ToSchema)]
struct SourceRef {
    /// The full ref.
    #[serde(rename = "ref")]
    git_ref: String,
    commit: String,
}

impl From<Head> for SourceRef {
    fn from(head: Head) -> Self {
        Self {
            git_ref: head.name.full().to_owned(),
            commit: head.commit.to_string(),
        }
    }
}

/// Branches and tags of a source repository, as they are now.
#[utoipa::path(get, path = "/api/v1/namespaces/{namespace}/links/{forge}/refs", tag = "linked accounts",
    operation_id = "list_source_refs", params(LinkPath, OfWhich), responses((status = 200, body = Page<SourceRef>)))]
async fn refs(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<LinkPath>,
    Ask(which): Ask<OfWhich>,
) -> Result<Json<Page<SourceRef>>, Failure> {
    let choice = SourceChoice {
        forge: path.forge,
        path: which.path,
    };
    let heads = app.sources.refs(&who, &path.namespace, &choice).await?;
    Ok(whole(heads.into_iter().map(SourceRef::from)))
}
