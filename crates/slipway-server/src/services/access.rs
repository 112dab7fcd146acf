//! Who is asking, and what they may: Docker Hub's permission table, kept in this one place for pages and
//! API alike.
//!
//! | act | needs |
//! | --- | --- |
//! | see a repository and its builds | read |
//! | start, cancel, retry builds | write |
//! | edit settings and the build configuration | admin |
//! | delete the configuration; link and unlink for an organization | owner |
//!
//! The user of a namespace and an organization's owners are `owner` of everything in it; its members read what is not
//! private; others have what they were given, by name or through a team. An access token's scope caps all of it.
//! Administrators administer the installation; they see no more repositories than others.
//!
//! Invariant kept here: whoever may not see a thing is told that it is not there, by the same words as when it is not.

use secrecy::{ExposeSecret as _, SecretString};
use slipway_store::{Namespace, Repository, Session, Store};
use slipway_types::{
    NamespaceId, RepositoryId, SessionId, SlugName, Timestamp, UserId,
    rights::{Level, Role, TokenScope},
};
use slipway_vault::TokenHash;

use super::{ServiceError, accounts::SESSION_TERM};

/// Somebody who was recognised.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: SlugName,
    /// Whether they administer this installation.
    pub is_admin: bool,
    /// How they were recognised.
    pub via: Via,
    /// From which address they ask, for the audit trail.
    pub address: Option<String>,
}

/// How somebody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By a browser's session.
    Session(SessionId),
    /// By an access token, which may be good for less than its owner.
    Token(TokenScope),
}

impl Caller {
    /// The most that this way of asking allows.
    const fn ceiling(&self) -> Level {
        match self.via {
            Via::Session(_) | Via::Token(TokenScope::Admin) => Level::Owner,
            Via::Token(TokenScope::Build) => Level::Write,
            Via::Token(TokenScope::Read) => Level::Read,
        }
    }

    /// That this way of asking is good for everything that the person may do: for what concerns them, or everybody,
    /// and no one namespace.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for an access token of a narrower scope.
    pub fn entire(&self) -> Result<(), ServiceError> {
        if self.ceiling() == Level::Owner {
            return Ok(());
        }
        Err(ServiceError::Forbidden {
            needed: "an access token of scope `admin`",
        })
    }

    /// The session, for what only a browser does.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for an access token.
    pub const fn session(&self) -> Result<SessionId, ServiceError> {
        match self.via {
            Via::Session(id) => Ok(id),
            Via::Token(_) => Err(ServiceError::Forbidden {
                needed: "a signed-in browser",
            }),
        }
    }
}

/// A repository that somebody may do something with.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The repository.
    pub repository: Repository,
    /// Its namespace.
    pub namespace: Namespace,
    /// The most that they may do with it.
    pub level: Level,
}

/// Recognises callers and decides what they may.
#[derive(Debug, Clone)]
pub struct Access {
    store: Store,
}

impl Access {
    /// Over this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Who a session's cookie belongs to; none when it is unknown, has expired, or its user is disabled.
    ///
    /// # Errors
    /// What the store says.
    pub async fn by_session(
        &self,
        token: &SecretString,
        address: Option<String>,
    ) -> Result<Option<(Caller, Session)>, ServiceError> {
        let hash = TokenHash::of(token.expose_secret());
        let Some(session) = self.store.sessions().by_token_hash(hash.as_str()).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        if session.expires_at <= now {
            return Ok(None);
        }
        let Some(caller) = self
            .caller(session.user, Via::Session(session.id), address)
            .await?
        else {
            return Ok(None);
        };
        // Kept alive by use, but not written at every request.
        if now.since(session.last_seen_at) > SESSION_TERM / 100 {
            let tx = self.store.begin().await?;
            tx.sessions().touch(session.id, now.plus(SESSION_TERM)).await?;
            tx.commit().await?;
        }
        Ok(Some((caller, session)))
    }

    /// Who an access token belongs to; none when it is unknown, has expired, or its user is disabled.
    ///
    /// # Errors
    /// What the store says.
    pub async fn by_access_token(
        &self,
        token: &SecretString,
        address: Option<String>,
    ) -> Result<Option<Caller>, ServiceError> {
        let hash = TokenHash::of(token.expose_secret());
        let Some(found) = self.store.access_tokens().by_token_hash(hash.as_str()).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        if found.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        // Written at most once a minute, not at every request.
        if found.last_used_at.is_none_or(|at| now.since(at).as_secs() > 60) {
            let tx = self.store.begin().await?;
            tx.access_tokens().used(found.id).await?;
            tx.commit().await?;
        }
        self.caller(found.user, Via::Token(found.scope), address).await
    }

