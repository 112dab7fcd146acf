//! Linked accounts, as the page shows them.

use std::collections::BTreeMap;

use slipway_store::{AccessProof, ForgeRecord, Link, LinkOwner, Namespace, Store};
use slipway_types::{
    SlugName,
    forge::{ClientKind, Health, LinkState, OwnerReach},
};
use url::Url;

use super::{
    Access, Caller, ServiceError,
    forges::Forges,
    health::{self, Trouble},
    remaining::{self, Remaining},
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
    /// Through what it can be linked, what is offered first in front: the GitHub App, then the OAuth client.
    pub clients: Vec<ClientKind>,
    /// Through what it is linked.
    pub through: Option<ClientKind>,
    /// Where a person installs the GitHub App, for the link in use.
    pub install_url: Option<Url>,
    /// The link in use, or the one that is being taken apart. Its health is that of all that is built through it.
    pub link: Option<Link>,
    /// What is wrong with what is built through it.
    pub troubles: Vec<Trouble>,
    /// The person whose own account it is, though it is linked for an organization.
    pub personal: Option<Personal>,
    /// What Slipway made at the provider and cannot reach any more.
    pub remaining: Vec<Remaining>,
    /// The last one that was taken apart, for its ledger.
    pub unlinked: Option<Link>,
    /// Refresh tokens that are kept, of links that were taken apart, until it is proven that the access is gone.
    pub kept: Vec<KeptToken>,
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
    /// Where the owners of organizations that did not let the link in decide that, by their names.
    pub policy_urls: BTreeMap<String, Url>,
}

/// A person whose own account is linked for an organization (linked-accounts.md, "Service accounts").
///
/// What can be known of an account is who uses it: it is a person's own where it is also linked, now, for a user's own
/// namespace at the same forge, through whatever client. An account that only organizations use is taken for a service
/// account.
#[derive(Debug, Clone)]
pub struct Personal {
    /// Who: told to an organization of its own people only, never of strangers.
    pub user: Option<SlugName>,
}

/// A refresh token that is kept until it is proven that the access is gone.
#[derive(Debug, Clone)]
pub struct KeptToken {
    /// The link that was taken apart.
    pub link: Link,
    /// How far the proof is.
    pub proof: AccessProof,
}

impl LinkedForge {
    /// Whether an account can be linked: there is a client to do it through.
    pub const fn can_link(&self) -> bool {
        !self.clients.is_empty()
    }
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
        let proofs = self.store.access_proofs().open_of(namespace.id).await?;
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
            let (owners, troubles) = match link {
                Some(link) => (
                    self.store.link_owners().of(link.id).await?,
                    health::of_link(&self.store, link).await?,
                ),
                None => (Vec::new(), Vec::new()),
            };
            let mut clients = self.store.forges().clients_of(forge.id).await?;
            clients.sort_by_key(|client| client.kind != ClientKind::App);
            let of_link = credential
                .as_ref()
                .and_then(|it| clients.iter().find(|client| client.id == it.client));
            let connected = match of_link.or(clients.first()) {
                Some(client) => self.forges.by_client(client.id).await.ok(),
                None => None,
            };
            let app = connected.as_ref().and_then(|forge| forge.app());
            let remaining = match link {
                Some(link) => remaining::of_link(&self.store, link, &forge, connected.as_deref()).await?,
                None => Vec::new(),
            };
            let refusing = owners.iter().filter(|owner| is_refusing(owner));
            overview.push(LinkedForge {
                through: of_link.map(|client| client.kind),
                install_url: (of_link.and(app)).map(|app| app.install_url(namespace.name.as_str())),
                clients: clients.iter().map(|client| client.kind).collect(),
                authorizations_url: connected.as_ref().map(|forge| forge.authorizations_url()),
                policy_urls: refusing
                    .filter_map(|owner| {
                        let page = connected.as_ref()?.organization_policy_url(&owner.name)?;
                        Some((owner.name.clone(), page))
                    })
                    .collect(),
                link: link.cloned().map(|link| health::effective(link, &troubles)),
                troubles,
                personal: match link {
                    Some(link) => self.personal(&namespace, link).await?,
                    None => None,
                },
                remaining,
                unlinked: unlinked.cloned(),
                kept: kept(&proofs, links.iter().filter(here)),
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

    /// Whose own account it is that an organization's link uses.
    async fn personal(
        &self,
        organization: &Namespace,
        link: &Link,
    ) -> Result<Option<Personal>, ServiceError> {
        if organization.user.is_some() || link.state != LinkState::Linked {
            return Ok(None);
        }
        let mut found = None;
        for other in self
            .store
            .links()
            .of_account(link.forge, &link.account_id)
            .await?
        {
            let namespace = self.store.namespaces().find(other.namespace).await?;
            let Some((own, user)) = namespace.and_then(|own| own.user.map(|user| (own, user))) else {
                continue;
            };
            let role = self.store.namespaces().role_of(user, organization.id).await?;
            if role.is_some() {
                return Ok(Some(Personal { user: Some(own.name) }));
            }
            found = Some(Personal { user: None });
        }
        Ok(found)
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
                if link.state != LinkState::Linked {
                    continue;
                }
                let troubles = health::of_link(&self.store, &link).await?;
                let link = health::effective(link, &troubles);
                if link.health == Health::Healthy {
                    continue;
                }
                if let Some(forge) = self.store.forges().find(link.forge).await? {
                    found.push((namespace.name.clone(), forge, link));
                }
            }
        }
        Ok(found)
    }
}

pub(super) const NO_LINK: ServiceError = ServiceError::NotFound { what: "the link" };

fn kept<'a>(proofs: &[AccessProof], links: impl Iterator<Item = &'a Link>) -> Vec<KeptToken> {
    links
        .filter_map(|link| {
            let proof = proofs.iter().find(|proof| proof.link == link.id)?;
            Some(KeptToken {
                link: link.clone(),
                proof: proof.clone(),
            })
        })
        .collect()
}

fn is_refusing(owner: &LinkOwner) -> bool {
    matches!(owner.reach, OwnerReach::NotGranted | OwnerReach::Requested)
}
