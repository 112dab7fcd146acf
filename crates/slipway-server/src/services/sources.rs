//! Choosing a source repository: owner, repository, and what branches and tags there are.
//!
//! These ask a forge while a person waits, so pages load them after the page itself.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_forge::{
    Forge, ForgeError, Head, OwnerKind, Repository, RepositoryKey, RepositoryPage, RepositoryPath,
    RepositoryQuery,
};
use slipway_store::{Link, LinkOwner, Store};
use slipway_types::SlugName;

use super::{Access, Caller, ServiceError, forges::Forges};

/// Finds source repositories.
#[derive(Debug, Clone)]
pub struct Sources {
    store: Store,
    access: Access,
    forges: Forges,
}

/// A source repository as it is chosen: forge and present name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceChoice {
    /// The forge's stable name.
    pub forge: String,
    /// `owner/name`, as it is called there now.
    pub path: RepositoryPath,
}

/// A link with its forge, ready to be asked.
pub(super) struct Linked {
    pub(super) link: Link,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) token: SecretString,
}

impl Sources {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
        }
    }

    /// Whose repositories a namespace's link reaches. Nothing is asked.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers, [`ServiceError::Conflict`] without a link.
    pub async fn owners(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
    ) -> Result<Vec<LinkOwner>, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let link = self.link(&namespace.id, forge).await?;
        Ok(self.store.link_owners().of(link.id).await?)
    }

    /// A page of an owner's repositories, the last pushed to first; with `search`, those whose name holds it.
    ///
    /// # Errors
    /// As [`Self::owners`]; what the forge says.
    pub async fn repositories(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        owner: &str,
        search: Option<&str>,
        page: Option<&str>,
    ) -> Result<RepositoryPage, ServiceError> {
        let linked = self.linked(caller, namespace, forge).await?;
        let owners = self.store.link_owners().of(linked.link.id).await?;
        let known = owners.iter().find(|known| known.name.eq_ignore_ascii_case(owner));
        let is_self = known.is_some_and(|known| known.owner_id == linked.link.account_id)
            || owner.eq_ignore_ascii_case(&linked.link.login);
        let query = RepositoryQuery {
            owner_kind: if is_self {
                OwnerKind::User
            } else {
                OwnerKind::Organization
            },
            owner,
            search: search.map(str::trim).filter(|text| !text.is_empty()),
            page,
        };
        self.ask(&linked, |forge, token| async move {
            forge.repositories(&token, query).await
        })
        .await
    }

    /// A repository by its present name.
    ///
    /// # Errors
    /// As [`Self::owners`]; what the forge says.
    pub async fn repository(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        choice: &SourceChoice,
    ) -> Result<Repository, ServiceError> {
        let linked = self.linked(caller, namespace, &choice.forge).await?;
        self.ask(&linked, |forge, token| async move {
            forge.repository(&token, RepositoryKey::Path(&choice.path)).await
        })
        .await
    }

    /// Its branches and tags, as they are now.
    ///
    /// # Errors
    /// As [`Self::owners`]; what the forge says.
    pub async fn refs(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        choice: &SourceChoice,
    ) -> Result<Vec<Head>, ServiceError> {
        let linked = self.linked(caller, namespace, &choice.forge).await?;
        self.ask(&linked, |forge, token| async move {
            forge.heads(&token, &choice.path).await
        })
        .await
    }

    /// A namespace's link, ready to be asked. The caller belongs to the namespace.
    pub(super) async fn linked(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
    ) -> Result<Linked, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        let link = self.link(&namespace.id, forge).await?;
        let (forge, token) = self.forges.for_link(&link).await?;
        Ok(Linked { link, forge, token })
    }

    /// Puts a question to a link's forge; the link's health hears of a failure.
    pub(super) async fn ask<T, F>(
        &self,
        linked: &Linked,
        question: impl Fn(Arc<dyn Forge>, SecretString) -> F,
    ) -> Result<T, ServiceError>
    where
        F: Future<Output = Result<T, ForgeError>>,
    {
        let link = &linked.link;
        let ask = |token| question(Arc::clone(&linked.forge), token);
        let said = self
            .forges
            .ask(link, None, &mut linked.token.clone(), ask)
            .await?;
        if let Err(error) = &said {
            self.forges.note_failure(link.id, error).await?;
        }
        Ok(said?)
    }

    async fn link(&self, namespace: &slipway_types::NamespaceId, forge: &str) -> Result<Link, ServiceError> {
        let record = self.store.forges().by_name(forge).await?;
        let record = record.ok_or(ServiceError::NotFound {
            what: "the source provider",
        })?;
        let link = self.store.links().current(*namespace, record.id).await?;
        link.ok_or_else(|| ServiceError::Conflict {
            kind: "not_linked",
            message: format!(
                "no {} account is linked; link one under Linked accounts",
                record.fields.display_name
            ),
        })
    }
}
