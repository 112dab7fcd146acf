//! Reading back what we made at one source repository, and making it again where it got lost.
//!
//! Repairing is wanting it again: the row goes back to `creating` in the transaction that decides it, and the outbox
//! does the rest. It happens by itself where one of the configurations that share the hook or the key allows it, and
//! else on *Repair*.

use std::time::Duration;

use secrecy::SecretString;
use slipway_forge::{AppError, Forge, ForgeError, Hook, RemoteRepositoryId, Repository, RepositoryKey};
use slipway_store::{Configuration, Link, Resource, SourceRepository, StoreError, Tx};
use slipway_types::{
    Timestamp,
    forge::{HealthReason, LinkState, ResourceKind, ResourceState},
    rule::{ConfigurationState, DeliveryMode},
};
use url::Url;

use super::HealthCheck;
use crate::{
    fault,
    services::{ServiceError, forges::NoToken, linked_forges::facts, reach, resources},
};

/// What could not be made is tried again by itself so often: somebody may have given the account the right meanwhile.
const TRY_AGAIN: Duration = Duration::from_hours(1);
/// A webhook whose deliveries do not get through is set again by itself so often: whether that helps shows only when
/// something is delivered, and what keeps deliveries from getting through is mostly elsewhere.
const SET_AGAIN: Duration = Duration::from_hours(24);

/// What is wrong with a hook or a key, for a person too.
type Wrong = Option<(HealthReason, String)>;

/// The hook and the key that serve a source, or shall.
pub(super) async fn standing(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
) -> Result<Vec<Resource>, StoreError> {
    let mut found = Vec::new();
    for kind in [ResourceKind::Webhook, ResourceKind::DeployKey] {
        found.extend(tx.provider_resources().serving(source.id, link.id, kind).await?);
    }
    Ok(found)
}

impl HealthCheck {
    /// Reads back one source repository.
    ///
    /// # Errors
    /// What says that asking on is of no use: the forge does not answer, asks to wait, or does not take the token.
    pub(super) async fn read_back(&self, link: &Link, source: &SourceRepository) -> Result<(), ServiceError> {
        let (forge, token) = match self.forges.for_source(source.id).await {
            // The refusal is written down already; the next repository may be given one.
            Err(NoToken::App(error)) if !matches!(error, AppError::Forge(_)) => {
                tracing::info!(source = %source.id, error = error.kind(), "the GitHub App gives no token for a repository");
                return self.checked(source).await;
            }
            other => other?,
        };
        let id = RemoteRepositoryId::from(source.facts.provider_id.as_str());
        let there = match forge.repository(&token, RepositoryKey::Id(&id)).await {
            Ok(there) => there,
            Err(error) => return self.unreadable(link, source, error, true).await,
        };
        let tx = self.store.begin().await?;
        if !is_linked(&tx, link).await? {
            return Ok(());
        }
        reach::reached(&tx, source, &facts(&there)).await?;
        let configurations: Vec<Configuration> = tx
            .configurations()
            .of_source(source.id)
            .await?
            .into_iter()
            .filter(|configuration| configuration.state != ConfigurationState::Disconnected)
            .collect();
        want_missing(&tx, link, source, &configurations).await?;
        let standing = standing(&tx, link, source).await?;
        tx.commit().await?;
        let may_repair = configurations.iter().any(|it| it.fields.auto_repair);
        for resource in standing {
            match self.look_at(forge.as_ref(), &token, &there, &resource).await {
                Ok(wrong) => self.tend(link, source, &resource, wrong, may_repair).await?,
                Err(error) => return self.unreadable(link, source, error, false).await,
            }
        }
        self.checked(source).await?;
        self.outbox.up();
        Ok(())
    }

