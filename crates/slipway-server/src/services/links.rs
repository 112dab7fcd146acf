//! Linked accounts, as the page shows them; and asking again how a link stands.

use slipway_forge::{ForgeError, OwnerAccess, OwnerRole};
use slipway_store::{CredentialOf, ForgeRecord, Link, LinkOwner, Store};
use slipway_types::{
    ForgeId, SlugName, Timestamp,
    forge::{Health, LinkState, OwnerReach},
    rights::Role,
};
use url::Url;

use super::{
    Access, Caller, ServiceError,
    forges::{Forges, NoToken, scopes_of},
    linking::{health, stored},
};

/// A namespace's links.
#[derive(Debug, Clone)]
pub struct Links {
    store: Store,
    access: Access,
    forges: Forges,
}

/// A forge, and how a namespace is linked to it.
#[derive(Debug, Clone)]
pub struct LinkedForge {
    /// The forge.
    pub forge: ForgeRecord,
    /// Whether it can be linked: it has a client.
    pub can_link: bool,
    /// The link in use, or the one that is being taken apart.
    pub link: Option<Link>,
    /// The last one that was taken apart, for its ledger.
    pub unlinked: Option<Link>,
    /// What the linked account reaches.
    pub owners: Vec<LinkOwner>,
    /// How many configurations build through the link.
    pub configurations: usize,
    /// Which scopes were granted.
    pub scopes: Vec<String>,
    /// The account's picture.
    pub avatar_url: Option<String>,
    /// The person's page of authorized applications at the forge.
    pub authorizations_url: Option<Url>,
}

