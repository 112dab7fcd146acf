//! Accounts at a provider: who a token speaks for, and whose repositories it reaches.

use serde::{Deserialize, Serialize};
use slipway_types::forge::Selection;
use url::Url;

use crate::{RemoteAccountId, RemoteInstallationId, Scopes};

/// The account that a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The identity.
    pub id: RemoteAccountId,
    /// What it is called now, as `octocat` (Bitbucket: `username`, or the nickname).
    pub login: String,
    /// The person's name, if they gave one.
    pub name: Option<String>,
    /// Their picture.
    pub avatar_url: Option<Url>,
    /// Their page.
    pub web_url: Option<Url>,
    /// What the token may do, as the answer's `X-OAuth-Scopes` says; `None` if it does not say.
    pub scopes: Option<Scopes>,
}

/// A user, organization or workspace that repositories belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The identity.
    pub id: RemoteAccountId,
    /// What it is called in URLs (Bitbucket: the workspace's slug).
    pub login: String,
    /// Its name for people, if it has one.
    pub name: Option<String>,
    /// The account itself, or an organization.
    pub kind: OwnerKind,
    /// What the account is there.
    pub role: OwnerRole,
    /// Its picture.
    pub avatar_url: Option<Url>,
    /// The App's installation there; `None` for an OAuth client.
    pub installation: Option<Installation>,
}

/// A GitHub App, installed at an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// The identity. Installing once more gives another.
    pub id: RemoteInstallationId,
    /// Which repositories of the account it reaches.
    pub selection: Selection,
    /// Whether the account, or GitHub, has suspended it: it reaches nothing then.
    pub suspended: bool,
    /// Where its owner chooses repositories, suspends or removes it.
    pub settings_url: Url,
}

/// Whether an owner is the linked user or an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// The linked account itself. Bitbucket has none: everything is in workspaces.
    User,
    /// A GitHub organization or a Bitbucket workspace.
    Organization,
}

/// What the linked account is in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerRole {
    /// An owner (GitHub), an administrator (Bitbucket), or the user itself.
    Admin,
    /// Anything less.
    Member,
}

/// Whether the token reaches an organization (linked-accounts.md, "GitHub: organizations and third-party
/// access").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerAccess {
    /// Yes.
    Granted(Owner),
    /// The organization restricts third-party access; in its provider's words.
    Restricted {
        /// GitHub's message.
        message: String,
    },
    /// Single sign-on is needed first.
    SsoRequired {
        /// Where to authorize the token for it, if GitHub said.
        url: Option<Url>,
    },
    /// There is no such organization, or the account is not in it: a provider does not tell which.
    NotAMember,
}
