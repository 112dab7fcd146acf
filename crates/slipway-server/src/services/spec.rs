//! What a machine gets to know of a build: put together when it is leased, secrets opened at the last moment.
//!
//! A stranger's pull request gets no configured variables, no registry login, and a clone credential only until
//! the checkout is done.

use slipway_store::{Build, SourceRepository, Store, StoreError};
use slipway_types::{
    build::{FailureKind, Purpose},
    forge::{ResourceKind, ResourceState},
    protocol::{BuildSpec, CloneCredential, ImageSpec, RegistryLogin, SourceSpec, Variable},
    secret::SecretString,
};

use super::ask::{AskError, AskForge};

/// The variable whose value git uses as its identity, in place of the deploy key.
const SSH_PRIVATE: &str = "SSH_PRIVATE";

/// Why a build could not be started. The text is for the owner.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A private repository, and no key to clone it with.
    #[error(
        "the source repository is private and has no deploy key: see the repository's source for why it could not be made"
    )]
    NoKey,
    /// The GitHub App gave no token to clone it with.
    #[error("the source repository cannot be cloned: {0}")]
    NoToken(#[source] AskError),
    /// The forge did not say by what host keys it is known.
    #[error("the forge's SSH host keys could not be learned: {0}")]
    HostKeys(#[source] AskError),
    /// Nobody vouches for any host key.
    #[error(
        "nobody vouches for the forge's SSH host keys: an administrator enters them under Source providers"
    )]
    NoHostKeys,
    /// A secret did not open.
    #[error(
        "a secret that the build needs could not be opened: check that Slipway runs with the key it was sealed with"
    )]
    Secrets(#[source] StoreError),
    /// The store did not answer.
    #[error("Slipway's own records could not be read")]
    Store(#[from] StoreError),
}

impl SpecError {
    /// The kind that the build fails with.
    pub const fn failure(&self) -> FailureKind {
        match self {
            Self::NoKey | Self::NoToken(_) | Self::HostKeys(_) | Self::NoHostKeys => FailureKind::CHECKOUT,
            Self::Secrets(_) => FailureKind::SECRETS,
            Self::Store(_) => FailureKind::INTERNAL,
        }
    }

    /// Whether trying again soon may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::HostKeys(error) | Self::NoToken(error) if error.is_transient())
    }
}

/// Tells secrets that do not open from a store that does not answer.
fn opened<T>(result: Result<T, StoreError>) -> Result<T, SpecError> {
    result.map_err(|error| match error {
        StoreError::Vault(_) => SpecError::Secrets(error),
        other => SpecError::Store(other),
    })
}

/// Puts a leased build's specification together.
///
/// # Errors
/// [`SpecError`]
pub(crate) async fn make(store: &Store, ask: &dyn AskForge, build: &Build) -> Result<BuildSpec, SpecError> {
    let plan = &build.new.plan;
    let variables = variables(store, build).await?;
    let ssh_private = variables
        .iter()
        .find(|one| one.name == SSH_PRIVATE)
        .map(|one| one.value.clone());
    let limits = store
        .plans()
        .of(build.new.namespace)
        .await?
        .limits(build.new.time_limit_s);
    Ok(BuildSpec {
        build: build.id,
        code: format!("b{}l{}", build.id.uuid().simple(), build.lease.0),
        purpose: build.new.purpose,
        source: source_spec(store, ask, build, ssh_private).await?,
        image: ImageSpec {
            registry: plan.registry.clone(),
            path: plan.path.clone(),
            tags: plan.tags.clone(),
            tags_as_written: plan.tags_as_written.clone(),
        },
        rule: plan.rule.clone(),
        variables,
        registry_logins: logins(store, build).await?,
        layers: (plan.rule.build_caching && !plan.external).then_some(build.new.repository),
        limits,
    })
}

async fn variables(store: &Store, build: &Build) -> Result<Vec<Variable>, SpecError> {
    let (Some(configuration), false) = (build.new.configuration, build.new.plan.external) else {
        return Ok(Vec::new());
    };
    let all = opened(store.variables().open_all(configuration).await)?;
    Ok(all
        .into_iter()
        .map(|(name, value)| Variable { name, value })
        .collect())
}

