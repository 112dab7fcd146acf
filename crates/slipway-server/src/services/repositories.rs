//! Repositories: Docker Hub's word for where images of one name go.

use slipway_store::{NewAct, Registry, Repository, RepositoryFields, Store, StoreError, Tx};
use slipway_types::{ImagePath, NamespaceId, RegistryId, RepositoryId, SlugName, rights::Level};

use super::{Access, Caller, Granted, ServiceError, act};

/// What a person enters of a repository.
#[derive(Debug, Clone)]
pub struct RepositoryForm {
    /// For people.
    pub description: String,
    /// Seen by those only who were given a right on it.
    pub private: bool,
    /// Where its images go; none for the only one there is.
    pub registry: Option<RegistryId>,
    /// The path there; empty for the registry's prefix, the namespace and the name.
    pub image_path: String,
}

/// Repositories.
#[derive(Debug, Clone)]
pub struct Repositories {
    store: Store,
    access: Access,
}

/// A repository with the names of what it belongs to.
#[derive(Debug, Clone)]
pub struct Named {
    /// The repository.
    pub repository: Repository,
    /// Its namespace's name.
    pub namespace: SlugName,
    /// Its registry.
    pub registry: Registry,
    /// What the caller may do with it.
    pub level: Level,
}

impl Named {
    /// What stands in a `docker pull` line, without a tag.
    pub fn image(&self) -> String {
        format!("{}/{}", self.registry.host, self.repository.image_path)
    }
}

