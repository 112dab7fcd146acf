//! Builds: the history, one build's report, and what people do to them.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_types::{
    RefName, RuleId, SlugName,
    build::{BuildState, Cause},
    rights::Level,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    build::{Build, BuildReport},
    configuration::SourceType,
    extract::{Ask, Body, Of, RepositoryPath},
    page::{Page, address, cursor, limit, page},
    schema,
    triggered::{Triggered, render},
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        builds_read::Filter,
        queue::{RetryWith, TriggerWhat},
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, trigger))
        .routes(routes!(show))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

/// A build, in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct BuildPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    pub(super) namespace: SlugName,
    /// The repository's name.
    #[param(value_type = String)]
    pub(super) name: SlugName,
    /// The build's number within the repository.
    pub(super) number: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// A piece of the commit, its message, a tag, the ref, or the number.
    q: Option<String>,
    /// In this state.
    #[param(schema_with = schema::build_state)]
    state: Option<BuildState>,
    /// Of this cause.
    #[param(schema_with = schema::cause)]
    cause: Option<Cause>,
    /// Only those that have ended.
    #[serde(default)]
    ended: bool,
    /// After what the page begins: from `next` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 25 without it.
    limit: Option<usize>,
}

/// A repository's builds, the newest first.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/builds", tag = "builds",
    operation_id = "list_builds", params(RepositoryPath, Which), responses((status = 200, body = Page<Build>)))]
async fn list(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    OriginalUri(asked): OriginalUri,
    Ask(which): Ask<Which>,
) -> Result<Response, Failure> {
    let granted = app
        .access
        .repository(&who, &path.namespace, &path.name, Level::Read)
        .await?;
    let filter = Filter {
        text: which.q.unwrap_or_default(),
        state: which.state,
        cause: which.cause,
        ended: which.ended,
    };
    let before: Option<i64> = cursor(which.cursor.as_deref())?;
    let most = limit(which.limit)?;
    let (found, next) = app
        .builds
        .list(&who, granted.repository.id, &filter, before, most)
        .await?;
    let tags = app.builds.tags_of(&found).await?;
    let items: Vec<Build> = found
        .iter()
        .zip(tags)
        .map(|(build, tags)| Build::new(build, tags))
        .collect();
    Ok(page(&app, &asked, items, next))
}

/// What to build.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TriggerAsked {
    /// One rule, by its id; it must name one branch or tag.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    rule: Option<RuleId>,
    /// The rules that write this tag.
    #[serde(default)]
    docker_tag: Option<String>,
    /// All rules, as if this branch or tag had been pushed; together with `source_name`.
    #[serde(default)]
    source_type: Option<SourceType>,
    #[serde(default)]
    source_name: Option<String>,
}

impl TriggerAsked {
    fn what(self) -> Result<TriggerWhat, Failure> {
        match (self.rule, self.docker_tag, self.source_type, self.source_name) {
            (None, None, None, None) => Ok(TriggerWhat::All),
            (Some(rule), None, None, None) => Ok(TriggerWhat::Rule(rule)),
            (None, Some(tag), None, None) => Ok(TriggerWhat::DockerTag(tag)),
            (None, None, Some(kind), Some(name)) => RefName::new(kind.into(), &name)
                .map(TriggerWhat::Ref)
                .map_err(|error| Failure::invalid("source_name", format!("{error}."))),
            (None, None, Some(_), None) => Err(Failure::invalid("source_name", "Say which branch or tag.")),
            (None, None, None, Some(_)) => Err(Failure::invalid(
                "source_type",
                "Say whether it is a branch or a tag.",
            )),
            _ => Err(Failure::invalid(
                "rule",
                "Send one of `rule`, `docker_tag`, and `source_type` with `source_name`.",
            )),
        }
    }
}

/// Builds what is there now, also if it was built before. Without any field: all rules that name one branch or tag.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/builds", tag = "builds",
    operation_id = "trigger_builds", params(RepositoryPath), request_body = Option<TriggerAsked>,
    responses((status = 200, body = Triggered)))]
async fn trigger(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    Body(asked): Body<TriggerAsked>,
) -> Result<Json<Triggered>, Failure> {
    let triggered = app
        .build_acts
        .trigger(&who, &path.namespace, &path.name, &asked.what()?)
        .await?;
    Ok(Json(render(&app, &path.namespace, &path.name, triggered).await?))
}

/// A build's report.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/builds/{number}", tag = "builds",
    operation_id = "get_build", params(BuildPath), responses((status = 200, body = BuildReport)))]
async fn show(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuildPath>,
) -> Result<Json<BuildReport>, Failure> {
    let report = app
        .builds
        .report(&who, &path.namespace, &path.name, path.number)
        .await?;
    let waiting = match report.build.state {
        BuildState::Pending => app.queue.waiting(report.granted.namespace.id).await?,
        _ => Vec::new(),
    };
    let waits = waiting
        .into_iter()
        .find(|waiting| waiting.build.id == report.build.id);
    let log = app.logs.head(&report.build).await?;
    Ok(Json(BuildReport::new(report, waits, log)))
}

/// Cancels a build: at once when it waits, within seconds when it runs.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/builds/{number}/cancel", tag = "builds",
    operation_id = "cancel_build", params(BuildPath), responses((status = 200, body = Build)))]
async fn cancel(State(app): State<App>, who: Asker, Of(path): Of<BuildPath>) -> Result<Json<Build>, Failure> {
    let build = app
        .build_acts
        .cancel(&who, &path.namespace, &path.name, path.number)
        .await?;
    Ok(Json(shown(&app, &build).await?))
}

/// How to repeat a build.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RetryAsked {
    /// Whose configuration the new build gets.
    #[serde(default)]
    with: With,
    /// Whether it counts as the newest, so that its tags move to it whatever was built since.
    #[serde(default)]
    newest: bool,
}

/// Whose configuration a repeated build gets. Variables and logins are always today's.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum With {
    /// The rule as it is now.
    #[default]
    TodaysConfiguration,
    /// What was decided then.
    AsItWas,
}

/// Builds the same commit again.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/builds/{number}/retry", tag = "builds",
    operation_id = "retry_build", params(BuildPath), request_body = Option<RetryAsked>,
    responses((status = 201, body = Build)))]
async fn retry(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<BuildPath>,
    Body(asked): Body<RetryAsked>,
) -> Result<impl IntoResponse, Failure> {
    let with = match asked.with {
        With::TodaysConfiguration => RetryWith::TodaysConfiguration,
        With::AsItWas => RetryWith::AsItWas,
    };
    let (namespace, name) = (&path.namespace, &path.name);
    let build = app
        .build_acts
        .retry(&who, namespace, name, path.number, with, asked.newest)
        .await?;
    let place = format!("/api/v1/repositories/{namespace}/{name}/builds/{}", build.number);
    let location = [(header::LOCATION, address(&app, &place))];
    Ok((StatusCode::CREATED, location, Json(shown(&app, &build).await?)))
}

async fn shown(app: &App, build: &slipway_store::Build) -> Result<Build, Failure> {
    let tags = app.builds.tags_of(std::slice::from_ref(build)).await?;
    Ok(Build::new(build, tags.into_iter().flatten().collect()))
}
