//! Forges as the use cases need them: connected, with a token that works.
//!
//! A provider's address, client id and secret come from the store; nothing is compiled in. A token that
//! expires is renewed early and once for all who wait: inside this process by a lock per credential,
//! between processes by a claim in the store. Invariant kept here: a new refresh token is durable before the
//! access token that came with it is used, since the old one is spent.
//!
//! One moment cannot be covered: the provider has spent the old refresh token, and the process dies before the
//! new one is on disk. Nobody has a good refresh token then; the link says so, and linking again mends it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use slipway_forge::{
    AppConfig, AppError, Forge, ForgeConfig, ForgeError, Grant, HttpClient, OauthError, Scopes, connect,
};
use slipway_store::{
    Credential, ForgeClient, ForgeFields, ForgeRecord, Link, LinkHealth, SourceRepository, Store, StoreError,
    Tokens,
};
use slipway_types::{
    CredentialId, ForgeClientId, ForgeId, LinkId, SourceId, Timestamp,
    forge::{ClientKind, Health, HealthReason, LinkState},
};

use super::{ServiceError, installations::Installations};
use crate::fault;

/// A token is renewed when less than this is left of it, or a fifth of its life where that is less.
const EARLY: Duration = Duration::from_mins(5);
/// How long to wait where a forge asks to and does not say how long: GitHub's own advice ("Rate limits for the REST
/// API": wait for at least one minute).
const WAIT: Duration = Duration::from_mins(1);
/// The longest that a forge may have us wait: limits are by the hour at both.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long a process has the renewing of a token for itself: longer than the call can take, at 30 seconds.
const CLAIM: Duration = Duration::from_secs(40);
/// How often a process looks whether another one has renewed a token that has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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

    /// As [`Self::ask`], about a source repository, with [`Self::for_source`]'s token. An installation's token ends with
    /// the installation: a fresh one, or its refusal, tells.
    ///
    /// # Errors
    /// As [`Self::for_source`]. What the forge said is within.
    pub(super) async fn ask_of_source<T, F>(
        &self,
        link: &Link,
        source: &SourceRepository,
        token: &mut SecretString,
        question: impl Fn(SecretString) -> F,
    ) -> Result<Result<T, ForgeError>, NoToken>
    where
        F: Future<Output = Result<T, ForgeError>>,
    {
        if self.inner.store.links().client_kind(link.id).await? != Some(ClientKind::App) {
            return self.ask(link, token, question).await;
        }
        let said = question(token.clone()).await;
        if !matches!(said, Err(ForgeError::Unauthorized { .. })) {
            return Ok(said);
        }
        self.inner.installations.forget(source);
        *token = self.for_source(source.id).await?.1;
        Ok(question(token.clone()).await)
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

    /// A credential's access token, renewed first where it is about to end: once, for all who wait, in all processes.
    ///
    /// # Errors
    /// [`NoToken::Expired`] when it cannot be renewed; the links are marked so then.
    pub async fn token(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        let credential = self.credential(id).await?;
        if !ends_soon(&credential) {
            return self.open(id).await;
        }
        let renewing = self.renewing(id);
        let alone = match Arc::clone(&renewing).try_lock_owned() {
            Ok(alone) => alone,
            // Somebody is at it: until then, what has not ended serves.
            Err(_) if !has_ended(&credential) => return self.open(id).await,
            Err(_) => renewing.lock_owned().await,
        };
        // The provider's answer must reach the disk whatever becomes of whoever asked: a request that its browser
        // gives up is dropped, a task of its own is not.
        let forges = self.clone();
        let renewed = tokio::spawn(async move {
            let token = forges.renewed(id).await;
            drop(alone);
            token
        });
        renewed.await.unwrap_or(Err(NoToken::Interrupted))
    }

    /// Puts a question with a link's token, and once more with another one where the forge does not accept it and
    /// there is another: `token` is that one then.
    ///
    /// # Errors
    /// As [`Self::another_token`]. What the forge said is within.
    pub async fn ask<T, F>(
        &self,
        link: &Link,
        token: &mut SecretString,
        question: impl Fn(SecretString) -> F,
    ) -> Result<Result<T, ForgeError>, NoToken>
    where
        F: Future<Output = Result<T, ForgeError>>,
    {
        let said = question(token.clone()).await;
        if !matches!(said, Err(ForgeError::Unauthorized { .. })) {
            return Ok(said);
        }
        let Some(another) = self.another_token(link, token).await? else {
            return Ok(said);
        };
        *token = another;
        Ok(question(token.clone()).await)
    }

    /// The forge did not accept this token of a link: it was revoked, or ended before its time. The one that is in
    /// use by now, or can be had for the refresh token; none where there is no other.
    ///
    /// # Errors
    /// [`NoToken::Expired`] when it cannot be renewed; the links are marked so then.
    async fn another_token(
        &self,
        link: &Link,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, NoToken> {
        let credential = self
            .credential(link.credential.ok_or(NoToken::NotLinked)?)
            .await?;
        let in_use = self.open(credential.id).await?;
        if in_use.expose_secret() != refused.expose_secret() {
            return Ok(Some(in_use));
        }
        let refresh = self
            .inner
            .store
            .credentials()
            .open_refresh_token(credential.id)
            .await?;
        if refresh.is_none() {
            return Ok(None);
        }
        let tx = self.inner.store.begin().await?;
        tx.credentials()
            .expire(credential.id, credential.obtained_at)
            .await?;
        tx.commit().await?;
        let another = self.token(credential.id).await;
        if matches!(another, Err(NoToken::Expired)) && credential.refreshing_until.is_none() {
            let detail = "the forge accepts neither the token nor its renewal any more";
            self.mark_credential(credential.id, HealthReason::TokenRevoked, detail)
                .await?;
        }
        another.map(Some)
    }

    /// The token, renewed by whichever process comes first. Only for one caller at a time.
    async fn renewed(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        loop {
            let credential = self.credential(id).await?;
            if !ends_soon(&credential) {
                return self.open(id).await;
            }
            if self.claim(&credential).await? {
                return match self.renew(&credential).await {
                    Err(error) if error.is_transient() && !has_ended(&credential) => {
                        tracing::warn!(credential = %id, error = error.kind(), "a token could not be renewed yet");
                        self.open(id).await
                    }
                    result => result,
                };
            }
            // Another process is at it: until then, what has not ended serves.
            if !has_ended(&credential) {
                return self.open(id).await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn claim(&self, credential: &Credential) -> Result<bool, StoreError> {
        let tx = self.inner.store.begin().await?;
        let ours = tx
            .credentials()
            .claim_refresh(credential.id, credential.obtained_at, CLAIM)
            .await?;
        fault::REFRESH_CLAIM.before();
        tx.commit().await?;
        fault::REFRESH_CLAIM.after();
        Ok(ours)
    }

    /// Renews what this process has claimed.
    async fn renew(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let renewed = self.refresh(credential).await;
        if renewed.is_err() {
            let tx = self.inner.store.begin().await?;
            tx.credentials()
                .release_refresh(credential.id, credential.obtained_at)
                .await?;
            tx.commit().await?;
        }
        renewed
    }

    async fn refresh(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let store = &self.inner.store;
        let Some(refresh) = store.credentials().open_refresh_token(credential.id).await? else {
            self.mark_credential(
                credential.id,
                HealthReason::TokenExpired,
                "the access has expired",
            )
            .await?;
            return Err(NoToken::Expired);
        };
        let forge = self.by_client(credential.client).await?;
        fault::REFRESH.before();
        let grant = forge.refresh(&refresh).await;
        fault::REFRESH.after();
        let grant = match grant {
            Ok(grant) => grant,
            Err(OauthError::RefreshRefused { .. } | OauthError::CodeExpired { .. }) => {
                return self.refused(credential).await;
            }
            Err(error) => return Err(error.into()),
        };
        let tokens = tokens_of(&grant, || scopes_of(credential));
        let tx = store.begin().await?;
        let ours = tx
            .credentials()
            .replace_tokens(credential.id, credential.obtained_at, &tokens)
            .await?;
        fault::REFRESH_KEEP.before();
        tx.commit().await?;
        fault::REFRESH_KEEP.after();
        if ours {
            return Ok(tokens.access);
        }
        // A person linked again meanwhile; theirs is the one that counts.
        self.open(credential.id).await
    }

    /// A refused refresh token may have given way to a newer one: a person linked again meanwhile.
    async fn refused(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let now = self.credential(credential.id).await?;
        if now.obtained_at != credential.obtained_at {
            return self.open(credential.id).await;
        }
        let detail = if credential.refreshing_until.is_some() {
            "Slipway was stopped while it renewed the access: the refresh token is spent, and what was given for it \
             did not arrive"
        } else {
            "the forge does not renew the access any more"
        };
        self.mark_credential(credential.id, HealthReason::TokenExpired, detail)
            .await?;
        Err(NoToken::Expired)
    }

    async fn open(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        Ok(self.inner.store.credentials().open_access_token(id).await?)
    }

    /// Feeds a failed call into the health of its link. What concerns one repository only says nothing of the link;
    /// and a forge that does not answer, or asks to wait, takes nothing back of what is known.
    ///
    /// # Errors
    /// What the store says.
    pub async fn note_failure(&self, link: LinkId, error: &ForgeError) -> Result<(), StoreError> {
        let Some(health) = health_after(error) else {
            return Ok(());
        };
        let tx = self.inner.store.begin().await?;
        let Some(known) = tx.links().lock(link).await? else {
            return Ok(());
        };
        if let (Some(until), Some(credential)) = (health.until, known.credential) {
            self.waiting().insert(credential, until);
        }
        if error.is_transient() && known.health_reason.is_some_and(|reason| !is_passing(reason)) {
            return Ok(());
        }
        tx.links().set_health(link, &health).await?;
        tx.commit().await
    }

    /// The provider's limits are per account: while it asks to wait, nobody asks it anything with this token.
    fn must_wait(&self, credential: &Credential, forge: &dyn Forge) -> Result<(), NoToken> {
        let mut waiting = self.waiting();
        waiting.retain(|_, until| *until > Timestamp::now());
        let Some(until) = waiting.get(&credential.id) else {
            return Ok(());
        };
        Err(NoToken::Renewal(OauthError::Forge(ForgeError::RateLimited {
            forge: forge.config().display_name.clone(),
            until: Some(*until),
        })))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<CredentialId, Timestamp>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::note_failure`], of a call with [`Self::for_source`]'s token: an installation's says nothing of the
    /// person's own, so that the link is asked about with that instead.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn note_failure_of_source(
        &self,
        link: &Link,
        error: &ForgeError,
    ) -> Result<(), StoreError> {
        if self.inner.store.links().client_kind(link.id).await? != Some(ClientKind::App) {
            return self.note_failure(link.id, error).await;
        }
        if error.is_transient() {
            return self.note_failure(link.id, error).await;
        }
        if matches!(error, ForgeError::Unauthorized { .. }) {
            let tx = self.inner.store.begin().await?;
            tx.links().look_again(link.id).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn mark_credential(
        &self,
        id: CredentialId,
        reason: HealthReason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let tx = self.inner.store.begin().await?;
        for link in tx.links().of_credential(id).await? {
            if link.state == LinkState::Linked {
                tx.links()
                    .set_health(link.id, &LinkHealth::because(Health::Broken, reason, detail))
                    .await?;
            }
        }
        tx.commit().await
    }

    async fn credential(&self, id: CredentialId) -> Result<Credential, NoToken> {
        self.inner
            .store
            .credentials()
            .find(id)
            .await?
            .ok_or(NoToken::NotLinked)
    }

    fn renewing(&self, id: CredentialId) -> Arc<tokio::sync::Mutex<()>> {
        let mut renewing = self.inner.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        // Only those that somebody holds are worth keeping.
        renewing.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(renewing.entry(id).or_default())
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

/// What a failed call says of its link; `None` where it says nothing.
fn health_after(error: &ForgeError) -> Option<LinkHealth> {
    let reason = error.health_reason()?;
    let health = match reason {
        HealthReason::TokenRevoked | HealthReason::AccountSuspended => Health::Broken,
        HealthReason::ScopesMissing | HealthReason::RateLimited | HealthReason::ForgeUnreachable => {
            Health::NeedsAttention
        }
        _ => return None,
    };
    let until = match error {
        ForgeError::RateLimited { until, .. } => {
            let now = Timestamp::now();
            let until = until.unwrap_or_else(|| now.plus(WAIT));
            Some(until.clamp(now, now.plus(LONGEST_WAIT)))
        }
        _ => None,
    };
    Some(LinkHealth {
        until,
        ..LinkHealth::because(health, reason, error.to_string())
    })
}

/// Whether a reason is of the moment only.
const fn is_passing(reason: HealthReason) -> bool {
    matches!(reason, HealthReason::RateLimited | HealthReason::ForgeUnreachable)
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

/// What an exchange gave, as it is stored. `scopes` says which, where the answer does not.
pub(super) fn tokens_of(grant: &Grant, scopes: impl FnOnce() -> Scopes) -> Tokens {
    let scopes = grant.scopes.clone().unwrap_or_else(scopes);
    Tokens {
        access: grant.access_token.clone(),
        refresh: grant.refresh_token.clone(),
        expires_at: grant.expires_in.map(|life| Timestamp::now().plus(life)),
        scopes: scopes.iter().map(str::to_owned).collect(),
    }
}

/// The scopes that a credential has.
pub(super) fn scopes_of(credential: &Credential) -> Scopes {
    credential.scopes.iter().cloned().collect()
}

fn ends_soon(credential: &Credential) -> bool {
    let Some(end) = credential.expires_at else {
        return false;
    };
    let early = EARLY.min(end.since(credential.obtained_at) / 5);
    Timestamp::now().plus(early) >= end
}

fn has_ended(credential: &Credential) -> bool {
    credential.expires_at.is_some_and(|end| Timestamp::now() >= end)
}