    /// What is wrong with a hook or a key, as the provider tells. One that is being made or could not be made is not
    /// asked for: the outbox knows of it.
    async fn look_at(
        &self,
        forge: &dyn Forge,
        token: &SecretString,
        there: &Repository,
        resource: &Resource,
    ) -> Result<Wrong, ForgeError> {
        let wrong = || resource.reason.zip(resource.detail.clone());
        let (ResourceState::Active, Some(id)) = (resource.state, resource.remote_id.as_deref()) else {
            return Ok(wrong());
        };
        let wrong = match resource.kind {
            ResourceKind::Webhook => {
                let url = resource
                    .hook_path
                    .as_deref()
                    .map(|path| self.config.hook_url(path));
                let hook = forge.hook(token, &there.path, &id.into()).await;
                hook.map(|hook| wrong_with_hook(hook.as_ref(), url.as_ref()))
            }
            ResourceKind::DeployKey => {
                let public_key = resource.public_key.as_deref().unwrap_or_default();
                let key = forge.key(token, &there.path, &id.into()).await;
                key.map(|key| wrong_with_key(key.is_some_and(|key| key.is(public_key))))
            }
        };
        match wrong {
            // An account that lost its admin rights is not shown hooks and keys: they may well be there and work.
            Err(ForgeError::Forbidden { why, .. }) if says_nothing(&why) => {
                Ok(resource.reason.zip(resource.detail.clone()))
            }
            wrong => wrong,
        }
    }

    /// Writes down what is wrong, or that nothing is, and has it repaired where that happens by itself.
    async fn tend(
        &self,
        link: &Link,
        source: &SourceRepository,
        resource: &Resource,
        wrong: Wrong,
        may_repair: bool,
    ) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        // What a person or the outbox has done meanwhile counts more than what was read before.
        let now = tx.provider_resources().find(resource.id).await?;
        if now.as_ref() != Some(resource) || !is_linked(&tx, link).await? {
            return Ok(());
        }
        if resource.state == ResourceState::Active {
            let known = resource.reason.zip(resource.detail.clone());
            if known != wrong {
                let wrong = wrong.as_ref().map(|(reason, detail)| (*reason, detail.as_str()));
                tx.provider_resources().set_trouble(resource.id, wrong).await?;
            }
        }
        if let Some((reason, _)) = wrong
            && may_repair
            && is_time(resource, reason)
        {
            tracing::info!(resource = %resource.id, source = %source.id, %reason, "repairing what we made at the provider");
            resources::repair(&tx, link, source, resource).await?;
            fault::REPAIR.before();
            tx.commit().await?;
            fault::REPAIR.after();
            return Ok(());
        }
        Ok(tx.commit().await?)
    }

    /// The forge did not tell. What that means for link and source is written down.
    async fn unreadable(
        &self,
        link: &Link,
        source: &SourceRepository,
        error: ForgeError,
        itself: bool,
    ) -> Result<(), ServiceError> {
        self.forges.note_failure_of_source(link, &error).await?;
        reach::failed(&self.store, link, source, &error, itself).await?;
        if error.is_transient() || matches!(error, ForgeError::Unauthorized { .. }) {
            return Err(error.into());
        }
        tracing::info!(source = %source.id, error = error.kind(), "a repository could not be read back");
        self.checked(source).await
    }

    async fn checked(&self, source: &SourceRepository) -> Result<(), ServiceError> {
        let tx = self.store.begin().await?;
        tx.source_repositories()
            .set_checked(source.id, Timestamp::now())
            .await?;
        Ok(tx.commit().await?)
    }
}

/// Whether the link is in use still: nothing is wanted for one that is being taken apart. It stays so until the end of
/// the transaction.
async fn is_linked(tx: &Tx, link: &Link) -> Result<bool, StoreError> {
    let now = tx.links().lock(link.id).await?;
    Ok(now.is_some_and(|now| now.state == LinkState::Linked))
}

/// Wants what configurations need and nothing serves: after a repository came back that was gone.
async fn want_missing(
    tx: &Tx,
    link: &Link,
    source: &SourceRepository,
    configurations: &[Configuration],
) -> Result<(), ServiceError> {
    if configurations.is_empty() {
        return Ok(());
    }
    let by_hook = configurations
        .iter()
        .any(|it| it.fields.delivery_mode != DeliveryMode::Polling);
    let standing: Vec<ResourceKind> = standing(tx, link, source)
        .await?
        .iter()
        .map(|it| it.kind)
        .collect();
    for (kind, wanted) in [(ResourceKind::Webhook, by_hook), (ResourceKind::DeployKey, true)] {
        if wanted && !standing.contains(&kind) {
            resources::want(tx, link, source, kind).await?;
        }
    }
    Ok(())
}

