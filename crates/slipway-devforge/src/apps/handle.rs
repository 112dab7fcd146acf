//! An App as a test sets it up and looks into it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Manifest, Permissions, install, register, suspend, uninstall};
use crate::error::{DevForgeError, Result};
use crate::people::Kind;
use crate::provider::Provider;
use crate::repository::Repository;
use crate::secrets::{SecretKind, lock};

/// What to register as a GitHub App, without a browser.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its name, each once.
    pub name: String,
    /// Whose it is: a user or an organization.
    pub owner: String,
    /// Where people come back to after they granted access.
    pub callback: String,
    /// Where people come back to after they installed it.
    pub setup: Option<String>,
    /// Where its webhook goes.
    pub webhook: String,
}

/// Handle on a registered App; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    provider: Provider,
    id: u64,
}

/// An installation, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstallationView {
    /// GitHub's number of it.
    pub id: u64,
    /// At which account, by login.
    pub account: String,
    /// Full names of chosen repositories; all where `None`.
    pub selected: Option<Vec<String>>,
    /// It reaches nothing now.
    pub suspended: bool,
}

/// An installation token that was handed out.
#[derive(Debug, Clone, Serialize)]
pub struct AppToken {
    /// The value in clear.
    pub value: String,
    /// Numbers of the repositories that it was narrowed to; not narrowed where `None`.
    pub repositories: Option<Vec<u64>>,
    /// What it may do.
    pub permissions: BTreeMap<String, String>,
    /// It was used for git over HTTPS.
    pub used_by_git: bool,
}

/// What Slipway needs of repositories.
fn usual_permissions() -> Permissions {
    [
        ("contents", "read"),
        ("metadata", "read"),
        ("statuses", "write"),
        ("pull_requests", "read"),
    ]
    .map(|(name, level)| (name.to_owned(), level.to_owned()))
    .into()
}

impl Provider {
    /// Registers a GitHub App with the permissions and events that Slipway asks for.
    ///
    /// # Errors
    /// When the name is taken, the owner unknown, or no key can be made.
    pub async fn register_app(&self, new: NewApp) -> Result<App> {
        let owner = self.account_id(&new.owner)?;
        let events = ["push", "create", "delete", "pull_request", "repository"];
        let manifest = Manifest {
            name: new.name,
            url: "http://127.0.0.1/".to_owned(),
            description: String::new(),
            hook_attributes: super::HookAttributes {
                url: new.webhook,
                active: true,
            },
            redirect_url: String::new(),
            callback_urls: vec![new.callback],
            setup_url: new.setup,
            setup_on_update: true,
            default_permissions: usual_permissions(),
            default_events: events.map(str::to_owned).to_vec(),
        };
        let app = register(&self.forge, owner, manifest).await?;
        Ok(App {
            provider: self.clone(),
            id: app.id,
        })
    }

    /// Every App that is registered.
    pub fn apps(&self) -> Vec<App> {
        let world = self.forge.world();
        let apps = &world.side(Kind::GitHub).github_apps;
        apps.iter()
            .map(|app| App {
                provider: self.clone(),
                id: app.id,
            })
            .collect()
    }

    fn account_id(&self, login: &str) -> Result<u64> {
        let world = self.forge.world();
        let side = world.side(Kind::GitHub);
        let account = side.user(login).or_else(|| side.organization(login));
        Ok(account
            .ok_or_else(|| DevForgeError::Unknown(format!("account {login}")))?
            .id)
    }
}

impl App {
    fn record<T>(&self, read: impl FnOnce(&super::AppRecord) -> T) -> T {
        let world = self.provider.forge.world();
        let app = world.side(Kind::GitHub).github_app(self.id);
        read(app.expect("Apps are never deleted"))
    }

    /// GitHub's number of it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its page, below which it is installed.
    pub fn page(&self) -> String {
        self.record(|app| super::api::page_of(&self.provider.forge.addresses, app))
    }

    /// Its OAuth client's id.
    pub fn client_id(&self) -> String {
        self.record(|app| app.client_id.clone())
    }

    /// Its OAuth client's secret.
    pub fn client_secret(&self) -> String {
        let id = self.client_id();
        let world = self.provider.forge.world();
        let client = world.side(Kind::GitHub).app(&id);
        client
            .map(|client| client.client_secret.clone())
            .unwrap_or_default()
    }

