//! Tokens that work: renewed early and once for all who wait, inside this process by a lock per credential, between
//! processes by a claim in the store; and had anew where the forge does not accept one before its time.
//!
//! Invariant kept here: a new refresh token is durable before the access token that came with it is used, since the old
//! one is spent. One moment cannot be covered: the provider has spent the old refresh token, and the process dies before
//! the new one is on disk. Nobody has a good refresh token then; the link says so, and linking again mends it.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use slipway_forge::{ForgeError, Grant, OauthError, Scopes};
use slipway_store::{Credential, Link, SourceRepository, StoreError, Tokens};
use slipway_types::{CredentialId, Timestamp, forge::HealthReason};

use super::{Forges, NoToken};
use crate::fault;

/// A token is renewed when less than this is left of it, or a fifth of its life where that is less.
const EARLY: Duration = Duration::from_mins(5);
/// How long a process has the renewing of a token for itself: longer than the call can take, at 30 seconds.
const CLAIM: Duration = Duration::from_secs(40);
/// How often a process looks whether another one has renewed a token that has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Forges {
    /// A credential's access token, renewed first where it is about to end: once, for all who wait, in all processes.
    ///
    /// # Errors
    /// [`NoToken::Expired`] when it cannot be renewed; the links are marked so then.
    pub async fn token(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        let credential = self.credential(id).await?;
        if !ends_soon(&credential) {
            return self.open(id).await;
        }
        let renewing = self.renewing(id);
        let alone = match Arc::clone(&renewing).try_lock_owned() {
            Ok(alone) => alone,
            // Somebody is at it: until then, what has not ended serves.
            Err(_) if !has_ended(&credential) => return self.open(id).await,
            Err(_) => renewing.lock_owned().await,
        };
        // The provider's answer must reach the disk whatever becomes of whoever asked: a request that its browser
        // gives up is dropped, a task of its own is not.
        let forges = self.clone();
        let renewed = tokio::spawn(async move {
            let token = forges.renewed(id).await;
            drop(alone);
            token
        });
        renewed.await.unwrap_or(Err(NoToken::Interrupted))
    }

    /// Puts a question with a link's token, or, about a source repository, with [`Self::for_source`]'s; and once more with
    /// another one where the forge does not accept it and there is another: `token` is that one then. A GitHub App's
    /// installation has its tokens end with it: a fresh one, or its refusal, tells.
    ///
    /// # Errors
    /// As [`Self::another_token`] and [`Self::for_source`]. What the forge said is within.
    pub async fn ask<T, F>(
        &self,
        link: &Link,
        source: Option<&SourceRepository>,
        token: &mut SecretString,
        question: impl Fn(SecretString) -> F,
    ) -> Result<Result<T, ForgeError>, NoToken>
    where
        F: Future<Output = Result<T, ForgeError>>,
    {
        let said = question(token.clone()).await;
        if !matches!(said, Err(ForgeError::Unauthorized { .. })) {
            return Ok(said);
        }
        let another = match source {
            Some(source) if self.is_through_an_app(link).await? => {
                self.inner.installations.forget(source);
                Some(self.for_source(source.id).await?.1)
            }
            _ => self.another_token(link, token).await?,
        };
        let Some(another) = another else {
            return Ok(said);
        };
        *token = another;
        Ok(question(token.clone()).await)
    }

    /// The forge did not accept this token of a link: it was revoked, or ended before its time. The one that is in
    /// use by now, or can be had for the refresh token; none where there is no other.
    ///
    /// # Errors
    /// [`NoToken::Expired`] when it cannot be renewed; the links are marked so then.
    async fn another_token(
        &self,
        link: &Link,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, NoToken> {
        let credential = self
            .credential(link.credential.ok_or(NoToken::NotLinked)?)
            .await?;
        let in_use = self.open(credential.id).await?;
        if in_use.expose_secret() != refused.expose_secret() {
            return Ok(Some(in_use));
        }
        let refresh = self
            .inner
            .store
            .credentials()
            .open_refresh_token(credential.id)
            .await?;
        if refresh.is_none() {
            return Ok(None);
        }
        let tx = self.inner.store.begin().await?;
        tx.credentials()
            .expire(credential.id, credential.obtained_at)
            .await?;
        tx.commit().await?;
        let another = self.token(credential.id).await;
        if matches!(another, Err(NoToken::Expired)) && credential.refreshing_until.is_none() {
            let detail = "the forge accepts neither the token nor its renewal any more";
            self.mark_credential(credential.id, HealthReason::TokenRevoked, detail)
                .await?;
        }
        another.map(Some)
    }

    /// The token, renewed by whichever process comes first. Only for one caller at a time.
    async fn renewed(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        loop {
            let credential = self.credential(id).await?;
            if !ends_soon(&credential) {
                return self.open(id).await;
            }
            if self.claim(&credential).await? {
                return match self.renew(&credential).await {
                    Err(error) if error.is_transient() && !has_ended(&credential) => {
                        tracing::warn!(credential = %id, error = error.kind(), "a token could not be renewed yet");
                        self.open(id).await
                    }
                    result => result,
                };
            }
            // Another process is at it: until then, what has not ended serves.
            if !has_ended(&credential) {
                return self.open(id).await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn claim(&self, credential: &Credential) -> Result<bool, StoreError> {
        let tx = self.inner.store.begin().await?;
        let ours = tx
            .credentials()
            .claim_refresh(credential.id, credential.obtained_at, CLAIM)
            .await?;
        fault::REFRESH_CLAIM.before();
        tx.commit().await?;
        fault::REFRESH_CLAIM.after();
        Ok(ours)
    }

    /// Renews what this process has claimed.
    async fn renew(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let renewed = self.refresh(credential).await;
        if renewed.is_err() {
            let tx = self.inner.store.begin().await?;
            tx.credentials()
                .release_refresh(credential.id, credential.obtained_at)
                .await?;
            tx.commit().await?;
        }
        renewed
    }

    async fn refresh(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let store = &self.inner.store;
        let Some(refresh) = store.credentials().open_refresh_token(credential.id).await? else {
            self.mark_credential(
                credential.id,
                HealthReason::TokenExpired,
                "the access has expired",
            )
            .await?;
            return Err(NoToken::Expired);
        };
        let forge = self.by_client(credential.client).await?;
        fault::REFRESH.before();
        let grant = forge.refresh(&refresh).await;
        fault::REFRESH.after();
        let grant = match grant {
            Ok(grant) => grant,
            Err(OauthError::RefreshRefused { .. } | OauthError::CodeExpired { .. }) => {
                return self.refused(credential).await;
            }
            Err(error) => return Err(error.into()),
        };
        let tokens = tokens_of(&grant, || scopes_of(credential));
        let tx = store.begin().await?;
        let ours = tx
            .credentials()
            .replace_tokens(credential.id, credential.obtained_at, &tokens)
            .await?;
        fault::REFRESH_KEEP.before();
        tx.commit().await?;
        fault::REFRESH_KEEP.after();
        if ours {
            return Ok(tokens.access);
        }
        // A person linked again meanwhile; theirs is the one that counts.
        self.open(credential.id).await
    }

    /// A refused refresh token may have given way to a newer one: a person linked again meanwhile.
    async fn refused(&self, credential: &Credential) -> Result<SecretString, NoToken> {
        let now = self.credential(credential.id).await?;
        if now.obtained_at != credential.obtained_at {
            return self.open(credential.id).await;
        }
        let detail = if credential.refreshing_until.is_some() {
            "Slipway was stopped while it renewed the access: the refresh token is spent, and what was given for it \
             did not arrive"
        } else {
            "the forge does not renew the access any more"
        };
        self.mark_credential(credential.id, HealthReason::TokenExpired, detail)
            .await?;
        Err(NoToken::Expired)
    }

    async fn open(&self, id: CredentialId) -> Result<SecretString, NoToken> {
        Ok(self.inner.store.credentials().open_access_token(id).await?)
    }

    pub(super) async fn credential(&self, id: CredentialId) -> Result<Credential, NoToken> {
        self.inner
            .store
            .credentials()
            .find(id)
            .await?
            .ok_or(NoToken::NotLinked)
    }

    fn renewing(&self, id: CredentialId) -> Arc<tokio::sync::Mutex<()>> {
        let mut renewing = self.inner.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        // Only those that somebody holds are worth keeping.
        renewing.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(renewing.entry(id).or_default())
    }
}

/// What an exchange gave, as it is stored. `scopes` says which, where the answer does not.
pub(in crate::services) fn tokens_of(grant: &Grant, scopes: impl FnOnce() -> Scopes) -> Tokens {
    let scopes = grant.scopes.clone().unwrap_or_else(scopes);
    Tokens {
        access: grant.access_token.clone(),
        refresh: grant.refresh_token.clone(),
        expires_at: grant.expires_in.map(|life| Timestamp::now().plus(life)),
        scopes: scopes.iter().map(str::to_owned).collect(),
    }
}

/// The scopes that a credential has.
pub(in crate::services) fn scopes_of(credential: &Credential) -> Scopes {
    credential.scopes.iter().cloned().collect()
}

fn ends_soon(credential: &Credential) -> bool {
    let Some(end) = credential.expires_at else {
        return false;
    };
    let early = EARLY.min(end.since(credential.obtained_at) / 5);
    Timestamp::now().plus(early) >= end
}

fn has_ended(credential: &Credential) -> bool {
    credential.expires_at.is_some_and(|end| Timestamp::now() >= end)
}
