//! What became of a link that was taken apart: the steps, and whether its access is gone.

use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_store::AccessProof;
use slipway_types::{
    LinkId, SlugName, Timestamp,
    forge::{OutboxKind, OutboxState, ProofState},
};

use super::{Done, Page, act, frame, linked_accounts::address, to, unlink::crumbs};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError,
        unlinking::{Ledger, LedgerStep},
    },
    web::{
        session::SignedIn,
        view::{
            Act, Alert, Check, Pill, Place,
            links::{AccessCard, LedgerPage},
        },
        words,
    },
};

/// Which link's access.
#[derive(Debug, Deserialize)]
pub struct AccessForm {
    namespace: SlugName,
    link: LinkId,
}

/// The page of what became of a link.
pub(super) fn place(namespace: &SlugName, forge: &str, link: LinkId) -> String {
    format!("/settings/linked-accounts/{forge}/unlink?namespace={namespace}&link={link}")
}

/// `POST /settings/linked-accounts/{forge}/unlink/check`: whether the provider renews the access still.
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn check(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<AccessForm>,
) -> Result<Response, Failure> {
    let checked = app
        .access_proofs
        .check(&who.caller, &form.namespace, &forge, Some(form.link))
        .await;
    answer(&app, &who, &forge, &form, checked, "It could not be checked.").await
}

/// `POST /settings/linked-accounts/{forge}/unlink/forget`: erases what is kept for the proof.
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn forget(
    State(app): State<App>,
    who: SignedIn,
    Path(forge): Path<String>,
    Form(form): Form<AccessForm>,
) -> Result<Response, Failure> {
    let forgotten = app
        .access_proofs
        .forget(&who.caller, &form.namespace, &forge, Some(form.link))
        .await;
    answer(&app, &who, &forge, &form, forgotten, "Nothing was erased.").await
}

async fn answer(
    app: &App,
    who: &SignedIn,
    forge: &str,
    form: &AccessForm,
    came: Result<AccessProof, ServiceError>,
    what: &str,
) -> Result<Response, Failure> {
    let error = match came {
        Ok(_) => {
            return Ok(to(&format!(
                "{}#access",
                place(&form.namespace, forge, form.link)
            )));
        }
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. })) => {
            error
        }
        Err(error) => return Err(error.into()),
    };
    let failure = Failure::from(error);
    failure.log();
    let alert = Alert::bad(what).line(failure.why).line("Nothing has changed.");
    page(app, who, &form.namespace, forge, Some(form.link), Some(alert)).await
}

/// The ledger of the link that was taken apart last, or of this one.
pub(super) async fn page(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    forge: &str,
    link: Option<LinkId>,
    trouble: Option<Alert>,
) -> Result<Response, Failure> {
    let ledger = app.unlinking.ledger(&who.caller, namespace, forge, link).await?;
    let name = &ledger.forge;
    let done = ledger.is_finished();
    let left = left(&ledger);
    let mut frame = frame(
        app,
        who,
        format!("Unlinking {name} from {namespace}"),
        Place::Elsewhere,
        &Done::default(),
    );
    if !done {
        frame.live = format!(
            "/settings/linked-accounts/{forge}/ledger/events?namespace={namespace}&link={}",
            ledger.link.id
        );
    }
    let remaining = format!("{left} remaining at {name}");
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
            Pill::new("warn", "alert", remaining.clone()),
        ),
    };
    let alert = match (done, left) {
        (false, _) => Alert::warn(remaining)
            .line("Steps that fail are tried again, also over restarts. This page follows."),
        (true, 0) => Alert::ok(remaining)
            .line("Sealed tokens are erased. Build configurations are kept as disconnected."),
        (true, _) => {
            Alert::warn(remaining).line("What is left has to be removed by hand; each step says where.")
        }
    };
    let page = LedgerPage {
        frame,
        crumbs: crumbs(namespace, name),
        title,
        state,
        alerts: trouble.into_iter().chain([alert]).collect(),
        access: access(who, namespace, forge, &ledger),
        steps: ledger.steps.iter().map(step).collect(),
        started: ledger.link.ended_at.map(|at| words::when(at, Timestamp::now())),
        back: address(namespace),
    };
    Ok(Page(page).into_response())
}

