//! The seed: what a forge starts with, as a JSON file.
//!
//! ```json
//! {
//!   "github": {
//!     "users": [{ "login": "ada", "name": "Ada Lovelace", "password": "ada" }],
//!     "organizations": [{ "login": "acme", "members": { "ada": "owner" } }],
//!     "repositories": [
//!       { "name": "acme/web", "private": true, "default_branch": "main",
//!         "files": { "Dockerfile": "FROM scratch\n" } }
//!     ],
//!     "clients": [
//!       { "name": "Slipway", "redirect_uri": "http://127.0.0.1:8080/oauth/callback",
//!         "client_id": "slipway", "client_secret": "…" }
//!     ]
//!   },
//!   "bitbucket": { "users": [], "organizations": [], "repositories": [], "clients": [] }
//! }
//! ```
//!
//! Both parts and all lists may be left out. Roles are `owner` and `member`. On Bitbucket,
//! organizations are workspaces, every user has one of their own name, and clients take
//! `"scopes": ["account", …]`. Client id and secret are made up when they are left out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{DevForgeError, Result};
use crate::forge::DevForge;
use crate::people::{Kind, Role};
use crate::provider::Provider;
use crate::setup::{NewOAuthClient, NewRepository};

/// A whole seed file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    github: Part,
    bitbucket: Part,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Part {
    users: Vec<SeedUser>,
    organizations: Vec<SeedOrganization>,
    repositories: Vec<SeedRepository>,
    clients: Vec<NewOAuthClient>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    login: String,
    name: Option<String>,
    password: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedOrganization {
    login: String,
    #[serde(default)]
    members: BTreeMap<String, Role>,
}

/// Also the body of the control API's `POST /_devforge/{kind}/repositories`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedRepository {
    name: String,
    #[serde(default)]
    private: bool,
    default_branch: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

impl SeedRepository {
    pub(crate) fn into_new(self) -> NewRepository {
        let mut new = NewRepository::new(&self.name);
        if self.private {
            new = new.private();
        }
        if let Some(branch) = &self.default_branch {
            new = new.default_branch(branch);
        }
        self.files
            .iter()
            .fold(new, |new, (path, content)| new.file(path, content))
    }
}

impl Seed {
    /// Reads the format above.
    ///
    /// # Errors
    /// When the text is not JSON of that shape.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(DevForgeError::Seed)
    }

    /// Creates everything in a running forge.
    ///
    /// # Errors
    /// As the methods of [`Provider`] that create things.
    pub async fn plant(self, forge: &DevForge) -> Result<()> {
        plant(self.github, &forge.provider(Kind::GitHub)).await?;
        plant(self.bitbucket, &forge.provider(Kind::Bitbucket)).await
    }
}

async fn plant(part: Part, provider: &Provider) -> Result<()> {
    for user in part.users {
        provider.create_user(
            &user.login,
            user.name.as_deref().unwrap_or(&user.login),
            &user.password,
        )?;
    }
    for organization in part.organizations {
        let members: Vec<(&str, Role)> = organization
            .members
            .iter()
            .map(|(login, role)| (login.as_str(), *role))
            .collect();
        provider.create_organization(&organization.login, &members)?;
    }
    for repository in part.repositories {
        provider.create_repository(repository.into_new()).await?;
    }
    for client in part.clients {
        provider.register_client(client);
    }
    Ok(())
}
