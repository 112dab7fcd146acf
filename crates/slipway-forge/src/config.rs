//! Which forge: what an administrator configures, and the one function that makes a [`Forge`] of it.

use std::sync::Arc;

use secrecy::SecretString;
use slipway_types::{ForgeId, forge::ForgeKind};
use url::Url;

use crate::{Forge, HttpClient, bitbucket::Bitbucket, github::Github};

/// A provider as an administrator configured it.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// Slipway's id of it.
    pub id: ForgeId,
    /// Whose API it speaks.
    pub kind: ForgeKind,
    /// Its stable name in URLs and configuration files, as `github`.
    pub name: String,
    /// Its name for people, as `GitHub`.
    pub display_name: String,
    /// Where people and the OAuth pages are, as `https://github.com`.
    pub web_url: Url,
    /// Where the API is, as `https://api.github.com`, `https://ghes.example/api/v3` or
    /// `https://api.bitbucket.org/2.0`.
    pub api_url: Url,
    /// The OAuth client's id (GitHub: *Client ID*; Bitbucket: *Key*).
    pub client_id: String,
    /// The OAuth client's secret.
    pub client_secret: SecretString,
    /// `known_hosts` lines (sshd(8)) that the administrator vouches for; they win over what the forge says
    /// of itself. Empty: ask the forge.
    pub known_hosts: Vec<String>,
    /// What makes the client a GitHub App; `None` for an OAuth client.
    pub app: Option<AppConfig>,
}

/// What a GitHub App has besides an OAuth client's id and secret.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// GitHub's number of the App: who signs.
    pub app_id: String,
    /// The App's own page, as `https://github.com/apps/slipway`.
    pub page: Url,
    /// Its RSA private key as PEM, PKCS#1 as GitHub hands it out, or PKCS#8.
    pub private_key: SecretString,
}

/// Makes the forge that `config` describes. Nothing is sent yet.
pub fn connect(config: ForgeConfig, http: HttpClient) -> Arc<dyn Forge> {
    match config.kind {
        ForgeKind::Github => Arc::new(Github::new(config, http)),
        ForgeKind::Bitbucket => Arc::new(Bitbucket::new(config, http)),
    }
}
