//! Taking a link apart: what will happen. What did is at the same address afterwards: the ledger.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_types::{LinkId, SlugName, forge::LinkState};

use super::{Done, Page, frame, ledger, linked_accounts::address, to};
use crate::{
    app::App,
    failure::Failure,
    services::{
        access_proofs::KEPT_FOR,
        unlinking::{UnlinkChoices, UnlinkPreview},
    },
    web::{
        session::SignedIn,
        view::{
            Crumbs, Place,
            links::{UnlinkPage, UnlinkRow},
        },
        words,
    },
};

/// Whose link.
#[derive(Debug, Deserialize)]
pub struct Of {
    namespace: SlugName,
    /// The ledger of this link, whatever is linked now.
    #[serde(default)]
    link: Option<LinkId>,
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

pub(super) fn crumbs(namespace: &SlugName, forge: &str) -> Crumbs {
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
    if of.link.is_some() {
        return ledger::page(&app, &who, &of.namespace, &forge, of.link, None).await;
    }
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
    ledger::page(&app, &who, &of.namespace, &forge, None, None).await
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
        revoke_label: if preview.revokes {
            format!("Revoke Slipway’s authorization at {}", preview.forge)
        } else {
            format!("Have it proven that the access at {} is gone", preview.forge)
        },
        revoke_help: revoke_help(preview),
    }
}

fn revoke_help(preview: &UnlinkPreview) -> String {
    let (login, forge) = (&preview.link.login, &preview.forge);
    let mut help = if preview.may_revoke && preview.revokes {
        format!("Ends everything that {login} granted to Slipway there.")
    } else if preview.may_revoke {
        format!(
            "{forge} lets nobody but {login} end what {login} granted: the next page says where, and asks {forge} whether \
             it is done. For that question Slipway keeps the refresh token sealed, for {} days at most. Otherwise all \
             tokens are erased at once.",
            KEPT_FOR.as_secs() / 86_400
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