    /// Its private key, as PEM.
    pub fn private_key(&self) -> String {
        self.record(|app| app.pem.clone())
    }

    /// Where its webhook goes.
    pub fn webhook_url(&self) -> String {
        self.record(|app| app.hook.url.clone())
    }

    /// The code that its owner's browser brings back from creating it, until it is used.
    pub fn conversion_code(&self) -> Option<String> {
        self.record(|app| app.conversion.clone())
    }

    /// What its webhook signs with.
    pub fn webhook_secret(&self) -> String {
        self.record(|app| app.hook.secret.clone().unwrap_or_default())
    }

    /// Replaces its private key and its webhook's secret, as its owner does after they got known. The old ones end.
    ///
    /// # Errors
    /// When no key can be made.
    pub async fn replace_secrets(&self, webhook_secret: &str) -> Result<()> {
        let pem = super::jwt::fresh_key().await?;
        self.provider.forge.ledger.note(SecretKind::AppKey, &pem);
        self.provider
            .forge
            .ledger
            .note(SecretKind::HookSecret, webhook_secret);
        let mut world = self.provider.forge.world();
        for app in &mut world.side_mut(Kind::GitHub).github_apps {
            if app.id == self.id {
                app.pem.clone_from(&pem);
                app.hook.secret = Some(webhook_secret.to_owned());
            }
        }
        Ok(())
    }

    /// Has its webhook go elsewhere, as its owner may set it.
    pub fn set_webhook_url(&self, url: &str) {
        let mut world = self.provider.forge.world();
        for app in &mut world.side_mut(Kind::GitHub).github_apps {
            if app.id == self.id {
                url.clone_into(&mut app.hook.url);
            }
        }
    }

    /// Installs it at an account, or changes what it reaches there: all repositories, or these. The account's first
    /// owner does it.
    ///
    /// # Errors
    /// When the account is unknown.
    pub fn install(&self, account: &str, selected: Option<&[&Repository]>) -> Result<u64> {
        let target = self.provider.account_id(account)?;
        let by = self.acting(target);
        let selected = selected.map(|all| all.iter().map(|repo| repo.id()).collect());
        install(&self.provider.forge, self.id, target, selected, by)
            .ok_or_else(|| DevForgeError::Unknown("App".to_owned()))
    }

    /// Suspends an installation, or lets it work again.
    pub fn suspend(&self, installation: u64, suspended: bool) {
        suspend(
            &self.provider.forge,
            installation,
            suspended,
            self.owner_at(installation),
        );
    }

    /// Removes an installation.
    pub fn uninstall(&self, installation: u64) {
        uninstall(&self.provider.forge, installation, self.owner_at(installation));
    }

    fn owner_at(&self, installation: u64) -> u64 {
        let account = {
            let world = self.provider.forge.world();
            let one = world.side(Kind::GitHub).installation(installation);
            one.map(|one| one.account)
        };
        account.map_or(0, |account| self.acting(account))
    }

    fn acting(&self, account: u64) -> u64 {
        let world = self.provider.forge.world();
        let account = world.side(Kind::GitHub).account(account);
        account
            .and_then(crate::people::Account::spokesperson)
            .unwrap_or_default()
    }

    /// Where it is installed.
    pub fn installations(&self) -> Vec<InstallationView> {
        let world = self.provider.forge.world();
        let side = world.side(Kind::GitHub);
        let name = |id: &u64| side.repo(*id).map(|repo| side.full_name(repo));
        side.installations
            .iter()
            .filter(|one| one.app == self.id)
            .map(|one| InstallationView {
                id: one.id,
                account: side
                    .account(one.account)
                    .map(|account| account.login.clone())
                    .unwrap_or_default(),
                selected: one
                    .selected
                    .as_ref()
                    .map(|all| all.iter().filter_map(name).collect()),
                suspended: one.suspended.is_some(),
            })
            .collect()
    }

    /// Every installation token ever handed out, oldest first.
    pub fn tokens(&self) -> Vec<AppToken> {
        let used = lock(&self.provider.forge.git_tokens_used).clone();
        let world = self.provider.forge.world();
        let side = world.side(Kind::GitHub);
        side.installation_tokens
            .iter()
            .map(|token| AppToken {
                value: token.value.clone(),
                repositories: token.repositories.clone(),
                permissions: token.permissions.clone(),
                used_by_git: used.contains(&token.id),
            })
            .collect()
    }
}
