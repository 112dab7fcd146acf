//! Giving back a link's access: the last step of unlinking, after hooks and keys.
//!
//! Revoking at GitHub deletes the deploy keys that a token made and would leave us unable to remove hooks;
//! so this waits until everything else of the link is settled. A credential that another link still holds
//! is only let go of. The tokens are erased at the end, whatever the provider says.
//!
//! Where the provider has no call for it (Bitbucket), and the person wants the access ended, the refresh token alone
//! outlives the rest, as what proves that they have ended it there: `services/access_proofs.rs`.

use serde::{Deserialize, Serialize};
use slipway_forge::{ForgeError, OauthError, Revocation};
use slipway_store::{Credential, Link, NewProof, OutboxRow, StoreError, Tx};
use slipway_types::{
    CredentialId, LinkId, Timestamp,
    forge::{LinkState, ResourceState},
};

use super::{OutboxWorker, Outcome, Trouble};
use crate::{
    fault,
    services::{access_proofs::KEPT_FOR, forges::NoToken},
};

/// The particulars.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RevokeStep {
    /// Which link lets go; it holds the credential no more after this.
    pub(crate) link: LinkId,
    /// Of which credential.
    pub(crate) credential: CredentialId,
    /// Whether the whole grant goes, or only our token.
    pub(crate) grant: bool,
}

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: RevokeStep = row.payload()?;
    let Some(link) = worker.store.links().find(step.link).await? else {
        return Ok(Outcome::Done);
    };
    if unsettled(worker, &link).await? {
        return Ok(Outcome::NotYet);
    }
    if is_shared(worker, &link, step.credential).await? {
        let_go(worker, row, &step, &link, Ending::Done).await?;
        return Ok(Outcome::Settled);
    }
    match revoke(worker, &step).await? {
        Revocation::Revoked | Revocation::AlreadyGone => {
            let_go(worker, row, &step, &link, Ending::Done).await?;
        }
        Revocation::NotOffered => {
            let why = by_hand(worker, &step, "the provider offers no call to end the access").await?;
            let_go(worker, row, &step, &link, Ending::NotOffered(&why)).await?;
        }
    }
    Ok(Outcome::Settled)
}

async fn revoke(worker: &OutboxWorker, step: &RevokeStep) -> Result<Revocation, Trouble> {
    let Some(credential) = worker.store.credentials().find(step.credential).await? else {
        return Ok(Revocation::AlreadyGone);
    };
    let forge = worker.forges.by_client(credential.client).await?;
    if !forge.revokes_tokens() {
        return Ok(Revocation::NotOffered);
    }
    let token = match worker.forges.token(credential.id).await {
        Ok(token) => token,
        Err(NoToken::Expired) => return Ok(Revocation::AlreadyGone),
        Err(error) => return Err(error.into()),
    };
    fault::REVOKE.before();
    let revoked = if step.grant {
        forge.revoke_grant(&token).await
    } else {
        forge.revoke_token(&token).await
    };
    fault::REVOKE.after();
    match revoked {
        Err(OauthError::Forge(ForgeError::Unauthorized { .. })) => Ok(Revocation::AlreadyGone),
        other => Ok(other?),
    }
}

/// Whether something of the link is still to be made or removed at the provider.
async fn unsettled(worker: &OutboxWorker, link: &Link) -> Result<bool, StoreError> {
    let resources = worker.store.provider_resources().of_link(link.id).await?;
    Ok(resources.iter().any(|resource| match resource.state {
        ResourceState::Removing => true,
        ResourceState::Creating => link.state == LinkState::Linked,
        _ => false,
    }))
}

/// Whether another link holds the credential.
async fn is_shared(worker: &OutboxWorker, link: &Link, credential: CredentialId) -> Result<bool, StoreError> {
    let holders = worker.store.links().of_credential(credential).await?;
    Ok(holders.iter().any(|holder| holder.id != link.id))
}

/// How far the access was given back.
#[derive(Debug, Clone, Copy)]
enum Ending<'a> {
    /// As far as was wanted.
    Done,
    /// The provider has no call for it; where it is done by hand.
    NotOffered(&'a str),
    /// The call failed for good; why, and where it is done by hand.
    GivenUp(&'a str),
}

/// The link lets go; the last one to do so erases the tokens.
async fn let_go(
    worker: &OutboxWorker,
    row: &OutboxRow,
    step: &RevokeStep,
    link: &Link,
    ending: Ending<'_>,
) -> Result<(), StoreError> {
    let tx = worker.store.begin().await?;
    let credential = tx.credentials().lock(step.credential).await?;
    if link.state == LinkState::Unlinking {
        tx.links().set_unlinked(link.id).await?;
    }
    if tx.links().of_credential(step.credential).await?.is_empty() {
        let is_wanted = step.grant && link.state == LinkState::Unlinking;
        if let (true, Ending::NotOffered(_), Some(credential)) = (is_wanted, ending, &credential) {
            keep_for_proof(&tx, link, credential).await?;
        }
        tx.credentials().erase(step.credential).await?;
    }
    match ending {
        Ending::Done => tx.outbox().done(row.id).await?,
        Ending::NotOffered(why) | Ending::GivenUp(why) => tx.outbox().give_up(row.id, why).await?,
    }
    fault::UNLINKED.before();
    tx.commit().await?;
    fault::UNLINKED.after();
    Ok(())
}

/// Keeps what shows whether the person has ended the access at the provider.
async fn keep_for_proof(tx: &Tx, link: &Link, credential: &Credential) -> Result<(), StoreError> {
    let Some(refresh_token) = tx.credentials().open_refresh_token(credential.id).await? else {
        return Ok(());
    };
    tx.access_proofs()
        .insert(&NewProof {
            link: link.id,
            client: credential.client,
            account_id: &credential.account_id,
            refresh_token: &refresh_token,
            // Whoever was renewing it may have spent it.
            doubtful: credential.refreshing_until.is_some(),
            kept_until: Timestamp::now().plus(KEPT_FOR),
        })
        .await
}

/// The access could not be ended from here: the tokens are erased all the same, and the place is named.
pub(super) async fn given_up(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    let step: RevokeStep = row.payload()?;
    let why = by_hand(worker, &step, why).await?;
    let Some(link) = worker.store.links().find(step.link).await? else {
        let tx = worker.store.begin().await?;
        tx.outbox().give_up(row.id, &why).await?;
        return tx.commit().await;
    };
    let_go(worker, row, &step, &link, Ending::GivenUp(&why)).await
}

async fn by_hand(worker: &OutboxWorker, step: &RevokeStep, why: &str) -> Result<String, StoreError> {
    let Some(credential) = worker.store.credentials().find(step.credential).await? else {
        return Ok(why.to_owned());
    };
    Ok(match worker.forges.by_client(credential.client).await {
        Ok(forge) => format!(
            "{why}. {} can end it at {}",
            credential.login,
            forge.authorizations_url()
        ),
        Err(_) => why.to_owned(),
    })
}
