//! Registries: where images go. A login is tried before it is kept.

use secrecy::SecretString;
use slipway_registry::RegistryError;
use slipway_store::{Namespace, NewAct, Registry, RegistryFields, Store};
use slipway_types::{ImagePath, RegistryId, SlugName, Timestamp};

use super::{Access, Caller, ServiceError, act};

/// What a person enters of a registry.
#[derive(Debug, Clone)]
pub struct RegistryForm {
    /// What it is called here.
    pub name: String,
    /// As in image names: `registry.example.org:5000`, `index.docker.io`.
    pub host: String,
    /// What stands before every image path there, as `team`; may be empty.
    pub path_prefix: String,
    /// The user; empty for a registry that asks nobody.
    pub username: String,
    /// The password or token; none keeps the present one.
    pub password: Option<SecretString>,
}

/// Registries.
#[derive(Debug, Clone)]
pub struct Registries {
    store: Store,
    access: Access,
    http: reqwest::Client,
}

impl Registries {
    /// Over this store; the client is for trying logins.
    pub fn new(store: Store, http: reqwest::Client) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            http,
        }
    }

    /// The registries that a namespace's repositories may use: its own, and the shared ones.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when the caller does not belong to the namespace.
    pub async fn usable(&self, caller: &Caller, namespace: &SlugName) -> Result<Vec<Registry>, ServiceError> {
        let (namespace, _) = self.access.namespace(caller, namespace).await?;
        Ok(self.store.registries().usable_by(namespace.id).await?)
    }

    /// The registries that everybody here may use.
    ///
    /// # Errors
    /// What the store says.
    pub async fn shared(&self) -> Result<Vec<Registry>, ServiceError> {
        Ok(self.store.registries().shared().await?)
    }

    /// Adds a registry after trying its login: to a namespace that the caller owns, or, by an administrator, for everybody.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what cannot be used, [`ServiceError::Registry`] when the registry refuses the login or
    /// does not answer.
    pub async fn add(
        &self,
        caller: &Caller,
        namespace: Option<&SlugName>,
        form: RegistryForm,
    ) -> Result<RegistryId, ServiceError> {
        let of = self.allowed(caller, namespace).await?;
        check(&form)?;
        self.try_login(&form.host, &form.username, form.password.as_ref())
            .await?;
        let tx = self.store.begin().await?;
        let fields = fields(&form, form.password.as_ref());
        let id = tx.registries().insert(of.as_ref().map(|n| n.id), &fields).await?;
        tx.audit()
            .record(&NewAct {
                namespace: of.as_ref().map(|n| n.id),
                detail: serde_json::json!({ "host": form.host, "username": form.username }),
                ..act(caller, "registry.added", &form.name)
            })
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Changes a registry after trying its login.
    ///
    /// # Errors
    /// As [`Registries::add`].
    pub async fn change(
        &self,
        caller: &Caller,
        id: RegistryId,
        form: RegistryForm,
    ) -> Result<(), ServiceError> {
        let present = self.owned(caller, id).await?;
        check(&form)?;
        if present.host != form.host && form.password.is_none() && present.has_password {
            // The stored password must not be sent to a place it was not entered for.
            return Err(ServiceError::invalid(
                "password",
                "enter the password for the new host",
            ));
        }
        let kept = match &form.password {
            Some(given) => Some(given.clone()),
            None => self.store.registries().open_password(id).await?,
        };
        self.try_login(&form.host, &form.username, kept.as_ref()).await?;
        let tx = self.store.begin().await?;
        tx.registries()
            .update(id, &fields(&form, form.password.as_ref()))
            .await?;
        let changed = NewAct {
            namespace: present.namespace,
            ..act(caller, "registry.changed", &form.name)
        };
        tx.audit().record(&changed).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a registry that no repository uses.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] while one does.
    pub async fn remove(&self, caller: &Caller, id: RegistryId) -> Result<(), ServiceError> {
        let present = self.owned(caller, id).await?;
        let tx = self.store.begin().await?;
        let used = tx.repositories().at_registry(id).await?;
        if used > 0 {
            return Err(ServiceError::Conflict {
                kind: "in_use",
                message: format!("{used} repositories push to it: point them elsewhere first"),
            });
        }
        tx.registries().delete(id).await?;
        let removed = NewAct {
            namespace: present.namespace,
            ..act(caller, "registry.removed", &present.name)
        };
        tx.audit().record(&removed).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn owned(&self, caller: &Caller, id: RegistryId) -> Result<Registry, ServiceError> {
        const NOT_FOUND: ServiceError = ServiceError::NotFound { what: "the registry" };
        let registry = self.store.registries().find(id).await?.ok_or(NOT_FOUND)?;
        match registry.namespace {
            Some(namespace) => drop(self.access.owns(caller, namespace).await?),
            None => self.access.administrator(caller)?,
        }
        Ok(registry)
    }

    async fn allowed(
        &self,
        caller: &Caller,
        namespace: Option<&SlugName>,
    ) -> Result<Option<Namespace>, ServiceError> {
        match namespace {
            Some(name) => self.access.owned_namespace(caller, name).await.map(Some),
            None => self.access.administrator(caller).map(|()| None),
        }
    }

    async fn try_login(
        &self,
        host: &str,
        username: &str,
        password: Option<&SecretString>,
    ) -> Result<(), ServiceError> {
        let mut registry = slipway_registry::Registry::new(self.http.clone(), host).map_err(refused)?;
        if let Some(password) = password.filter(|_| !username.is_empty()) {
            let login = slipway_registry::Login {
                user: username.to_owned(),
                password: password.clone(),
            };
            registry = registry.with_login(login);
        }
        registry.check_login().await.map_err(refused)
    }
}

fn fields<'a>(form: &'a RegistryForm, password: Option<&'a SecretString>) -> RegistryFields<'a> {
    RegistryFields {
        name: &form.name,
        host: &form.host,
        path_prefix: &form.path_prefix,
        username: &form.username,
        password,
        verified_at: Some(Timestamp::now()),
    }
}

fn check(form: &RegistryForm) -> Result<(), ServiceError> {
    if form.name.trim().is_empty() || form.name.chars().count() > 100 {
        return Err(ServiceError::invalid(
            "name",
            "give it a name of 1 to 100 characters",
        ));
    }
    if !form.path_prefix.is_empty() && form.path_prefix.parse::<ImagePath>().is_err() {
        let message = "a path holds lower-case letters and digits, with single `.`, `_` or `-` between them, in parts joined by `/`";
        return Err(ServiceError::invalid("path_prefix", message));
    }
    Ok(())
}

fn refused(error: RegistryError) -> ServiceError {
    if let RegistryError::BadHost { .. } = error {
        return ServiceError::invalid("host", error.to_string());
    }
    error.into()
}