impl Links {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
        }
    }

    /// Every forge, and how this namespace is linked to it. For everybody in the namespace.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers.
    pub async fn overview(
        &self,
        caller: &Caller,
        namespace: &SlugName,
    ) -> Result<Vec<LinkedForge>, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let links = self.store.links().of_namespace(namespace.id).await?;
        let mut overview = Vec::new();
        for forge in self.store.forges().all().await? {
            let here = |link: &&Link| link.forge == forge.id;
            let link = links
                .iter()
                .filter(here)
                .find(|link| link.state != LinkState::Unlinked);
            let unlinked = links
                .iter()
                .filter(here)
                .find(|link| link.state == LinkState::Unlinked);
            let credential = match link.and_then(|link| link.credential) {
                Some(id) => self.store.credentials().find(id).await?,
                None => None,
            };
            let owners = match link {
                Some(link) => self.store.link_owners().of(link.id).await?,
                None => Vec::new(),
            };
            let connected = self.forges.by_id(forge.id).await.ok();
            overview.push(LinkedForge {
                can_link: connected.is_some(),
                authorizations_url: connected.map(|(forge, _)| forge.authorizations_url()),
                link: link.cloned(),
                unlinked: unlinked.cloned(),
                owners,
                configurations: self
                    .store
                    .configurations()
                    .of_forge(namespace.id, forge.id)
                    .await?
                    .len(),
                scopes: credential
                    .as_ref()
                    .map(|it| it.scopes.clone())
                    .unwrap_or_default(),
                avatar_url: credential.and_then(|it| it.avatar_url),
                forge,
            });
        }
        Ok(overview)
    }

    /// Links of all the caller's namespaces that do not work as they should.
    ///
    /// # Errors
    /// What the store says.
    pub async fn needing_attention(
        &self,
        caller: &Caller,
    ) -> Result<Vec<(SlugName, ForgeRecord, Link)>, ServiceError> {
        let mut found = Vec::new();
        for (namespace, _) in self.store.namespaces().of_user(caller.user).await? {
            for link in self.store.links().of_namespace(namespace.id).await? {
                if link.state != LinkState::Linked || link.health == Health::Healthy {
                    continue;
                }
                if let Some(forge) = self.store.forges().find(link.forge).await? {
                    found.push((namespace.name.clone(), forge, link));
                }
            }
        }
        Ok(found)
    }

    /// *Check again*: asks the forge now how the link stands, and what it reaches.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers and without a link; what kept the forge from saying.
    pub async fn check(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
    ) -> Result<Link, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let forge = self.forge(forge).await?;
        let link = self
            .store
            .links()
            .current(namespace.id, forge)
            .await?
            .ok_or(NO_LINK)?;
        self.verify(&link).await?;
        self.store.links().find(link.id).await?.ok_or(NO_LINK)
    }

    /// *Check an organization by name*: one that restricts third-party access may be missing from the list.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn check_owner(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        owner: &str,
    ) -> Result<OwnerReach, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let forge = self.forge(forge).await?;
        let link = self
            .store
            .links()
            .current(namespace.id, forge)
            .await?
            .ok_or(NO_LINK)?;
        let (forge, token) = self.forges.for_link(&link).await?;
        let owner = owner.trim();
        let found = match forge.owner_access(&token, owner).await {
            Ok(found) => found,
            Err(error) => {
                self.forges.note_failure(link.id, &error).await?;
                return Err(error.into());
            }
        };
        let row = match found {
            OwnerAccess::Granted(found) => LinkOwner {
                owner_id: found.id.to_string(),
                name: found.login,
                role: if found.role == OwnerRole::Admin {
                    Role::Owner
                } else {
                    Role::Member
                },
                reach: OwnerReach::Granted,
                detail: None,
                checked_at: Timestamp::now(),
            },
            OwnerAccess::Restricted { message } => not_reached(owner, OwnerReach::NotGranted, Some(message)),
            OwnerAccess::SsoRequired { url } => {
                not_reached(owner, OwnerReach::SsoNeeded, url.map(|url| url.to_string()))
            }
            OwnerAccess::NotAMember => {
                return Err(ServiceError::invalid(
                    "owner",
                    format!(
                        "the linked account sees no {owner} there: check the name, and that it is a member"
                    ),
                ));
            }
        };
        let reach = row.reach;
        let tx = self.store.begin().await?;
        tx.link_owners().put(link.id, &row).await?;
        tx.commit().await?;
        Ok(reach)
    }

    /// Asks the forge whether a link works, and writes down what it says. A forge that cannot be reached says
    /// nothing of the link.
    ///
    /// # Errors
    /// What kept the forge from saying; what the store says.
    pub async fn verify(&self, link: &Link) -> Result<(), ServiceError> {
        let (forge, token) = match self.forges.for_link(link).await {
            Ok(found) => found,
            Err(NoToken::Expired) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let account = match forge.account(&token).await {
            Ok(account) => account,
            Err(error) => return self.verified_not(link, error).await,
        };
        let owners = forge.owners(&token).await.ok();
        let credential = link.credential.ok_or(NO_LINK)?;
        let tx = self.store.begin().await?;
        let of = CredentialOf {
            account_id: account.id.to_string(),
            login: account.login.clone(),
            avatar_url: account.avatar_url.as_ref().map(Url::to_string),
        };
        let scopes: Option<Vec<String>> = account
            .scopes
            .as_ref()
            .map(|scopes| scopes.iter().map(str::to_owned).collect());
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
        if let Some(owners) = owners {
            let mut rows = stored(&owners);
            // One that was checked by name and does not let us in is not listed; it stays.
            let known = tx.link_owners().of(link.id).await?;
            rows.extend(known.into_iter().filter(|known| {
                known.reach != OwnerReach::Granted && !owners.iter().any(|owner| owner.login == known.name)
            }));
            tx.link_owners().replace(link.id, &rows).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn verified_not(&self, link: &Link, error: ForgeError) -> Result<(), ServiceError> {
        if error.is_transient() {
            return Err(error.into());
        }
        self.forges.note_failure(link.id, &error).await?;
        if error.health_reason().is_none() {
            return Err(error.into());
        }
        Ok(())
    }

    async fn forge(&self, name: &str) -> Result<ForgeId, ServiceError> {
        let record = self.store.forges().by_name(name).await?;
        Ok(record
            .ok_or(ServiceError::NotFound {
                what: "the source provider",
            })?
            .id)
    }
}

pub(super) const NO_LINK: ServiceError = ServiceError::NotFound { what: "the link" };

fn not_reached(owner: &str, reach: OwnerReach, detail: Option<String>) -> LinkOwner {
    LinkOwner {
        // Its id is not told to whom it does not let in.
        owner_id: format!("name:{}", owner.to_lowercase()),
        name: owner.to_owned(),
        role: Role::Member,
        reach,
        detail,
        checked_at: Timestamp::now(),
    }
}
