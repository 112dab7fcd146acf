//! Taking a link apart: first what will happen, then, at the same address, what did.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_types::{
    SlugName, Timestamp,
    forge::{LinkState, OutboxKind, OutboxState},
};

use super::{Done, Page, frame, linked_accounts::address, to};
use crate::{
    app::App,
    failure::Failure,
    services::unlinking::{Ledger, LedgerStep, UnlinkChoices, UnlinkPreview},
    web::{
        session::SignedIn,
        view::{
            Alert, Check, Crumbs, Pill, Place,
            links::{LedgerPage, UnlinkPage, UnlinkRow},
        },
        words,
    },
};

/// Whose link.
#[derive(Debug, Deserialize)]
pub struct Of {
    namespace: SlugName,
}

/// What was chosen.
#[derive(Debug, Deserialize)]
pub struct UnlinkForm {
    namespace: SlugName,
    #[serde(default)]
    running: String,
    #[serde(default)]
    revoke: String,
}

fn crumbs(namespace: &SlugName, forge: &str) -> Crumbs {
    Crumbs {
        up: vec![
            (namespace.to_string(), format!("/?namespace={namespace}")),
            ("Linked accounts".to_owned(), address(namespace)),
        ],
        here: format!("Unlink {forge}"),
    }
}

/// `GET /settings/linked-accounts/{forge}/unlink`: the preview while the link is in use, the ledger afterwards.
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Query(of): Query<Of>,
) -> Result<Response, Failure> {
    let overview = app.links.overview(&who.caller, &of.namespace).await?;
    let in_use = overview
        .iter()
        .filter(|linked| linked.forge.fields.name == forge)
        .any(|linked| {
            linked
                .link
                .as_ref()
                .is_some_and(|link| link.state == LinkState::Linked)
        });
    if in_use {
        let preview = app.unlinking.preview(&who.caller, &of.namespace, &forge).await?;
        return Ok(Page(unlink_page(&app, &who, &of.namespace, &forge, &preview)).into_response());
    }
    let ledger = app
        .unlinking
        .ledger(&who.caller, &of.namespace, &forge, None)
        .await?;
    Ok(Page(ledger_page(&app, &who, &of.namespace, &forge, &ledger)).into_response())
}

fn unlink_page(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    forge: &str,
    preview: &UnlinkPreview,
) -> UnlinkPage {
    let hooks = preview
        .sources
        .iter()
        .filter(|source| source.hook.is_some())
        .count();
    let keys = preview
        .sources
        .iter()
        .filter(|source| source.key.is_some())
        .count();
    let link = &preview.link;
    let by = preview
        .linked_by
        .as_ref()
        .map(|name| format!(" by {name}"))
        .unwrap_or_default();
    let id = |resource: &Option<slipway_store::Resource>| match resource {
        Some(resource) => resource
            .remote_id
            .clone()
            .unwrap_or_else(|| "being made".to_owned()),
        None => "none".to_owned(),
    };
    UnlinkPage {
        frame: frame(
            app,
            who,
            format!("Unlink {} from {namespace}", preview.forge),
            Place::Elsewhere,
            &Done::default(),
        ),
        crumbs: crumbs(namespace, &preview.forge),
        action: format!("/settings/linked-accounts/{forge}/unlink"),
        back: address(namespace),
        initials: words::initials(&preview.forge),
        forge: preview.forge.clone(),
        namespace: namespace.to_string(),
        account: link.login.clone(),
        about: format!("linked{by} on {}", words::day(link.linked_at)),
        state: words::health(link.health),
        stops: preview
            .sources
            .iter()
            .map(|source| source.repositories.len())
            .sum(),
        things: hooks + keys,
        others: others(preview),
        rows: preview
            .sources
            .iter()
            .map(|source| UnlinkRow {
                repositories: source
                    .repositories
                    .iter()
                    .map(|name| format!("{namespace}/{name}"))
                    .collect(),
                source: source.source.full_name(),
                webhook: id(&source.hook),
                key: id(&source.key),
            })
            .collect(),
        may_revoke: preview.may_revoke,
        revoke_help: revoke_help(preview),
    }
}

fn revoke_help(preview: &UnlinkPreview) -> String {
    let mut help = if preview.may_revoke {
        format!(
            "Ends everything that {} granted to Slipway there. Where the provider offers no such call, the ledger says \
             where to do it by hand.",
            preview.link.login
        )
    } else {
        "The authorization itself stays: another namespace uses the same account.".to_owned()
    };
    if !preview.installed_at.is_empty() {
        help.push_str(" The GitHub App stays installed at ");
        help.push_str(&preview.installed_at.join(", "));
        help.push_str(": whoever owns that account removes it there.");
    }
    help
}

