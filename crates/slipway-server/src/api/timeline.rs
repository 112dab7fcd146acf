//! What happened at a repository's source: deliveries, what came of each ref in them, and what the rules said.
//!
//! One source may serve several repositories; only what concerns this one is shown.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use slipway_store::{Change, DeliveryChange, RuleVerdict, SourceRepository};
use slipway_types::{
    ConfigurationId, DeliveryId, RepositoryId, Seq, SlugName, decision::Verdict, rights::Level,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    extract::{Ask, Of, RepositoryPath},
    page::{Page, cursor, limit, page},
    schema::{self, Time},
};
use crate::{
    app::App,
    failure::Failure,
    services::timeline::{ChangeEntry, DeliveryEntry},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(deliveries))
        .routes(routes!(changes))
        .routes(routes!(replay))
}

/// A webhook request as it was received, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
struct Delivery {
    id: String,
    /// As the provider calls it: `push`.
    event: String,
    /// The provider's id of it.
    remote_id: String,
    /// Which attempt of the provider's it is, from 1.
    attempt: i32,
    #[schema(schema_with = schema::delivery_outcome)]
    outcome: &'static str,
    /// More about that, for people.
    detail: Option<String>,
    /// The delivery that a person had replayed.
    replay_of: Option<String>,
    received_at: Time,
    handled_at: Option<Time>,
    changes: Vec<Said>,
}

/// What a delivery says of a ref, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
struct Said {
    /// The full ref, or `refs/pull/7/head`.
    #[serde(rename = "ref")]
    subject: String,
    before: Option<String>,
    after: Option<String>,
    #[schema(schema_with = schema::change_result)]
    result: &'static str,
    /// The change that it led to.
    change: Option<ChangeOfRef>,
}

/// A ref moved, or somebody wished it built.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeOfRef {
    id: String,
    /// The full ref, or `refs/pull/7/head`.
    #[serde(rename = "ref")]
    subject: String,
    old: Option<String>,
    new: Option<String>,
    #[schema(schema_with = schema::cause)]
    cause: &'static str,
    observed_at: Time,
    /// When the rules were asked; null while they are to be.
    decided_at: Option<Time>,
    verdicts: Vec<VerdictOfRule>,
    /// The numbers of the builds that came of it.
    builds: Vec<i64>,
}

/// What a rule said.
#[derive(Debug, Serialize, ToSchema)]
struct VerdictOfRule {
    /// The rule's id.
    rule: String,
    /// The rule as it was then, for people.
    rule_text: String,
    /// `build` or `no`.
    verdict: &'static str,
    /// Of `no`: why.
    because: Option<&'static str>,
    /// Of `build`: the tags.
    tags: Vec<String>,
    /// Of `build`: `queued`, or why not.
    admission: Option<&'static str>,
}

impl From<&RuleVerdict> for VerdictOfRule {
    fn from(verdict: &RuleVerdict) -> Self {
        let (word, because, tags) = match &verdict.verdict {
            Verdict::Build { tags, .. } => ("build", None, tags.iter().map(ToString::to_string).collect()),
            Verdict::No { because } => ("no", Some(because.as_str()), Vec::new()),
        };
        Self {
            rule: verdict.rule.to_string(),
            rule_text: verdict.rule_text.clone(),
            verdict: word,
            because,
            tags,
            admission: verdict.admission.map(slipway_store::Admission::as_str),
        }
    }
}

/// Whose part of a source's history is shown.
struct Part {
    source: SourceRepository,
    configuration: ConfigurationId,
    repository: RepositoryId,
}

impl Part {
    async fn of(app: &App, who: &Asker, path: &RepositoryPath, needed: Level) -> Result<Self, Failure> {
        let granted = app
            .access
            .repository(who, &path.namespace, &path.name, needed)
            .await?;
        let configured = app.builds.configuration(who, granted.repository.id).await?;
        let configured = configured.ok_or_else(Failure::not_found)?;
        Ok(Self {
            source: configured.source,
            configuration: configured.configuration.id,
            repository: granted.repository.id,
        })
    }

    fn change(&self, entry: &ChangeEntry) -> ChangeOfRef {
        let Change {
            id,
            subject,
            old,
            new,
            cause,
            created_at,
            decided_at,
            ..
        } = &entry.change;
        let verdicts = entry
            .verdicts
            .iter()
            .filter(|verdict| verdict.configuration == self.configuration);
        let builds = entry
            .builds
            .iter()
            .filter(|build| build.new.repository == self.repository);
        ChangeOfRef {
            id: id.to_string(),
            subject: subject.full(),
            old: old.as_ref().map(ToString::to_string),
            new: new.as_ref().map(ToString::to_string),
            cause: cause.as_str(),
            observed_at: Time(*created_at),
            decided_at: decided_at.map(Time),
            verdicts: verdicts.map(VerdictOfRule::from).collect(),
            builds: builds.map(|build| build.number).collect(),
        }
    }

