//! The users of this installation, as administrators manage them: who comes, who may not sign in any more.

use secrecy::SecretString;
use slipway_store::{NewAct, NewUser, Store, StoreError, Tx, User};
use slipway_types::{SlugName, Timestamp, UserId};

use super::{Access, Caller, ServiceError, act, names, passwords};

/// Users. Everything here is an administrator's act: [`ServiceError::Forbidden`] for anybody else.
#[derive(Debug, Clone)]
pub struct Users {
    store: Store,
    access: Access,
}

impl Users {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn all(&self, caller: &Caller) -> Result<Vec<User>, ServiceError> {
        self.access.administrator(caller)?;
        Ok(self.store.users().all().await?)
    }

    /// A user.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when nobody is called so.
    pub async fn get(&self, caller: &Caller, name: &SlugName) -> Result<User, ServiceError> {
        self.access.administrator(caller)?;
        let found = self.store.users().by_name(name).await?;
        found.ok_or(NOBODY)
    }

    /// Creates a user, with a namespace of their own. They change the password once they are in.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the name is taken, [`ServiceError::Invalid`] for what cannot be used.
    pub async fn create(
        &self,
        caller: &Caller,
        name: &str,
        password: &SecretString,
        is_admin: bool,
    ) -> Result<UserId, ServiceError> {
        self.access.administrator(caller)?;
        let name = names::of_namespace(name)?;
        let hash = passwords::hash(password).await?;
        let tx = self.store.begin().await?;
        let user = insert(&tx, &name, &hash, is_admin).await?;
        tx.audit()
            .record(&NewAct {
                user: Some(caller.user),
                actor: caller.name.as_str(),
                address: caller.address.as_deref(),
                ..created(&name, is_admin)
            })
            .await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Gives a user who cannot get in another password, and ends all their sessions.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when nobody is called so, [`ServiceError::Invalid`] for a password that cannot be used,
    /// or the caller's own: that one is changed by who knows it.
    pub async fn set_password(
        &self,
        caller: &Caller,
        name: &SlugName,
        password: &SecretString,
    ) -> Result<(), ServiceError> {
        let user = self.somebody_else(caller, name).await?;
        let hash = passwords::hash(password).await?;
        let tx = self.store.begin().await?;
        tx.users().set_password_hash(user.id, &hash).await?;
        tx.sessions().end_others(user.id, None).await?;
        tx.audit()
            .record(&act(caller, "user.password_set", name.as_str()))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Disables a user: their sessions end, they cannot sign in, and their access tokens open nothing. What they made,
    /// links too, stays and goes on working.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when nobody is called so, [`ServiceError::Invalid`] for the caller: somebody has to
    /// remain.
    pub async fn disable(&self, caller: &Caller, name: &SlugName) -> Result<(), ServiceError> {
        let user = self.somebody_else(caller, name).await?;
        let tx = self.store.begin().await?;
        tx.users().set_disabled(user.id, Some(Timestamp::now())).await?;
        tx.sessions().end_others(user.id, None).await?;
        tx.audit()
            .record(&act(caller, "user.disabled", name.as_str()))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets a disabled user in again.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when nobody is called so.
    pub async fn enable(&self, caller: &Caller, name: &SlugName) -> Result<(), ServiceError> {
        let user = self.somebody_else(caller, name).await?;
        let tx = self.store.begin().await?;
        tx.users().set_disabled(user.id, None).await?;
        tx.audit()
            .record(&act(caller, "user.enabled", name.as_str()))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn somebody_else(&self, caller: &Caller, name: &SlugName) -> Result<User, ServiceError> {
        let user = self.get(caller, name).await?;
        if user.id == caller.user {
            return Err(ServiceError::invalid(
                "name",
                "you cannot do this to yourself: your password is under Settings, Security",
            ));
        }
        Ok(user)
    }
}

const NOBODY: ServiceError = ServiceError::NotFound { what: "the user" };

/// A person, and the namespace that is their own.
pub(super) async fn insert(
    tx: &Tx,
    name: &SlugName,
    password_hash: &str,
    is_admin: bool,
) -> Result<UserId, ServiceError> {
    let new = NewUser {
        name,
        display_name: name.as_str(),
        email: None,
        password_hash,
        is_admin,
    };
    let user = tx.users().insert(&new).await.map_err(|e| taken(e, name))?;
    let own = tx.namespaces().insert(name, Some(user), "standard").await;
    own.map_err(|e| taken(e, name))?;
    Ok(user)
}

/// That somebody was created; by whom is the caller's to say.
pub(super) fn created(name: &SlugName, is_admin: bool) -> NewAct<'_> {
    NewAct {
        user: None,
        actor: "",
        address: None,
        namespace: None,
        repository: None,
        act: "user.created",
        object: name.as_str(),
        detail: serde_json::json!({ "administrator": is_admin }),
    }
}

fn taken(error: StoreError, name: &SlugName) -> ServiceError {
    match error {
        StoreError::Conflict(_) => ServiceError::Conflict {
            kind: "name_taken",
            message: format!("the name {name} is taken: choose another"),
        },
        other => other.into(),
    }
}
