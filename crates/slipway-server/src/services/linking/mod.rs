//! Linking a namespace to an account at a forge (linked-accounts.md, "Linking, step by step").
//!
//! Invariants kept here: a `state` is good once, for ten minutes, for the browser session, the namespace
//! and the forge that it was made for, and whatever else comes back changes nothing. Who was signed in at
//! the provider is read with the new token, never assumed; another account than before replaces it only
//! after a person has said so. A token is never kept twice: while the one in use is valid and wide enough,
//! the new one is given back.
//!
//! What an exchange gave is on disk before anything else is done with it: after a crash, or while the provider
//! cannot be reached, the same address goes on from there, and what nobody comes back for is given back. The
//! one thing that cannot be kept is a token that the provider made and whose answer never got here.

mod exchanged;
mod finish;

use std::{sync::Arc, time::Duration};

use exchanged::{Exchanged, Obtained, released};
pub(super) use finish::{health, stored};
use slipway_forge::{AuthorizeRequest, Forge, Grant, OauthError, Pkce, fresh_state};
use slipway_store::{ForgeClient, ForgeRecord, Link, LinkAttempt, Namespace, NewAct, NewLinkAttempt, Store};
use slipway_types::{LinkId, SlugName, Timestamp, forge::ClientKind};
use slipway_vault::TokenHash;
use url::Url;

use super::{
    Access, Caller, ServiceError, act, config::Config, forges::Forges, outbox::push_return, wake::Wake,
};
use crate::fault;

/// How long a person has to come back from the provider, and to answer a question after that.
const TERM: Duration = Duration::from_mins(10);

/// Links accounts.
#[derive(Debug, Clone)]
pub struct Linking {
    store: Store,
    access: Access,
    forges: Forges,
    config: Arc<Config>,
    outbox: Wake,
}

/// What came of coming back from the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOutcome {
    /// Linked.
    Linked {
        /// The link.
        link: LinkId,
        /// Whose.
        namespace: SlugName,
    },
    /// Another account than the one linked before was signed in at the provider: ask the person.
    OtherAccount(OtherAccount),
}

/// Another account than the one linked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherAccount {
    /// Names the exchange that waits for an answer; good in this browser session only.
    pub pending: String,
    /// Whose link.
    pub namespace: SlugName,
    /// The forge's name for people.
    pub forge: String,
    /// Linked before.
    pub old: String,
    /// Signed in at the provider now.
    pub new: String,
    /// Where to sign out there.
    pub sign_out: Url,
}

