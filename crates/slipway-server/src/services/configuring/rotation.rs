//! Exchanging a webhook's secret without losing a delivery.
//!
//! The new secret is good here before the provider hears of it, and the one before stays good until the provider has
//! confirmed the new one and what it had signed before that has arrived. A crash anywhere leaves both good, and a row of
//! the outbox that gives the provider the new one again. Where the provider refuses it, the one before is the current one
//! again, and the page says why.

use slipway_forge::fresh_state;
use slipway_store::Rotation;
use slipway_types::{
    SlugName, Timestamp,
    forge::{OutboxKind, ResourceKind, ResourceState},
    rights::Level,
};

use super::{Configuring, about};
use crate::{
    fault,
    services::{Caller, ServiceError, resources},
};

impl Configuring {
    /// *Rotate secret*. While an exchange is under way, it is only tried again at the provider.
    ///
    /// # Errors
    /// As [`crate::services::Access::repository`], for administrators; [`ServiceError::Conflict`] where Slipway keeps no
    /// webhook, or the last exchange was a moment ago.
    pub async fn rotate_hook_secret(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
    ) -> Result<(), ServiceError> {
        let (tx, granted, there) = self.begin_on(caller, namespace, repository, Level::Admin).await?;
        let source = tx.source_repositories().get(there.source).await?;
        let link = tx.links().current(source.namespace, source.forge).await?;
        let link = link.ok_or_else(no_webhook)?;
        let resources = tx.provider_resources();
        let hook = resources
            .serving(source.id, link.id, ResourceKind::Webhook)
            .await?
            .filter(|hook| hook.state == ResourceState::Active)
            .ok_or_else(no_webhook)?;
        let now = Timestamp::now();
        if let Rotation::SettledUntil(until) = hook.rotation
            && until > now
        {
            return Err(ServiceError::Conflict {
                kind: "secret_exchanged",
                message: format!(
                    "The secret was exchanged a moment ago, and deliveries signed with the one before may still be \
                     under way. It can be exchanged again after {until}."
                ),
            });
        }
        if hook.rotation != Rotation::UnderWay {
            resources.forget_previous_secrets(now).await?;
            resources.rotate_secret(hook.id, &fresh_state().into()).await?;
        }
        resources::push(&tx, &link, &source, OutboxKind::RotateSecret, hook.id).await?;
        tx.audit()
            .record(&about(
                caller,
                "webhook.secret_rotated",
                &granted,
                &source.full_name(),
            ))
            .await?;
        fault::ROTATE.before();
        tx.commit().await?;
        fault::ROTATE.after();
        self.outbox.up();
        Ok(())
    }
}

fn no_webhook() -> ServiceError {
    ServiceError::Conflict {
        kind: "no_webhook",
        message:
            "Slipway keeps no working webhook at this source repository: there is no secret to exchange."
                .to_owned(),
    }
}
