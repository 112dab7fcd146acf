//! The health of links (linked-accounts.md, "Health"): whether each works, what it reaches, and whether what Slipway
//! made at the provider is still there.
//!
//! The loop asks about each link at most every ten minutes; *Check again* asks now; and every failed call of anybody
//! feeds the same records at once ([`Forges::note_failure`], `reach`). What got lost at the provider is made again
//! through the outbox, like everything that is made there, and told in the audit trail.
//!
//! A forge that does not answer, or asks to wait, says nothing of anything: it is noted as such, and whatever was known
//! before stays.

mod owners;
mod readback;
mod troubles;

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use slipway_forge::{Account, Forge, ForgeError, OauthError};
use slipway_store::{CredentialOf, Link, SourceRepository, Store};
use slipway_types::{
    SlugName, Timestamp,
    forge::{HealthReason, LinkState},
    rights::Level,
};
use url::Url;

pub use troubles::{Trouble, Troubled, fix};
pub(super) use troubles::{effective, of_link, troubles};

use crate::{
    fault,
    services::{
        Access, Caller, ServiceError, act,
        config::Config,
        forges::{Forges, NoToken, scopes_of},
        linking::health,
        links::NO_LINK,
        resources,
        wake::Wake,
    },
};

/// How often a link is asked about at most by itself.
pub const EVERY: Duration = Duration::from_mins(10);
/// How soon one is asked about again whose forge did not answer.
const AGAIN: Duration = Duration::from_mins(1);
/// How many repositories are read back each time: with three calls each, a few hundred an hour, out of the thousand
/// (Bitbucket) or five thousand (GitHub) that a token has. A link with more goes round in turns.
const SOURCES: i64 = 25;

/// Looks after links.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    store: Store,
    access: Access,
    forges: Forges,
    config: Arc<Config>,
    outbox: Wake,
}

