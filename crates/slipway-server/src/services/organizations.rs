//! Organizations: their making, members and teams.

use slipway_store::{Member, Namespace, Store, StoreError, Team};
use slipway_types::{NamespaceId, SlugName, TeamId, rights::Role};

use super::{Access, Caller, ServiceError, act, names};

/// Organizations.
#[derive(Debug, Clone)]
pub struct Organizations {
    store: Store,
    access: Access,
}

impl Organizations {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// The namespaces that the caller belongs to: their own first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn namespaces(&self, caller: &Caller) -> Result<Vec<(Namespace, Role)>, ServiceError> {
        Ok(self.store.namespaces().of_user(caller.user).await?)
    }

    /// Creates an organization, whose first owner is the caller.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a name that cannot be used, [`ServiceError::Conflict`] when it is taken.
    pub async fn create(&self, caller: &Caller, name: &str) -> Result<NamespaceId, ServiceError> {
        caller.entire()?;
        let name = names::of_namespace(name)?;
        let tx = self.store.begin().await?;
        let id = tx
            .namespaces()
            .insert(&name, None, "standard")
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => ServiceError::Conflict {
                    kind: "name_taken",
                    message: format!("the name {name} is taken: choose another"),
                },
                other => other.into(),
            })?;
        tx.namespaces().set_member(id, caller.user, Role::Owner).await?;
        tx.audit()
            .record(&in_namespace(caller, "organization.created", name.as_str(), id))
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The members of an organization that the caller belongs to.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when they do not.
    pub async fn members(
        &self,
        caller: &Caller,
        organization: &SlugName,
    ) -> Result<Vec<Member>, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, organization).await?;
        Ok(self.store.namespaces().members(namespace.id).await?)
    }

    /// Makes somebody a member or an owner, or changes which.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the last owner would stop being one.
    pub async fn set_member(
        &self,
        caller: &Caller,
        organization: &SlugName,
        name: &str,
        role: Role,
    ) -> Result<(), ServiceError> {
        let namespace = self.organization(caller, organization).await?;
        let user = self.person(name).await?;
        let tx = self.store.begin().await?;
        let owners = tx.namespaces().lock_owners(namespace.id).await?;
        if role == Role::Member && owners == [user] {
            return Err(last_owner());
        }
        tx.namespaces().set_member(namespace.id, user, role).await?;
        tx.audit()
            .record(&in_namespace(
                caller,
                "organization.member_set",
                name,
                namespace.id,
            ))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes somebody out of an organization.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] for its last owner.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        organization: &SlugName,
        name: &str,
    ) -> Result<(), ServiceError> {
        let namespace = self.organization(caller, organization).await?;
        let user = self.person(name).await?;
        let tx = self.store.begin().await?;
        if tx.namespaces().lock_owners(namespace.id).await? == [user] {
            return Err(last_owner());
        }
        if !tx.namespaces().remove_member(namespace.id, user).await? {
            return Err(ServiceError::NotFound { what: "the member" });
        }
        tx.audit()
            .record(&in_namespace(
                caller,
                "organization.member_removed",
                name,
                namespace.id,
            ))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The teams of an organization that the caller belongs to.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when they do not.
    pub async fn teams(&self, caller: &Caller, organization: &SlugName) -> Result<Vec<Team>, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, organization).await?;
        Ok(self.store.teams().of(namespace.id).await?)
    }

    /// Creates a team.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the organization has one of this name.
    pub async fn create_team(
        &self,
        caller: &Caller,
        organization: &SlugName,
        name: &str,
    ) -> Result<TeamId, ServiceError> {
        let namespace = self.organization(caller, organization).await?;
        let name: SlugName = name
            .parse()
            .map_err(|e| ServiceError::invalid("name", format!("{e}")))?;
        let tx = self.store.begin().await?;
        let id = tx
            .teams()
            .insert(namespace.id, &name)
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => ServiceError::Conflict {
                    kind: "name_taken",
                    message: format!("there is a team {name} already"),
                },
                other => other.into(),
            })?;
        tx.audit()
            .record(&in_namespace(caller, "team.created", name.as_str(), namespace.id))
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn organization(&self, caller: &Caller, name: &SlugName) -> Result<Namespace, ServiceError> {
        let namespace = self.access.owned_namespace(caller, name).await?;
        if namespace.user.is_some() {
            return Err(ServiceError::Conflict {
                kind: "not_an_organization",
                message: format!("{name} is a person's own namespace: it has no members"),
            });
        }
        Ok(namespace)
    }

    async fn person(&self, name: &str) -> Result<slipway_types::UserId, ServiceError> {
        let missing = || ServiceError::invalid("name", format!("there is no user {name}"));
        let slug: SlugName = name.parse().map_err(|_| missing())?;
        Ok(self.store.users().by_name(&slug).await?.ok_or_else(missing)?.id)
    }
}

fn in_namespace<'a>(
    caller: &'a Caller,
    what: &'a str,
    object: &'a str,
    namespace: NamespaceId,
) -> slipway_store::NewAct<'a> {
    slipway_store::NewAct {
        namespace: Some(namespace),
        ..act(caller, what, object)
    }
}

fn last_owner() -> ServiceError {
    ServiceError::Conflict {
        kind: "last_owner",
        message: "an organization needs an owner: make somebody else one first".to_owned(),
    }
}
