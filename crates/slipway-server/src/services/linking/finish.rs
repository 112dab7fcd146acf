//! The last step of linking: one transaction, after everything that a provider has to be asked.

use std::{collections::BTreeSet, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};
use slipway_forge::{Account, Forge, Owner, OwnerRole, Scopes, TokenCheck, fresh_state};
use slipway_store::{
    Credential, CredentialOf, ForgeClient, Link, LinkAttempt, LinkHealth, LinkInstallation, LinkOwner,
    LinkTo, Namespace, NewAct, NewOutboxRow, Resource, Tokens, Tx,
};
use slipway_types::{
    CredentialId, LinkId, Timestamp,
    forge::{Health, HealthReason, LinkState, OutboxKind, OwnerReach, ResourceKind, ResourceState},
    rights::Role,
    rule::{ConfigurationState, DeliveryMode},
};
use url::Url;

use super::{Linking, exchanged::Exchanged, used_state};
use crate::{
    fault,
    services::{
        Caller, ServiceError, act,
        forges::scopes_of,
        outbox::{RevokeStep, push_observe, push_return},
        resources,
    },
};

impl Linking {
    /// Links: one transaction, after everything that a provider has to be asked.
    pub(super) async fn finish(
        &self,
        caller: &Caller,
        forge: &Arc<dyn Forge>,
        client: &ForgeClient,
        namespace: &Namespace,
        attempt: &LinkAttempt,
        exchanged: Exchanged,
    ) -> Result<LinkId, ServiceError> {
        let Exchanged { tokens, account } = exchanged;
        fault::LINK_OWNERS.before();
        let owners = forge.owners(&tokens.access).await;
        fault::LINK_OWNERS.after();
        let owners = match owners {
            Ok(owners) => Some(owners),
            Err(error) => {
                tracing::warn!(forge = %forge.config().name, error = error.kind(), "owners could not be listed");
                None
            }
        };
        let there = self
            .store
            .credentials()
            .of_account(client.id, account.id.as_str())
            .await?;
        let keep = match &there {
            Some(credential) => self.is_enough(forge, credential, &tokens).await?,
            None => false,
        };
        let tx = self.store.begin().await?;
        // Of two that go on from one attempt, one links.
        if !tx.link_attempts().release_grant(&attempt.state_hash).await? {
            return Err(used_state());
        }
        match &there {
            Some(there) if !keep => replace(&tx, forge, client, there, &tokens).await?,
            Some(there) => give_back(&tx, client, there, &tokens.access).await?,
            None => {}
        }
        let credential = put_credential(&tx, client, there.as_ref(), keep, &account, &tokens).await?;
        tx.access_proofs()
            .end_of_account(client.id, account.id.as_str())
            .await?;
        let scopes = if keep { there.as_ref().map(scopes_of) } else { None };
        let scopes = scopes.unwrap_or_else(|| tokens.scopes.iter().cloned().collect());
        let to = LinkTo {
            credential,
            account_id: account.id.to_string(),
            login: account.login.clone(),
            by: caller.user,
        };
        let link = self.put_link(&tx, namespace, client, &to).await?;
        tx.links()
            .set_health(link.id, &health(forge.as_ref(), &scopes))
            .await?;
        if let Some(owners) = owners {
            tx.link_owners().replace(link.id, &stored(&owners)).await?;
        }
        reconnect(&tx, caller, &link).await?;
        tx.audit()
            .record(&NewAct {
                namespace: Some(namespace.id),
                detail: serde_json::json!({ "account": account.login, "link": link.id }),
                ..act(caller, "link.created", &forge.config().name)
            })
            .await?;
        fault::LINK_FINISH.before();
        tx.commit().await?;
        fault::LINK_FINISH.after();
        self.outbox.up();
        Ok(link.id)
    }

