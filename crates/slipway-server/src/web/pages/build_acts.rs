//! What people do to builds: trigger, cancel, retry, build as newest.

use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use serde::Deserialize;
use slipway_types::{RefName, RuleId, SlugName, rights::Level};

use super::to;
use crate::{
    app::App,
    failure::{self, Failure},
    services::queue::{RetryWith, TriggerWhat},
    web::session::SignedIn,
};

/// What to trigger.
#[derive(Debug, Deserialize)]
pub struct TriggerForm {
    rule: RuleId,
    #[serde(default)]
    source_name: String,
}

/// `POST /{namespace}/{repository}/builds/trigger`
///
/// # Errors
/// Forbidden, for those without write on it; a conflict, where nothing may be queued.
pub async fn trigger(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Form(form): Form<TriggerForm>,
) -> Result<Response, Failure> {
    let granted = app
        .access
        .repository(&who.caller, &namespace, &name, Level::Write)
        .await?;
    let configured = app
        .builds
        .configuration(&who.caller, granted.repository.id)
        .await?;
    let rule = configured.and_then(|c| c.rules.into_iter().find(|rule| rule.id == form.rule));
    let rule = rule.ok_or_else(Failure::not_found)?;
    let what = match form.source_name.trim() {
        "" => TriggerWhat::Rule(rule.id),
        entered => TriggerWhat::Ref(
            RefName::new(rule.fields.source_type, entered)
                .map_err(|error| Failure::invalid("source_name", error.to_string()))?,
        ),
    };
    let triggered = app
        .build_acts
        .trigger(&who.caller, &namespace, &name, &what)
        .await?;
    if triggered.iter().all(|one| one.commit.is_none()) {
        return Err(Failure::new(
            failure::CONFLICT,
            "The source has no such branch or tag now, so nothing was queued.",
        ));
    }
    Ok(to(&format!("/{namespace}/{name}/builds?done=queued")))
}

/// `POST /{namespace}/{repository}/builds/{number}/cancel`
///
/// # Errors
/// Forbidden, for those without write on it; a conflict, where it has ended.
pub async fn cancel(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Path<(SlugName, SlugName, i64)>,
) -> Result<Response, Failure> {
    app.build_acts
        .cancel(&who.caller, &namespace, &name, number)
        .await?;
    Ok(to(&format!(
        "/{namespace}/{name}/builds/{number}?done=canceled&n={number}"
    )))
}

/// How to repeat a build.
#[derive(Debug, Deserialize)]
pub struct RetryForm {
    /// `today` or `then`.
    #[serde(default)]
    with: String,
    /// `on` for *Build as newest*.
    #[serde(default)]
    newest: String,
}

/// `POST /{namespace}/{repository}/builds/{number}/retry`
///
/// # Errors
/// Forbidden, for those without write on it; a conflict, where it may not be queued.
pub async fn retry(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name, number)): Path<(SlugName, SlugName, i64)>,
    Form(form): Form<RetryForm>,
) -> Result<Response, Failure> {
    let with = match form.with.as_str() {
        "then" => RetryWith::AsItWas,
        _ => RetryWith::TodaysConfiguration,
    };
    let build = app
        .build_acts
        .retry(&who.caller, &namespace, &name, number, with, form.newest == "on")
        .await?;
    let number = build.number;
    Ok(to(&format!(
        "/{namespace}/{name}/builds/{number}?done=queued&n={number}"
    )))
}