impl Repositories {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// A page of the repositories that the caller sees, and where the next one begins.
    ///
    /// # Errors
    /// What the store says.
    pub async fn visible(
        &self,
        caller: &Caller,
        search: &str,
        after: Option<RepositoryId>,
        limit: usize,
    ) -> Result<(Vec<Named>, Option<RepositoryId>), ServiceError> {
        let limit = limit.clamp(1, 100);
        let wanted = i64::try_from(limit).unwrap_or(100) + 1;
        let mut found = self
            .store
            .repositories()
            .visible_to(caller.user, search, after, wanted)
            .await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|repository| repository.id).filter(|_| more);
        let mut named = Vec::with_capacity(found.len());
        for repository in found {
            let granted = self
                .access
                .repository_by_id(caller, repository.id, Level::Read)
                .await?;
            named.push(self.named(granted).await?);
        }
        Ok((named, next))
    }

    /// A repository on which the caller has at least this right.
    ///
    /// # Errors
    /// As [`Access::repository`].
    pub async fn find(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        needed: Level,
    ) -> Result<Named, ServiceError> {
        let granted = self.access.repository(caller, namespace, name, needed).await?;
        self.named(granted).await
    }

    /// Creates a repository in a namespace that the caller owns.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what cannot be used, [`ServiceError::Conflict`] when the name is taken.
    pub async fn create(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &str,
        form: &RepositoryForm,
    ) -> Result<RepositoryId, ServiceError> {
        let owned = self.access.owned_namespace(caller, namespace).await?;
        let name: SlugName = name
            .parse()
            .map_err(|e| ServiceError::invalid("name", format!("{e}")))?;
        let registries = self.store.registries().usable_by(owned.id).await?;
        let registry = choose(&registries, form.registry)?;
        let image_path = image_path(registry, &form.image_path, namespace, &name)?;
        let tx = self.store.begin().await?;
        own_place(&tx, owned.id, registry, &image_path).await?;
        let fields = fields(form, registry.id, &image_path)?;
        let id = tx
            .repositories()
            .insert(owned.id, &name, &fields)
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => ServiceError::Conflict {
                    kind: "name_taken",
                    message: format!("there is a repository {namespace}/{name} already"),
                },
                other => other.into(),
            })?;
        tx.audit()
            .record(&on(caller, "repository.created", name.as_str(), owned.id, id))
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Changes a repository's description, visibility and where its images go.
    ///
    /// # Errors
    /// As [`Repositories::create`].
    pub async fn change(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
        form: &RepositoryForm,
    ) -> Result<(), ServiceError> {
        let repository = self
            .access
            .repository(caller, namespace, name, Level::Admin)
            .await?
            .repository;
        let registries = self.store.registries().usable_by(repository.namespace).await?;
        let registry = choose(&registries, form.registry.or(Some(repository.registry)))?;
        let image_path = image_path(registry, &form.image_path, namespace, name)?;
        let tx = self.store.begin().await?;
        own_place(&tx, repository.namespace, registry, &image_path).await?;
        tx.repositories()
            .update(repository.id, &fields(form, registry.id, &image_path)?)
            .await?;
        tx.audit()
            .record(&on(
                caller,
                "repository.changed",
                name.as_str(),
                repository.namespace,
                repository.id,
            ))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes a repository that has no build configuration any more, with its builds and their logs. Images at the
    /// registry stay.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] while it has one: deleting that first removes its webhook and key.
    pub async fn delete(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        name: &SlugName,
    ) -> Result<(), ServiceError> {
        let repository = self
            .access
            .repository(caller, namespace, name, Level::Owner)
            .await?
            .repository;
        let tx = self.store.begin().await?;
        if tx.configurations().of_repository(repository.id).await?.is_some() {
            return Err(ServiceError::Conflict {
                kind: "configured",
                message: "delete its build configuration first: that removes the webhook and the deploy key"
                    .to_owned(),
            });
        }
        tx.repositories().delete(repository.id).await?;
        let deleted = NewAct {
            namespace: Some(repository.namespace),
            ..act(caller, "repository.deleted", name.as_str())
        };
        tx.audit().record(&deleted).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn named(&self, granted: Granted) -> Result<Named, ServiceError> {
        let registry = self.store.registries().find(granted.repository.registry).await?;
        let registry = registry.ok_or(ServiceError::Internal("a repository's registry is gone"))?;
        Ok(Named {
            repository: granted.repository,
            namespace: granted.namespace.name,
            registry,
            level: granted.level,
        })
    }
}

fn choose(registries: &[Registry], wanted: Option<RegistryId>) -> Result<&Registry, ServiceError> {
    match (wanted, registries) {
        (Some(id), _) => registries
            .iter()
            .find(|registry| registry.id == id)
            .ok_or_else(|| {
                ServiceError::invalid(
                    "registry",
                    "choose one of the registries that this namespace may use",
                )
            }),
        (None, [only]) => Ok(only),
        (None, []) => Err(ServiceError::invalid(
            "registry",
            "add a registry first: images have to go somewhere",
        )),
        (None, _) => Err(ServiceError::invalid(
            "registry",
            "choose the registry that images go to",
        )),
    }
}

fn image_path(
    registry: &Registry,
    given: &str,
    namespace: &SlugName,
    name: &SlugName,
) -> Result<ImagePath, ServiceError> {
    let text = match (given.trim(), registry.path_prefix.as_str()) {
        ("", "") => format!("{namespace}/{name}"),
        ("", prefix) => format!("{prefix}/{name}"),
        (given, _) => given.to_owned(),
    };
    let path: ImagePath = text
        .parse()
        .map_err(|e| ServiceError::invalid("image_path", format!("{e}")))?;
    let prefix = &registry.path_prefix;
    if !prefix.is_empty() && !path.as_str().starts_with(&format!("{prefix}/")) {
        let message = format!("images at {} go below {prefix}/", registry.name);
        return Err(ServiceError::invalid("image_path", message));
    }
    Ok(path)
}

/// Two repositories of one namespace may share a place; nobody else's images may be overwritten.
async fn own_place(
    tx: &Tx,
    namespace: NamespaceId,
    registry: &Registry,
    path: &ImagePath,
) -> Result<(), ServiceError> {
    if !tx
        .repositories()
        .is_elsewheres(namespace, &registry.host, path)
        .await?
    {
        return Ok(());
    }
    Err(ServiceError::Conflict {
        kind: "place_taken",
        message: format!(
            "{}/{path} belongs to another namespace: choose another image path",
            registry.host
        ),
    })
}

fn fields<'a>(
    form: &'a RepositoryForm,
    registry: RegistryId,
    image_path: &'a ImagePath,
) -> Result<RepositoryFields<'a>, ServiceError> {
    if form.description.chars().count() > 1000 {
        return Err(ServiceError::invalid(
            "description",
            "a description has at most 1,000 characters",
        ));
    }
    Ok(RepositoryFields {
        description: &form.description,
        private: form.private,
        registry,
        image_path,
    })
}

fn on<'a>(
    caller: &'a Caller,
    what: &'a str,
    object: &'a str,
    namespace: NamespaceId,
    repository: RepositoryId,
) -> NewAct<'a> {
    NewAct {
        namespace: Some(namespace),
        repository: Some(repository),
        ..act(caller, what, object)
    }
}
