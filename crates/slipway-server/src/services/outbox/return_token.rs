//! Giving back a token that was obtained and is not needed: the one that proved who somebody is while another
//! was in use, the one of an account that a person did not want, the one that a better one has replaced.
//!
//! GitHub revokes the oldest of more than ten tokens of one user, app and scopes, *with the deploy keys it made*:
//! a token that nobody gives back ends somebody's builds one day. A replaced one waits until every key of its
//! credential was made anew.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use slipway_forge::{ForgeError, OauthError};
use slipway_store::{NewOutboxRow, OutboxRow, StoreError, SurplusToken, Tx};
use slipway_types::{
    CredentialId, ForgeClientId, SurplusTokenId,
    forge::{OutboxKind, ResourceKind, ResourceState},
};

use super::{OutboxWorker, Outcome, Trouble};
use crate::fault;

/// The particulars.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReturnStep {
    token: SurplusTokenId,
}

/// Has a token given back, in the caller's transaction. `replaced_in`: the credential that it was the token of.
pub(crate) async fn push(
    tx: &Tx,
    client: ForgeClientId,
    replaced_in: Option<CredentialId>,
    token: &SecretString,
) -> Result<(), StoreError> {
    let token = tx.surplus_tokens().insert(client, replaced_in, token).await?;
    let forge = tx.forges().client(client).await?.map(|client| client.forge);
    tx.outbox()
        .push(&NewOutboxRow {
            kind: OutboxKind::ReturnToken,
            idempotency_key: format!("return:{token}"),
            order_key: format!("return:{token}"),
            payload: &ReturnStep { token },
            forge,
            link: None,
        })
        .await?;
    Ok(())
}

pub(super) async fn run(worker: &OutboxWorker, row: &OutboxRow) -> Result<Outcome, Trouble> {
    let step: ReturnStep = row.payload()?;
    let tokens = worker.store.surplus_tokens();
    let (Some(surplus), Some(token)) = (tokens.find(step.token).await?, tokens.open(step.token).await?)
    else {
        return Ok(Outcome::Done);
    };
    if keys_are_being_made(worker, &surplus).await? {
        return Ok(Outcome::NotYet);
    }
    let forge = worker.forges.by_client(surplus.client).await?;
    fault::TOKEN_RETURN.before();
    let returned = forge.revoke_token(&token).await;
    fault::TOKEN_RETURN.after();
    match returned {
        // Where there is no call for it, it ends by itself.
        Ok(_) | Err(OauthError::Forge(ForgeError::Unauthorized { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    let tx = worker.store.begin().await?;
    tx.surplus_tokens().erase(surplus.id).await?;
    tx.outbox().done(row.id).await?;
    fault::TOKEN_RETURNED.before();
    tx.commit().await?;
    fault::TOKEN_RETURNED.after();
    Ok(Outcome::Settled)
}

/// Whether a key of the credential that the token was replaced in is still to be made or removed.
async fn keys_are_being_made(worker: &OutboxWorker, token: &SurplusToken) -> Result<bool, StoreError> {
    let Some(credential) = token.replaced_in else {
        return Ok(false);
    };
    for link in worker.store.links().of_credential(credential).await? {
        let resources = worker.store.provider_resources().of_link(link.id).await?;
        let busy = resources.iter().any(|resource| {
            resource.kind == ResourceKind::DeployKey
                && matches!(resource.state, ResourceState::Creating | ResourceState::Removing)
        });
        if busy {
            return Ok(true);
        }
    }
    Ok(false)
}

/// It could not be given back: it is forgotten, and ends with the grant.
pub(super) async fn given_up(worker: &OutboxWorker, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
    let step: ReturnStep = row.payload()?;
    let tx = worker.store.begin().await?;
    tx.surplus_tokens().erase(step.token).await?;
    tx.outbox().give_up(row.id, why).await?;
    tx.commit().await
}
