//! Creating a GitHub App in one click (linked-accounts.md, "GitHub App in one click"), and trying one out.
//!
//! Invariants kept here: only an administrator's own browser session can bring a new App's code back, once, within the
//! hour that GitHub gives; and the App's secrets are sealed before anybody is told that it is there.
//!
//! One moment cannot be covered: GitHub has given the keys, and the process dies before they are on disk. The code is spent
//! then; the App is at GitHub, to be deleted there, and another one is created.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use slipway_forge::{
    AppConfig, AppError, AppManifest, ConvertedApp, ForgeConfig, GithubApp, HttpClient, connect, fresh_state,
};
use slipway_store::{AppAttempt, ForgeRecord, NewAct, NewApp, Store};
use slipway_types::{
    Timestamp,
    forge::{ClientKind, ForgeKind},
};
use slipway_vault::TokenHash;
use url::Url;

use super::{Access, Caller, ServiceError, act, config::Config, forges::Forges};
use crate::fault;

/// "Registering a GitHub App from a manifest": "You must complete this step within one hour."
const TERM: Duration = Duration::from_hours(1);
/// GitHub takes no longer names.
const LONGEST_NAME: usize = 34;

/// Creates GitHub Apps.
#[derive(Debug, Clone)]
pub struct GithubApps {
    store: Store,
    access: Access,
    forges: Forges,
    config: Arc<Config>,
}

/// What the administrator's browser takes to GitHub.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The page that it is posted to.
    pub page: Url,
    /// The field `manifest`.
    pub manifest: String,
}

