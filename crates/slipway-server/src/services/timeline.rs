//! The timeline: deliveries, what came of each ref in them, and what every rule said to it.

use slipway_store::{Build, Change, Delivery, DeliveryChange, RuleVerdict, Store, StoreError};
use slipway_types::{ChangeId, DeliveryId, Seq, SourceId};

/// A delivery, and all that came of it.
#[derive(Debug, Clone)]
pub struct DeliveryEntry {
    /// The delivery.
    pub delivery: Delivery,
    /// What came of each ref or pull request in it.
    pub changes: Vec<DeliveryChangeEntry>,
}

/// One ref or pull request of a delivery, and what came of it.
#[derive(Debug, Clone)]
pub struct DeliveryChangeEntry {
    /// What was said, and what came of it in a word.
    pub said: DeliveryChange,
    /// The change that it led to.
    pub change: Option<ChangeEntry>,
}

/// A change, and what every rule said to it.
#[derive(Debug, Clone)]
pub struct ChangeEntry {
    /// The change.
    pub change: Change,
    /// What rules said; empty while that is still to be decided.
    pub verdicts: Vec<RuleVerdict>,
    /// The builds that came of it.
    pub builds: Vec<Build>,
}

/// The timeline.
#[derive(Debug, Clone)]
pub struct Timeline {
    store: Store,
}

impl Timeline {
    /// Of this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A source's deliveries, the newest first; those after `after` in that order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn deliveries(
        &self,
        source: SourceId,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<DeliveryEntry>, StoreError> {
        let mut entries = Vec::new();
        for delivery in self.store.deliveries().of_source(source, after, limit).await? {
            entries.push(self.entry(delivery).await?);
        }
        Ok(entries)
    }

    /// One delivery; `None` if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryEntry>, StoreError> {
        match self.store.deliveries().find(id).await? {
            Some(delivery) => self.entry(delivery).await.map(Some),
            None => Ok(None),
        }
    }

    /// A source's changes, whoever found them, the newest first; those before `before` in the one order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn changes(
        &self,
        source: SourceId,
        before: Option<Seq>,
        limit: i64,
    ) -> Result<Vec<ChangeEntry>, StoreError> {
        let mut entries = Vec::new();
        for change in self.store.ref_changes().of_source(source, before, limit).await? {
            entries.push(self.told(change).await?);
        }
        Ok(entries)
    }

    /// One change; `None` if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn change(&self, id: ChangeId) -> Result<Option<ChangeEntry>, StoreError> {
        match self.store.ref_changes().find(id).await? {
            Some(change) => self.told(change).await.map(Some),
            None => Ok(None),
        }
    }

    async fn entry(&self, delivery: Delivery) -> Result<DeliveryEntry, StoreError> {
        let mut changes = Vec::new();
        for said in self.store.deliveries().changes(delivery.id).await? {
            let change = match said.change {
                Some(id) => self.change(id).await?,
                None => None,
            };
            changes.push(DeliveryChangeEntry { said, change });
        }
        Ok(DeliveryEntry { delivery, changes })
    }

    async fn told(&self, change: Change) -> Result<ChangeEntry, StoreError> {
        let verdicts = self.store.verdicts().of_change(change.id).await?;
        let builds = self.store.builds().of_change(change.id).await?;
        Ok(ChangeEntry {
            change,
            verdicts,
            builds,
        })
    }
}