    /// Whether a change is everybody's, or the wish of this repository.
    fn concerns(&self, change: &Change) -> bool {
        change
            .configuration
            .is_none_or(|configuration| configuration == self.configuration)
    }

    fn delivery(&self, entry: DeliveryEntry) -> Delivery {
        let delivery = entry.delivery;
        let changes = entry.changes.iter().map(|one| {
            let DeliveryChange {
                subject,
                before,
                after,
                result,
                ..
            } = &one.said;
            Said {
                subject: subject.full(),
                before: before.as_ref().map(ToString::to_string),
                after: after.as_ref().map(ToString::to_string),
                result: result.as_str(),
                change: one
                    .change
                    .as_ref()
                    .filter(|entry| self.concerns(&entry.change))
                    .map(|it| self.change(it)),
            }
        });
        Delivery {
            changes: changes.collect(),
            id: delivery.id.to_string(),
            event: delivery.event,
            remote_id: delivery.remote_id,
            attempt: delivery.attempt,
            outcome: delivery.outcome.as_str(),
            detail: delivery.detail,
            replay_of: delivery.replay_of.map(|id| id.to_string()),
            received_at: delivery.received_at.into(),
            handled_at: delivery.handled_at.map(Time),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// After what the page begins: from `next` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; 25 without it.
    limit: Option<usize>,
}

/// The deliveries of a repository's source, the newest first.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/deliveries", tag = "timeline",
    operation_id = "list_deliveries", params(RepositoryPath, Which), responses((status = 200, body = Page<Delivery>)))]
async fn deliveries(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    OriginalUri(asked): OriginalUri,
    Ask(which): Ask<Which>,
) -> Result<Response, Failure> {
    let part = Part::of(&app, &who, &path, Level::Read).await?;
    let after: Option<DeliveryId> = cursor(which.cursor.as_deref())?;
    let most = limit(which.limit)?;
    let mut found = app
        .timeline
        .deliveries(part.source.id, after, wanted(most))
        .await?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().map(|entry| entry.delivery.id).filter(|_| more);
    let items: Vec<Delivery> = found.into_iter().map(|entry| part.delivery(entry)).collect();
    Ok(page(&app, &asked, items, next))
}

/// The changes of a repository's source, whoever found them, the newest first.
#[utoipa::path(get, path = "/api/v1/repositories/{namespace}/{name}/changes", tag = "timeline",
    operation_id = "list_changes", params(RepositoryPath, Which), responses((status = 200, body = Page<ChangeOfRef>)))]
async fn changes(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    OriginalUri(asked): OriginalUri,
    Ask(which): Ask<Which>,
) -> Result<Response, Failure> {
    let part = Part::of(&app, &who, &path, Level::Read).await?;
    let before: Option<i64> = cursor(which.cursor.as_deref())?;
    let most = limit(which.limit)?;
    let mut found = app
        .timeline
        .changes(part.source.id, before.map(Seq), wanted(most))
        .await?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().map(|entry| entry.change.seq).filter(|_| more);
    let ours = found.iter().filter(|entry| part.concerns(&entry.change));
    let items: Vec<ChangeOfRef> = ours.map(|entry| part.change(entry)).collect();
    Ok(page(&app, &asked, items, next))
}

/// One more than is shown tells whether there is another page.
fn wanted(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct DeliveryPath {
    /// A user's or an organization's name.
    #[param(value_type = String)]
    namespace: SlugName,
    /// The repository's name.
    #[param(value_type = String)]
    name: SlugName,
    /// The delivery's id.
    #[param(value_type = String)]
    delivery: DeliveryId,
}

/// A delivery that goes through the rules again.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    /// The id of the new delivery.
    id: String,
}

/// Has a delivery run through today's rules again.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/deliveries/{delivery}/replay", tag = "timeline",
    operation_id = "replay_delivery", params(DeliveryPath), responses((status = 202, body = Replayed)))]
async fn replay(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<DeliveryPath>,
) -> Result<impl IntoResponse, Failure> {
    let repository = RepositoryPath {
        namespace: path.namespace,
        name: path.name,
    };
    let part = Part::of(&app, &who, &repository, Level::Write).await?;
    let entry = app.timeline.delivery(path.delivery).await?;
    let entry = entry
        .filter(|entry| entry.delivery.source == part.source.id)
        .ok_or_else(Failure::not_found)?;
    let id = app.deliveries.replay(entry.delivery.id, Some(who.user)).await?;
    Ok((StatusCode::ACCEPTED, Json(Replayed { id: id.to_string() })))
}
