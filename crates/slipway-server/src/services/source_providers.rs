//! Source providers: which forges this installation knows. By file and environment at start, and on the
//! administrator's page.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_forge::OauthError;
use slipway_store::{ForgeClient, ForgeFields, ForgeRecord, Store, StoreError};
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
    /// The OAuth client's id.
    pub client_id: String,
    /// Its secret; none keeps the one there is.
    pub client_secret: Option<SecretString>,
}

/// A forge as the administrator's page shows it.
#[derive(Debug, Clone)]
pub struct Provider {
    /// The forge.
    pub record: ForgeRecord,
    /// What Slipway is known as there, by OAuth.
    pub client: Option<ForgeClient>,
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
            let secret = form.client_secret.as_ref();
            let secret = secret.ok_or_else(|| ServiceError::invalid("client_secret", MISSING_SECRET))?;
            let tx = self.store.begin().await?;
            let id = match tx.forges().by_name(&fields.name).await? {
                Some(there) => {
                    tx.forges().update(there.id, &fields).await?;
                    there.id
                }
                None => tx.forges().insert(&fields).await?,
            };
            tx.forges()
                .put_client(id, ClientKind::Oauth, form.client_id.trim(), secret)
                .await?;
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
            let client = self
                .store
                .forges()
                .client_of(record.id, ClientKind::Oauth)
                .await?;
            providers.push(self.provider(record, client));
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
        let secret = form.client_secret.as_ref();
        let secret = secret.ok_or_else(|| ServiceError::invalid("client_secret", MISSING_SECRET))?;
        let tx = self.store.begin().await?;
        let id = tx
            .forges()
            .insert(&fields)
            .await
            .map_err(|error| taken(error, &fields.name))?;
        tx.forges()
            .put_client(id, ClientKind::Oauth, form.client_id.trim(), secret)
            .await?;
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
        let secret = match (&form.client_secret, client) {
            (Some(secret), _) => secret.clone(),
            (None, Some(client)) => tx.forges().open_client_secret(client.id).await?,
            (None, None) => return Err(ServiceError::invalid("client_secret", MISSING_SECRET)),
        };
        tx.forges()
            .put_client(id, ClientKind::Oauth, form.client_id.trim(), &secret)
            .await?;
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
                        let (_, client) = self.forges.by_id(id).await?;
                        self.store.forges().open_client_secret(client.id).await?
                    }
                    (None, None) => return Err(ServiceError::invalid("client_secret", MISSING_SECRET)),
                };
                self.forges
                    .try_out(&checked(form)?, form.client_id.trim(), secret)
            }
            (Some(id), None) => self.forges.by_id(id).await?.0,
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

    fn provider(&self, record: ForgeRecord, client: Option<ForgeClient>) -> Provider {
        Provider {
            callback_url: self.config.callback_url(&record.fields.name),
            homepage_url: self.config.public_url.clone(),
            record,
            client,
        }
    }
}

const MISSING_SECRET: &str = "enter the client secret that the provider shows beside the client id";

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
    if form.client_id.trim().is_empty() {
        return Err(ServiceError::invalid(
            "client_id",
            "enter the client id (Bitbucket: the key) that the provider shows",
        ));
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
