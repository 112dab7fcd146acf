//! Accounts and what they may do: users, organizations and workspaces, roles and permissions.
//!
//! One type serves both providers. A GitHub organization and a Bitbucket workspace differ in words,
//! not in what the product can observe: somebody owns it, somebody is a member, repositories
//! live in it. On Bitbucket every repository lives in a workspace, and each user has a personal
//! one of the same name; on GitHub users own repositories themselves.

use serde::{Deserialize, Serialize};

/// Which provider is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// GitHub, in the manner of GitHub Enterprise Server (API under `/api/v3`).
    GitHub,
    /// Bitbucket Cloud (API under `/2.0`).
    Bitbucket,
}

impl Kind {
    /// `github` or `bitbucket`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Bitbucket => "bitbucket",
        }
    }
}

/// What a user is in an organization or workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// GitHub's organization owner (its API says `admin`), Bitbucket's workspace administrator.
    Owner,
    /// Reads every repository; more by [`crate::Repository::grant`].
    Member,
}

/// What a user may do with one repository; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Clone and see.
    Read,
    /// Push, set commit statuses.
    Write,
    /// Hooks and deploy keys.
    Admin,
}

impl Permission {
    /// `read`, `write` or `admin`, as Bitbucket writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A user, an organization or a workspace.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// GitHub's numeric id.
    pub(crate) id: u64,
    /// Bitbucket's `{uuid}`, with braces.
    pub(crate) uuid: String,
    /// Bitbucket's (Atlassian's) account id.
    pub(crate) atlassian_id: String,
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) body: AccountBody,
}

#[derive(Debug, Clone)]
pub(crate) enum AccountBody {
    User { password: String, ssh_keys: Vec<String> },
    Organization { members: Vec<(u64, Role)> },
}

impl Account {
    pub(crate) fn is_user(&self) -> bool {
        matches!(self.body, AccountBody::User { .. })
    }

    pub(crate) fn role_of(&self, user: u64) -> Option<Role> {
        match &self.body {
            AccountBody::User { .. } => (self.id == user).then_some(Role::Owner),
            AccountBody::Organization { members } => {
                members.iter().find(|(id, _)| *id == user).map(|(_, role)| *role)
            }
        }
    }

    /// The user who acts for this account when a test names nobody.
    pub(crate) fn spokesperson(&self) -> Option<u64> {
        match &self.body {
            AccountBody::User { .. } => Some(self.id),
            AccountBody::Organization { members } => members
                .iter()
                .find(|(_, role)| *role == Role::Owner)
                .map(|(id, _)| *id),
        }
    }
}
