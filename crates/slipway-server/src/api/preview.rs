//! What rules as they are being entered would do with today's branches and tags.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use slipway_rules::RulePreview;
use slipway_types::rule::Autotest;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::Asker,
    configuration::{Rule, Source, Warning},
    extract::{Body, Of, RepositoryPath},
    schema,
};
use crate::{app::App, failure::Failure, services::configuring::RuleForm};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview))
}

/// Rules to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewAsked {
    source: Source,
    rules: Vec<Rule>,
    #[serde(default = "off")]
    #[schema(schema_with = schema::autotest)]
    autotest: Autotest,
}

const fn off() -> Autotest {
    Autotest::Off
}

/// What rules would do.
#[derive(Debug, Serialize, ToSchema)]
struct Preview {
    /// Per rule, in order.
    rules: Vec<PreviewOfRule>,
    warnings: Vec<Warning>,
    /// On how many branches and tags they were tried.
    tried: usize,
    /// How many there are.
    of: usize,
}

/// What a rule would do.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewOfRule {
    matches: Vec<Match>,
    misses: Vec<Miss>,
}

/// A branch or tag that a rule builds.
#[derive(Debug, Serialize, ToSchema)]
struct Match {
    /// The full ref.
    #[serde(rename = "ref")]
    git_ref: String,
    /// The tags that its image gets.
    tags: Vec<String>,
    /// Whether it is pushed, or only tested.
    push: bool,
    remarks: Vec<String>,
}

/// A branch or tag that a rule does not build.
#[derive(Debug, Serialize, ToSchema)]
struct Miss {
    /// The full ref.
    #[serde(rename = "ref")]
    git_ref: String,
    /// Why not: a stable word.
    because: &'static str,
    remark: Option<String>,
}

impl From<RulePreview> for PreviewOfRule {
    fn from(rule: RulePreview) -> Self {
        let matches = rule.matches.into_iter().map(|found| Match {
            git_ref: found.git_ref.full().to_owned(),
            tags: found.tags.iter().map(ToString::to_string).collect(),
            push: found.push,
            remarks: found.remarks,
        });
        let misses = rule.misses.into_iter().map(|(git_ref, because, remark)| Miss {
            git_ref: git_ref.full().to_owned(),
            because: because.as_str(),
            remark,
        });
        Self {
            matches: matches.collect(),
            misses: misses.collect(),
        }
    }
}

/// Tries rules on today's branches and tags. Nothing is saved.
#[utoipa::path(post, path = "/api/v1/repositories/{namespace}/{name}/configuration/preview", tag = "configuration",
    operation_id = "preview_rules", params(RepositoryPath), request_body = PreviewAsked,
    responses((status = 200, body = Preview)))]
async fn preview(
    State(app): State<App>,
    who: Asker,
    Of(path): Of<RepositoryPath>,
    Body(asked): Body<PreviewAsked>,
) -> Result<Json<Preview>, Failure> {
    let rules: Vec<RuleForm> = asked.rules.into_iter().map(RuleForm::from).collect();
    let source = asked.source.into();
    let found = app
        .configuring
        .preview(&who, &path.namespace, &path.name, &source, &rules, asked.autotest)
        .await?;
    let warnings = found.warnings.into_iter().flat_map(|(rule, warnings)| {
        warnings
            .into_iter()
            .map(move |warning| Warning::new(rule, warning))
    });
    Ok(Json(Preview {
        warnings: warnings.collect(),
        rules: found.rules.into_iter().map(PreviewOfRule::from).collect(),
        tried: found.tried,
        of: found.of,
    }))
}