fn wrong_with_hook(hook: Option<&Hook>, url: Option<&Url>) -> Wrong {
    let is_ours = |hook: &&Hook| url.is_some_and(|url| hook.url == url.as_str());
    let Some(hook) = hook.filter(is_ours) else {
        let detail = "the webhook was removed at the provider, or points elsewhere now";
        return Some((HealthReason::WebhookMissing, detail.to_owned()));
    };
    if !hook.active {
        let detail = "the webhook was switched off at the provider";
        return Some((HealthReason::WebhookDisabled, detail.to_owned()));
    }
    if !hook.covers_events {
        let detail = "the webhook was changed at the provider, and does not tell of everything any more";
        return Some((HealthReason::WebhookDisabled, detail.to_owned()));
    }
    let last = hook.last_delivery.as_ref().filter(|last| !last.succeeded())?;
    let answered = match last.status {
        Some(status) => format!("was answered {status}"),
        None => "was not answered".to_owned(),
    };
    let words = last.message.as_deref().map(|words| format!(" ({words})"));
    let detail = format!(
        "the provider's last delivery {answered}{}",
        words.unwrap_or_default()
    );
    Some((HealthReason::WebhookFailing, detail))
}

fn wrong_with_key(is_there: bool) -> Wrong {
    let detail = "the deploy key was removed at the provider";
    (!is_there).then(|| (HealthReason::DeployKeyMissing, detail.to_owned()))
}

/// Whether a refusal tells nothing of what was asked for.
const fn says_nothing(why: &slipway_forge::Forbidden) -> bool {
    use slipway_forge::Forbidden;
    matches!(why, Forbidden::NeedsAdmin { .. } | Forbidden::Other { .. })
}

/// Whether a repair may begin by itself now.
fn is_time(resource: &Resource, reason: HealthReason) -> bool {
    let passed = |since: Option<Timestamp>, pause| since.is_none_or(|at| at.plus(pause) <= Timestamp::now());
    match resource.state {
        ResourceState::Active if reason == HealthReason::WebhookFailing => {
            passed(resource.repaired_at, SET_AGAIN)
        }
        ResourceState::Active => true,
        ResourceState::Failed => passed(resource.settled_at, TRY_AGAIN),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use slipway_forge::LastDelivery;

    use super::*;

    const URL: &str = "https://slipway.example/hooks/x";

    fn hook() -> Hook {
        Hook {
            id: 1_u64.into(),
            url: URL.to_owned(),
            active: true,
            covers_events: true,
            last_delivery: None,
        }
    }

    fn reason(hook: Option<&Hook>) -> Option<HealthReason> {
        wrong_with_hook(hook, Some(&URL.parse().unwrap())).map(|(reason, _)| reason)
    }

    #[test]
    fn a_hook_is_right_when_it_is_ours_on_complete_and_heard() {
        let answered = |status| {
            let last = LastDelivery {
                status,
                message: None,
                at: None,
            };
            Hook {
                last_delivery: Some(last),
                ..hook()
            }
        };
        assert_eq!(reason(Some(&hook())), None);
        assert_eq!(reason(Some(&answered(Some(202)))), None);
        assert_eq!(reason(None), Some(HealthReason::WebhookMissing));
        let elsewhere = Hook {
            url: format!("{URL}y"),
            ..hook()
        };
        assert_eq!(reason(Some(&elsewhere)), Some(HealthReason::WebhookMissing));
        for off in [
            Hook {
                active: false,
                ..hook()
            },
            Hook {
                covers_events: false,
                ..hook()
            },
        ] {
            assert_eq!(reason(Some(&off)), Some(HealthReason::WebhookDisabled));
        }
        for status in [Some(404), Some(502), None] {
            assert_eq!(
                reason(Some(&answered(status))),
                Some(HealthReason::WebhookFailing)
            );
        }
    }
}
