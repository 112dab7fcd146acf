//! A GitHub App's installations, as a person's own token shows them ("REST API endpoints for GitHub App
//! installations"), and as the App's webhook tells of them.
//!
//! Which installations a link may use is read here and nowhere else: the `installation_id` that GitHub sends a browser
//! back with can be made up ("About the setup URL").

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::forge::Selection;
use url::Url;

use super::{
    api::{User, next_link, owner},
    repositories::{Found, PAGES_PER_SEARCH, is_wanted},
};
use crate::{
    Event, ForgeError, Installation, InstallationChange, Malformed, Owner, OwnerAccess, OwnerKind, OwnerRole,
    RepositoryPage, RepositoryQuery,
    http::{Answer, Auth, Body},
    rest::{Page, Rest},
    webhook::Reading,
};

#[derive(Deserialize)]
struct Listed {
    installations: Vec<FoundInstallation>,
}

#[derive(Deserialize)]
struct FoundInstallation {
    id: u64,
    account: User,
    target_type: String,
    repository_selection: Selection,
    html_url: Url,
    #[serde(default)]
    suspended_at: Option<String>,
}

impl FoundInstallation {
    fn installation(&self) -> Installation {
        Installation {
            id: self.id.into(),
            selection: self.repository_selection,
            suspended: self.suspended_at.is_some(),
            settings_url: self.html_url.clone(),
        }
    }

    fn into_owner(self) -> Owner {
        let kind = if self.target_type == "User" {
            OwnerKind::User
        } else {
            OwnerKind::Organization
        };
        let installation = self.installation();
        // What the person is there is not told, and does not matter: the installation's permissions are the App's.
        Owner {
            installation: Some(installation),
            ..owner(self.account, kind, OwnerRole::Member)
        }
    }
}

fn listed(answer: &Answer) -> Result<Page<FoundInstallation>, ForgeError> {
    let next = answer.header("link").and_then(next_link);
    Ok((answer.json::<Listed>()?.installations, next))
}

async fn all(api: &Rest, token: &SecretString) -> Result<Vec<FoundInstallation>, ForgeError> {
    let mut url = api.url(&["user", "installations"]);
    url.query_pairs_mut().append_pair("per_page", "100");
    api.all(token, url, "installations", listed).await
}

pub(super) async fn owners(api: &Rest, token: &SecretString) -> Result<Vec<Owner>, ForgeError> {
    let found = all(api, token).await?;
    Ok(found.into_iter().map(FoundInstallation::into_owner).collect())
}

pub(super) async fn owner_access(
    api: &Rest,
    token: &SecretString,
    login: &str,
) -> Result<OwnerAccess, ForgeError> {
    let mut found = owners(api, token).await?.into_iter();
    let there = found.find(|owner| owner.login.eq_ignore_ascii_case(login));
    Ok(there.map_or(OwnerAccess::NotAMember, OwnerAccess::Granted))
}

#[derive(Deserialize)]
struct Reached {
    repositories: Vec<Found>,
}

/// What both the installation and the person reach. GitHub does not sort this list: each page is sorted here.
pub(super) async fn repositories(
    api: &Rest,
    token: &SecretString,
    query: RepositoryQuery<'_>,
) -> Result<RepositoryPage, ForgeError> {
    let installations = all(api, token).await?;
    let there = installations
        .iter()
        .find(|found| found.account.login.eq_ignore_ascii_case(query.owner));
    let Some(installation) = there else {
        return Err(ForgeError::NotFound {
            forge: api.forge.clone(),
            what: format!("installation at {}", query.owner),
        });
    };
    let wanted = query
        .search
        .map(str::to_lowercase)
        .filter(|text| !text.is_empty());
    let mut number: u32 = query.page.and_then(|page| page.parse().ok()).unwrap_or(1);
    let mut page = RepositoryPage {
        repositories: Vec::new(),
        next: None,
    };
    for _ in 0..if wanted.is_some() { PAGES_PER_SEARCH } else { 1 } {
        let mut url = api.url(&[
            "user",
            "installations",
            &installation.id.to_string(),
            "repositories",
        ]);
        url.query_pairs_mut()
            .append_pair("per_page", "100")
            .append_pair("page", &number.to_string());
        let answer = api
            .call(
                Auth::Bearer(token),
                Method::GET,
                url,
                Body::none(),
                "installation",
            )
            .await?;
        for found in answer.json::<Reached>()?.repositories {
            let repository = found.into_repository(&answer.url)?;
            if is_wanted(&repository, query.owner, wanted.as_deref()) {
                page.repositories.push(repository);
            }
        }
        let more = answer.header("link").and_then(next_link).is_some();
        number = number.saturating_add(1);
        page.next = more.then(|| number.to_string());
        if !more {
            break;
        }
    }
    page.repositories
        .sort_by_key(|repository| std::cmp::Reverse(repository.pushed_at));
    Ok(page)
}

#[derive(Deserialize)]
struct InstallationPayload {
    action: String,
    installation: FoundInstallation,
    sender: Sender,
}

#[derive(Deserialize)]
struct Sender {
    id: u64,
}

/// `installation` and `installation_repositories`.
pub(super) fn event(reading: Reading<'_>) -> Result<Event, Malformed> {
    let payload: InstallationPayload = reading.body()?;
    let change = match payload.action.as_str() {
        "created" => InstallationChange::Created,
        "deleted" => InstallationChange::Deleted,
        "suspend" => InstallationChange::Suspended,
        "unsuspend" => InstallationChange::Unsuspended,
        "added" | "removed" | "new_permissions_accepted" => InstallationChange::Updated,
        action => return Ok(reading.ignored(Some(action), None)),
    };
    let account = payload.installation.account.id;
    Ok(Event::Installation {
        installation: payload.installation.installation(),
        account: account.into(),
        sender: payload.sender.id.into(),
        change,
    })
}

#[derive(Deserialize)]
struct RevokedPayload {
    action: String,
    sender: Sender,
}

/// `github_app_authorization`.
pub(super) fn revoked(reading: Reading<'_>) -> Result<Event, Malformed> {
    let payload: RevokedPayload = reading.body()?;
    match payload.action.as_str() {
        "revoked" => Ok(Event::AuthorizationRevoked {
            account: payload.sender.id.into(),
        }),
        action => Ok(reading.ignored(Some(action), None)),
    }
}
