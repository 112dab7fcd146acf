//! One simulated provider, as a test or the seed sets it up and looks into it.

use jiff::Timestamp;

use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::git;
use crate::people::{Account, AccountBody, Kind, Permission, Role};
use crate::repository::Repository;
use crate::secrets::{SecretKind, random_alphanumeric, random_hex};
use crate::setup::{IssuedToken, NewOAuthClient, NewRepository, OAuthClient, User};
use crate::state::{OAuthApp, Repo, World};

/// Handle on one side of the simulation; cheap to clone.
#[derive(Clone)]
pub struct Provider {
    pub(crate) forge: Shared,
    pub(crate) kind: Kind,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Provider {
    pub(crate) fn new(forge: Shared, kind: Kind) -> Self {
        Self { forge, kind }
    }

    /// Which provider this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Web URL, without a slash at the end.
    pub fn web_url(&self) -> &str {
        self.forge.addresses.web(self.kind)
    }

    /// API URL, without a slash at the end.
    pub fn api_url(&self) -> &str {
        self.forge.addresses.api(self.kind)
    }

    /// A fresh browser, nobody signed in.
    pub fn browser(&self) -> crate::browser::Browser {
        crate::browser::Browser::new(self)
    }

    /// Creates a user; on Bitbucket with a personal workspace of the same name.
    ///
    /// # Errors
    /// When the login is taken.
    pub fn create_user(&self, login: &str, name: &str, password: &str) -> Result<User> {
        let mut world = self.forge.world();
        if world.side(self.kind).user(login).is_some() {
            return Err(DevForgeError::Exists(format!("user {login}")));
        }
        let body = AccountBody::User {
            password: password.to_owned(),
            ssh_keys: Vec::new(),
        };
        let account = new_account(&mut world, login, name, body);
        let user = User {
            login: account.login.clone(),
            name: account.name.clone(),
            password: password.to_owned(),
            id: account.id,
            uuid: account.uuid.clone(),
            account_id: account.atlassian_id.clone(),
        };
        world.side_mut(self.kind).accounts.push(account);
        if self.kind == Kind::Bitbucket {
            let members = vec![(user.id, Role::Owner)];
            let workspace = new_account(&mut world, login, name, AccountBody::Organization { members });
            world.side_mut(self.kind).accounts.push(workspace);
        }
        Ok(user)
    }

    /// Creates an organization (GitHub) or workspace (Bitbucket) with its members.
    ///
    /// # Errors
    /// When the name is taken or a member does not exist.
    pub fn create_organization(&self, login: &str, members: &[(&str, Role)]) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side(self.kind);
        if side.organization(login).is_some() || (self.kind == Kind::GitHub && side.user(login).is_some()) {
            return Err(DevForgeError::Exists(format!("organization {login}")));
        }
        let members = members
            .iter()
            .map(|(name, role)| {
                let user = side
                    .user(name)
                    .ok_or_else(|| DevForgeError::Unknown(format!("user {name}")))?;
                Ok((user.id, *role))
            })
            .collect::<Result<_>>()?;
        let account = new_account(&mut world, login, login, AccountBody::Organization { members });
        world.side_mut(self.kind).accounts.push(account);
        Ok(())
    }

