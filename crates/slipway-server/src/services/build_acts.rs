//! What people do to builds: trigger, cancel, retry, build as newest – after it was decided that they may.
//! What that means for the queue is [`Queue`]'s.

use secrecy::{ExposeSecret as _, SecretString};
use slipway_store::{Build, NewAct, Store};
use slipway_types::{ConfigurationId, NamespaceId, RepositoryId, SlugName, Timestamp, rights::Level};
use slipway_vault::TokenHash;

use super::{
    Access, Caller, Granted, ServiceError, act,
    queue::{Queue, QueueError, RetryWith, TriggerWhat, Triggered},
};

/// What people do to builds.
#[derive(Debug, Clone)]
pub struct BuildActs {
    store: Store,
    access: Access,
    queue: Queue,
}

/// What came of a build trigger's call.
#[derive(Debug, Clone)]
pub struct Called {
    /// Whose repository is built.
    pub namespace: SlugName,
    /// Its name.
    pub repository: SlugName,
    /// What came of each branch and tag.
    pub triggered: Vec<Triggered>,
}

impl BuildActs {
    /// Over this store and queue.
    pub fn new(store: Store, queue: Queue) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            queue,
        }
    }

    /// *Trigger*: builds what is there now, also if it was built before.
    ///
    /// # Errors
    /// As [`Access::repository`]; [`ServiceError::Conflict`] when it cannot be.
    pub async fn trigger(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        what: &TriggerWhat,
    ) -> Result<Vec<Triggered>, ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, name, Level::Write)
            .await?;
        let configuration = self
            .store
            .configurations()
            .of_repository(granted.repository.id)
            .await?;
        let configuration = configuration.ok_or(ServiceError::NotFound {
            what: "the build configuration",
        })?;
        let triggered = self
            .queue
            .trigger(configuration.id, what, Some(caller.user))
            .await?;
        self.record(caller, &granted, "build.triggered", name.as_str())
            .await?;
        Ok(triggered)
    }

    /// Cancels a build: at once when it waits, within seconds when it runs.
    ///
    /// # Errors
    /// As [`Access::repository`]; [`ServiceError::Conflict`] when it has ended.
    pub async fn cancel(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        number: i64,
    ) -> Result<Build, ServiceError> {
        let (granted, build) = self.build(caller, namespace, name, number).await?;
        let build = self.queue.cancel(build.id, Some(caller.user)).await?;
        self.record(caller, &granted, "build.canceled", &format!("#{number}"))
            .await?;
        Ok(build)
    }

    /// Makes a new build of the same commit, with the same place in the order of its tags; or, as `newest`, with a fresh
    /// one, so that its tags move to it whatever was built since.
    ///
    /// # Errors
    /// As [`Access::repository`]; [`ServiceError::Conflict`] when it has not ended, or may not be queued.
    pub async fn retry(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        number: i64,
        with: RetryWith,
        newest: bool,
    ) -> Result<Build, ServiceError> {
        let (granted, build) = self.build(caller, namespace, name, number).await?;
        let again = if newest {
            self.queue
                .build_as_newest(build.id, with, Some(caller.user))
                .await?
        } else {
            self.queue.retry(build.id, with, Some(caller.user)).await?
        };
        self.record(caller, &granted, "build.retried", &format!("#{number}"))
            .await?;
        Ok(again)
    }

    /// A build trigger's call: the token is the secret, and all that is needed. At most one call a second and token.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for an unknown or revoked token, or one of another source;
    /// [`ServiceError::TooMany`] when it was called less than a second ago.
    pub async fn call(
        &self,
        source: &str,
        token: &SecretString,
        what: &TriggerWhat,
    ) -> Result<Called, ServiceError> {
        let missing = || ServiceError::NotFound {
            what: "the build trigger",
        };
        let configuration: ConfigurationId = source.parse().map_err(|_| missing())?;
        let hash = TokenHash::of(token.expose_secret());
        let trigger = self.store.triggers().by_token_hash(hash.as_str()).await?;
        let trigger = trigger
            .filter(|found| found.configuration == configuration)
            .ok_or_else(missing)?;
        let configuration = self
            .store
            .configurations()
            .find(configuration)
            .await?
            .ok_or_else(missing)?;
        let repository = self
            .store
            .repositories()
            .find(configuration.repository)
            .await?
            .ok_or_else(missing)?;
        let namespace = self
            .store
            .namespaces()
            .find(repository.namespace)
            .await?
            .ok_or_else(missing)?;
        if trigger
            .last_used_at
            .is_some_and(|at| Timestamp::now().since(at).as_secs() < 1)
        {
            return Err(ServiceError::TooMany { seconds: 1 });
        }
        let tx = self.store.begin().await?;
        tx.triggers().used(trigger.id).await?;
        let called = NewAct {
            user: None,
            actor: &format!("build trigger {}", trigger.name),
            address: None,
            namespace: Some(namespace.id),
            repository: Some(repository.id),
            act: "build.triggered",
            object: &trigger.id.to_string(),
            detail: serde_json::Value::Null,
        };
        tx.audit().record(&called).await?;
        tx.commit().await?;
        let triggered = self.queue.trigger(configuration.id, what, None).await?;
        Ok(Called {
            namespace: namespace.name,
            repository: repository.name,
            triggered,
        })
    }

    async fn build(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        number: i64,
    ) -> Result<(Granted, Build), ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, name, Level::Write)
            .await?;
        let build = self
            .store
            .builds()
            .by_number(granted.repository.id, number)
            .await?;
        Ok((
            granted,
            build.ok_or(ServiceError::NotFound { what: "the build" })?,
        ))
    }

    async fn record(
        &self,
        caller: &Caller,
        granted: &Granted,
        what: &str,
        object: &str,
    ) -> Result<(), ServiceError> {
        let (namespace, repository): (NamespaceId, RepositoryId) =
            (granted.namespace.id, granted.repository.id);
        let tx = self.store.begin().await?;
        let done = NewAct {
            namespace: Some(namespace),
            repository: Some(repository),
            ..act(caller, what, object)
        };
        tx.audit().record(&done).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl From<QueueError> for ServiceError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::NoBuild => Self::NotFound { what: "the build" },
            QueueError::NoConfiguration => Self::NotFound {
                what: "the build configuration",
            },
            QueueError::Store(error) => Self::Store(error),
            other => Self::Conflict {
                kind: other.kind(),
                message: other.to_string(),
            },
        }
    }
}
