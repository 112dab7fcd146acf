//! Proving that an access is gone (linked-accounts.md, "Unlinking", 5), where the provider has no call to end one.
//!
//! The person ends it at the provider; *Check again* asks the provider to renew it, and a refusal is the proof. Nothing
//! else is ever asked with what is kept for that, and what a renewal gives is not used: only the next refresh token is
//! written down, before anything else, as the one before it is spent.
//!
//! Only an answer counts. A call whose answer never came may have spent the token, so that a refusal after it shows
//! nothing, and is told so; a provider that is away changes nothing at all.

use std::time::Duration;

use slipway_forge::{ForgeError, Grant, OauthError};
use slipway_store::{AccessProof, ForgeRecord, Link, NewAct, Store, StoreError, Tx};
use slipway_types::{LinkId, SlugName, Timestamp, forge::ProofState};

use super::{Access, Caller, ServiceError, act, forges::Forges, reach::SLIPWAY, unlinking};
use crate::fault;

/// How long a token is kept for the proof at most: long enough to come back to it after some days, and far shorter than
/// the three months after which an unused refresh token ends at Bitbucket by itself.
pub const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// How long one caller has the asking for themselves: longer than the call can take, at 30 seconds.
const CLAIM: Duration = Duration::from_secs(40);

/// Proves that accesses are gone.
#[derive(Debug, Clone)]
pub struct AccessProofs {
    store: Store,
    access: Access,
    forges: Forges,
}

impl AccessProofs {
    /// Over this store and these forges.
    pub fn new(store: Store, forges: Forges) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
            forges,
        }
    }

    /// *Check again*: asks the provider to renew the access of the link that was taken apart last, or of this one.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others than owners; [`ServiceError::Conflict`] where nothing is kept, and while
    /// somebody else is asking; what kept the provider from saying, after which all is as it was.
    pub async fn check(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        link: Option<LinkId>,
    ) -> Result<AccessProof, ServiceError> {
        let (record, link) = self.place(caller, namespace, forge, link).await?;
        // What the provider answers must reach the disk whatever becomes of whoever asked: a request that its browser
        // gives up is dropped, a task of its own is not.
        let (proofs, caller) = (self.clone(), caller.clone());
        let asked = tokio::spawn(async move { proofs.ask(&caller, &record, &link).await });
        asked
            .await
            .unwrap_or(Err(ServiceError::Internal("the check was interrupted")))
    }

    /// *Forget it*: erases the token without a proof.
    ///
    /// # Errors
    /// As [`Self::check`], the provider apart.
    pub async fn forget(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        link: Option<LinkId>,
    ) -> Result<AccessProof, ServiceError> {
        let (record, link) = self.place(caller, namespace, forge, link).await?;
        let tx = self.store.begin().await?;
        if !tx
            .access_proofs()
            .end(link.id, ProofState::Forgotten, false)
            .await?
        {
            return Err(nothing_kept());
        }
        tx.audit()
            .record(&NewAct {
                namespace: Some(link.namespace),
                detail: serde_json::json!({ "account": link.login, "link": link.id }),
                ..act(caller, "link.access_forgotten", &record.fields.name)
            })
            .await?;
        tx.commit().await?;
        self.of(link.id).await
    }

    async fn place(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        forge: &str,
        link: Option<LinkId>,
    ) -> Result<(ForgeRecord, Link), ServiceError> {
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        unlinking::taken_apart(&self.store, namespace.id, forge, link).await
    }

    async fn of(&self, link: LinkId) -> Result<AccessProof, ServiceError> {
        let proof = self.store.access_proofs().find(link).await?;
        proof.ok_or_else(nothing_kept)
    }

    async fn ask(
        &self,
        caller: &Caller,
        record: &ForgeRecord,
        link: &Link,
    ) -> Result<AccessProof, ServiceError> {
        let forge = self.forges.by_client(self.of(link.id).await?.client).await?;
        let tx = self.store.begin().await?;
        let ours = tx.access_proofs().claim(link.id, CLAIM).await?;
        fault::PROOF_CLAIM.before();
        tx.commit().await?;
        fault::PROOF_CLAIM.after();
        let proof = self.of(link.id).await?;
        let token = self.store.access_proofs().open_refresh_token(link.id).await?;
        let Some(token) = token else {
            return Err(nothing_kept());
        };
        if !ours {
            return Err(ServiceError::Conflict {
                kind: "being_checked",
                message: "somebody is checking this at the moment; look again in a minute".to_owned(),
            });
        }
        fault::PROOF_CALL.before();
        let answer = forge.refresh(&token).await;
        fault::PROOF_CALL.after();
        let tx = self.store.begin().await?;
        let shown = settle(&tx, &proof, answer).await?;
        if let Ok(state) = &shown {
            let detail = serde_json::json!({
                "account": link.login, "link": link.id, "outcome": state.as_str(),
            });
            tx.audit()
                .record(&NewAct {
                    namespace: Some(link.namespace),
                    detail,
                    ..act(caller, "link.access_checked", &record.fields.name)
                })
                .await?;
        }
        fault::PROOF_KEEP.before();
        tx.commit().await?;
        fault::PROOF_KEEP.after();
        shown?;
        self.of(link.id).await
    }
}

/// Writes down what an answer shows; one that shows nothing is given back.
async fn settle(
    tx: &Tx,
    proof: &AccessProof,
    answer: Result<Grant, OauthError>,
) -> Result<Result<ProofState, OauthError>, StoreError> {
    let proofs = tx.access_proofs();
    match answer {
        Ok(grant) => {
            proofs
                .settle_granted(proof.link, grant.refresh_token.as_ref())
                .await?;
            Ok(Ok(ProofState::Granted))
        }
        Err(OauthError::RefreshRefused { .. } | OauthError::CodeExpired { .. }) => {
            let state = if proof.doubtful {
                ProofState::Unproven
            } else {
                ProofState::Gone
            };
            proofs.end(proof.link, state, true).await?;
            Ok(Ok(state))
        }
        Err(error) => {
            let doubtful =
                matches!(&error, OauthError::Forge(error) if ForgeError::may_have_been_done(error));
            proofs.release(proof.link, doubtful).await?;
            Ok(Err(error))
        }
    }
}

/// A server starts: whoever asked while it ran before has died, and may be asked after at once.
///
/// # Errors
/// What the store says.
pub async fn end_claims_of_the_dead(store: &Store) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.access_proofs().end_claims_of_the_dead().await?;
    tx.commit().await
}

/// Erases the tokens whose time is over.
///
/// # Errors
/// What the store says.
pub async fn lapse(tx: &Tx, now: Timestamp) -> Result<(), StoreError> {
    for (link, namespace) in tx.access_proofs().lapse(now).await? {
        let Some(link) = tx.links().find(link).await? else {
            continue;
        };
        let forge = tx.forges().find(link.forge).await?;
        let forge = forge.map(|forge| forge.fields.name).unwrap_or_default();
        tx.audit()
            .record(&NewAct {
                user: None,
                actor: SLIPWAY,
                address: None,
                namespace: Some(namespace),
                repository: None,
                act: "link.access_lapsed",
                object: &forge,
                detail: serde_json::json!({ "account": link.login, "link": link.id }),
            })
            .await?;
    }
    Ok(())
}

fn nothing_kept() -> ServiceError {
    ServiceError::Conflict {
        kind: "nothing_kept",
        message: "no token is kept for this account any more: there is nothing to ask with".to_owned(),
    }
}
