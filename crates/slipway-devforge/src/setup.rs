//! What a test or the seed asks for, and what it gets: plain values without behaviour.

use serde::Serialize;

/// A user as created.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// Sign-in name; on Bitbucket also the nickname and the slug of the personal workspace.
    pub login: String,
    /// Display name.
    pub name: String,
    /// Password for the sign-in page and for git.
    #[serde(skip)]
    pub password: String,
    /// GitHub's numeric id.
    pub id: u64,
    /// Bitbucket's uuid, with braces.
    pub uuid: String,
    /// Bitbucket's account id.
    pub account_id: String,
}

/// An OAuth client as registered: what an administrator pastes into the product.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Public name of the client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// What to register as an OAuth application (GitHub) or consumer (Bitbucket).
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOAuthClient {
    /// Shown on the authorize page.
    pub name: String,
    /// The registered callback.
    pub redirect_uri: String,
    /// Fixed client id; random when `None`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Fixed secret; random when `None`.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Bitbucket: the scopes ticked on the consumer. Ignored by GitHub.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl NewOAuthClient {
    /// A client with random id and secret and, on Bitbucket, every scope Slipway wants.
    pub fn new(name: &str, redirect_uri: &str) -> Self {
        let scopes = [
            "account",
            "email",
            "repository",
            "repository:admin",
            "pullrequest",
            "webhook",
        ];
        Self {
            name: name.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            client_id: None,
            client_secret: None,
            scopes: scopes.map(str::to_owned).to_vec(),
        }
    }
}

/// What repository to create.
#[derive(Debug, Clone)]
pub struct NewRepository {
    pub(crate) full_name: String,
    pub(crate) private: bool,
    pub(crate) default_branch: String,
    pub(crate) files: Vec<(String, String)>,
}

impl NewRepository {
    /// A public, empty repository `owner/name` with default branch `main`.
    pub fn new(full_name: &str) -> Self {
        Self {
            full_name: full_name.to_owned(),
            private: false,
            default_branch: "main".to_owned(),
            files: Vec::new(),
        }
    }

    /// Only those who were given access see it.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Another default branch than `main`.
    #[must_use]
    pub fn default_branch(mut self, name: &str) -> Self {
        name.clone_into(&mut self.default_branch);
        self
    }

    /// A file of the first commit, which is made when there is at least one file.
    #[must_use]
    pub fn file(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }
}

/// An access token the simulation issued, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct IssuedToken {
    /// The value in clear.
    pub value: String,
    /// Login of the user it acts for.
    pub user: String,
    /// The client it was issued to.
    pub client_id: String,
    /// Granted scopes, sorted.
    pub scopes: Vec<String>,
    /// Neither revoked nor expired.
    pub valid: bool,
    /// It was used for git over HTTP at least once.
    pub used_by_git: bool,
}
