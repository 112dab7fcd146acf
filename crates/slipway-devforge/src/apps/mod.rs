//! GitHub Apps: who they are, where they are installed, and what their tokens reach.
//!
//! As documented under "About creating GitHub Apps", "Authenticating as a GitHub App installation" and "Registering a
//! GitHub App from a manifest". An App acts in three ways, and each reaches something else: by its own signed token
//! (only `/app…`), by an installation's token (the repositories that it names, no more than the permissions that it
//! names), and by a person's token (what both that person and an installation reach).

pub(crate) mod api;
pub(crate) mod events;
mod handle;
pub(crate) mod jwt;
pub(crate) mod pages;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::people::Kind;
use crate::secrets::{SecretKind, random_alphanumeric, random_hex};
use crate::state::{Hook, OAuthApp, Repo, Side};

pub use handle::{App, AppToken, InstallationView, NewApp};

/// "The installation access token will expire after 1 hour."
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// "You must complete this step within one hour."
const CONVERSION_LIFETIME: Duration = Duration::from_hours(1);

/// GitHub's `app-permissions`: name to `read` or `write`.
pub(crate) type Permissions = BTreeMap<String, String>;

/// A registered App.
#[derive(Debug, Clone)]
pub(crate) struct AppRecord {
    pub(crate) id: u64,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) external_url: String,
    pub(crate) owner: u64,
    pub(crate) client_id: String,
    pub(crate) permissions: Permissions,
    pub(crate) events: Vec<String>,
    /// Its one webhook, with its secret.
    pub(crate) hook: Hook,
    pub(crate) setup_url: Option<String>,
    pub(crate) setup_on_update: bool,
    /// PKCS#1, as GitHub hands it out.
    pub(crate) pem: String,
    pub(crate) created_at: Timestamp,
    /// What turns the manifest into all this, once.
    pub(crate) conversion: Option<String>,
}

/// An App at an account.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    pub(crate) app: u64,
    pub(crate) account: u64,
    /// Chosen repositories; all where `None`.
    pub(crate) selected: Option<Vec<u64>>,
    pub(crate) suspended: Option<(Timestamp, u64)>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Installation {
    pub(crate) fn covers(&self, repo: &Repo) -> bool {
        self.account == repo.owner && self.selected.as_ref().is_none_or(|all| all.contains(&repo.id))
    }
}

/// What an App was given to act for an installation.
#[derive(Debug, Clone)]
pub(crate) struct InstallationToken {
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) installation: u64,
    /// Narrowed to these; to nothing less than the installation where `None`.
    pub(crate) repositories: Option<Vec<u64>>,
    pub(crate) permissions: Permissions,
    pub(crate) expires_at: Timestamp,
}

impl InstallationToken {
    /// Whether it reaches the repository, and may do this there.
    pub(crate) fn reaches(&self, side: &Side, repo: &Repo) -> bool {
        let named = self
            .repositories
            .as_ref()
            .is_none_or(|all| all.contains(&repo.id));
        named
            && side
                .installation(self.installation)
                .is_some_and(|installation| installation.suspended.is_none() && installation.covers(repo))
    }

    pub(crate) fn may(&self, permission: &str, level: &str) -> bool {
        allows(&self.permissions, permission, level)
    }
}

/// Whether what is asked for is in what there is; `write` includes `read`.
pub(crate) fn allows(there: &Permissions, permission: &str, level: &str) -> bool {
    there
        .get(permission)
        .is_some_and(|given| given == level || given == "write")
}

/// On whose behalf a token acts, besides a person's by OAuth.
#[derive(Debug, Clone)]
pub(crate) enum Acting {
    /// A person, through an OAuth app: as far as its scopes reach.
    OAuth,
    /// A person, through this App.
    Person { app: u64 },
    /// The App itself, where it is installed.
    Installation(InstallationToken),
}

impl Side {
    pub(crate) fn github_app(&self, id: u64) -> Option<&AppRecord> {
        self.github_apps.iter().find(|app| app.id == id)
    }