    /// Whether the token that an account's links use already is valid, and as wide as the new one.
    async fn is_enough(
        &self,
        forge: &Arc<dyn Forge>,
        credential: &Credential,
        new: &Tokens,
    ) -> Result<bool, ServiceError> {
        let new_scopes: Scopes = new.scopes.iter().cloned().collect();
        let missing = |scopes: &Scopes| {
            forge
                .missing_scopes(scopes)
                .iter()
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
        };
        if !missing(&scopes_of(credential)).is_subset(&missing(&new_scopes)) {
            return Ok(false);
        }
        let Ok(token) = self.forges.token(credential.id).await else {
            return Ok(false);
        };
        fault::LINK_CHECK.before();
        let checked = forge.check_token(&token).await;
        fault::LINK_CHECK.after();
        Ok(matches!(checked, Ok(TokenCheck::Valid { .. })))
    }

    /// Makes the link, or gives the one in use its new account.
    async fn put_link(
        &self,
        tx: &Tx,
        namespace: &Namespace,
        client: &ForgeClient,
        to: &LinkTo,
    ) -> Result<Link, ServiceError> {
        let gone = || ServiceError::Internal("a link vanished while it was made");
        let Some(before) = tx.links().current(namespace.id, client.forge).await? else {
            let id = tx.links().insert(namespace.id, client.forge, to).await?;
            return tx.links().find(id).await?.ok_or_else(gone);
        };
        tx.links().relink(before.id, to).await?;
        let now = tx.links().find(before.id).await?.ok_or_else(gone)?;
        if let Some(old) = before.credential.filter(|old| *old != to.credential) {
            let_go_of(tx, &now, old).await?;
        }
        Ok(now)
    }
}

/// The token in use was enough: the one that proved who somebody is goes back.
async fn give_back(
    tx: &Tx,
    client: &ForgeClient,
    there: &Credential,
    proof: &SecretString,
) -> Result<(), ServiceError> {
    let in_use = tx.credentials().open_access_token(there.id).await?;
    if in_use.expose_secret() != proof.expose_secret() {
        push_return(tx, client.id, None, proof).await?;
    }
    Ok(())
}

/// The token in use gives way to a better one. Where deploy keys die with the token that made them, each link
/// that uses it makes its keys anew first; the old token goes back when they are there.
async fn replace(
    tx: &Tx,
    forge: &Arc<dyn Forge>,
    client: &ForgeClient,
    there: &Credential,
    new: &Tokens,
) -> Result<(), ServiceError> {
    let old = tx.credentials().open_access_token(there.id).await?;
    if !forge.revokes_tokens() || old.expose_secret() == new.access.expose_secret() {
        return Ok(());
    }
    for link in tx.links().of_credential(there.id).await? {
        if link.state == LinkState::Linked {
            renew_keys(tx, &link).await?;
        }
    }
    push_return(tx, client.id, Some(there.id), &old).await?;
    Ok(())
}

async fn renew_keys(tx: &Tx, link: &Link) -> Result<(), ServiceError> {
    for resource in tx.provider_resources().of_link(link.id).await? {
        if resource.kind == ResourceKind::DeployKey && is_serving(&resource) {
            let source = tx.source_repositories().get(resource.source).await?;
            resources::renew_key(tx, link, &source, &resource).await?;
        }
    }
    Ok(())
}

async fn put_credential(
    tx: &Tx,
    client: &ForgeClient,
    there: Option<&Credential>,
    keep: bool,
    account: &Account,
    tokens: &Tokens,
) -> Result<CredentialId, ServiceError> {
    let of = CredentialOf {
        account_id: account.id.to_string(),
        login: account.login.clone(),
        avatar_url: account.avatar_url.as_ref().map(Url::to_string),
    };
    let Some(there) = there else {
        return Ok(tx.credentials().insert(client.id, &of, tokens).await?);
    };
    if !keep
        && !tx
            .credentials()
            .replace_tokens(there.id, there.obtained_at, tokens)
            .await?
    {
        return Err(ServiceError::Conflict {
            kind: "linked_meanwhile",
            message: "this account was linked a moment ago from elsewhere; link again".to_owned(),
        });
    }
    tx.credentials().verified(there.id, &of, None).await?;
    Ok(there.id)
}

