//! What a failed call says of its link, and the waiting that a provider asks for.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use slipway_forge::{Forge, ForgeError, OauthError};
use slipway_store::{Credential, Link, LinkHealth, StoreError};
use slipway_types::{
    CredentialId, LinkId, Timestamp,
    forge::{ClientKind, Health, HealthReason, LinkState},
};

use super::{Forges, NoToken};

/// How long to wait where a forge asks to and does not say how long: GitHub's own advice ("Rate limits for the REST
/// API": wait for at least one minute).
const WAIT: Duration = Duration::from_mins(1);
/// The longest that a forge may have us wait: limits are by the hour at both.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

impl Forges {
    /// Feeds a failed call into the health of its link. What concerns one repository only says nothing of the link;
    /// and a forge that does not answer, or asks to wait, takes nothing back of what is known.
    ///
    /// # Errors
    /// What the store says.
    pub async fn note_failure(&self, link: LinkId, error: &ForgeError) -> Result<(), StoreError> {
        let Some(health) = health_after(error) else {
            return Ok(());
        };
        let tx = self.inner.store.begin().await?;
        let Some(known) = tx.links().lock(link).await? else {
            return Ok(());
        };
        if let (Some(until), Some(credential)) = (health.until, known.credential) {
            self.waiting().insert(credential, until);
        }
        if error.is_transient() && known.health_reason.is_some_and(|reason| !is_passing(reason)) {
            return Ok(());
        }
        tx.links().set_health(link, &health).await?;
        tx.commit().await
    }

    /// The provider's limits are per account: while it asks to wait, nobody asks it anything with this token.
    pub(super) fn must_wait(&self, credential: &Credential, forge: &dyn Forge) -> Result<(), NoToken> {
        let mut waiting = self.waiting();
        waiting.retain(|_, until| *until > Timestamp::now());
        let Some(until) = waiting.get(&credential.id) else {
            return Ok(());
        };
        Err(NoToken::Renewal(OauthError::Forge(ForgeError::RateLimited {
            forge: forge.config().display_name.clone(),
            until: Some(*until),
        })))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<CredentialId, Timestamp>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::note_failure`], of a call with [`Self::for_source`]'s token: an installation's says nothing of the
    /// person's own, so that the link is asked about with that instead.
    ///
    /// # Errors
    /// What the store says.
    pub(in crate::services) async fn note_failure_of_source(
        &self,
        link: &Link,
        error: &ForgeError,
    ) -> Result<(), StoreError> {
        if error.is_transient() || !self.is_through_an_app(link).await? {
            return self.note_failure(link.id, error).await;
        }
        if matches!(error, ForgeError::Unauthorized { .. }) {
            let tx = self.inner.store.begin().await?;
            tx.links().look_again(link.id).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    pub(super) async fn is_through_an_app(&self, link: &Link) -> Result<bool, StoreError> {
        Ok(self.inner.store.links().client_kind(link.id).await? == Some(ClientKind::App))
    }

    pub(super) async fn mark_credential(
        &self,
        id: CredentialId,
        reason: HealthReason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let tx = self.inner.store.begin().await?;
        for link in tx.links().of_credential(id).await? {
            if link.state == LinkState::Linked {
                tx.links()
                    .set_health(link.id, &LinkHealth::because(Health::Broken, reason, detail))
                    .await?;
            }
        }
        tx.commit().await
    }
}

/// What a failed call says of its link; `None` where it says nothing.
fn health_after(error: &ForgeError) -> Option<LinkHealth> {
    let reason = error.health_reason()?;
    let health = match reason {
        HealthReason::TokenRevoked | HealthReason::AccountSuspended => Health::Broken,
        HealthReason::ScopesMissing | HealthReason::RateLimited | HealthReason::ForgeUnreachable => {
            Health::NeedsAttention
        }
        _ => return None,
    };
    let until = match error {
        ForgeError::RateLimited { until, .. } => {
            let now = Timestamp::now();
            let until = until.unwrap_or_else(|| now.plus(WAIT));
            Some(until.clamp(now, now.plus(LONGEST_WAIT)))
        }
        _ => None,
    };
    Some(LinkHealth {
        until,
        ..LinkHealth::because(health, reason, error.to_string())
    })
}

/// Whether a reason is of the moment only.
const fn is_passing(reason: HealthReason) -> bool {
    matches!(reason, HealthReason::RateLimited | HealthReason::ForgeUnreachable)
}
