//! What came of a trigger, rule by rule: which build, or why none. The same for a person's and a build trigger's.

use serde::Serialize;
use slipway_store::RuleVerdict;
use slipway_types::{SlugName, decision::Verdict};
use utoipa::ToSchema;

use super::page::address;
use crate::{app::App, failure::Failure, services::queue};

/// What came of a trigger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Triggered {
    /// What was queued, or stands in for it. Empty when nothing matched.
    queued: Vec<Queued>,
    /// What was not, and why.
    not_queued: Vec<NotQueued>,
}

/// A build that was queued.
#[derive(Debug, Serialize, ToSchema)]
struct Queued {
    /// The full ref.
    #[serde(rename = "ref")]
    git_ref: String,
    commit: String,
    /// The rule's id.
    rule: String,
    /// The rule, for people.
    rule_text: String,
    tags: Vec<String>,
    /// The build's number.
    number: i64,
    /// The build, in the API.
    url: String,
    /// The build's page.
    html_url: String,
}

/// Why a rule queued nothing.
#[derive(Debug, Serialize, ToSchema)]
struct NotQueued {
    /// The full ref.
    #[serde(rename = "ref")]
    git_ref: String,
    commit: Option<String>,
    /// The rule's id; null where no rule was asked, because the ref is not there.
    rule: Option<String>,
    /// The rule, for people.
    rule_text: Option<String>,
    /// A stable word: `no_such_ref`, `undecided`, or a reason of a decision.
    reason: &'static str,
    /// The number of the build that stands in, where one does.
    number: Option<i64>,
}

/// Renders what came of a trigger of this repository.
pub(super) async fn render(
    app: &App,
    namespace: &SlugName,
    name: &SlugName,
    all: Vec<queue::Triggered>,
) -> Result<Triggered, Failure> {
    let mut answer = Triggered {
        queued: Vec::new(),
        not_queued: Vec::new(),
    };
    for one in all {
        if one.verdicts.is_empty() {
            answer.not_queued.push(NotQueued {
                git_ref: one.git_ref.full().to_owned(),
                reason: if one.commit.is_none() {
                    "no_such_ref"
                } else {
                    "undecided"
                },
                commit: one.commit.map(|commit| commit.to_string()),
                rule: one.rule.map(|rule| rule.to_string()),
                rule_text: None,
                number: None,
            });
            continue;
        }
        for verdict in &one.verdicts {
            let number = match verdict.build {
                Some(build) => app.builds.number(build).await?,
                None => None,
            };
            let git_ref = one.git_ref.full().to_owned();
            let commit = one.commit.as_ref().map(ToString::to_string);
            match (outcome(verdict), number) {
                (Ok(tags), Some(number)) => answer.queued.push(Queued {
                    git_ref,
                    commit: commit.unwrap_or_default(),
                    rule: verdict.rule.to_string(),
                    rule_text: verdict.rule_text.clone(),
                    tags,
                    number,
                    url: address(
                        app,
                        &format!("/api/v1/repositories/{namespace}/{name}/builds/{number}"),
                    ),
                    html_url: address(app, &format!("/{namespace}/{name}/builds/{number}")),
                }),
                (outcome, number) => answer.not_queued.push(NotQueued {
                    git_ref,
                    commit,
                    rule: Some(verdict.rule.to_string()),
                    rule_text: Some(verdict.rule_text.clone()),
                    reason: outcome.err().unwrap_or("undecided"),
                    number,
                }),
            }
        }
    }
    Ok(answer)
}

/// The tags of what was queued, or why nothing was.
fn outcome(verdict: &RuleVerdict) -> Result<Vec<String>, &'static str> {
    use slipway_store::Admission;
    match (&verdict.verdict, verdict.admission) {
        (Verdict::No { because }, _) => Err(because.as_str()),
        (Verdict::Build { tags, .. }, Some(Admission::Queued)) => {
            Ok(tags.iter().map(ToString::to_string).collect())
        }
        (Verdict::Build { .. }, Some(Admission::Not(why))) => Err(why.as_str()),
        (Verdict::Build { .. }, None) => Err("undecided"),
    }
}
