//! Whether a source repository can be reached, and what follows for what builds from it.
//!
//! Every call about a repository, by whichever loop or page, tells it here. Invariant kept here: configurations of a
//! source that cannot be reached are `blocked`, with the reason, from the transaction that learned it, and are active
//! again from the one that learned the opposite. So nobody has to find out from a failed clone, and nobody has to
//! switch anything on again.

use slipway_forge::{Forbidden, ForgeError};
use slipway_store::{Link, LinkOwner, NewAct, SourceFacts, SourceRepository, Store, StoreError, Tx};
use slipway_types::{
    Timestamp,
    forge::{HealthReason, OwnerReach, ResourceKind, SourceState},
    rights::Role,
};

/// Who acts in the audit trail where nobody asked.
pub(super) const SLIPWAY: &str = "slipway";

/// The provider described the repository: it can be reached.
pub(super) async fn reached(
    tx: &Tx,
    source: &SourceRepository,
    facts: &SourceFacts,
) -> Result<(), StoreError> {
    let is_present = source.state == SourceState::Present;
    if !is_present || source.facts != *facts {
        tx.source_repositories().describe(source.id, facts).await?;
    }
    if tx.configurations().unblock(source.id).await? == 0 && is_present {
        return Ok(());
    }
    // What moved while it was out of reach is found, and builds like any push.
    tx.source_repositories()
        .want_compared(source.id, Timestamp::now())
        .await?;
    tx.head_checks().wake(source.id).await?;
    record(tx, source, "source.reached", source.reason).await
}

/// A call failed. Where that tells that the repository cannot be reached, it is written down. `itself`: what was asked
/// for is the repository itself, so that "not found" means it, and not something in it.
pub(super) async fn failed(
    store: &Store,
    link: &Link,
    source: &SourceRepository,
    error: &ForgeError,
    itself: bool,
) -> Result<(), StoreError> {
    let Some(reason) = reason_of(error, itself) else {
        return Ok(());
    };
    // Providers say "not found" to a token that may not see it, too.
    if reason == HealthReason::RepositoryAccessLost && link.health_reason == Some(HealthReason::ScopesMissing)
    {
        return Ok(());
    }
    let tx = store.begin().await?;
    let detail = error.to_string();
    // Only a `deleted` event tells the two apart, and what it said stays true.
    let (state, reason) = match (source.state, reason) {
        (SourceState::Gone, HealthReason::RepositoryAccessLost) => {
            (SourceState::Gone, HealthReason::RepositoryGone)
        }
        _ => (SourceState::Unreachable, reason),
    };
    lost(&tx, source, state, reason, &detail).await?;
    if let Some(owner) = owner_of(source, error) {
        put_owner(&tx, link, owner).await?;
    }
    tx.commit().await
}

/// The provider said that it was deleted. What we made there went with it.
pub(super) async fn gone(tx: &Tx, source: &SourceRepository) -> Result<(), StoreError> {
    let detail = format!("{} was deleted at the provider", source.full_name());
    lost(
        tx,
        source,
        SourceState::Gone,
        HealthReason::RepositoryGone,
        &detail,
    )
    .await?;
    let Some(link) = tx.links().current(source.namespace, source.forge).await? else {
        return Ok(());
    };
    for kind in [ResourceKind::Webhook, ResourceKind::DeployKey] {
        if let Some(there) = tx.provider_resources().serving(source.id, link.id, kind).await? {
            tx.provider_resources().settle_removed(there.id).await?;
        }
    }
    Ok(())
}

/// It cannot be reached, for this reason: what builds from it is blocked.
pub(super) async fn lost(
    tx: &Tx,
    source: &SourceRepository,
    state: SourceState,
    reason: HealthReason,
    detail: &str,
) -> Result<(), StoreError> {
    let is_known = (source.state, source.reason) == (state, Some(reason));
    // As it was said first: what is known is asked for again and again.
    let known = source.detail.as_deref().filter(|_| is_known);
    let why = why_blocked(reason, known.unwrap_or(detail));
    tx.configurations().block(source.id, &why).await?;
    if is_known {
        return Ok(());
    }
    tx.source_repositories()
        .set_lost(source.id, state, reason, detail)
        .await?;
    record(tx, source, "source.lost", Some(reason)).await
}