/// How much is still at the provider: hooks, keys, and the access itself where it could not be ended.
fn left(ledger: &Ledger) -> usize {
    let access =
        |step: &&LedgerStep| step.kind == OutboxKind::RevokeCredential && step.state == OutboxState::GivenUp;
    ledger.remaining + ledger.steps.iter().filter(access).count()
}

/// Whether the access is gone, where only the person can end it.
fn access(who: &SignedIn, namespace: &SlugName, forge: &str, ledger: &Ledger) -> Option<AccessCard> {
    let proof = ledger.proof.as_ref()?;
    let name = &ledger.forge;
    let account = &ledger.link.login;
    let (state, what) = told(proof, name);
    let mut lines = vec![what];
    let mut acts = Vec::new();
    if proof.state.is_open() {
        lines.push(format!(
            "{name} lets nobody but {account} end the access: revoke Slipway there, under application authorizations, then \
             check again. It is gone when {name} refuses to renew it."
        ));
        lines.push(format!(
            "For that question alone the refresh token is kept, sealed, until {} at the latest; nothing is read or done \
             with what {name} gives. All other tokens are erased.",
            words::day(proof.kept_until)
        ));
        let button = |what, look| Act {
            fields: vec![
                ("namespace", namespace.to_string()),
                ("link", ledger.link.id.to_string()),
            ],
            ..act(
                who,
                format!("/settings/linked-accounts/{forge}/unlink/{what}"),
                look,
                "",
            )
        };
        acts.push(button("check", ("sm", "refresh", "Check again")));
        acts.push(button("forget", ("sm quiet", "trash", "Forget the token")));
    }
    Some(AccessCard {
        title: format!("Access to {account} at {name}"),
        state,
        lines,
        checked: proof.checked_at.map(|at| words::when(at, Timestamp::now())),
        authorizations: match (&ledger.authorizations_url, proof.state) {
            (_, ProofState::Gone | ProofState::LinkedAgain) => None,
            (url, _) => url.as_ref().map(ToString::to_string),
        },
        acts,
    })
}

/// What is known of an access, in a word and in a sentence.
fn told(proof: &AccessProof, name: &str) -> (Pill, String) {
    let day = words::day(proof.since);
    match proof.state {
        ProofState::Pending => (
            Pill::new("todo", "question", "Not checked yet"),
            format!("Whether the access is still there has not been asked since {day}."),
        ),
        ProofState::Granted => (
            Pill::new("warn", "alert", "Still there"),
            format!("The access is still there: {name} has renewed it."),
        ),
        ProofState::Gone => (
            Pill::new("ok", "check-circle", "Gone"),
            format!("The access is gone: {name} refused to renew it. The kept token is erased."),
        ),
        ProofState::Unproven => (
            Pill::new("warn", "question", "Not proven"),
            format!(
                "{name} refused, but that shows nothing: the answer to an earlier question was lost, and may have been the \
                 token that is good now. The kept one is erased. Look under application authorizations whether Slipway is \
                 listed."
            ),
        ),
        ProofState::Forgotten => (
            Pill::new("", "eye-off", "Not proven"),
            format!(
                "The kept token was erased on {day} because somebody said so. Application authorizations show whether \
                 Slipway is still listed."
            ),
        ),
        ProofState::Lapsed => (
            Pill::new("warn", "clock", "Not proven"),
            format!(
                "The kept token was erased on {day}: its time was over. Application authorizations show whether Slipway is \
                 still listed."
            ),
        ),
        ProofState::LinkedAgain => (
            Pill::new("", "link", "Linked again"),
            "This account is linked again, so there is nothing to prove. The kept token is erased."
                .to_owned(),
        ),
    }
}

fn step(step: &LedgerStep) -> Check {
    let of = step.at.as_ref().map(|at| format!(" of {at}")).unwrap_or_default();
    let title = match step.kind {
        OutboxKind::RemoveWebhook => format!("Remove the webhook{of}"),
        OutboxKind::RemoveDeployKey => format!("Remove the deploy key{of}"),
        OutboxKind::RevokeCredential => "Give the authorization back".to_owned(),
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