/// An App's token may not touch hooks and keys, and needs none: who made them removes them.
async fn give_up_resources(tx: &Tx, link: &Link, made_by: CredentialId) -> Result<(), ServiceError> {
    for resource in tx.provider_resources().of_link(link.id).await? {
        if is_serving(&resource) {
            let source = tx.source_repositories().get(resource.source).await?;
            resources::unwant_as(tx, link, &source, &resource, Some(made_by)).await?;
        }
    }
    Ok(())
}

/// The account before is given up once nothing of this link needs it. Its deploy keys go with it, so they are
/// made anew under the new account first: the same order key keeps that order.
async fn let_go_of(tx: &Tx, link: &Link, old: CredentialId) -> Result<(), ServiceError> {
    if resources::through_app(tx, link).await? {
        give_up_resources(tx, link, old).await?;
    } else {
        renew_keys(tx, link).await?;
    }
    tx.outbox()
        .push(&NewOutboxRow {
            kind: OutboxKind::RevokeCredential,
            idempotency_key: format!("revoke:{}:{old}:{}", link.id, fresh_state()),
            order_key: format!("link:{}", link.id),
            payload: &RevokeStep {
                link: link.id,
                credential: old,
                grant: false,
            },
            forge: Some(link.forge),
            link: Some(link.id),
        })
        .await?;
    Ok(())
}

fn is_serving(resource: &Resource) -> bool {
    matches!(
        resource.state,
        ResourceState::Creating | ResourceState::Active | ResourceState::Failed
    )
}

/// Brings configurations back that lost their link, and wants what failed under the link before.
async fn reconnect(tx: &Tx, caller: &Caller, link: &Link) -> Result<(), ServiceError> {
    for configuration in tx.configurations().of_forge(link.namespace, link.forge).await? {
        let source = tx.source_repositories().get(configuration.source).await?;
        if configuration.state != ConfigurationState::Active {
            tx.configurations()
                .set_state(configuration.id, ConfigurationState::Active, None)
                .await?;
            // What happened while nobody listened is the new baseline; it is not built.
            tx.source_repositories().set_baselined(source.id, None).await?;
            push_observe(tx, &source, caller.user).await?;
        }
        if configuration.fields.delivery_mode != DeliveryMode::Polling {
            resources::want(tx, link, &source, ResourceKind::Webhook).await?;
        }
        resources::want(tx, link, &source, ResourceKind::DeployKey).await?;
        tx.head_checks().wake(source.id).await?;
    }
    Ok(())
}

/// How well a link works with these scopes.
pub(in crate::services) fn health(forge: &dyn Forge, granted: &Scopes) -> LinkHealth {
    let missing = forge.missing_scopes(granted);
    if missing.is_empty() {
        return LinkHealth::HEALTHY;
    }
    let without: Vec<_> = missing
        .iter()
        .map(|scope| format!("{scope} was not granted, so {}", forge.without_scope(scope)))
        .collect();
    let detail = without.join("; ");
    LinkHealth::because(Health::NeedsAttention, HealthReason::ScopesMissing, detail)
}

/// Owners as they are stored.
pub(in crate::services) fn stored(owners: &[Owner]) -> Vec<LinkOwner> {
    let checked_at = Timestamp::now();
    owners
        .iter()
        .map(|owner| LinkOwner {
            owner_id: owner.id.to_string(),
            name: owner.login.clone(),
            role: if owner.role == OwnerRole::Admin {
                Role::Owner
            } else {
                Role::Member
            },
            reach: match &owner.installation {
                Some(installation) if installation.suspended => OwnerReach::Suspended,
                _ => OwnerReach::Granted,
            },
            detail: None,
            installation: owner.installation.as_ref().map(|installation| LinkInstallation {
                id: installation.id.to_string(),
                selection: installation.selection,
                settings_url: installation.settings_url.to_string(),
            }),
            checked_at,
        })
        .collect()
}