/// As people are told what stands still.
fn why_blocked(reason: HealthReason, detail: &str) -> String {
    match reason {
        HealthReason::OrgAccessDenied => format!("access revoked by organization: {detail}"),
        HealthReason::SsoRequired => format!("the organization asks for single sign-on: {detail}"),
        HealthReason::InstallationSuspended | HealthReason::InstallationRemoved => detail.to_owned(),
        HealthReason::RepositoryGone => format!("the source repository is gone: {detail}"),
        _ => format!("access to the source repository is lost: {detail}"),
    }
}

async fn record(
    tx: &Tx,
    source: &SourceRepository,
    act: &str,
    reason: Option<HealthReason>,
) -> Result<(), StoreError> {
    let name = source.full_name();
    tx.audit()
        .record(&NewAct {
            user: None,
            actor: SLIPWAY,
            address: None,
            namespace: Some(source.namespace),
            repository: None,
            act,
            object: &name,
            detail: serde_json::json!({ "source": source.id, "reason": reason.map(HealthReason::as_str) }),
        })
        .await?;
    Ok(())
}

const fn reason_of(error: &ForgeError, itself: bool) -> Option<HealthReason> {
    match error.health_reason() {
        Some(reason @ (HealthReason::OrgAccessDenied | HealthReason::SsoRequired)) => Some(reason),
        Some(reason @ HealthReason::RepositoryAccessLost) if itself => Some(reason),
        _ => None,
    }
}

/// What a refusal tells of the organization as a whole.
fn owner_of(source: &SourceRepository, error: &ForgeError) -> Option<LinkOwner> {
    let ForgeError::Forbidden { why, .. } = error else {
        return None;
    };
    let name = &source.facts.owner;
    match why {
        Forbidden::OrgRestricted { message } => {
            Some(not_reached(name, OwnerReach::NotGranted, Some(message.clone())))
        }
        Forbidden::SsoRequired { url } => {
            let url = url.as_ref().map(ToString::to_string);
            Some(not_reached(name, OwnerReach::SsoNeeded, url))
        }
        _ => None,
    }
}

/// An organization that does not let the link in.
pub(super) fn not_reached(owner: &str, reach: OwnerReach, detail: Option<String>) -> LinkOwner {
    LinkOwner {
        // Its id is not told to whom it does not let in.
        owner_id: format!("name:{}", owner.to_lowercase()),
        name: owner.to_owned(),
        role: Role::Member,
        reach,
        detail,
        installation: None,
        checked_at: Timestamp::now(),
    }
}

/// Writes down what is known of an organization now. What a person or an earlier answer said is kept where the new one
/// says less: the role, and that access was asked for.
pub(super) async fn put_owner(tx: &Tx, link: &Link, owner: LinkOwner) -> Result<LinkOwner, StoreError> {
    let owner = match tx.link_owners().named(link.id, &owner.name).await? {
        Some(known) => merged(&known, owner),
        None => owner,
    };
    tx.link_owners().put(link.id, &owner).await?;
    Ok(owner)
}

/// What is known of an organization, with what was just learned.
pub(super) fn merged(known: &LinkOwner, mut owner: LinkOwner) -> LinkOwner {
    if owner.reach != OwnerReach::Granted {
        owner.owner_id.clone_from(&known.owner_id);
        owner.name.clone_from(&known.name);
        owner.role = known.role;
    }
    if known.reach == OwnerReach::Requested && owner.reach == OwnerReach::NotGranted {
        owner.reach = OwnerReach::Requested;
    }
    owner
}