fn others(preview: &UnlinkPreview) -> String {
    let named: Vec<_> = preview.others.iter().map(ToString::to_string).collect();
    match (named.is_empty(), preview.hidden_others) {
        (true, 0) => "No other namespace uses this account.".to_owned(),
        (false, 0) => format!("The same account goes on being used by {}.", named.join(", ")),
        (true, n) => format!(
            "{} go on using the same account.",
            words::count(n, "other namespace", "other namespaces")
        ),
        (false, n) => format!("{} and {n} more go on using the same account.", named.join(", ")),
    }
}

/// `POST /settings/linked-accounts/{forge}/unlink`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn unlink(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<UnlinkForm>,
) -> Result<Response, Failure> {
    let choices = UnlinkChoices {
        revoke_grant: form.revoke == "on",
        cancel_running: form.running == "cancel",
    };
    app.unlinking
        .unlink(&who.caller, &form.namespace, &forge, choices)
        .await?;
    Ok(to(&format!(
        "/settings/linked-accounts/{forge}/unlink?namespace={}",
        form.namespace
    )))
}

fn ledger_page(app: &App, who: &SignedIn, namespace: &SlugName, forge: &str, ledger: &Ledger) -> LedgerPage {
    let name = &ledger.forge;
    let done = ledger.is_finished();
    let left = ledger
        .steps
        .iter()
        .filter(|step| step.state == OutboxState::GivenUp)
        .count();
    let mut frame = frame(
        app,
        who,
        format!("Unlinking {name} from {namespace}"),
        Place::Elsewhere,
        &Done::default(),
    );
    if !done {
        frame.live = format!("/settings/linked-accounts/{forge}/ledger/events?namespace={namespace}");
    }
    let (title, state) = match (done, left) {
        (false, _) => (
            format!("{name} is being unlinked from {namespace}"),
            Pill::new("run", "running", "Unlinking"),
        ),
        (true, 0) => (
            format!("{name} is unlinked from {namespace}"),
            Pill::new("ok", "check-circle", "Unlinked"),
        ),
        (true, n) => (
            format!(
                "{name} is unlinked from {namespace}, {} left behind",
                words::count(n, "thing is", "things are")
            ),
            Pill::new(
                "warn",
                "alert",
                format!("{} remaining at {name}", ledger.remaining.max(n)),
            ),
        ),
    };
    let remaining = format!("{} remaining at {name}", ledger.remaining);
    let alert = match (done, left) {
        (false, _) => Alert::warn(remaining)
            .line("Steps that fail are tried again, also over restarts. This page follows."),
        (true, 0) => Alert::ok(remaining)
            .line("Sealed tokens are erased. Build configurations are kept as disconnected."),
        (true, _) => {
            Alert::warn(remaining).line("What is left has to be removed by hand; each step says where.")
        }
    };
    LedgerPage {
        frame,
        crumbs: crumbs(namespace, name),
        title,
        state,
        alert,
        steps: ledger.steps.iter().map(step).collect(),
        started: ledger.link.ended_at.map(|at| words::when(at, Timestamp::now())),
        back: address(namespace),
    }
}

fn step(step: &LedgerStep) -> Check {
    let of = step.at.as_ref().map(|at| format!(" of {at}")).unwrap_or_default();
    let title = match step.kind {
        OutboxKind::RemoveWebhook => format!("Remove the webhook{of}"),
        OutboxKind::RemoveDeployKey => format!("Remove the deploy key{of}"),
        OutboxKind::RevokeCredential => "Give the authorization back, and erase the tokens here".to_owned(),
        other => format!("{}{of}", other.as_str().replace('_', " ")),
    };
    let now = Timestamp::now();
    let detail = step.detail.clone().unwrap_or_default();
    let when = words::when(step.when, now).words;
    match step.state {
        OutboxState::Done => Check::at("ok", "check-circle", title, detail, format!("Done, {when}")),
        OutboxState::GivenUp => Check::at("warn", "alert", title, detail, "Left behind"),
        OutboxState::Pending if step.attempts == 0 => Check::at("idle", "todo", title, detail, "To do"),
        OutboxState::Pending => {
            let tried = words::count(step.attempts.unsigned_abs() as usize, "try", "tries");
            Check::at(
                "run",
                "running",
                title,
                detail,
                format!("After {tried}, again {when}"),
            )
        }
    }
}
