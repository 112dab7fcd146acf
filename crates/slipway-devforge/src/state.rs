//! Everything the simulation knows, apart from what git keeps.
//!
//! Plain vectors behind one mutex: a test's world is tiny, and a reader sees the whole of it here.
//! The lock is never held across an `await`. Two [`Side`]s that share nothing, so that a
//! Bitbucket token can never open a GitHub door by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::apps::{AppRecord, Installation, InstallationToken};
use crate::people::{Account, AccountBody, Kind, Permission, Role};
use crate::policies::Policy;
use crate::rates::Spent;

#[derive(Debug)]
pub(crate) struct World {
    github: Side,
    bitbucket: Side,
    next_id: u64,
}

impl Default for World {
    fn default() -> Self {
        // Not 1: an id that is taken for an index or a count should show.
        Self {
            github: Side::default(),
            bitbucket: Side::default(),
            next_id: 10_000,
        }
    }
}

impl World {
    pub(crate) fn side(&self, kind: Kind) -> &Side {
        match kind {
            Kind::GitHub => &self.github,
            Kind::Bitbucket => &self.bitbucket,
        }
    }

    pub(crate) fn side_mut(&mut self, kind: Kind) -> &mut Side {
        match kind {
            Kind::GitHub => &mut self.github,
            Kind::Bitbucket => &mut self.bitbucket,
        }
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// One provider's whole state.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) accounts: Vec<Account>,
    pub(crate) repositories: Vec<Repo>,
    pub(crate) apps: Vec<OAuthApp>,
    pub(crate) github_apps: Vec<AppRecord>,
    pub(crate) installations: Vec<Installation>,
    pub(crate) installation_tokens: Vec<InstallationToken>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) codes: Vec<Code>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) refresh_tokens: Vec<RefreshToken>,
    pub(crate) sessions: Vec<Session>,
    /// What organizations ask of OAuth apps.
    pub(crate) policies: Vec<Policy>,
    /// What each user has used up of the hour's requests.
    pub(crate) spent: BTreeMap<u64, Spent>,
    /// Users whose account is suspended.
    pub(crate) suspended: BTreeSet<u64>,
    /// Refresh tokens presented, and refused.
    pub(crate) refreshes: u64,
    pub(crate) refreshes_refused: u64,
    /// There is an outage.
    pub(crate) away: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) id: u64,
    pub(crate) uuid: String,
    pub(crate) owner: u64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) private: bool,
    pub(crate) default_branch: String,
    pub(crate) fork_of: Option<u64>,
    pub(crate) dir: PathBuf,
    pub(crate) created_at: Timestamp,
    pub(crate) pushed_at: Timestamp,
    pub(crate) collaborators: Vec<(u64, Permission)>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) keys: Vec<DeployKey>,
    pub(crate) pulls: Vec<Pull>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) next_number: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    pub(crate) uuid: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) active: bool,
    pub(crate) events: Vec<String>,
    pub(crate) secret: Option<String>,
    /// GitHub: `json` or `form`.
    pub(crate) content_type: String,
    pub(crate) insecure_ssl: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The OAuth app that made it, by its client id.
    pub(crate) made_by: Option<String>,
    /// Status code and word of the last delivery, for `last_response`.
    pub(crate) last_response: Option<(u16, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct DeployKey {
    pub(crate) id: u64,
    pub(crate) title: String,
    /// `ssh-ed25519 AAAA…`, without the comment.
    pub(crate) key: String,
    pub(crate) comment: String,
    pub(crate) read_only: bool,
    pub(crate) added_by: u64,
    /// The token that made it: revoking that token deletes this key (GitHub).
    pub(crate) token: Option<u64>,
    /// The consumer that it was made through: editing that deletes this key (Bitbucket).
    pub(crate) consumer: Option<String>,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Pull {
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) author: u64,
    pub(crate) head_repo: u64,
    pub(crate) head_branch: String,
    pub(crate) head_sha: String,
    pub(crate) base_branch: String,
    pub(crate) base_sha: String,
    pub(crate) state: PullState,
    pub(crate) merge_sha: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) closed_by: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullState {
    Open,
    Closed,
    Merged,
}

#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) id: u64,
    pub(crate) uuid: String,
    pub(crate) sha: String,
    pub(crate) state: String,
    /// GitHub's `context`, Bitbucket's `key`.
    pub(crate) context: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) target_url: Option<String>,
    pub(crate) refname: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct OAuthApp {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) redirect_uri: String,
    pub(crate) name: String,
    /// Bitbucket: the scopes ticked on the consumer. Empty on GitHub, where the URL asks.
    pub(crate) scopes: Vec<String>,
}

