//! Forges as the use cases need them: connected, with a token that works.
//!
//! A provider's address, client id and secret come from the store; nothing is compiled in. How tokens are kept working is
//! in `tokens`, what a failed call says of a link in `health`.

mod health;
mod tokens;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret as _, SecretString};
use slipway_forge::{AppConfig, AppError, Forge, ForgeConfig, HttpClient, OauthError, connect};
use slipway_store::{
    Credential, ForgeClient, ForgeFields, ForgeRecord, Link, SourceRepository, Store, StoreError,
};
use slipway_types::{CredentialId, ForgeClientId, ForgeId, SourceId, Timestamp, forge::ClientKind};

use super::{ServiceError, installations::Installations};

pub(super) use tokens::{scopes_of, tokens_of};

/// The forges.
#[derive(Clone)]
pub struct Forges {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    http: HttpClient,
    connected: Mutex<HashMap<ForgeClientId, Connected>>,
    renewing: Mutex<HashMap<CredentialId, Arc<tokio::sync::Mutex<()>>>>,
    /// Until when a provider asks to wait.
    waiting: Mutex<HashMap<CredentialId, Timestamp>>,
    installations: Installations,
}

/// A forge, and what it was connected by: another configuration, another connection.
struct Connected {
    fields: ForgeFields,
    client: ForgeClient,
    secrets: Secrets,
    forge: Arc<dyn Forge>,
}

/// What a client proves itself by.
struct Secrets {
    client: SecretString,
    /// A GitHub App's private key.
    app: Option<SecretString>,
}

impl Secrets {
    fn are(&self, other: &Self) -> bool {
        let same = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
        same(&self.client, &other.client)
            && match (&self.app, &other.app) {
                (Some(a), Some(b)) => same(a, b),
                (None, None) => true,
                _ => false,
            }
    }
}

impl Connected {
    fn is(&self, fields: &ForgeFields, client: &ForgeClient, secrets: &Secrets) -> bool {
        self.fields == *fields && self.client == *client && self.secrets.are(secrets)
    }
}

/// Why there is no token for something.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// The namespace has no link at this forge any more.
    #[error("no account is linked for this; link one under Linked accounts")]
    NotLinked,
    /// The forge has no OAuth client.
    #[error("this forge has no client; an administrator enters one under Source providers")]
    NotConfigured,
    /// The access has ended and cannot be renewed.
    #[error("the linked account's access has expired; link it again")]
    Expired,
    /// The GitHub App gives none for the repository.
    #[error(transparent)]
    App(#[from] AppError),
    /// The forge did not renew it.
    #[error(transparent)]
    Renewal(#[from] OauthError),
    /// The task that renewed it has died.
    #[error("the access could not be renewed just now")]
    Interrupted,
    /// The store did not answer.
    #[error("Slipway's own records could not be read or written")]
    Store(#[from] StoreError),
}

impl NoToken {
    /// Stable word for the database, the API and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotLinked => "not_linked",
            Self::NotConfigured => "forge_not_configured",
            Self::Expired => "token_expired",
            Self::App(error) => error.kind(),
            Self::Renewal(error) => error.kind(),
            Self::Interrupted => "interrupted",
            Self::Store(error) => error.kind(),
        }
    }

    /// Whether asking again later, unchanged, may succeed.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Renewal(OauthError::Forge(error)) | Self::App(AppError::Forge(error)) => {
                error.is_transient()
            }
            Self::NotLinked | Self::NotConfigured | Self::Expired | Self::App(_) | Self::Renewal(_) => false,
            Self::Interrupted | Self::Store(_) => true,
        }
    }
}

impl From<NoToken> for ServiceError {
    fn from(error: NoToken) -> Self {
        match error {
            NoToken::Store(error) => error.into(),
            NoToken::Renewal(error) => error.into(),
            NoToken::App(AppError::Forge(error)) => error.into(),
            other => Self::Conflict {
                kind: other.kind(),
                message: other.to_string(),
            },
        }
    }
}

impl std::fmt::Debug for Forges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forges")
    }
}

