//! Repositories: where images of one name go.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use slipway_types::{RegistryId, RepositoryId, SlugName, rights::Level};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Body, Of, RepositoryPath},
    page::{Page, address, cursor, limit, page},
    schema::{self, Time},
};
use crate::{
    app::App,
    failure::Failure,
    services::repositories::{Named, RepositoryForm},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
}

/// A repository.
#[derive(Debug, Serialize, ToSchema)]
struct Repository {
    id: String,
    namespace: String,
    name: String,
    description: String,
    /// Seen by those only who were given a right on it.
    private: bool,
    /// What stands in a `docker pull` line, without a tag.
    #[schema(example = "registry.example.org/acme/app")]
    image: String,
    /// The id of the registry that images go to.
    registry: String,
    /// The path there.
    image_path: String,
    /// The most that you may do with it.
    #[schema(schema_with = schema::level)]
    level: &'static str,
    /// The number of its last build; 0 before the first.
    last_build: i64,
    created_at: Time,
}

impl From<Named> for Repository {
    fn from(named: Named) -> Self {
        Self {
            image: named.image(),
            id: named.repository.id.to_string(),
            namespace: named.namespace.to_string(),
            name: named.repository.name.to_string(),
            description: named.repository.description,
            private: named.repository.private,
            registry: named.registry.id.to_string(),
            image_path: named.repository.image_path.to_string(),
            level: named.level.as_str(),
            last_build: named.repository.last_number,
            created_at: named.repository.created_at.into(),
        }
    }
}

/// A repository to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRepository {
    /// Whose it is.
    #[schema(value_type = String)]
    namespace: SlugName,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    private: bool,
    /// The id of the registry that images go to; may be left out where there is only one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    registry: Option<RegistryId>,
    /// The path there; without it, the registry's prefix, or the namespace, and the name.
    #[serde(default)]
    image_path: String,
}

/// What is to be changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RepositoryChange {
    description: Option<String>,
    private: Option<bool>,
    /// The id of the registry that images go to.
    #[schema(value_type = Option<String>)]
    registry: Option<RegistryId>,
    /// The path there.
    image_path: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Search {
    /// A piece of the name.
    q: Option<String>,
    /// After what the page begins: from `next` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 25 without it.
    limit: Option<usize>,
}

/// The repositories that you may see.
#[utoipa::path(get, path = "/api/v1/repositories", tag = "repositories", operation_id = "list_repositories",
    params(Search), responses((status = 200, body = Page<Repository>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    OriginalUri(asked): OriginalUri,
    Ask(search): Ask<Search>,
) -> Result<Response, Failure> {
    let after: Option<RepositoryId> = cursor(search.cursor.as_deref())?;
    let text = search.q.unwrap_or_default();
    let (found, next) = app
        .repositories
        .visible(&who, &text, after, limit(search.limit)?)
        .await?;
    let items: Vec<Repository> = found.into_iter().map(Repository::from).collect();
    Ok(page(&app, &asked, items, next))
}

/// Creates a repository in a namespace that you own.
#[utoipa::path(post, path = "/api/v1/repositories", tag = "repositories", operation_id = "create_repository",
    request_body = NewRepository, responses((status = 201, body = Repository)))]
async fn create(
    State(app): State<App>,
    who: Asker,
    Body(new): Body<NewRepository>,
) -> Result<impl IntoResponse, Failure> {
    let form = RepositoryForm {
        description: new.description,
        private: new.private,
        registry: new.registry,
        image_path: new.image_path,
    };
    app.repositories
        .create(&who, &new.namespace, &new.name, &form)
        .await?;
    let name: SlugName = new.name.parse().map_err(|_| Failure::not_found())?;
    let created = app
        .repositories
        .find(&who, &new.namespace, &name, Level::Read)
        .await?;
    let location = [(
        header::LOCATION,
        address(&app, &format!("/api/v1/repositories/{}/{name}", new.namespace)),
    )];
    Ok((StatusCode::CREATED, location, Json(Repository::from(created))))
}

/// A repository.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}", tag = "repositories",
    operation_id = "get_repository", params(RepositoryPath), responses((status = 200, body = Repository)))]
async fn show(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<Json<Repository>, Failure> {
    let found = app
        .repositories
        .find(&who, &path.namespace, &path.name, Level::Read)
        .await?;
    Ok(Json(found.into()))
}

/// Changes a repository's description, visibility, and where its images go.
#[utoipa::path(patch, path = "/api/v1/repositories/{namespace}/{name}", tag = "repositories",
    operation_id = "change_repository", params(RepositoryPath), request_body = RepositoryChange,
    responses((status = 200, body = Repository)))]
async fn change(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    Body(change): Body<RepositoryChange>,
) -> Result<Json<Repository>, Failure> {
    let now = app
        .repositories
        .find(&who, &path.namespace, &path.name, Level::Admin)
        .await?;
    let form = RepositoryForm {
        description: change.description.unwrap_or(now.repository.description),
        private: change.private.unwrap_or(now.repository.private),
        registry: change.registry.or(Some(now.repository.registry)),
        image_path: change
            .image_path
            .unwrap_or_else(|| now.repository.image_path.to_string()),
    };
    app.repositories
        .change(&who, &path.namespace, &path.name, &form)
        .await?;
    let changed = app
        .repositories
        .find(&who, &path.namespace, &path.name, Level::Read)
        .await?;
    Ok(Json(changed.into()))
}

/// Deletes a repository that has no build configuration any more, with its builds and their logs. Images stay.
#[utoipa::path(delete, path = "/api/v1/repositories/{namespace}/{name}", tag = "repositories",
    operation_id = "delete_repository", params(RepositoryPath), responses((status = 204, description = "It is gone.")))]
async fn delete(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
) -> Result<StatusCode, Failure> {
    app.repositories.delete(&who, &path.namespace, &path.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
