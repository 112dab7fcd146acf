//! The audit trail: who did what. Written by the services that do it, in the same transaction; read here.

use slipway_store::{Act, AuditOf, NewAct, Store};
use slipway_types::AuditId;

use super::{Caller, ServiceError};

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

/// Reads the trail. Callers have been allowed to see what they ask for.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    store: Store,
}

impl AuditTrail {
    /// Over this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// What was done, the latest first, before `before`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn page(
        &self,
        of: AuditOf,
        before: Option<AuditId>,
        limit: i64,
    ) -> Result<Vec<Act>, ServiceError> {
        Ok(self.store.audit().page(of, before, limit).await?)
    }
}
