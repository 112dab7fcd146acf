//! What is wrong with source repositories and with what was made there, with the buttons that put it right.

use axum::{
    extract::{Path, State},
    response::Response,
};
use slipway_types::{SlugName, Timestamp, forge::HealthReason};

use super::{act, to};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError,
        health::{Trouble, Troubled, fix},
    },
    web::{
        session::SignedIn,
        view::{Act, health::TroubleBox},
        words,
    },
};

/// One box for each of the repositories' troubles.
pub(super) fn boxes(who: &SignedIn, namespace: &SlugName, troubles: &[Trouble]) -> Vec<TroubleBox> {
    troubles
        .iter()
        .map(|trouble| one(who, namespace, trouble))
        .collect()
}

fn one(who: &SignedIn, namespace: &SlugName, trouble: &Trouble) -> TroubleBox {
    let source = trouble.source.full_name();
    let (tone, title) = match trouble.what {
        Troubled::Repository => ("bad", format!("Nothing builds from {source}")),
        Troubled::Webhook => ("warn", format!("Webhook of {source}")),
        Troubled::DeployKey => ("warn", format!("Deploy key of {source}")),
    };
    let configure = trouble
        .repositories
        .first()
        .map(|name| format!("/{namespace}/{name}/builds/configure"));
    let mut acts: Vec<Act> = Vec::new();
    let mut links = Vec::new();
    if let Some(configure) = configure {
        if trouble.what != Troubled::Repository && !trouble.repairing {
            let look = ("sm", "refresh", "Repair");
            acts.push(act(who, format!("{configure}/repair"), look, &*title));
        }
        acts.push(act(
            who,
            format!("{configure}/check"),
            ("sm", "refresh", "Check again"),
            &*title,
        ));
        let chooses = matches!(
            trouble.reason,
            HealthReason::RepositoryGone | HealthReason::RepositoryAccessLost
        );
        links.push((
            if chooses {
                "Choose another source"
            } else {
                "Configure"
            },
            configure,
        ));
    }
    TroubleBox {
        tone,
        title,
        reason: trouble.reason.as_str(),
        repaired: trouble.repaired_at.map(|at| words::when(at, Timestamp::now())),
        detail: sentence(&trouble.detail, trouble.repairing),
        fix: fix(trouble.reason),
        acts,
        links,
    }
}

fn sentence(detail: &str, repairing: bool) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut text: String = first.into_iter().flatten().chain(letters).collect();
    if !text.is_empty() && !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    if repairing {
        text.push_str(" It is being repaired now.");
    }
    text
}

/// `POST /{namespace}/{repository}/builds/configure/check`
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn check(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
) -> Result<Response, Failure> {
    let checked = app.health.check_repository(&who.caller, &namespace, &name).await;
    let done = match checked {
        Ok(()) => "checked",
        // What kept it from saying is noted at its link, like every failed call.
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            Failure::from(error).log();
            "unanswered"
        }
        Err(error) => return Err(error.into()),
    };
    Ok(to(&format!("/{namespace}/{name}/builds/configure?done={done}")))
}

/// `POST /{namespace}/{repository}/builds/configure/repair`
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn repair(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
) -> Result<Response, Failure> {
    app.health.repair(&who.caller, &namespace, &name).await?;
    Ok(to(&format!(
        "/{namespace}/{name}/builds/configure?done=repairing"
    )))
}
