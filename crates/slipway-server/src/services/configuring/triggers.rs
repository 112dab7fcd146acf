//! Build triggers: addresses that start builds, shown once and kept as hashes.

use secrecy::{ExposeSecret as _, SecretString};
use slipway_types::{SlugName, TriggerId, rights::Level};
use slipway_vault::TokenHash;

use super::{Configuring, NO_CONFIGURATION, about};
use crate::services::{Caller, ServiceError};

impl Configuring {
    /// Makes a build trigger; its address is shown this once.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] without a configuration.
    pub async fn create_trigger(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        name: &str,
    ) -> Result<(TriggerId, SecretString), ServiceError> {
        let granted = self
            .access
            .repository(caller, namespace, repository, Level::Admin)
            .await?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(ServiceError::invalid(
                "name",
                "say in 1 to 100 characters who calls it",
            ));
        }
        let (token, hash) = TokenHash::generate("slw_trg");
        let tx = self.store.begin().await?;
        let there = tx
            .configurations()
            .of_repository(granted.repository.id)
            .await?
            .ok_or(NO_CONFIGURATION)?;
        let id = tx
            .triggers()
            .insert(there.id, name, hash.as_str(), caller.user)
            .await?;
        tx.audit()
            .record(&about(caller, "trigger.created", &granted, name))
            .await?;
        tx.commit().await?;
        // The configuration's id stays when another source is chosen.
        let url = self
            .config
            .trigger_url(&there.id.to_string(), token.expose_secret());
        Ok((id, url.to_string().into()))
    }

    /// Revokes a build trigger: its address starts nothing from now on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when the repository has no such trigger.
    pub async fn revoke_trigger(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        id: TriggerId,
    ) -> Result<(), ServiceError> {
        let (tx, granted, there) = self.begin_on(caller, namespace, repository, Level::Admin).await?;
        if !tx.triggers().delete(there.id, id).await? {
            return Err(ServiceError::NotFound {
                what: "the build trigger",
            });
        }
        tx.audit()
            .record(&about(caller, "trigger.revoked", &granted, &id.to_string()))
            .await?;
        Ok(tx.commit().await?)
    }
}