impl HealthCheck {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges, config: Arc<Config>, outbox: Wake) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
            config,
            outbox,
        }
    }

    /// Asks the forge whether a link works, what it reaches, and for what we made there; and writes down what it says.
    ///
    /// # Errors
    /// What kept the forge from saying; what the store says.
    pub async fn verify(&self, link: &Link) -> Result<(), ServiceError> {
        if !self.account(link).await? {
            return Ok(());
        }
        self.owners(link).await?;
        let sources = self
            .store
            .source_repositories()
            .to_be_checked(link.namespace, link.forge, SOURCES)
            .await?;
        self.sources(link, &sources).await
    }

    /// When a link is to be asked about again by itself. Links are spread over a minute, for they often begin together.
    ///
    /// # Errors
    /// What the store says.
    pub async fn next_check(&self, link: &Link) -> Result<Timestamp, ServiceError> {
        let now = Timestamp::now();
        let spread = Duration::from_secs(u64::from(link.id.uuid().as_bytes()[15]) % 60);
        let usual = now.plus(EVERY).plus(spread);
        let Some(link) = self.store.links().find(link.id).await? else {
            return Ok(usual);
        };
        Ok(match (link.health_reason, link.health_since, link.health_until) {
            (Some(HealthReason::RateLimited), _, Some(until)) => until.max(now.plus(Duration::from_secs(1))),
            // As long again as it has lasted.
            (Some(HealthReason::ForgeUnreachable), Some(since), _) => {
                now.plus(now.since(since).clamp(AGAIN, EVERY))
            }
            _ => usual,
        })
    }

    /// *Check again* of one repository: reads hook and key back now.
    ///
    /// # Errors
    /// As [`Access::repository`], for administrators; [`ServiceError::NotFound`] without a configuration or a link;
    /// what kept the forge from saying.
    pub async fn check_repository(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<(), ServiceError> {
        let (link, source) = self.place(caller, namespace, repository).await?;
        self.sources(&link, std::slice::from_ref(&source)).await
    }

    /// *Repair*: has hook and key of a repository made as they should be, whatever was last seen of them.
    ///
    /// # Errors
    /// As [`Self::check_repository`], the forge apart: it is asked afterwards.
    pub async fn repair(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<(), ServiceError> {
        let (link, source) = self.place(caller, namespace, repository).await?;
        let tx = self.store.begin().await?;
        let (mut repaired, name) = (Vec::new(), source.full_name());
        for resource in readback::standing(&tx, &link, &source).await? {
            if resource.reason.is_some() {
                resources::repair(&tx, &link, &source, &resource).await?;
                repaired.push(resource.kind.as_str());
            }
        }
        if repaired.is_empty() {
            return Ok(());
        }
        tx.audit()
            .record(&slipway_store::NewAct {
                namespace: Some(source.namespace),
                detail: serde_json::json!({ "what": repaired }),
                ..act(caller, "repair.asked", &name)
            })
            .await?;
        fault::REPAIR.before();
        tx.commit().await?;
        fault::REPAIR.after();
        self.outbox.up();
        Ok(())
    }

    /// The link and the source of a repository's configuration.
    async fn place(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<(Link, SourceRepository), ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, repository, Level::Admin)
            .await?;
        let configuration = self
            .store
            .configurations()
            .of_repository(granted.repository.id)
            .await?
            .ok_or(ServiceError::NotFound {
                what: "the build configuration",
            })?;
        let source = self.store.source_repositories().get(configuration.source).await?;
        let link = self.store.links().current(source.namespace, source.forge).await?;
        Ok((link.ok_or(NO_LINK)?, source))
    }

    /// Whether the account can be read: what it is called now, and what was granted.
    async fn account(&self, link: &Link) -> Result<bool, ServiceError> {
        let (forge, account) = match self.ask_for_account(link).await {
            Ok((forge, Ok(account))) => (forge, account),
            // The links say so already.
            Err(NoToken::Expired) => return Ok(false),
            Ok((_, Err(error))) | Err(NoToken::Renewal(OauthError::Forge(error))) => {
                return self.failed(link, error).await;
            }
            Err(error) => return Err(error.into()),
        };
        let credential = link.credential.ok_or(NO_LINK)?;
        let of = CredentialOf {
            account_id: account.id.to_string(),
            login: account.login.clone(),
            avatar_url: account.avatar_url.as_ref().map(Url::to_string),
        };
        let scopes: Option<Vec<String>> = account
            .scopes
            .as_ref()
            .map(|scopes| scopes.iter().map(str::to_owned).collect());
        let tx = self.store.begin().await?;
        tx.credentials()
            .verified(credential, &of, scopes.as_deref())
            .await?;
        if account.login != link.login {
            tx.links().set_login(link.id, &account.login).await?;
        }
        if let Some(credential) = tx.credentials().find(credential).await? {
            tx.links()
                .set_health(link.id, &health(forge.as_ref(), &scopes_of(&credential)))
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn ask_for_account(
        &self,
        link: &Link,
    ) -> Result<(Arc<dyn Forge>, Result<Account, ForgeError>), NoToken> {
        let (forge, mut token) = self.forges.for_link(link).await?;
        let ask = |token: SecretString| {
            let forge = &forge;
            async move { forge.account(&token).await }
        };
        let said = self.forges.ask(link, None, &mut token, ask).await?;
        Ok((forge, said))
    }

    /// What a failed call says of the link is written down. One that says nothing of it, or that the forge did not
    /// answer, is the caller's to know.
    async fn failed(&self, link: &Link, error: ForgeError) -> Result<bool, ServiceError> {
        self.forges.note_failure(link.id, &error).await?;
        if error.is_transient() || error.health_reason().is_none() {
            return Err(error.into());
        }
        Ok(false)
    }

    async fn sources(&self, link: &Link, sources: &[SourceRepository]) -> Result<(), ServiceError> {
        for source in sources {
            // Unlinked meanwhile?
            let link = self.store.links().find(link.id).await?;
            let Some(link) = link.filter(|link| link.state == LinkState::Linked) else {
                return Ok(());
            };
            self.read_back(&link, source).await?;
        }
        Ok(())
    }
}