impl GithubApps {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges, config: Arc<Config>) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
            config,
        }
    }

    /// *Create GitHub App*: under the administrator's own account there, or an organization's.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than administrators and for access tokens; [`ServiceError::Invalid`] for
    /// a name that GitHub does not take; [`ServiceError::Conflict`] where there is an App already.
    pub async fn ask(
        &self,
        caller: &Caller,
        forge: &str,
        name: &str,
        organization: &str,
    ) -> Result<Asked, ServiceError> {
        self.access.administrator(caller)?;
        let session = caller.session()?;
        let record = self.github(forge).await?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(ServiceError::invalid(
                "app_name",
                "a name of at most 34 characters that no other GitHub App has",
            ));
        }
        let organization = organization.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if organization.len() > 100 || !organization.chars().all(plain) {
            return Err(ServiceError::invalid(
                "organization",
                "the organization's name in addresses, as `acme`; empty for your own account",
            ));
        }
        let (state, hook_path) = (fresh_state(), fresh_state());
        let fields = &record.fields;
        let manifest = AppManifest {
            name: name.to_owned(),
            homepage: self.config.public_url.clone(),
            callback: self.config.callback_url(&fields.name),
            setup: self.config.installed_url(&fields.name),
            created: self.config.app_created_url(&fields.name),
            webhook: self.config.app_hook_url(&hook_path),
        };
        let attempt = AppAttempt {
            session,
            forge: record.id,
            hook_path,
            expires_at: Timestamp::now().plus(TERM),
        };
        let tx = self.store.begin().await?;
        tx.app_attempts()
            .insert(TokenHash::of(&state).as_str(), &attempt)
            .await?;
        fault::APP_ASK.before();
        tx.commit().await?;
        fault::APP_ASK.after();
        let organization = Some(organization).filter(|organization| !organization.is_empty());
        Ok(Asked {
            page: AppManifest::page(&fields.web_url, organization, &state),
            manifest: manifest.to_json(),
        })
    }

    /// The administrator came back with a code: it becomes the App. Says what it is called.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] with `state_unknown` for a state that is not this session's, was used or is too old;
    /// what GitHub says of the code.
    pub async fn created(
        &self,
        caller: &Caller,
        forge: &str,
        state: &str,
        code: &str,
    ) -> Result<String, ServiceError> {
        self.access.administrator(caller)?;
        let session = caller.session()?;
        let record = self.github(forge).await?;
        let hash = TokenHash::of(state);
        let attempt = self.store.app_attempts().find(hash.as_str()).await?;
        let attempt = attempt
            .filter(|attempt| attempt.session == session && attempt.forge == record.id)
            .filter(|attempt| attempt.expires_at > Timestamp::now())
            .ok_or_else(unknown_state)?;
        // GitHub takes a code once. So the state is used up with the App that came of it, and a crash before the call, or a
        // GitHub that does not answer, takes no more than loading the page again.
        fault::APP_CONVERT.before();
        let app = ConvertedApp::of_code(&bare(&record), self.forges.http(), code).await;
        fault::APP_CONVERT.after();
        let app = app?;
        let tx = self.store.begin().await?;
        if !tx.app_attempts().consume(hash.as_str()).await? {
            return Err(unknown_state());
        }
        tx.forges()
            .put_app(
                record.id,
                &NewApp {
                    client_id: &app.client_id,
                    client_secret: &app.client_secret,
                    app_id: &app.app_id,
                    page: &app.page,
                    private_key: &app.private_key,
                    webhook_secret: &app.webhook_secret,
                    hook_path: &attempt.hook_path,
                },
            )
            .await?;
        tx.audit()
            .record(&act(caller, "github_app.created", &record.fields.name))
            .await?;
        fault::APP_KEEP.before();
        tx.commit().await?;
        fault::APP_KEEP.after();
        Ok(app.name)
    }

    /// *Test*: whether GitHub accepts the App's key, and its client's secret.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] saying which it does not accept; what kept GitHub from saying.
    pub async fn test(&self, caller: &Caller, forge: &str) -> Result<(), ServiceError> {
        self.access.administrator(caller)?;
        let record = self.github_record(forge).await?;
        let (connected, _) = self.forges.by_kind(record.id, ClientKind::App).await?;
        let redirect = self.config.callback_url(&record.fields.name);
        if let Some(app) = connected.app() {
            check(app).await?;
        }
        match connected.check_client(&redirect).await {
            Err(slipway_forge::OauthError::ClientRejected { forge }) => Err(ServiceError::invalid(
                "client_secret",
                format!("{forge} does not accept the GitHub App's client id and secret"),
            )),
            other => Ok(other?),
        }
    }

    /// Takes over a private key or a webhook secret that was made anew at GitHub; what is `None` stays. A key is tried
    /// out first: one that GitHub does not accept would leave every build without its source.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a key that GitHub does not accept, and where there is nothing to take over; what
    /// kept GitHub from saying.
    pub async fn replace_secrets(
        &self,
        caller: &Caller,
        forge: &str,
        private_key: Option<&SecretString>,
        webhook_secret: Option<&SecretString>,
    ) -> Result<(), ServiceError> {
        self.access.administrator(caller)?;
        if private_key.is_none() && webhook_secret.is_none() {
            return Err(ServiceError::invalid(
                "private_key",
                "a new private key, a new webhook secret, or both",
            ));
        }
        let record = self.github_record(forge).await?;
        let client = self.store.forges().client_of(record.id, ClientKind::App).await?;
        let there = client.and_then(|client| client.app.map(|app| (client.id, app)));
        let (client, app) = there.ok_or(ServiceError::NotFound {
            what: "the GitHub App",
        })?;
        if let Some(private_key) = private_key {
            let config = ForgeConfig {
                app: Some(AppConfig {
                    app_id: app.app_id,
                    page: app.page,
                    private_key: private_key.clone(),
                }),
                ..bare(&record)
            };
            try_out(config, self.forges.http()).await?;
        }
        let tx = self.store.begin().await?;
        tx.forges()
            .set_app_secrets(client, private_key, webhook_secret)
            .await?;
        let detail = serde_json::json!({
            "private_key": private_key.is_some(),
            "webhook_secret": webhook_secret.is_some(),
        });
        tx.audit()
            .record(&NewAct {
                detail,
                ..act(caller, "github_app.secrets_replaced", &record.fields.name)
            })
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A forge that can have an App, and has none.
    async fn github(&self, name: &str) -> Result<ForgeRecord, ServiceError> {
        let record = self.github_record(name).await?;
        let there = self.store.forges().client_of(record.id, ClientKind::App).await?;
        if there.is_some() {
            return Err(ServiceError::Conflict {
                kind: "app_exists",
                message: format!("{} has a GitHub App already", record.fields.display_name),
            });
        }
        Ok(record)
    }

    async fn github_record(&self, name: &str) -> Result<ForgeRecord, ServiceError> {
        let record = self.store.forges().by_name(name).await?;
        record
            .filter(|record| record.fields.kind == ForgeKind::Github)
            .ok_or(ServiceError::NotFound {
                what: "the source provider",
            })
    }
}

/// Whether GitHub accepts the App's key.
async fn check(app: &GithubApp) -> Result<(), ServiceError> {
    match app.check().await {
        Ok(()) => Ok(()),
        Err(AppError::Forge(error)) => Err(error.into()),
        Err(error) => Err(ServiceError::invalid("private_key", error.to_string())),
    }
}

/// As [`check`], of an App as it would be.
async fn try_out(config: ForgeConfig, http: HttpClient) -> Result<(), ServiceError> {
    match connect(config, http).app() {
        Some(app) => check(app).await,
        None => Ok(()),
    }
}

/// The forge, before anything of Slipway's is known there.
fn bare(record: &ForgeRecord) -> ForgeConfig {
    let fields = &record.fields;
    ForgeConfig {
        id: record.id,
        kind: fields.kind,
        name: fields.name.clone(),
        display_name: fields.display_name.clone(),
        web_url: fields.web_url.clone(),
        api_url: fields.api_url.clone(),
        client_id: String::new(),
        client_secret: String::new().into(),
        known_hosts: Vec::new(),
        app: None,
    }
}

fn unknown_state() -> ServiceError {
    ServiceError::Conflict {
        kind: "state_unknown",
        message:
            "this answer belongs to no GitHub App that was asked for here, or it came too late; nothing has changed. \
             Press Create GitHub App again"
                .to_owned(),
    }
}