    /// Adds a member to an organization, or changes the role.
    ///
    /// # Errors
    /// When either does not exist.
    pub fn set_member(&self, organization: &str, login: &str, role: Option<Role>) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let unknown = |what: &str, name: &str| DevForgeError::Unknown(format!("{what} {name}"));
        let user = side.user(login).ok_or_else(|| unknown("user", login))?.id;
        let id = side
            .organization(organization)
            .ok_or_else(|| unknown("organization", organization))?
            .id;
        for account in side.accounts.iter_mut().filter(|account| account.id == id) {
            if let AccountBody::Organization { members } = &mut account.body {
                members.retain(|(member, _)| *member != user);
                members.extend(role.map(|role| (user, role)));
            }
        }
        Ok(())
    }

    /// Gives a user an SSH key of their own (as `SSH_PRIVATE` of a service account needs).
    ///
    /// # Errors
    /// When the user is unknown or the key is not an OpenSSH public key.
    pub fn add_user_key(&self, login: &str, public_key: &str) -> Result<()> {
        let (key, _) = git::ssh::normalise(public_key)?;
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let id = side
            .user(login)
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        for account in side.accounts.iter_mut().filter(|account| account.id == id) {
            if let AccountBody::User { ssh_keys, .. } = &mut account.body {
                ssh_keys.push(key.clone());
            }
        }
        Ok(())
    }

    /// Makes GitHub refuse code exchanges of this user with `unverified_user_email`, or not.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn set_email_verified(&self, login: &str, verified: bool) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let id = side
            .user(login)
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        for account in side.accounts.iter_mut().filter(|account| account.id == id) {
            account.email_verified = verified;
        }
        Ok(())
    }

    /// Creates a repository; with files, also its first commit (pushed before any hook can exist).
    ///
    /// # Errors
    /// When the name is taken, the owner unknown, or git fails.
    pub async fn create_repository(&self, new: NewRepository) -> Result<Repository> {
        let repository = self.insert_repository(&new, None).await?;
        if !new.files.is_empty() {
            let files: Vec<(&str, &str)> = new
                .files
                .iter()
                .map(|(path, content)| (path.as_str(), content.as_str()))
                .collect();
            repository
                .push(&new.default_branch, &files, "Initial commit")
                .await?;
        }
        Ok(repository)
    }

    /// Forks a repository into the account `owner`, with all its branches.
    ///
    /// # Errors
    /// As [`Provider::create_repository`].
    pub async fn fork(&self, of: &Repository, owner: &str) -> Result<Repository> {
        let source = of.record()?;
        let mut new =
            NewRepository::new(&format!("{owner}/{}", source.name)).default_branch(&source.default_branch);
        new.private = source.private;
        let fork = self.insert_repository(&new, Some(source.id)).await?;
        let target = fork.record()?.dir;
        let from = source.dir.to_string_lossy().into_owned();
        git::run(
            &target,
            [
                "fetch",
                "--quiet",
                &from,
                "+refs/heads/*:refs/heads/*",
                "+refs/tags/*:refs/tags/*",
            ],
        )
        .await?;
        Ok(fork)
    }

    async fn insert_repository(&self, new: &NewRepository, fork_of: Option<u64>) -> Result<Repository> {
        let (owner_name, name) = new
            .full_name
            .split_once('/')
            .filter(|(_, name)| is_repository_name(name))
            .ok_or_else(|| DevForgeError::Invalid(format!("{} is not owner/name", new.full_name)))?;
        let now = self.forge.now();
        let repo = {
            let mut world = self.forge.world();
            let side = world.side(self.kind);
            if side.repo_named(owner_name, name).is_some() {
                return Err(DevForgeError::Exists(format!("repository {}", new.full_name)));
            }
            let user = side.user(owner_name).filter(|_| self.kind == Kind::GitHub);
            let owner = user
                .or_else(|| side.organization(owner_name))
                .map(|account| account.id);
            let owner = owner.ok_or_else(|| DevForgeError::Unknown(format!("owner {owner_name}")))?;
            let id = world.next_id();
            new_repo(
                id,
                owner,
                name,
                new,
                fork_of,
                &self.forge.data.join(self.kind.as_str()),
                now,
            )
        };
        git::init_bare(&repo.dir, self.kind, &repo.default_branch).await?;
        let id = repo.id;
        self.forge.world().side_mut(self.kind).repositories.push(repo);
        Ok(Repository::new(self.clone(), id))
    }

    /// The repository `owner/name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn repository(&self, full_name: &str) -> Result<Repository> {
        let (owner, name) = full_name.split_once('/').unwrap_or((full_name, ""));
        let world = self.forge.world();
        let repo = world.side(self.kind).repo_named(owner, name);
        let id = repo
            .ok_or_else(|| DevForgeError::Unknown(format!("repository {full_name}")))?
            .id;
        drop(world);
        Ok(Repository::new(self.clone(), id))
    }

    /// All repositories.
    pub fn repositories(&self) -> Vec<Repository> {
        let ids: Vec<u64> = self
            .forge
            .world()
            .side(self.kind)
            .repositories
            .iter()
            .map(|repo| repo.id)
            .collect();
        ids.into_iter()
            .map(|id| Repository::new(self.clone(), id))
            .collect()
    }

    /// Registers an OAuth application or consumer; one that is there already is edited. Editing a Bitbucket consumer
    /// ends the deploy keys that were added through it, and nobody is told (Bitbucket's REST reference, "Add a
    /// repository deploy key").
    pub fn register_client(&self, new: NewOAuthClient) -> OAuthClient {
        let client_id = new.client_id.unwrap_or_else(|| match self.kind {
            Kind::GitHub => format!("Ov23{}", random_alphanumeric(16)),
            Kind::Bitbucket => random_alphanumeric(18),
        });
        let client_secret = new.client_secret.unwrap_or_else(|| random_hex(20));
        self.forge.ledger.note(SecretKind::ClientSecret, &client_secret);
        let app = OAuthApp {
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
            redirect_uri: new.redirect_uri,
            name: new.name,
            scopes: new.scopes,
        };
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        side.apps.retain(|known| known.client_id != app.client_id);
        side.apps.push(app);
        for repo in &mut side.repositories {
            repo.keys
                .retain(|key| key.consumer.as_deref() != Some(client_id.as_str()));
        }
        OAuthClient {
            client_id,
            client_secret,
        }
    }

    /// Revokes what a user granted to a client, as the person does in their settings: all its
    /// tokens die, and on GitHub the deploy keys they made.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn revoke_grant(&self, login: &str, client_id: &str) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let user = side
            .user(login)
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        side.revoke_grant(user, client_id);
        drop(world);
        crate::apps::events::revoked(&self.forge, client_id, user);
        Ok(())
    }

    /// Changes what a user's tokens for a client may do, as an edit at the provider does.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn edit_scopes(&self, login: &str, client_id: &str, scopes: &[&str]) -> Result<()> {
        let mut world = self.forge.world();
        let side = world.side_mut(self.kind);
        let user = side
            .user(login)
            .ok_or_else(|| DevForgeError::Unknown(format!("user {login}")))?
            .id;
        let scopes: std::collections::BTreeSet<String> =
            scopes.iter().map(|&scope| scope.to_owned()).collect();
        for token in &mut side.tokens {
            if token.user == user && token.client_id == client_id {
                token.scopes.clone_from(&scopes);
            }
        }
        for grant in &mut side.grants {
            if grant.user == user && grant.client_id == client_id {
                grant.scopes.clone_from(&scopes);
            }
        }
        Ok(())
    }

    /// Every access token ever issued here, oldest first.
    pub fn tokens(&self) -> Vec<IssuedToken> {
        let now = self.forge.now();
        let used = crate::secrets::lock(&self.forge.git_tokens_used).clone();
        let world = self.forge.world();
        let side = world.side(self.kind);
        side.tokens
            .iter()
            .map(|token| IssuedToken {
                value: token.value.clone(),
                user: side
                    .account(token.user)
                    .map(|user| user.login.clone())
                    .unwrap_or_default(),
                client_id: token.client_id.clone(),
                scopes: token.scopes.iter().cloned().collect(),
                valid: token.valid(now),
                used_by_git: used.contains(&token.id),
            })
            .collect()
    }
}

