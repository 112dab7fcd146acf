//! Source providers: which forges this installation knows. By file and environment at start, and on the
//! administrator's page.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_forge::{OauthError, fresh_state};
use slipway_store::{ForgeClient, ForgeFields, ForgeRecord, NewApp, Store, StoreError, Tx};
use slipway_types::{
    ForgeId,
    forge::{ClientKind, ForgeKind},
};
use url::Url;

use super::{Access, Caller, ServiceError, act, config::Config, forges::Forges};

/// A forge as it is entered.
#[derive(Debug, Clone)]
pub struct ProviderForm {
    /// `github` or `bitbucket`.
    pub kind: ForgeKind,
    /// Its stable name in URLs, as `github`.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Where people and the OAuth pages are.
    pub web_url: Url,
    /// Where the API is.
    pub api_url: Url,
    /// `known_hosts` lines of its git server; empty: ask the forge.
    pub known_hosts: Vec<String>,
    /// The OAuth client's id. GitHub may go without: a GitHub App does as well.
    pub client_id: String,
    /// Its secret; none keeps the one there is.
    pub client_secret: Option<SecretString>,
    /// A GitHub App that was made by hand.
    pub app: Option<AppForm>,
}

/// A GitHub App as it is entered.
#[derive(Debug, Clone)]
pub struct AppForm {
    /// GitHub's number of it.
    pub app_id: String,
    /// Its own page, as `https://github.com/apps/slipway`.
    pub page: Url,
    /// Its client id.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: SecretString,
    /// Its private key, as PEM.
    pub private_key: SecretString,
    /// What its webhook signs with.
    pub webhook_secret: SecretString,
}

/// A forge as the administrator's page shows it.
#[derive(Debug, Clone)]
pub struct Provider {
    /// The forge.
    pub record: ForgeRecord,
    /// What Slipway is known as there, by OAuth.
    pub client: Option<ForgeClient>,
    /// What Slipway is known as there, as a GitHub App.
    pub app: Option<ForgeClient>,
    /// Where the App's webhook goes.
    pub app_hook_url: Option<Url>,
    /// To be registered there as the callback address.
    pub callback_url: Url,
    /// To be registered there as the homepage.
    pub homepage_url: Url,
}

/// The source providers.
#[derive(Debug, Clone)]
pub struct SourceProviders {
    store: Store,
    access: Access,
    forges: Forges,
    config: Arc<Config>,
}