/// The login of the registry that the image goes to. Tests of one's own branches get it too: their base images may be
/// private.
async fn logins(store: &Store, build: &Build) -> Result<Vec<RegistryLogin>, SpecError> {
    let plan = &build.new.plan;
    if plan.external {
        return Ok(Vec::new());
    }
    let Some(registry) = store.registries().find(plan.registry_id).await? else {
        return Ok(Vec::new());
    };
    let Some(password) = opened(store.registries().open_password(registry.id).await)? else {
        return Ok(Vec::new());
    };
    Ok(vec![RegistryLogin {
        registry: registry.host,
        user: registry.username,
        password,
    }])
}

async fn source_spec(
    store: &Store,
    ask: &dyn AskForge,
    build: &Build,
    ssh_private: Option<SecretString>,
) -> Result<SourceSpec, SpecError> {
    let source = store.source_repositories().get(build.new.source).await?;
    let key = deploy_key(store, &source).await?;
    let by_ssh = key.is_some() || ssh_private.is_some();
    let by_app = match (&key, by_ssh) {
        (None, false) => ask.to_clone(&source).await.map_err(SpecError::NoToken)?,
        _ => None,
    };
    let (clone_url, credential) = match (key, by_app) {
        (Some(private_key), _) => (
            source.facts.clone_ssh.clone(),
            CloneCredential::DeployKey { private_key },
        ),
        (None, Some((user, token))) => {
            let user = user.to_owned();
            (
                source.facts.clone_https.clone(),
                CloneCredential::Token { user, token },
            )
        }
        (None, None) if by_ssh => (source.facts.clone_ssh.clone(), CloneCredential::None),
        (None, None) if source.facts.private => return Err(SpecError::NoKey),
        (None, None) => (source.facts.clone_https.clone(), CloneCredential::None),
    };
    let known_hosts = known_hosts(ask, &source, by_ssh).await?;
    let plan = &build.new.plan;
    Ok(SourceSpec {
        clone_url: as_url(&clone_url),
        credential,
        known_hosts,
        git_ref: build.new.git_ref.clone(),
        fetch_ref: plan.fetch_ref.clone(),
        commit: build.new.sha.clone(),
        message: plan.message.clone(),
        ssh_private,
        drop_credential: plan.external && build.new.purpose == Purpose::Test,
    })
}

async fn deploy_key(store: &Store, source: &SourceRepository) -> Result<Option<SecretString>, SpecError> {
    let resources = store.provider_resources().of_source(source.id).await?;
    let usable = resources
        .into_iter()
        .find(|one| one.kind == ResourceKind::DeployKey && one.state == ResourceState::Active);
    match usable {
        Some(key) => opened(store.provider_resources().open_private_key(key.id).await),
        None => Ok(None),
    }
}

/// Where git uses SSH it must know the host; over HTTPS only a hook that goes elsewhere would.
async fn known_hosts(
    ask: &dyn AskForge,
    source: &SourceRepository,
    by_ssh: bool,
) -> Result<Vec<String>, SpecError> {
    match ask.known_hosts(source).await {
        Ok(lines) if lines.is_empty() && by_ssh => Err(SpecError::NoHostKeys),
        Ok(lines) => Ok(lines),
        Err(_) if !by_ssh => Ok(Vec::new()),
        Err(error) => Err(SpecError::HostKeys(error)),
    }
}

/// `git@host:owner/name.git` in the form of a URL; anything else as it is.
fn as_url(clone: &str) -> String {
    let scp_like = |clone: &str| {
        let (user_host, path) = clone.split_once(':')?;
        let is_scp = !clone.contains("://") && !user_host.contains('/');
        is_scp.then(|| format!("ssh://{user_host}/{}", path.trim_start_matches('/')))
    };
    scp_like(clone).unwrap_or_else(|| clone.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_address_becomes_a_url() {
        assert_eq!(
            as_url("git@github.com:acme/app.git"),
            "ssh://git@github.com/acme/app.git"
        );
        assert_eq!(
            as_url("ssh://git@127.0.0.1:2222/acme/app.git"),
            "ssh://git@127.0.0.1:2222/acme/app.git"
        );
        assert_eq!(
            as_url("https://github.com/acme/app.git"),
            "https://github.com/acme/app.git"
        );
    }
}