impl Forges {
    /// Over this store, asking through this client.
    pub fn new(store: Store, http: HttpClient) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                http,
                connected: Mutex::default(),
                renewing: Mutex::default(),
                waiting: Mutex::default(),
                installations: Installations::default(),
            }),
        }
    }

    /// The forge behind a client.
    ///
    /// # Errors
    /// [`NoToken::NotConfigured`] where there is no such client.
    pub async fn by_client(&self, id: ForgeClientId) -> Result<Arc<dyn Forge>, NoToken> {
        let client = self
            .inner
            .store
            .forges()
            .client(id)
            .await?
            .ok_or(NoToken::NotConfigured)?;
        let record = self
            .inner
            .store
            .forges()
            .find(client.forge)
            .await?
            .ok_or(NoToken::NotConfigured)?;
        self.connected(record, client).await
    }

    /// A forge, by the client that linking offers first, and that client: the GitHub App where there is one.
    ///
    /// # Errors
    /// [`NoToken::NotConfigured`] where there is none.
    pub async fn by_id(&self, id: ForgeId) -> Result<(Arc<dyn Forge>, ForgeClient), NoToken> {
        match self.by_kind(id, ClientKind::App).await {
            Err(NoToken::NotConfigured) => self.by_kind(id, ClientKind::Oauth).await,
            found => found,
        }
    }

    /// A forge, by its client of this kind, and that client.
    ///
    /// # Errors
    /// [`NoToken::NotConfigured`] where there is none.
    pub async fn by_kind(
        &self,
        id: ForgeId,
        kind: ClientKind,
    ) -> Result<(Arc<dyn Forge>, ForgeClient), NoToken> {
        let record = self
            .inner
            .store
            .forges()
            .find(id)
            .await?
            .ok_or(NoToken::NotConfigured)?;
        let client = self.inner.store.forges().client_of(id, kind).await?;
        let client = client.ok_or(NoToken::NotConfigured)?;
        Ok((self.connected(record, client.clone()).await?, client))
    }

    /// The forge of a source repository, and a token that reaches it: that of its namespace's link, or, through a
    /// GitHub App, one of the installation's that reaches nothing else.
    ///
    /// # Errors
    /// [`NoToken`]
    pub async fn for_source(&self, source: SourceId) -> Result<(Arc<dyn Forge>, SecretString), NoToken> {
        let source = self.inner.store.source_repositories().get(source).await?;
        let link = self.link_of(&source).await?;
        let (forge, credential) = self.of_link(&link).await?;
        let Some(app) = forge.app() else {
            return self.for_link(&link).await;
        };
        let token = self
            .inner
            .installations
            .for_building(&self.inner.store, app, credential.client, &link, &source)
            .await?;
        Ok((forge, token))
    }

    /// User name and token to clone a source repository with over HTTPS, through a GitHub App; `None` where a deploy
    /// key does it.
    ///
    /// # Errors
    /// [`NoToken`]
    pub async fn to_clone(
        &self,
        source: &SourceRepository,
    ) -> Result<Option<(&'static str, SecretString)>, NoToken> {
        let link = self.link_of(source).await?;
        let (forge, credential) = self.of_link(&link).await?;
        let Some(app) = forge.app() else {
            return Ok(None);
        };
        let store = &self.inner.store;
        let token = Installations::for_cloning(store, app, credential.client, &link, source).await?;
        Ok(Some((forge.clone_user(), token)))
    }

    /// The link in use that reaches a source repository.
    ///
    /// # Errors
    /// [`NoToken::NotLinked`] where there is none.
    pub async fn link_of(&self, source: &SourceRepository) -> Result<Link, NoToken> {
        let link = self
            .inner
            .store
            .links()
            .current(source.namespace, source.forge)
            .await?;
        link.ok_or(NoToken::NotLinked)
    }

    /// The forge of a link and its token. Also of one that is being taken apart.
    ///
    /// # Errors
    /// [`NoToken`]
    pub async fn for_link(&self, link: &Link) -> Result<(Arc<dyn Forge>, SecretString), NoToken> {
        let (forge, credential) = self.of_link(link).await?;
        self.must_wait(&credential, forge.as_ref())?;
        let token = self.token(credential.id).await?;
        Ok((forge, token))
    }

    /// The forge of a credential, and its token.
    ///
    /// # Errors
    /// [`NoToken`]
    pub(super) async fn for_credential(
        &self,
        id: CredentialId,
    ) -> Result<(Arc<dyn Forge>, SecretString), NoToken> {
        let forge = self.by_client(self.credential(id).await?.client).await?;
        Ok((forge, self.token(id).await?))
    }

    async fn of_link(&self, link: &Link) -> Result<(Arc<dyn Forge>, Credential), NoToken> {
        let credential = link.credential.ok_or(NoToken::NotLinked)?;
        let credential = self
            .inner
            .store
            .credentials()
            .find(credential)
            .await?
            .ok_or(NoToken::NotLinked)?;
        let forge = self.by_client(credential.client).await?;
        Ok((forge, credential))
    }

    async fn connected(&self, record: ForgeRecord, client: ForgeClient) -> Result<Arc<dyn Forge>, NoToken> {
        let forges = self.inner.store.forges();
        let secrets = Secrets {
            client: forges.open_client_secret(client.id).await?,
            app: forges.open_app_secrets(client.id).await?.map(|(key, _)| key),
        };
        let mut connected = self
            .inner
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = connected
            .get(&client.id)
            .filter(|there| there.is(&record.fields, &client, &secrets))
        {
            return Ok(Arc::clone(&there.forge));
        }
        let forge = connect(config(&record, &client, &secrets), self.inner.http.clone());
        let id = client.id;
        let fresh = Connected {
            fields: record.fields,
            client,
            secrets,
            forge: Arc::clone(&forge),
        };
        connected.insert(id, fresh);
        Ok(forge)
    }

    /// The client that everything is asked through.
    pub(super) fn http(&self) -> HttpClient {
        self.inner.http.clone()
    }

    /// A forge as it would be with these fields, for trying them out.
    pub(super) fn try_out(
        &self,
        fields: &ForgeFields,
        client_id: &str,
        secret: SecretString,
    ) -> Arc<dyn Forge> {
        let config = ForgeConfig {
            id: ForgeId::fresh(),
            kind: fields.kind,
            name: fields.name.clone(),
            display_name: fields.display_name.clone(),
            web_url: fields.web_url.clone(),
            api_url: fields.api_url.clone(),
            client_id: client_id.to_owned(),
            client_secret: secret,
            known_hosts: fields.known_hosts.clone(),
            app: None,
        };
        connect(config, self.inner.http.clone())
    }
}

fn config(record: &ForgeRecord, client: &ForgeClient, secrets: &Secrets) -> ForgeConfig {
    let fields = &record.fields;
    let app = client.app.as_ref().zip(secrets.app.as_ref());
    ForgeConfig {
        id: record.id,
        kind: fields.kind,
        name: fields.name.clone(),
        display_name: fields.display_name.clone(),
        web_url: fields.web_url.clone(),
        api_url: fields.api_url.clone(),
        client_id: client.client_id.clone(),
        client_secret: secrets.client.clone(),
        known_hosts: fields.known_hosts.clone(),
        app: app.map(|(app, key)| AppConfig {
            app_id: app.app_id.clone(),
            page: app.page.clone(),
            private_key: key.clone(),
        }),
    }
}
