//! Giving back a link's access: the last step of unlinking, after hooks and keys.
//!
//! Revoking at GitHub deletes the deploy keys that a token made and would leave us unable to remove hooks;
//! so this waits until everything else of the link is settled. A credential that another link still holds
//! is only let go of. The tokens are erased at the end, whatever the provider says.

use serde::{Deserialize, Serialize};
use slipway_forge::{ForgeError, OauthError, Revocation};
use slipway_store::{Link, OutboxRow, StoreError};
use slipway_types::{
    CredentialId, LinkId,
    forge::{LinkState, ResourceState},
};

use super::{OutboxWorker, Outcome, Trouble};
use crate::{fault, services::forges::NoToken};

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
        let_go(worker, row, &step, &link, None).await?;
        return Ok(Outcome::Settled);
    }
    match revoke(worker, &step).await? {
        Revocation::Revoked | Revocation::AlreadyGone => let_go(worker, row, &step, &link, None).await?,
        Revocation::NotOffered => {
            let why = by_hand(worker, &step, "the provider offers no call to end the access").await?;
            let_go(worker, row, &step, &link, Some(&why)).await?;
        }
    }
    Ok(Outcome::Settled)
}

async fn revoke(worker: &OutboxWorker, step: &RevokeStep) -> Result<Revocation, Trouble> {
    let Some(credential) = worker.store.credentials().find(step.credential).await? else {
        return Ok(Revocation::AlreadyGone);
    };
    let forge = worker.forges.by_client(credential.client).await?;
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

/// The link lets go; the last one to do so erases the tokens. `why`: what is left at the provider.
async fn let_go(
    worker: &OutboxWorker,
    row: &OutboxRow,
    step: &RevokeStep,
    link: &Link,
    why: Option<&str>,
) -> Result<(), StoreError> {
    let tx = worker.store.begin().await?;
    tx.credentials().lock(step.credential).await?;
    if link.state == LinkState::Unlinking {
        tx.links().set_unlinked(link.id).await?;
    }
    if tx.links().of_credential(step.credential).await?.is_empty() {
        tx.credentials().erase(step.credential).await?;
    }
    match why {
        None => tx.outbox().done(row.id).await?,
        Some(why) => tx.outbox().give_up(row.id, why).await?,
    }
    fault::UNLINKED.before();
    tx.commit().await?;
    fault::UNLINKED.after();
    Ok(())
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
    let_go(worker, row, &step, &link, Some(&why)).await
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
