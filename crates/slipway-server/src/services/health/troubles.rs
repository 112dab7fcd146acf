//! What is wrong with what is built through a link, repository by repository; and what puts each reason right.

use slipway_store::{Link, Resource, SourceRepository, Store, StoreError};
use slipway_types::{
    SlugName, Timestamp,
    forge::{Health, HealthReason, ResourceKind, ResourceState},
    rule::ConfigurationState,
};

/// Something that is wrong with a source repository, or with what Slipway made there.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Where.
    pub source: SourceRepository,
    /// Which repositories build from it.
    pub repositories: Vec<SlugName>,
    /// With what.
    pub what: Troubled,
    /// What, as a stable word.
    pub reason: HealthReason,
    /// The same for a person.
    pub detail: String,
    /// Whether it is being repaired now.
    pub repairing: bool,
    /// When a repair was last begun.
    pub repaired_at: Option<Timestamp>,
}

/// What is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Troubled {
    /// The source repository itself: nothing builds from it.
    Repository,
    /// Its webhook: polling covers the gap.
    Webhook,
    /// Its deploy key: builds cannot fetch it.
    DeployKey,
}

impl Troubled {
    /// Stable word for the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Webhook => ResourceKind::Webhook.as_str(),
            Self::DeployKey => ResourceKind::DeployKey.as_str(),
        }
    }
}

/// Everything that is wrong with what is built through a link.
pub(in crate::services) async fn of_link(store: &Store, link: &Link) -> Result<Vec<Trouble>, StoreError> {
    let resources = store.provider_resources().of_link(link.id).await?;
    let mut found = Vec::new();
    for source in store
        .source_repositories()
        .of_namespace(link.namespace)
        .await?
        .into_iter()
        .filter(|source| source.forge == link.forge)
    {
        let here: Vec<&Resource> = resources.iter().filter(|it| it.source == source.id).collect();
        if source.reason.is_none() && !here.iter().any(|resource| is_wrong(resource)) {
            continue;
        }
        let repositories = built_from(store, &source).await?;
        if !repositories.is_empty() {
            found.extend(troubles(&source, &repositories, &here));
        }
    }
    Ok(found)
}

fn is_wrong(resource: &Resource) -> bool {
    let standing = matches!(
        resource.state,
        ResourceState::Creating | ResourceState::Active | ResourceState::Failed
    );
    standing && resource.reason.is_some()
}

async fn built_from(store: &Store, source: &SourceRepository) -> Result<Vec<SlugName>, StoreError> {
    let mut names = Vec::new();
    for configuration in store.configurations().of_source(source.id).await? {
        if configuration.state == ConfigurationState::Disconnected {
            continue;
        }
        let repository = store.repositories().find(configuration.repository).await?;
        names.extend(repository.map(|repository| repository.name));
    }
    Ok(names)
}

/// What is wrong with one source repository, and with what was made there.
pub(in crate::services) fn troubles(
    source: &SourceRepository,
    repositories: &[SlugName],
    made: &[&Resource],
) -> Vec<Trouble> {
    if let Some(reason) = source.reason {
        // What was made there is out of reach as well; one word is enough.
        return vec![Trouble {
            source: source.clone(),
            repositories: repositories.to_vec(),
            what: Troubled::Repository,
            reason,
            detail: source.detail.clone().unwrap_or_default(),
            repairing: false,
            repaired_at: None,
        }];
    }
    let of = |resource: &&Resource| {
        Some(Trouble {
            source: source.clone(),
            repositories: repositories.to_vec(),
            what: match resource.kind {
                ResourceKind::Webhook => Troubled::Webhook,
                ResourceKind::DeployKey => Troubled::DeployKey,
            },
            reason: resource.reason?,
            detail: resource.detail.clone().unwrap_or_default(),
            repairing: resource.state == ResourceState::Creating,
            repaired_at: resource.repaired_at,
        })
    };
    made.iter()
        .filter(|resource| is_wrong(resource))
        .filter_map(of)
        .collect()
}

/// A link as it stands with all that is built through it: one that works needs attention where a repository does.
pub(in crate::services) fn effective(mut link: Link, troubles: &[Trouble]) -> Link {
    let Some(first) = troubles.first().filter(|_| link.health == Health::Healthy) else {
        return link;
    };
    let detail = match troubles {
        [one] => format!("{}: {}", one.source.full_name(), one.detail),
        many => format!(
            "{}: {}; and {} more",
            first.source.full_name(),
            first.detail,
            many.len() - 1
        ),
    };
    link.health = Health::NeedsAttention;
    link.health_reason = Some(first.reason);
    link.health_detail = Some(detail);
    link
}

/// What puts it right, in a sentence.
pub const fn fix(reason: HealthReason) -> &'static str {
    match reason {
        HealthReason::TokenRevoked | HealthReason::TokenExpired => {
            "Link again: build configurations are kept and reconnect."
        }
        HealthReason::ScopesMissing => "Link again, and grant everything that is asked for.",
        HealthReason::OrgAccessDenied => {
            "Grant access at the provider, then check again. What is blocked comes back by itself."
        }
        HealthReason::SsoRequired => {
            "Authorize single sign-on at the provider, then check again. What is blocked comes back by itself."
        }
        HealthReason::InstallationRemoved => "Install the App there again, or link another account.",
        HealthReason::AccountSuspended | HealthReason::InstallationSuspended => {
            "The provider suspended it: ask them, or link another account."
        }
        HealthReason::WebhookMissing | HealthReason::WebhookDisabled => {
            "Repair it. Slipway does so by itself unless that is switched off; polling covers the gap."
        }
        HealthReason::WebhookFailing => {
            "See that the provider reaches this server’s public address, then repair it. Behind NAT choose polling \
             only. Polling covers the gap."
        }
        HealthReason::DeployKeyMissing => {
            "Repair it. Slipway does so by itself unless that is switched off; until then builds cannot fetch the source."
        }
        HealthReason::RepositoryGone => "Choose another source repository.",
        HealthReason::RepositoryAccessLost => {
            "Give the linked account access to it again, or choose another source repository."
        }
        HealthReason::RateLimited => "Nothing to do: it goes on when the provider allows it.",
        HealthReason::ForgeUnreachable => "Nothing to do: it is tried again.",
    }
}