    pub(crate) fn app_of_client(&self, client_id: &str) -> Option<&AppRecord> {
        self.github_apps.iter().find(|app| app.client_id == client_id)
    }

    pub(crate) fn installation(&self, id: u64) -> Option<&Installation> {
        self.installations.iter().find(|one| one.id == id)
    }

    /// An installation's token, while it is good: it dies with the installation.
    pub(crate) fn installation_token(&self, value: &str, now: Timestamp) -> Option<&InstallationToken> {
        let token = self.installation_tokens.iter().find(|one| one.value == value)?;
        let alive = self
            .installation(token.installation)
            .is_some_and(|one| one.suspended.is_none());
        (alive && now < token.expires_at).then_some(token)
    }

    /// The App's installation that covers a repository and works.
    pub(crate) fn covering(&self, app: u64, repo: &Repo) -> Option<&Installation> {
        self.installations
            .iter()
            .find(|one| one.app == app && one.suspended.is_none() && one.covers(repo))
    }

    pub(crate) fn covered(&self, installation: &Installation) -> Vec<&Repo> {
        self.repositories
            .iter()
            .filter(|repo| installation.covers(repo))
            .collect()
    }
}

/// What an App's token needs for a route, by its template; `None`: it cannot be used there at all. Each operation's
/// page names the permission ("Permissions required for GitHub Apps").
pub(crate) fn needed(method: &Method, template: &str) -> Option<(&'static str, &'static str)> {
    let Some(below) = template.strip_prefix("/repos/{owner}/{repo}") else {
        return match template {
            "/repositories/{repository_id}" | "/orgs/{org}/repos" | "/meta" => Some(("metadata", "read")),
            _ => None,
        };
    };
    let first = below.split('/').nth(1).unwrap_or_default();
    match (first, method) {
        ("", _) => Some(("metadata", "read")),
        ("branches" | "tags" | "git" | "commits" | "compare", _) => Some(("contents", "read")),
        ("pulls", _) => Some(("pull_requests", "read")),
        ("statuses", _) => Some(("statuses", "write")),
        ("hooks", &Method::GET) => Some(("repository_hooks", "read")),
        ("hooks", _) => Some(("repository_hooks", "write")),
        ("keys", &Method::GET) => Some(("administration", "read")),
        ("keys", _) => Some(("administration", "write")),
        _ => None,
    }
}

/// A manifest, as far as it is looked at ("GitHub App Manifest parameters").
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) hook_attributes: HookAttributes,
    pub(crate) redirect_url: String,
    #[serde(default)]
    pub(crate) callback_urls: Vec<String>,
    pub(crate) setup_url: Option<String>,
    #[serde(default)]
    pub(crate) setup_on_update: bool,
    #[serde(default)]
    pub(crate) default_permissions: Permissions,
    #[serde(default)]
    pub(crate) default_events: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HookAttributes {
    pub(crate) url: String,
    #[serde(default = "yes")]
    pub(crate) active: bool,
}

const fn yes() -> bool {
    true
}

