//! People: the first administrator, signing in, sessions, access tokens, passwords.
//!
//! Passwords are argon2id hashes (RFC 9106, the crate's defaults: 19 MiB, 2 passes, OWASP's minimum), computed off the
//! runtime's threads. Signing in takes the same time for a name that does not exist.

use std::{sync::LazyLock, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString, rand_core::OsRng},
};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_store::{
    AccessToken, NewAccessToken, NewAct, NewSession, NewUser, Session, Store, StoreError, Tx, User,
};
use slipway_types::{AccessTokenId, SessionId, SlugName, Timestamp, UserId, rights::TokenScope};
use slipway_vault::TokenHash;

use super::{Access, Caller, ServiceError, names};

/// How long a session lives without being used.
pub const SESSION_TERM: Duration = Duration::from_hours(14 * 24);

/// The shortest password that is taken, in characters (NIST SP 800-63B asks for 8 at least).
pub const PASSWORD_MIN: usize = 10;
/// The longest, so that hashing cannot be made to work on megabytes.
const PASSWORD_MAX: usize = 1024;

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
        let hash = hash_password(password).await?;
        let tx = self.store.begin().await?;
        if tx.users().count().await? != 0 {
            return Err(ServiceError::Conflict {
                kind: "already_set_up",
                message: "the administrator was created already: sign in".to_owned(),
            });
        }
        let user = insert(&tx, &name, &hash, true).await?;
        tx.audit()
            .record(&NewAct {
                user: Some(user),
                actor: name.as_str(),
                address: Some(&origin.address),
                ..created(&name, true)
            })
            .await?;
        tx.commit().await?;
        self.start_session(user, origin).await
    }

    /// Creates a person, with a namespace of their own. An administrator's act.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for anybody else, [`ServiceError::Conflict`] when the name is taken,
    /// [`ServiceError::Invalid`] for what cannot be used.
    pub async fn create(
        &self,
        by: &Caller,
        name: &str,
        password: &SecretString,
        is_admin: bool,
    ) -> Result<UserId, ServiceError> {
        Access::new(self.store.clone()).administrator(by)?;
        let name = names::of_namespace(name)?;
        let hash = hash_password(password).await?;
        let tx = self.store.begin().await?;
        let user = insert(&tx, &name, &hash, is_admin).await?;
        tx.audit()
            .record(&NewAct {
                user: Some(by.user),
                actor: by.name.as_str(),
                address: by.address.as_deref(),
                ..created(&name, is_admin)
            })
            .await?;
        tx.commit().await?;
        Ok(user)
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
            None => NOBODY.clone(),
        };
        let right = verify_password(password, hash).await?;
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
        if !verify_password(present, stored).await? {
            return Err(ServiceError::invalid(
                "present",
                "this is not your present password",
            ));
        }
        let hash = hash_password(new).await?;
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

/// A person, and the namespace that is their own.
async fn insert(
    tx: &Tx,
    name: &SlugName,
    password_hash: &str,
    is_admin: bool,
) -> Result<UserId, ServiceError> {
    let new = NewUser {
        name,
        display_name: name.as_str(),
        email: None,
        password_hash,
        is_admin,
    };
    let user = tx.users().insert(&new).await.map_err(|e| taken(e, name))?;
    let own = tx.namespaces().insert(name, Some(user), "standard").await;
    own.map_err(|e| taken(e, name))?;
    Ok(user)
}

/// That somebody was created; by whom is the caller's to say.
fn created(name: &SlugName, is_admin: bool) -> NewAct<'_> {
    NewAct {
        user: None,
        actor: "",
        address: None,
        namespace: None,
        repository: None,
        act: "user.created",
        object: name.as_str(),
        detail: serde_json::json!({ "administrator": is_admin }),
    }
}

fn taken(error: StoreError, name: &SlugName) -> ServiceError {
    match error {
        StoreError::Conflict(_) => ServiceError::Conflict {
            kind: "name_taken",
            message: format!("the name {name} is taken: choose another"),
        },
        other => other.into(),
    }
}

/// The hash of a password that nobody has: what is compared when there is no such user.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(salt.as_str().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).unwrap_or_default()
});

async fn hash_password(password: &SecretString) -> Result<String, ServiceError> {
    let length = password.expose_secret().chars().count();
    if length < PASSWORD_MIN {
        let message = format!("a password has at least {PASSWORD_MIN} characters");
        return Err(ServiceError::invalid("password", message));
    }
    if length > PASSWORD_MAX {
        return Err(ServiceError::invalid(
            "password",
            format!("a password has at most {PASSWORD_MAX} characters"),
        ));
    }
    let password = password.clone();
    off_the_runtime(move || {
        let salt = SaltString::generate(&mut OsRng);
        let hash = Argon2::default().hash_password(password.expose_secret().as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
            .map_err(|_| ServiceError::Internal("a password could not be hashed"))
    })
    .await?
}

async fn verify_password(password: &SecretString, hash: String) -> Result<bool, ServiceError> {
    if password.expose_secret().len() > 4 * PASSWORD_MAX {
        return Ok(false);
    }
    let password = password.clone();
    off_the_runtime(move || {
        PasswordHash::new(&hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.expose_secret().as_bytes(), &hash)
                .is_ok()
        })
    })
    .await
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ServiceError::Internal("a computation was ended"))
}
