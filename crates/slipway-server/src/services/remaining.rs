//! What remains at a provider where Slipway cannot reach it any more (linked-accounts.md, "Unlinking", at its end).
//!
//! The person pressed *Revoke* there, or an organization shut the link out: webhooks stay, and nobody here can remove them.
//! They are listed, with the page where each is removed by hand. A fresh link reaches them again.

use slipway_forge::Forge;
use slipway_store::{ForgeRecord, Link, Resource, SourceRepository, Store, StoreError};
use slipway_types::forge::{ForgeKind, HealthReason, LinkState, ResourceKind, ResourceState};

/// A webhook or a deploy key that Slipway made, and cannot reach.
#[derive(Debug, Clone)]
pub struct Remaining {
    /// Which of the two.
    pub kind: ResourceKind,
    /// At which source repository.
    pub source: SourceRepository,
    /// The provider's id of it.
    pub remote_id: String,
    /// The provider's page where it is removed by hand.
    pub place: String,
}

/// What remains of a link at its forge. `client`: that forge, as the link reaches it.
pub(super) async fn of_link(
    store: &Store,
    link: &Link,
    forge: &ForgeRecord,
    client: Option<&dyn Forge>,
) -> Result<Vec<Remaining>, StoreError> {
    let ended = has_ended(link);
    // With a token go the keys that it made.
    let keys_are_gone = ended && client.is_some_and(Forge::revokes_tokens);
    let mut found = Vec::new();
    for resource in store.provider_resources().of_link(link.id).await? {
        let Some(remote_id) = resource.remote_id.clone().filter(|_| may_be_there(&resource)) else {
            continue;
        };
        if keys_are_gone && resource.kind == ResourceKind::DeployKey {
            continue;
        }
        let source = store.source_repositories().get(resource.source).await?;
        if !ended && source.reason != Some(HealthReason::OrgAccessDenied) {
            continue;
        }
        found.push(Remaining {
            kind: resource.kind,
            remote_id,
            place: by_hand(Some(forge.fields.kind), &source.facts.web_url, resource.kind),
            source,
        });
    }
    Ok(found)
}

/// Whether the provider takes nothing of the link any more.
fn has_ended(link: &Link) -> bool {
    link.state == LinkState::Linked
        && matches!(
            link.health_reason,
            Some(HealthReason::TokenRevoked | HealthReason::TokenExpired)
        )
}

fn may_be_there(resource: &Resource) -> bool {
    resource.state != ResourceState::Removed
}

/// The provider's page where hooks or keys of a repository are removed.
pub(super) fn by_hand(forge: Option<ForgeKind>, web_url: &str, kind: ResourceKind) -> String {
    let page = match (forge, kind) {
        (Some(ForgeKind::Bitbucket), ResourceKind::Webhook) => "admin/webhooks",
        (Some(ForgeKind::Bitbucket), ResourceKind::DeployKey) => "admin/access-keys",
        (_, ResourceKind::Webhook) => "settings/hooks",
        (_, ResourceKind::DeployKey) => "settings/keys",
    };
    format!("{}/{page}", web_url.trim_end_matches('/'))
}