impl SourceProviders {
    /// Over this store.
    pub fn new(store: Store, forges: Forges, config: Arc<Config>) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
            config,
        }
    }

    /// Makes the forges what file and environment say. What an administrator entered beside them stays.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what cannot be; what the store says.
    pub async fn configure(&self, forms: &[ProviderForm]) -> Result<(), ServiceError> {
        for form in forms {
            let fields = checked(form)?;
            let client = oauth_client(form)?;
            let tx = self.store.begin().await?;
            // Another server may be starting with the same file.
            tx.forges().lock_all().await?;
            let id = match tx.forges().by_name(&fields.name).await? {
                Some(there) => {
                    tx.forges().update(there.id, &fields).await?;
                    there.id
                }
                None => tx.forges().insert(&fields).await?,
            };
            if let Some((client_id, secret)) = client {
                tx.forges()
                    .put_client(id, ClientKind::Oauth, client_id, secret)
                    .await?;
            }
            if let Some(app) = &form.app {
                put_app(&tx, id, app).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Every forge. For everybody who is signed in: linking offers them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<Vec<Provider>, ServiceError> {
        let mut providers = Vec::new();
        for record in self.store.forges().all().await? {
            let clients = self.store.forges().clients_of(record.id).await?;
            providers.push(self.provider(record, clients));
        }
        Ok(providers)
    }

    /// Adds a forge.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what cannot be, [`ServiceError::Conflict`] when the name is taken.
    pub async fn add(&self, caller: &Caller, form: &ProviderForm) -> Result<ForgeId, ServiceError> {
        self.access.administrator(caller)?;
        let fields = checked(form)?;
        let client = oauth_client(form)?;
        let tx = self.store.begin().await?;
        let id = tx
            .forges()
            .insert(&fields)
            .await
            .map_err(|error| taken(error, &fields.name))?;
        if let Some((client_id, secret)) = client {
            tx.forges()
                .put_client(id, ClientKind::Oauth, client_id, secret)
                .await?;
        }
        tx.audit()
            .record(&act(caller, "forge.added", &fields.name))
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Changes a forge. Links stay: they are by id.
    ///
    /// # Errors
    /// As [`Self::add`]; [`ServiceError::NotFound`] without such a forge.
    pub async fn change(
        &self,
        caller: &Caller,
        id: ForgeId,
        form: &ProviderForm,
    ) -> Result<(), ServiceError> {
        self.access.administrator(caller)?;
        let fields = checked(form)?;
        let tx = self.store.begin().await?;
        let there = tx.forges().find(id).await?.ok_or(ServiceError::NotFound {
            what: "the source provider",
        })?;
        if there.fields.kind != fields.kind {
            return Err(ServiceError::invalid(
                "kind",
                "a source provider's kind cannot change; add another one",
            ));
        }
        tx.forges()
            .update(id, &fields)
            .await
            .map_err(|error| taken(error, &fields.name))?;
        let client = tx.forges().client_of(id, ClientKind::Oauth).await?;
        let secret = match (&form.client_secret, &client) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(client)) => Some(tx.forges().open_client_secret(client.id).await?),
            (None, None) => None,
        };
        let form = ProviderForm {
            client_secret: secret,
            ..form.clone()
        };
        match oauth_client(&form)? {
            Some((client_id, secret)) => {
                tx.forges()
                    .put_client(id, ClientKind::Oauth, client_id, secret)
                    .await?;
            }
            None if client.is_some() => return Err(ServiceError::invalid("client_id", MISSING_ID)),
            None => {}
        }
        tx.audit()
            .record(&act(caller, "forge.changed", &fields.name))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// *Test*: whether the forge is reached and accepts client id and secret, told apart. With `form`, what was
    /// entered is tried before it is saved.
    ///
    /// # Errors
    /// [`ServiceError::Outer`] saying which it is.
    pub async fn test(
        &self,
        caller: &Caller,
        id: Option<ForgeId>,
        form: Option<&ProviderForm>,
    ) -> Result<(), ServiceError> {
        self.access.administrator(caller)?;
        let forge = match (id, form) {
            (id, Some(form)) => {
                let secret = match (&form.client_secret, id) {
                    (Some(secret), _) => secret.clone(),
                    (None, Some(id)) => {
                        let (_, client) = self.forges.by_kind(id, ClientKind::Oauth).await?;
                        self.store.forges().open_client_secret(client.id).await?
                    }
                    (None, None) => return Err(ServiceError::invalid("client_secret", MISSING_SECRET)),
                };
                self.forges
                    .try_out(&checked(form)?, form.client_id.trim(), secret)
            }
            (Some(id), None) => self.forges.by_kind(id, ClientKind::Oauth).await?.0,
            (None, None) => {
                return Err(ServiceError::NotFound {
                    what: "the source provider",
                });
            }
        };
        let redirect = self.config.callback_url(&forge.config().name);
        match forge.check_client(&redirect).await {
            Ok(()) => Ok(()),
            Err(OauthError::ClientRejected { .. }) => Err(ServiceError::invalid(
                "client_secret",
                format!(
                    "{} does not accept this client id and secret",
                    forge.config().display_name
                ),
            )),
            Err(error) => Err(error.into()),
        }
    }

    fn provider(&self, record: ForgeRecord, clients: Vec<ForgeClient>) -> Provider {
        let (apps, clients): (Vec<_>, Vec<_>) =
            (clients.into_iter()).partition(|client| client.kind == ClientKind::App);
        let app = apps.into_iter().next();
        let client = clients.into_iter().next();
        let hook_path = (app.as_ref()).and_then(|client| Some(&client.app.as_ref()?.hook_path));
        Provider {
            app_hook_url: hook_path.map(|path| self.config.app_hook_url(path)),
            app,
            callback_url: self.config.callback_url(&record.fields.name),
            homepage_url: self.config.public_url.clone(),
            record,
            client,
        }
    }
}

const MISSING_SECRET: &str = "enter the client secret that the provider shows beside the client id";

const MISSING_ID: &str = "enter the client id (Bitbucket: the key) that the provider shows";

/// The OAuth client that was entered; none where GitHub is to be reached by a GitHub App alone.
fn oauth_client(form: &ProviderForm) -> Result<Option<(&str, &SecretString)>, ServiceError> {
    let id = form.client_id.trim();
    match (&form.client_secret, id.is_empty()) {
        (None, true) if form.kind == ForgeKind::Github => Ok(None),
        (_, true) => Err(ServiceError::invalid("client_id", MISSING_ID)),
        (None, false) => Err(ServiceError::invalid("client_secret", MISSING_SECRET)),
        (Some(secret), false) => Ok(Some((id, secret))),
    }
}

async fn put_app(tx: &Tx, forge: ForgeId, app: &AppForm) -> Result<(), ServiceError> {
    tx.forges()
        .put_app(
            forge,
            &NewApp {
                client_id: app.client_id.trim(),
                client_secret: &app.client_secret,
                app_id: app.app_id.trim(),
                page: &app.page,
                private_key: &app.private_key,
                webhook_secret: &app.webhook_secret,
                hook_path: &fresh_state(),
            },
        )
        .await?;
    Ok(())
}

fn checked(form: &ProviderForm) -> Result<ForgeFields, ServiceError> {
    let name = form.name.trim();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
        let message =
            "a short name of lower-case letters, digits and `-`, as `github`; it appears in addresses";
        return Err(ServiceError::invalid("name", message));
    }
    for (field, url) in [("web_url", &form.web_url), ("api_url", &form.api_url)] {
        let plain =
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !plain || url.host_str().is_none() || url.query().is_some() || url.fragment().is_some() {
            return Err(ServiceError::invalid(
                field,
                "an address as `https://github.example`, without a login in it",
            ));
        }
    }
    let display_name = form.display_name.trim();
    Ok(ForgeFields {
        kind: form.kind,
        name: name.to_owned(),
        display_name: if display_name.is_empty() {
            name.to_owned()
        } else {
            display_name.to_owned()
        },
        web_url: form.web_url.clone(),
        api_url: form.api_url.clone(),
        known_hosts: form
            .known_hosts
            .iter()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
    })
}

fn taken(error: StoreError, name: &str) -> ServiceError {
    match error {
        StoreError::Conflict(_) => ServiceError::Conflict {
            kind: "name_taken",
            message: format!("there is a source provider {name} already"),
        },
        other => other.into(),
    }
}