/// Letters, digits, `.`, `-`, `_`: what both providers take, and safe in a path.
fn is_repository_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= 100 && name.chars().all(allowed) && name != "." && name != ".."
}

fn new_account(world: &mut World, login: &str, name: &str, body: AccountBody) -> Account {
    let id = world.next_id();
    Account {
        id,
        uuid: format!("{{{}}}", uuid::Uuid::new_v4()),
        atlassian_id: format!("557058:{}", uuid::Uuid::new_v4()),
        login: login.to_owned(),
        name: name.to_owned(),
        email: format!("{login}@example.com"),
        email_verified: true,
        body,
    }
}

fn new_repo(
    id: u64,
    owner: u64,
    name: &str,
    new: &NewRepository,
    fork_of: Option<u64>,
    root: &std::path::Path,
    now: Timestamp,
) -> Repo {
    Repo {
        id,
        uuid: format!("{{{}}}", uuid::Uuid::new_v4()),
        owner,
        name: name.to_owned(),
        description: String::new(),
        private: new.private,
        default_branch: new.default_branch.clone(),
        fork_of,
        dir: root.join(format!("{id}.git")),
        created_at: now,
        pushed_at: now,
        collaborators: Vec::<(u64, Permission)>::new(),
        hooks: Vec::new(),
        keys: Vec::new(),
        pulls: Vec::new(),
        statuses: Vec::new(),
        next_number: 0,
    }
}