/// That a user allowed an application, and what.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) user: u64,
    pub(crate) client_id: String,
    pub(crate) scopes: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) value: String,
    pub(crate) user: u64,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) used: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) value: String,
    pub(crate) user: u64,
    pub(crate) client_id: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked: bool,
}

impl Token {
    pub(crate) fn valid(&self, now: Timestamp) -> bool {
        !self.revoked && self.expires_at.is_none_or(|end| now < end)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) value: String,
    pub(crate) user: u64,
    pub(crate) client_id: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) last_used: Timestamp,
    pub(crate) dead: bool,
}

/// A browser's cookie: who is signed in there, and which of them acts now.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) form_token: String,
    pub(crate) users: Vec<u64>,
    pub(crate) current: Option<u64>,
}

impl Side {
    pub(crate) fn account(&self, id: u64) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(crate) fn user(&self, login: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.is_user() && same(&account.login, login))
    }

    pub(crate) fn organization(&self, login: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| !account.is_user() && (same(&account.login, login) || account.uuid == login))
    }

    /// The user whose name and password these are.
    pub(crate) fn sign_in(&self, login: &str, given: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| match &account.body {
            AccountBody::User { password, .. } => {
                (same(&account.login, login) || same(&account.email, login)) && password == given
            }
            AccountBody::Organization { .. } => false,
        })
    }

    /// Organizations or workspaces `user` belongs to, with the role there.
    pub(crate) fn organizations_of(&self, user: u64) -> Vec<(&Account, Role)> {
        self.accounts
            .iter()
            .filter(|account| !account.is_user())
            .filter_map(|account| account.role_of(user).map(|role| (account, role)))
            .collect()
    }

    pub(crate) fn repo(&self, id: u64) -> Option<&Repo> {
        self.repositories.iter().find(|repo| repo.id == id)
    }

    pub(crate) fn repo_mut(&mut self, id: u64) -> Option<&mut Repo> {
        self.repositories.iter_mut().find(|repo| repo.id == id)
    }

    /// By owner and name; both may be Bitbucket `{uuid}`s.
    pub(crate) fn repo_named(&self, owner: &str, name: &str) -> Option<&Repo> {
        self.repositories.iter().find(|repo| {
            (same(&repo.name, name) || repo.uuid == name)
                && self.account(repo.owner).is_some_and(|account| {
                    same(&account.login, owner) || account.uuid == owner || owner == "{}"
                })
        })
    }

    pub(crate) fn full_name(&self, repo: &Repo) -> String {
        let owner = self
            .account(repo.owner)
            .map_or("ghost", |account| account.login.as_str());
        format!("{owner}/{}", repo.name)
    }

    /// What `user` (nobody when `None`) may do with a repository.
    pub(crate) fn permission(&self, user: Option<u64>, repo: &Repo) -> Option<Permission> {
        let public = (!repo.private).then_some(Permission::Read);
        let Some(user) = user else { return public };
        let by_owner = self
            .account(repo.owner)
            .and_then(|owner| owner.role_of(user))
            .map(|role| match role {
                Role::Owner => Permission::Admin,
                Role::Member => Permission::Read,
            });
        let granted = repo
            .collaborators
            .iter()
            .find(|(id, _)| *id == user)
            .map(|(_, may)| *may);
        [public, by_owner, granted].into_iter().flatten().max()
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&OAuthApp> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    pub(crate) fn token(&self, value: &str, now: Timestamp) -> Option<&Token> {
        self.tokens
            .iter()
            .find(|token| token.value == value && token.valid(now))
    }

    /// Takes a token away, and with it every deploy key it made: GitHub's documented behaviour
    /// ("Managing deploy keys": keys made by an OAuth app's token go with the token).
    pub(crate) fn revoke_token(&mut self, id: u64) {
        for token in self.tokens.iter_mut().filter(|token| token.id == id) {
            token.revoked = true;
        }
        for repo in &mut self.repositories {
            repo.keys.retain(|key| key.token != Some(id));
        }
    }

    /// Ends everything `user` allowed `client_id`: the grant, the tokens and the keys they made.
    pub(crate) fn revoke_grant(&mut self, user: u64, client_id: &str) {
        self.grants
            .retain(|grant| grant.user != user || grant.client_id != client_id);
        let doomed: Vec<u64> = self
            .tokens
            .iter()
            .filter(|token| token.user == user && token.client_id == client_id && !token.revoked)
            .map(|token| token.id)
            .collect();
        for id in doomed {
            self.revoke_token(id);
        }
        for refresh in &mut self.refresh_tokens {
            refresh.dead |= refresh.user == user && refresh.client_id == client_id;
        }
    }
}

/// Names are compared without case, as both providers do.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
