//! A person's own account: signing in, sessions, access tokens, the password; and the first administrator.
//!
//! Signing in takes the same time for a name that does not exist.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use slipway_store::{AccessToken, NewAccessToken, NewAct, NewSession, Session, Store, User};
use slipway_types::{AccessTokenId, SessionId, SlugName, Timestamp, UserId, rights::TokenScope};
use slipway_vault::TokenHash;

use super::{Caller, ServiceError, names, passwords, users};

/// How long a session lives without being used.
pub const SESSION_TERM: Duration = Duration::from_hours(14 * 24);

/// What a browser gets after signing in.
#[derive(Debug)]
pub struct SignedIn {
    /// For the cookie; stored only as a hash.
    pub token: SecretString,
    /// Who.
    pub user: UserId,
}

/// Where a request comes from, for sessions and the audit trail.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The peer's address.
    pub address: String,
    /// What the browser says it is.
    pub user_agent: String,
}

/// People.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Store,
}

impl Accounts {
    /// Over this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Whether nobody is here yet, so that the first page creates the administrator.
    ///
    /// # Errors
    /// What the store says.
    pub async fn is_empty(&self) -> Result<bool, ServiceError> {
        Ok(self.store.users().count().await? == 0)
    }

    /// Creates the administrator and signs them in. Only while nobody is here.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when somebody is, [`ServiceError::Invalid`] for a name or password that cannot be used.
    pub async fn first_administrator(
        &self,
        name: &str,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<SignedIn, ServiceError> {
        let name = names::of_namespace(name)?;
        let hash = passwords::hash(password).await?;
        let tx = self.store.begin().await?;
        if tx.users().count().await? != 0 {
            return Err(ServiceError::Conflict {
                kind: "already_set_up",
                message: "the administrator was created already: sign in".to_owned(),
            });
        }
        let user = users::insert(&tx, &name, &hash, true).await?;
        tx.audit()
            .record(&NewAct {
                user: Some(user),
                actor: name.as_str(),
                address: Some(&origin.address),
                ..users::created(&name, true)
            })
            .await?;
        tx.commit().await?;
        self.start_session(user, origin).await
    }

    /// Signs somebody in; none when name or password are wrong, without telling which.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<Option<SignedIn>, ServiceError> {
        let user = match name.parse::<SlugName>() {
            Ok(name) => self
                .store
                .users()
                .by_name(&name)
                .await?
                .filter(|user| user.disabled_at.is_none()),
            Err(_) => None,
        };
        let hash = match &user {
            Some(user) => self.store.users().password_hash(user.id).await?,
            None => passwords::of_nobody(),
        };
        let right = passwords::verify(password, hash).await?;
        let Some(user) = user.filter(|_| right) else {
            return Ok(None);
        };
        self.start_session(user.id, origin).await.map(Some)
    }

    async fn start_session(&self, user: UserId, origin: &Origin) -> Result<SignedIn, ServiceError> {
        let (token, hash) = TokenHash::generate("slw_ses");
        let (csrf, _) = TokenHash::generate("slw_csrf");
        let user_agent: String = origin.user_agent.chars().take(200).collect();
        let tx = self.store.begin().await?;
        tx.sessions()
            .insert(&NewSession {
                token_hash: hash.as_str(),
                user,
                csrf_token: csrf.expose_secret(),
                user_agent: &user_agent,
                address: &origin.address,
                expires_at: Timestamp::now().plus(SESSION_TERM),
            })
            .await?;
        tx.commit().await?;
        Ok(SignedIn { token, user })
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// What the store says.
    pub async fn me(&self, caller: &Caller) -> Result<User, ServiceError> {
        let user = self.store.users().find(caller.user).await?;
        user.ok_or(ServiceError::NotFound { what: "the user" })
    }

    /// The caller's sessions, the latest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<Session>, ServiceError> {
        Ok(self.store.sessions().of_user(caller.user).await?)
    }

    /// Ends one of the caller's sessions.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is not theirs.
    pub async fn end_session(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        caller.entire()?;
        let tx = self.store.begin().await?;
        let ended = tx.sessions().end(caller.user, id).await?;
        tx.commit().await?;
        if ended {
            Ok(())
        } else {
            Err(ServiceError::NotFound { what: "the session" })
        }
    }

    /// Changes the caller's password, and ends their other sessions.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] when the present password is wrong or the new one cannot be used.
    pub async fn change_password(
        &self,
        caller: &Caller,
        present: &SecretString,
        new: &SecretString,
    ) -> Result<(), ServiceError> {
        let session = caller.session()?;
        let stored = self.store.users().password_hash(caller.user).await?;
        if !passwords::verify(present, stored).await? {
            return Err(ServiceError::invalid(
                "present",
                "this is not your present password",
            ));
        }
        let hash = passwords::hash(new).await?;
        let tx = self.store.begin().await?;
        tx.users().set_password_hash(caller.user, &hash).await?;
        tx.sessions().end_others(caller.user, Some(session)).await?;
        tx.audit()
            .record(&super::act(caller, "user.password_changed", caller.name.as_str()))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The caller's access tokens; never the tokens themselves.
    ///
    /// # Errors
    /// What the store says.
    pub async fn access_tokens(&self, caller: &Caller) -> Result<Vec<AccessToken>, ServiceError> {
        Ok(self.store.access_tokens().of_user(caller.user).await?)
    }

    /// Makes an access token, which is shown this once. Only from a browser: a token must not make a wider one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a name that cannot be used.
    pub async fn create_access_token(
        &self,
        caller: &Caller,
        name: &str,
        scope: TokenScope,
        expires_at: Option<Timestamp>,
    ) -> Result<(AccessTokenId, SecretString), ServiceError> {
        caller.session()?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(ServiceError::invalid(
                "name",
                "say in 1 to 100 characters what the token is for",
            ));
        }
        let (token, hash) = TokenHash::generate("slw_pat");
        let tx = self.store.begin().await?;
        let new = NewAccessToken {
            user: caller.user,
            name,
            token_hash: hash.as_str(),
            scope,
            expires_at,
        };
        let id = tx.access_tokens().insert(&new).await?;
        tx.audit()
            .record(&super::act(caller, "access_token.created", name))
            .await?;
        tx.commit().await?;
        Ok((id, token))
    }

    /// Revokes one of the caller's access tokens.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is not theirs.
    pub async fn revoke_access_token(&self, caller: &Caller, id: AccessTokenId) -> Result<(), ServiceError> {
        caller.entire()?;
        let tx = self.store.begin().await?;
        if !tx.access_tokens().delete(caller.user, id).await? {
            return Err(ServiceError::NotFound {
                what: "the access token",
            });
        }
        tx.audit()
            .record(&super::act(caller, "access_token.revoked", &id.to_string()))
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
