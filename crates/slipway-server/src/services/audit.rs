//! The audit trail: who did what. Written by the services that do it, in the same transaction; read here.

use slipway_store::{Act, AuditOf, NewAct, Store};
use slipway_types::{AuditId, SlugName};

use super::{Access, Caller, ServiceError};

/// What a caller did, without particulars: to be filled in with `..`.
pub(super) fn act<'a>(caller: &'a Caller, act: &'a str, object: &'a str) -> NewAct<'a> {
    NewAct {
        user: Some(caller.user),
        actor: caller.name.as_str(),
        address: caller.address.as_deref(),
        namespace: None,
        repository: None,
        act,
        object,
        detail: serde_json::Value::Null,
    }
}

/// Reads the trail.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    store: Store,
    access: Access,
}

impl AuditTrail {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    /// What was done in a namespace, the latest first, before `before`. For its owners.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for strangers, [`ServiceError::Forbidden`] for others than owners.
    pub async fn of_namespace(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<Act>, ServiceError> {
        let namespace = self.access.owned_namespace(caller, namespace).await?;
        let of = AuditOf::Namespace(namespace.id);
        Ok(self.store.audit().page(of, before, limit).await?)
    }

    /// What was done anywhere here, the latest first, before `before`. For administrators.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for others.
    pub async fn everything(
        &self,
        caller: &Caller,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<Act>, ServiceError> {
        self.access.administrator(caller)?;
        Ok(self
            .store
            .audit()
            .page(AuditOf::Everything, before, limit)
            .await?)
    }
}
