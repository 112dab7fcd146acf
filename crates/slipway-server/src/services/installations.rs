//! Tokens of a GitHub App's installations: one repository each, kept for as long as they are good.
//!
//! Invariant kept here: only an installation that the linked person's own token has shown (a row of `link_owners`) is
//! ever asked for a token, whatever a browser or a webhook said; and every token reaches the one repository it is for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use secrecy::SecretString;
use slipway_forge::{AppError, AppReach, GithubApp, InstallationToken};
use slipway_store::{Link, LinkInstallation, SourceRepository, Store, StoreError};
use slipway_types::{
    ForgeClientId, Timestamp,
    forge::{HealthReason, OwnerReach, SourceState},
};

use super::{app_events, forges::NoToken, reach};

/// A token is asked for anew when less than this is left of its hour.
const EARLY: Duration = Duration::from_mins(10);

/// Tokens that are good still, by installation and repository.
#[derive(Default)]
pub(super) struct Installations {
    kept: Mutex<HashMap<(String, String), InstallationToken>>,
}

impl Installations {
    /// A token to build from a source repository with. A kept one does, unless `fresh`.
    pub(super) async fn for_building(
        &self,
        store: &Store,
        app: &GithubApp,
        client: ForgeClientId,
        link: &Link,
        source: &SourceRepository,
    ) -> Result<SecretString, NoToken> {
        let installation = installation(store, link, source).await?;
        let key = (installation.id.clone(), source.facts.provider_id.clone());
        if let Some(kept) = self.kept(&key) {
            return Ok(kept);
        }
        let minted = mint(store, app, client, link, source, &installation, AppReach::Build).await?;
        let token = minted.token.clone();
        self.keep(key, minted);
        Ok(token)
    }

    /// A token to clone with: always a fresh one, for a build may fetch again later.
    pub(super) async fn for_cloning(
        store: &Store,
        app: &GithubApp,
        client: ForgeClientId,
        link: &Link,
        source: &SourceRepository,
    ) -> Result<SecretString, NoToken> {
        let installation = installation(store, link, source).await?;
        let minted = mint(store, app, client, link, source, &installation, AppReach::Clone).await?;
        Ok(minted.token)
    }

    /// A provider refused a token of this repository: it has died before its time.
    pub(super) fn forget(&self, source: &SourceRepository) {
        let repository = &source.facts.provider_id;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(_, of), _| of != repository);
    }

    fn kept(&self, key: &(String, String)) -> Option<SecretString> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let there = kept.get(key)?;
        (Timestamp::now().plus(EARLY) < there.expires_at).then(|| there.token.clone())
    }

    fn keep(&self, key: (String, String), minted: InstallationToken) {
        let now = Timestamp::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Only what is good still is worth keeping: an hour's repositories at most.
        kept.retain(|_, token| now < token.expires_at);
        kept.insert(key, minted);
    }
}

/// The installation that a link uses for a repository: that of its owner, if it works.
async fn installation(
    store: &Store,
    link: &Link,
    source: &SourceRepository,
) -> Result<LinkInstallation, NoToken> {
    let owners = store.link_owners().of(link.id).await?;
    let here = owners
        .into_iter()
        .filter(|owner| owner.name.eq_ignore_ascii_case(&source.facts.owner))
        .find_map(|owner| owner.installation.map(|it| (owner.reach, it)));
    match here {
        Some((OwnerReach::Suspended, _)) => Err(AppError::Suspended.into()),
        Some((OwnerReach::Removed, _)) | None => Err(AppError::NotInstalled.into()),
        Some((_, installation)) => Ok(installation),
    }
}

async fn mint(
    store: &Store,
    app: &GithubApp,
    client: ForgeClientId,
    link: &Link,
    source: &SourceRepository,
    installation: &LinkInstallation,
    reach: AppReach,
) -> Result<InstallationToken, NoToken> {
    let id = installation.id.as_str().into();
    let repository = source.facts.provider_id.as_str().into();
    let error = match app.installation_token(&id, &repository, reach).await {
        Ok(minted) => {
            if source.state == SourceState::Unreachable {
                let tx = store.begin().await?;
                reach::reached(&tx, source, &source.facts).await?;
                tx.commit().await?;
            }
            return Ok(minted);
        }
        Err(error) => error,
    };
    note(store, client, link, source, installation, &error).await?;
    Err(error.into())
}

/// What a refused token says is written down where people look, whether or not an event told of it.
async fn note(
    store: &Store,
    client: ForgeClientId,
    link: &Link,
    source: &SourceRepository,
    installation: &LinkInstallation,
    error: &AppError,
) -> Result<(), StoreError> {
    let (owner, reason) = match error {
        AppError::Suspended => (Some(OwnerReach::Suspended), HealthReason::InstallationSuspended),
        AppError::NotInstalled => (Some(OwnerReach::Removed), HealthReason::InstallationRemoved),
        AppError::NotSelected => (None, HealthReason::RepositoryAccessLost),
        AppError::Key | AppError::Rejected { .. } | AppError::Forge(_) => return Ok(()),
    };
    let tx = store.begin().await?;
    if let Some(owner) = owner {
        tx.link_owners()
            .set_installation(client, &installation.id, owner, installation.selection)
            .await?;
        let health = app_events::health(&tx, link).await?;
        tx.links().set_health(link.id, &health).await?;
    }
    reach::lost(&tx, source, SourceState::Unreachable, reason, &error.to_string()).await?;
    tx.commit().await
}