impl Linking {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges, config: Arc<Config>, outbox: Wake) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
            config,
            outbox,
        }
    }

    /// *Link provider*, through the client that is offered first: see [`Self::start_through`].
    ///
    /// # Errors
    /// As [`Self::start_through`].
    pub async fn start(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        choose: bool,
    ) -> Result<Url, ServiceError> {
        self.start_through(caller, namespace, forge, None, choose).await
    }

    /// *Link provider*: where to send the person, through this client, or the one that is offered first. With `choose`,
    /// the provider asks which account.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than owners, and for access tokens; [`ServiceError::NotFound`]
    /// without such a forge.
    pub async fn start_through(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        client: Option<ClientKind>,
        choose: bool,
    ) -> Result<Url, ServiceError> {
        let session = caller.session()?;
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        let forge = self.record(forge).await?;
        let (forge, client) = match client {
            Some(kind) => self.forges.by_kind(forge.id, kind).await?,
            None => self.forges.by_id(forge.id).await?,
        };
        let pkce = forge.supports_pkce().then(Pkce::fresh);
        let state = fresh_state();
        let tx = self.store.begin().await?;
        let linked = tx.links().current(namespace.id, client.forge).await?;
        tx.link_attempts()
            .insert(&NewLinkAttempt {
                state_hash: TokenHash::of(&state).as_str(),
                session,
                user: caller.user,
                namespace: namespace.id,
                client: client.id,
                verifier: pkce.as_ref().map(|pkce| &pkce.verifier),
                expires_at: Timestamp::now().plus(TERM),
            })
            .await?;
        fault::LINK_START.before();
        tx.commit().await?;
        fault::LINK_START.after();
        Ok(forge.authorize_url(&AuthorizeRequest {
            redirect_uri: self.config.callback_url(&forge.config().name),
            state,
            pkce_challenge: pkce.as_ref().map(Pkce::challenge),
            select_account: choose && linked.is_some(),
        }))
    }

    /// The person came back from the provider, with this query string. Coming back again goes on where the first
    /// time did not get through.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] with `state_unknown`, `state_foreign`, `state_used` or `state_expired`,
    /// [`ServiceError::Oauth`] or [`ServiceError::Forge`] for what the provider said. Nothing has changed then;
    /// after a transient one the same address may be asked again.
    pub async fn callback(
        &self,
        caller: &Caller,
        forge: &str,
        query: &str,
    ) -> Result<LinkOutcome, ServiceError> {
        // What the provider gives must reach the disk also when the browser does not wait for it: the request is
        // dropped then, a task of its own is not.
        let (linking, caller) = (self.clone(), caller.clone());
        let (forge, query) = (forge.to_owned(), query.to_owned());
        let came = tokio::spawn(async move { linking.come_back(&caller, &forge, &query).await });
        came.await
            .unwrap_or(Err(ServiceError::Internal("linking was interrupted")))
    }

    async fn come_back(
        &self,
        caller: &Caller,
        forge: &str,
        query: &str,
    ) -> Result<LinkOutcome, ServiceError> {
        let record = self.record(forge).await?;
        let state = parameter(query, "state").ok_or_else(unknown_state)?;
        let (attempt, client) = self.attempt(caller, &state, &record).await?;
        let forge = self.forges.by_client(client.id).await?;
        let namespace = self.access.owns(caller, attempt.namespace).await?;
        let obtained = if attempt.holds_grant {
            self.obtained(&attempt).await?
        } else {
            let obtained = self.obtain(&forge, &attempt, query).await;
            if let Err(ServiceError::Oauth(error)) = &obtained {
                self.audit_failure(caller, &namespace, &forge, error.kind())
                    .await?;
            }
            obtained?
        };
        let exchanged = self.identify(&forge, &attempt, obtained).await?;
        let before = self.store.links().current(namespace.id, client.forge).await?;
        if let Some(before) = before.filter(|link| link.account_id != exchanged.account.id.as_str()) {
            return self.ask(&forge, &namespace, &attempt, before, &exchanged).await;
        }
        let link = self
            .finish(caller, &forge, &client, &namespace, &attempt, exchanged)
            .await?;
        Ok(LinkOutcome::Linked {
            link,
            namespace: namespace.name,
        })
    }

    /// Whose linking a callback's query string belongs to, where it is this browser's.
    ///
    /// # Errors
    /// What the store says.
    pub async fn whose(&self, caller: &Caller, query: &str) -> Result<Option<SlugName>, ServiceError> {
        let (Ok(session), Some(state)) = (caller.session(), parameter(query, "state")) else {
            return Ok(None);
        };
        let hash = TokenHash::of(&state);
        let attempt = self.store.link_attempts().find(hash.as_str()).await?;
        let Some(attempt) = attempt.filter(|attempt| attempt.session == Some(session)) else {
            return Ok(None);
        };
        let namespace = self.store.namespaces().find(attempt.namespace).await?;
        Ok(namespace.map(|namespace| namespace.name))
    }

    /// The person answered whether the other account shall replace the one before. Says what is linked now, if
    /// anything changed.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the question has expired or was answered before.
    pub async fn answer(
        &self,
        caller: &Caller,
        pending: &str,
        replace: bool,
    ) -> Result<Option<LinkOutcome>, ServiceError> {
        let session = caller.session()?;
        let attempt = self.store.link_attempts().find(pending).await?;
        let attempt = attempt
            .filter(|attempt| attempt.session == Some(session) && attempt.holds_grant)
            .filter(|attempt| attempt.expires_at > Timestamp::now())
            .ok_or_else(unknown_state)?;
        let namespace = self.access.owns(caller, attempt.namespace).await?;
        let forge = self.forges.by_client(attempt.client).await?;
        let client = self
            .store
            .forges()
            .client(attempt.client)
            .await?
            .ok_or_else(unknown_state)?;
        let obtained = self.obtained(&attempt).await?;
        if !replace {
            self.decline(&attempt, &obtained).await?;
            return Ok(None);
        }
        let exchanged = self.identify(&forge, &attempt, obtained).await?;
        let link = self
            .finish(caller, &forge, &client, &namespace, &attempt, exchanged)
            .await?;
        Ok(Some(LinkOutcome::Linked {
            link,
            namespace: namespace.name,
        }))
    }

    /// The question that waits for an answer in this browser session, to show it again.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when there is none.
    pub async fn pending(&self, caller: &Caller, pending: &str) -> Result<OtherAccount, ServiceError> {
        let session = caller.session()?;
        let attempt = self.store.link_attempts().find(pending).await?;
        let attempt = attempt
            .filter(|attempt| attempt.session == Some(session))
            .ok_or_else(unknown_state)?;
        let namespace = self.access.owns(caller, attempt.namespace).await?;
        let client = self
            .store
            .forges()
            .client(attempt.client)
            .await?
            .ok_or_else(unknown_state)?;
        let obtained = self.obtained(&attempt).await?;
        let new = obtained.account().ok_or_else(unknown_state)?;
        let before = self
            .store
            .links()
            .current(namespace.id, client.forge)
            .await?
            .ok_or_else(unknown_state)?;
        let forge = self.forges.by_client(attempt.client).await?;
        Ok(OtherAccount {
            pending: attempt.state_hash,
            namespace: namespace.name,
            forge: forge.config().display_name.clone(),
            old: before.login,
            new: new.login.clone(),
            sign_out: forge.sign_out_url(),
        })
    }

    /// Forgets expired attempts, and has what they hold given back. Says how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sweep(&self) -> Result<usize, ServiceError> {
        let expired = self.store.link_attempts().expired(Timestamp::now()).await?;
        for attempt in &expired {
            match self.obtained(attempt).await {
                Ok(obtained) => match self.decline(attempt, &obtained).await {
                    // Another server was faster.
                    Ok(()) | Err(ServiceError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                },
                Err(ServiceError::Store(error)) => return Err(error.into()),
                // It holds nothing, or nothing that can be read.
                Err(_) => {}
            }
            let tx = self.store.begin().await?;
            tx.link_attempts().delete(&attempt.state_hash).await?;
            tx.commit().await?;
        }
        Ok(expired.len())
    }

    async fn record(&self, name: &str) -> Result<ForgeRecord, ServiceError> {
        let record = self.store.forges().by_name(name).await?;
        record.ok_or(ServiceError::NotFound {
            what: "the source provider",
        })
    }

    /// The attempt of this state, and through which client, if it is this person's, for this forge, and still good.
    async fn attempt(
        &self,
        caller: &Caller,
        state: &str,
        forge: &ForgeRecord,
    ) -> Result<(LinkAttempt, ForgeClient), ServiceError> {
        let session = caller.session()?;
        let attempt = self
            .store
            .link_attempts()
            .find(TokenHash::of(state).as_str())
            .await?;
        let attempt = attempt.ok_or_else(unknown_state)?;
        let client = self.store.forges().client(attempt.client).await?;
        let client = client.ok_or_else(unknown_state)?;
        if attempt.session != Some(session) || client.forge != forge.id {
            return Err(ServiceError::Conflict {
                kind: "state_foreign",
                message:
                    "this answer belongs to another browser or another source provider; nothing has changed. \
                          Start linking here again"
                        .to_owned(),
            });
        }
        if attempt.used_at.is_some() && !attempt.holds_grant {
            return Err(used_state());
        }
        if attempt.expires_at <= Timestamp::now() {
            return Err(ServiceError::Conflict {
                kind: "state_expired",
                message: "linking took longer than ten minutes; nothing has changed. Start again".to_owned(),
            });
        }
        Ok((attempt, client))
    }

    async fn consume(&self, attempt: &LinkAttempt) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        let ours = tx.link_attempts().consume(&attempt.state_hash).await?;
        fault::LINK_CONSUME.before();
        tx.commit().await?;
        fault::LINK_CONSUME.after();
        if ours { Ok(()) } else { Err(used_state()) }
    }

    async fn reopen(&self, attempt: &LinkAttempt) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        tx.link_attempts().reopen(&attempt.state_hash).await?;
        Ok(tx.commit().await?)
    }

    /// Uses up the state, exchanges the code, and keeps what came of it.
    async fn obtain(
        &self,
        forge: &Arc<dyn Forge>,
        attempt: &LinkAttempt,
        query: &str,
    ) -> Result<Obtained, ServiceError> {
        if let Some(error) = forge.callback_error(query) {
            self.consume(attempt).await?;
            return Err(error.into());
        }
        let code = parameter(query, "code").ok_or_else(unknown_state)?;
        self.consume(attempt).await?;
        let grant = match self.exchange(forge, attempt, &code).await {
            Ok(grant) => grant,
            Err(error) => {
                if matches!(&error, OauthError::Forge(error) if error.is_transient()) {
                    self.reopen(attempt).await?;
                }
                return Err(error.into());
            }
        };
        let obtained = Obtained::by(&grant);
        let tx = self.store.begin().await?;
        tx.link_attempts()
            .hold_grant(
                &attempt.state_hash,
                &obtained.held()?,
                Timestamp::now().plus(TERM),
            )
            .await?;
        fault::LINK_HOLD.before();
        tx.commit().await?;
        fault::LINK_HOLD.after();
        Ok(obtained)
    }

    /// What an attempt holds.
    async fn obtained(&self, attempt: &LinkAttempt) -> Result<Obtained, ServiceError> {
        let held = self.store.link_attempts().open_grant(&attempt.state_hash).await?;
        released(&held.ok_or_else(used_state)?)
    }

    async fn exchange(
        &self,
        forge: &Arc<dyn Forge>,
        attempt: &LinkAttempt,
        code: &str,
    ) -> Result<Grant, OauthError> {
        let verifier = self
            .store
            .link_attempts()
            .open_verifier(&attempt.state_hash)
            .await;
        let verifier = verifier.map_err(|_| {
            // Only a damaged record leads here; to the person it is the same as an answer come too late.
            OauthError::CodeExpired {
                forge: forge.config().display_name.clone(),
            }
        })?;
        let redirect = self.config.callback_url(&forge.config().name);
        fault::LINK_EXCHANGE.before();
        let grant = forge.exchange(code, &redirect, verifier.as_ref()).await;
        fault::LINK_EXCHANGE.after();
        grant
    }

    /// Reads with the new token whom it speaks for. A token that may not even say so is given back; where the
    /// forge could not be asked, it stays until it can.
    async fn identify(
        &self,
        forge: &Arc<dyn Forge>,
        attempt: &LinkAttempt,
        obtained: Obtained,
    ) -> Result<Exchanged, ServiceError> {
        fault::LINK_ACCOUNT.before();
        let account = forge.account(&obtained.tokens.access).await;
        fault::LINK_ACCOUNT.after();
        match account {
            Ok(account) => Ok(obtained.of(account)),
            Err(error) => {
                if !error.is_transient() {
                    self.decline(attempt, &obtained).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Has given back what an attempt holds.
    async fn decline(&self, attempt: &LinkAttempt, obtained: &Obtained) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        // Of two answers, one counts.
        if !tx.link_attempts().release_grant(&attempt.state_hash).await? {
            return Err(used_state());
        }
        push_return(&tx, attempt.client, None, &obtained.tokens.access).await?;
        fault::LINK_DECLINE.before();
        tx.commit().await?;
        fault::LINK_DECLINE.after();
        self.outbox.up();
        Ok(())
    }

    async fn ask(
        &self,
        forge: &Arc<dyn Forge>,
        namespace: &Namespace,
        attempt: &LinkAttempt,
        before: Link,
        exchanged: &Exchanged,
    ) -> Result<LinkOutcome, ServiceError> {
        let tx = self.store.begin().await?;
        tx.link_attempts()
            .hold_grant(
                &attempt.state_hash,
                &exchanged.held()?,
                Timestamp::now().plus(TERM),
            )
            .await?;
        fault::LINK_ASK.before();
        tx.commit().await?;
        fault::LINK_ASK.after();
        Ok(LinkOutcome::OtherAccount(OtherAccount {
            pending: attempt.state_hash.clone(),
            namespace: namespace.name.clone(),
            forge: forge.config().display_name.clone(),
            old: before.login,
            new: exchanged.account.login.clone(),
            sign_out: forge.sign_out_url(),
        }))
    }

    async fn audit_failure(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        forge: &Arc<dyn Forge>,
        why: &str,
    ) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        tx.audit()
            .record(&NewAct {
                namespace: Some(namespace.id),
                detail: serde_json::json!({ "why": why }),
                ..act(caller, "link.failed", &forge.config().name)
            })
            .await?;
        Ok(tx.commit().await?)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, value)| key == name && !value.is_empty() && value.len() <= 2048)
        .map(|(_, value)| value.into_owned())
}

fn unknown_state() -> ServiceError {
    ServiceError::Conflict {
        kind: "state_unknown",
        message: "this answer belongs to no linking that was started here; nothing has changed. Start again"
            .to_owned(),
    }
}

fn used_state() -> ServiceError {
    ServiceError::Conflict {
        kind: "state_used",
        message:
            "this answer was used before; nothing has changed. Look at the linked accounts, or start again"
                .to_owned(),
    }
}
