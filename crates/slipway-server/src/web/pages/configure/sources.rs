//! Choosing a source repository: searched at the provider, the last pushed to first.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_types::{SlugName, Timestamp, forge::LinkState, rights::Level};

use super::{At, form::Entered};
use crate::{
    app::App,
    failure::Failure,
    services::{ServiceError, repositories::Named},
    web::{
        pages::{Page, linked_accounts::address},
        session::SignedIn,
        view::{
            Alert,
            configure::{Choice, SourceResults},
        },
        words,
    },
};

/// What is searched for.
#[derive(Debug, Default, Deserialize)]
pub struct SourceQuery {
    #[serde(default)]
    forge: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    q: String,
}

/// `GET /{namespace}/{repository}/builds/configure/sources`: a part of the page.
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn sources(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Admin)
        .await?;
    let entered = Entered {
        forge: query.forge,
        owner: query.owner,
        query: query.q,
        ..Entered::default()
    };
    Ok(Page(results(&app, &who, &named, &entered).await?).into_response())
}

pub(super) async fn results(
    app: &App,
    who: &SignedIn,
    named: &Named,
    entered: &Entered,
) -> Result<SourceResults, Failure> {
    let namespace = &named.namespace;
    match search(app, who, namespace, entered).await {
        Ok(results) => Ok(results),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. })) => {
            let failure = Failure::from(error);
            failure.log();
            let alert = Alert::bad("The provider could not be asked.")
                .line(failure.why)
                .fix("Linked accounts", address(namespace));
            Ok(SourceResults {
                found: Vec::new(),
                about: String::new(),
                adjust: address(namespace),
                alert: Some(alert),
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn search(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    entered: &Entered,
) -> Result<SourceResults, ServiceError> {
    let links = app.links.overview(&who.caller, namespace).await?;
    let linked = links.iter().find(|linked| {
        let named = entered.forge.is_empty() || linked.forge.fields.name == entered.forge;
        named
            && linked
                .link
                .as_ref()
                .is_some_and(|link| link.state == LinkState::Linked)
    });
    let Some((linked, link)) = linked.and_then(|linked| Some((linked, linked.link.as_ref()?))) else {
        return Err(ServiceError::Conflict {
            kind: "not_linked",
            message: "no account is linked there; link one under Linked accounts".to_owned(),
        });
    };
    let forge = &linked.forge.fields;
    let owner = match (entered.owner.as_str(), linked.owners.first()) {
        ("", Some(first)) => first.name.clone(),
        ("", None) => link.login.clone(),
        (owner, _) => owner.to_owned(),
    };
    let wanted = Some(entered.query.trim()).filter(|text| !text.is_empty());
    let page = app
        .sources
        .repositories(&who.caller, namespace, &forge.name, &owner, wanted, None)
        .await?;
    let now = Timestamp::now();
    let found: Vec<_> = page
        .repositories
        .iter()
        .map(|repository| {
            let private = if repository.private { "private" } else { "public" };
            let branch = repository.default_branch.as_deref().unwrap_or("empty");
            let pushed = repository
                .pushed_at
                .map(|at| format!(", pushed {}", words::when(at, now).words));
            let path = repository.path.to_string();
            let picked = entered.picked.as_ref() == Some(&path);
            let help = format!("{private}, {branch}{}", pushed.unwrap_or_default());
            Choice::new(path, repository.path.name(), help, picked)
        })
        .collect();
    let more = if page.next.is_some() {
        " There are more: search by name."
    } else {
        ""
    };
    Ok(SourceResults {
        about: format!(
            "{} of {owner}, asked at {} just now.{more}",
            words::count(found.len(), "repository", "repositories"),
            forge.display_name
        ),
        found,
        adjust: address(namespace),
        alert: None,
    })
}