/// Registers an App: with a fresh key, secrets, and the code that shows them once.
pub(crate) async fn register(forge: &Shared, owner: u64, manifest: Manifest) -> Result<AppRecord> {
    let slug = manifest.name.trim().to_lowercase().replace(' ', "-");
    if slug.is_empty() || manifest.name.chars().count() > 34 {
        return Err(DevForgeError::Invalid(
            "an App needs a name of at most 34 characters".to_owned(),
        ));
    }
    let pem = jwt::fresh_key().await?;
    let now = forge.now();
    let (client_id, client_secret) = (format!("Iv23{}", random_alphanumeric(16)), random_hex(20));
    let (secret, code) = (random_hex(20), random_hex(20));
    for (kind, value) in [
        (SecretKind::ClientSecret, &client_secret),
        (SecretKind::HookSecret, &secret),
        (SecretKind::AppKey, &pem),
        (SecretKind::Code, &code),
    ] {
        forge.ledger.note(kind, value);
    }
    let mut world = forge.world();
    if world
        .side(Kind::GitHub)
        .github_apps
        .iter()
        .any(|app| app.slug == slug)
    {
        return Err(DevForgeError::Exists(format!("App {slug}")));
    }
    let (id, hook_id) = (world.next_id(), world.next_id());
    let hook = Hook {
        id: hook_id,
        uuid: String::new(),
        url: manifest.hook_attributes.url,
        description: String::new(),
        active: manifest.hook_attributes.active,
        events: manifest.default_events.clone(),
        secret: Some(secret),
        content_type: "json".to_owned(),
        insecure_ssl: "0".to_owned(),
        created_at: now,
        updated_at: now,
        made_by: None,
        last_response: None,
    };
    let app = AppRecord {
        id,
        slug,
        name: manifest.name.trim().to_owned(),
        description: manifest.description,
        external_url: manifest.url,
        owner,
        client_id: client_id.clone(),
        permissions: manifest.default_permissions,
        events: manifest.default_events,
        hook,
        setup_url: manifest.setup_url,
        setup_on_update: manifest.setup_on_update,
        pem,
        created_at: now,
        conversion: Some(code),
    };
    let side = world.side_mut(Kind::GitHub);
    side.apps.push(OAuthApp {
        client_id,
        client_secret,
        redirect_uri: manifest.callback_urls.first().cloned().unwrap_or_default(),
        name: app.name.clone(),
        scopes: Vec::new(),
    });
    side.github_apps.push(app.clone());
    Ok(app)
}

/// Installs an App at an account, or changes what it reaches there, and tells the App. Says which installation.
pub(crate) fn install(
    forge: &Shared,
    app: u64,
    account: u64,
    selected: Option<Vec<u64>>,
    by: u64,
) -> Option<u64> {
    let now = forge.now();
    let mut world = forge.world();
    let fresh = world.next_id();
    let side = world.side_mut(Kind::GitHub);
    let known = side
        .installations
        .iter_mut()
        .find(|one| one.app == app && one.account == account);
    if let Some(there) = known {
        let before = std::mem::replace(&mut there.selected, selected);
        there.updated_at = now;
        let id = there.id;
        drop(world);
        events::repositories(forge, id, before.as_deref(), by);
        return Some(id);
    }
    side.github_app(app)?;
    side.installations.push(Installation {
        id: fresh,
        app,
        account,
        selected,
        suspended: None,
        created_at: now,
        updated_at: now,
    });
    drop(world);
    events::installation(forge, fresh, "created", by);
    Some(fresh)
}

/// Suspends an installation, or lets it work again, and tells the App.
pub(crate) fn suspend(forge: &Shared, installation: u64, suspended: bool, by: u64) {
    let now = forge.now();
    for one in &mut forge.world().side_mut(Kind::GitHub).installations {
        if one.id == installation {
            one.suspended = suspended.then_some((now, by));
            one.updated_at = now;
        }
    }
    let action = if suspended { "suspend" } else { "unsuspend" };
    events::installation(forge, installation, action, by);
}

/// Removes an installation, and tells the App.
pub(crate) fn uninstall(forge: &Shared, installation: u64, by: u64) {
    // What is told is how it was.
    events::installation(forge, installation, "deleted", by);
    let mut world = forge.world();
    world
        .side_mut(Kind::GitHub)
        .installations
        .retain(|one| one.id != installation);
}

/// Makes a token for an installation.
pub(crate) fn mint(
    forge: &Shared,
    installation: u64,
    repositories: Option<Vec<u64>>,
    permissions: Permissions,
) -> InstallationToken {
    // "Tokens may be long": as long as GitHub announced for its new format, so that nobody assumes 40 characters.
    let value = format!("ghs_{}", random_alphanumeric(480));
    forge.ledger.note(SecretKind::AccessToken, &value);
    let expires_at = forge.now() + TOKEN_LIFETIME;
    let mut world = forge.world();
    let token = InstallationToken {
        id: world.next_id(),
        value,
        installation,
        repositories,
        permissions,
        expires_at,
    };
    world
        .side_mut(Kind::GitHub)
        .installation_tokens
        .push(token.clone());
    token
}