    async fn caller(
        &self,
        user: UserId,
        via: Via,
        address: Option<String>,
    ) -> Result<Option<Caller>, ServiceError> {
        let user = self
            .store
            .users()
            .find(user)
            .await?
            .filter(|user| user.disabled_at.is_none());
        Ok(user.map(|user| Caller {
            user: user.id,
            name: user.name,
            is_admin: user.is_admin,
            via,
            address,
        }))
    }

    /// That the caller administers this installation.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] otherwise.
    pub fn administrator(&self, caller: &Caller) -> Result<(), ServiceError> {
        if caller.is_admin && caller.ceiling() == Level::Owner {
            return Ok(());
        }
        Err(ServiceError::Forbidden {
            needed: "an administrator of this Slipway",
        })
    }

    /// A namespace that the caller belongs to, and what they are there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when there is none, or they do not belong to it.
    pub async fn namespace(
        &self,
        caller: &Caller,
        name: &SlugName,
    ) -> Result<(Namespace, Role), ServiceError> {
        let missing = || ServiceError::NotFound {
            what: "the namespace",
        };
        let namespace = self.store.namespaces().by_name(name).await?.ok_or_else(missing)?;
        let role = self
            .store
            .namespaces()
            .role_of(caller.user, namespace.id)
            .await?
            .ok_or_else(missing)?;
        Ok((namespace, role))
    }

    /// A namespace that the caller owns: their own, or an organization whose owner they are.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when they do not belong to it, [`ServiceError::Forbidden`] when they do not own it.
    pub async fn owned_namespace(&self, caller: &Caller, name: &SlugName) -> Result<Namespace, ServiceError> {
        let (namespace, role) = self.namespace(caller, name).await?;
        if role == Role::Owner && caller.ceiling() == Level::Owner {
            return Ok(namespace);
        }
        Err(ServiceError::Forbidden {
            needed: in_words(Level::Owner),
        })
    }

    /// That the caller owns this namespace.
    ///
    /// # Errors
    /// As [`Access::owned_namespace`].
    pub async fn owns(&self, caller: &Caller, namespace: NamespaceId) -> Result<Namespace, ServiceError> {
        let found = self.store.namespaces().find(namespace).await?;
        let name = found
            .ok_or(ServiceError::NotFound {
                what: "the namespace",
            })?
            .name;
        self.owned_namespace(caller, &name).await
    }

    /// A repository on which the caller has at least this right.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when they may not see it, [`ServiceError::Forbidden`] when they may not do this.
    pub async fn repository(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        needed: Level,
    ) -> Result<Granted, ServiceError> {
        let namespace = self
            .store
            .namespaces()
            .by_name(namespace)
            .await?
            .ok_or_else(missing)?;
        let repository = self
            .store
            .repositories()
            .by_name(namespace.id, name)
            .await?
            .ok_or_else(missing)?;
        self.decide(caller, namespace, repository, needed).await
    }

    /// [`Access::repository`], by id.
    ///
    /// # Errors
    /// As [`Access::repository`].
    pub async fn repository_by_id(
        &self,
        caller: &Caller,
        id: RepositoryId,
        needed: Level,
    ) -> Result<Granted, ServiceError> {
        let repository = self.store.repositories().find(id).await?.ok_or_else(missing)?;
        let namespace = self
            .store
            .namespaces()
            .find(repository.namespace)
            .await?
            .ok_or_else(missing)?;
        self.decide(caller, namespace, repository, needed).await
    }

    async fn decide(
        &self,
        caller: &Caller,
        namespace: Namespace,
        repository: Repository,
        needed: Level,
    ) -> Result<Granted, ServiceError> {
        let level = self
            .level(caller, &namespace, &repository)
            .await?
            .ok_or_else(missing)?;
        if level < needed {
            return Err(ServiceError::Forbidden {
                needed: in_words(needed),
            });
        }
        Ok(Granted {
            repository,
            namespace,
            level,
        })
    }

    async fn level(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        repository: &Repository,
    ) -> Result<Option<Level>, ServiceError> {
        let role = self.store.namespaces().role_of(caller.user, namespace.id).await?;
        if role == Some(Role::Owner) {
            return Ok(Some(caller.ceiling()));
        }
        let given = self
            .store
            .permissions()
            .level_of(caller.user, repository.id)
            .await?;
        let by_membership = role.filter(|_| !repository.private).map(|_| Level::Read);
        Ok(given.max(by_membership).map(|level| level.min(caller.ceiling())))
    }
}

const fn missing() -> ServiceError {
    ServiceError::NotFound {
        what: "the repository",
    }
}

const fn in_words(level: Level) -> &'static str {
    match level {
        Level::Read => "the right to read the repository",
        Level::Write => "the right to write to the repository",
        Level::Admin => "admin rights on the repository",
        Level::Owner => "an owner of the namespace",
    }
}
