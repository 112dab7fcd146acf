//! What was rung in one server, on its way to the others.
//!
//! Rings pile up until they are taken, and are one then: however much happens, a server tells the others at most
//! [`BUILDS`] builds at once, and *any of them* where there are more. So nothing grows while the database is away.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use slipway_types::BuildId;
use tokio::sync::Notify;

/// How many builds are told by name. With their ids they fit into one notice
/// ([`MAX_NOTICE`](slipway_store::MAX_NOTICE)).
const BUILDS: usize = 128;

/// A bell that is rung for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// A delivery was stored.
    Deliveries,
    /// A forge has to be asked.
    Checks,
    /// A change has to be decided.
    Changes,
    /// A tag has to be read back.
    Tags,
    /// Something has to be done at an outer system.
    Outbox,
    /// A build may be leased, or a tag was let go.
    Queue,
}

/// What was rung.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rings {
    bells: BTreeSet<Ring>,
    builds: BTreeSet<BuildId>,
    /// Builds, and too many to name.
    any_build: bool,
}

impl Rings {
    /// Everything: something may have been missed.
    pub fn all() -> Self {
        use Ring::{Changes, Checks, Deliveries, Outbox, Queue, Tags};
        Self {
            bells: [Deliveries, Checks, Changes, Tags, Outbox, Queue].into(),
            builds: BTreeSet::new(),
            any_build: true,
        }
    }

    /// The bells.
    pub fn bells(&self) -> impl Iterator<Item = Ring> {
        self.bells.iter().copied()
    }

    /// The builds that went on; `None`: any may have.
    pub fn builds(&self) -> impl Iterator<Item = Option<BuildId>> {
        let any = self.any_build.then_some(None);
        any.into_iter().chain(self.builds.iter().copied().map(Some))
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, more: Self) {
        self.bells.extend(more.bells);
        self.any_build |= more.any_build;
        self.builds.extend(more.builds);
        if self.any_build || self.builds.len() > BUILDS {
            self.any_build = true;
            self.builds.clear();
        }
    }
}

/// What other servers have not been told yet.
#[derive(Debug, Clone, Default)]
pub struct Untold(Arc<Pile>);

#[derive(Debug, Default)]
struct Pile {
    rings: Mutex<Rings>,
    there: Notify,
}

impl Untold {
    pub(super) fn add_build(&self, build: BuildId) {
        self.add_all(Rings {
            builds: [build].into(),
            ..Rings::default()
        });
    }

    pub(crate) fn add(&self, ring: Ring) {
        self.add_all(Rings {
            bells: [ring].into(),
            ..Rings::default()
        });
    }

    /// Puts back what could not be told.
    pub fn add_all(&self, rings: Rings) {
        self.0
            .rings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(rings);
        self.0.there.notify_one();
    }

    /// Everything that was rung since the last time, as soon as there is anything.
    pub async fn take(&self) -> Rings {
        loop {
            let rings = std::mem::take(&mut *self.0.rings.lock().unwrap_or_else(PoisonError::into_inner));
            if !rings.is_empty() {
                return rings;
            }
            self.0.there.notified().await;
        }
    }
}

/// Rings as one server tells them to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which server: it has heard them already.
    pub by: uuid::Uuid,
    /// What was rung.
    pub rings: Rings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_rung_often_is_told_once() {
        let untold = Untold::default();
        let build = BuildId::fresh();
        for _ in 0..1_000 {
            untold.add(Ring::Queue);
            untold.add_build(build);
        }
        untold.add(Ring::Outbox);
        let rings = untold.take().await;
        assert_eq!(rings.bells().collect::<Vec<_>>(), [Ring::Outbox, Ring::Queue]);
        assert_eq!(rings.builds().collect::<Vec<_>>(), [Some(build)]);
        assert!(futures::poll!(std::pin::pin!(untold.take())).is_pending());
    }

    #[tokio::test]
    async fn any_number_of_builds_fits_into_one_notice() {
        for builds in [1, BUILDS, BUILDS + 1, 10 * BUILDS] {
            let untold = Untold::default();
            untold.add_all(Rings {
                any_build: false,
                ..Rings::all()
            });
            for _ in 0..builds {
                untold.add_build(BuildId::fresh());
            }
            let rings = untold.take().await;
            assert_eq!(rings.builds().any(|build| build.is_none()), builds > BUILDS);
            let told = Told {
                by: uuid::Uuid::max(),
                rings,
            };
            let text = serde_json::to_string(&told).unwrap();
            assert!(text.len() <= slipway_store::MAX_NOTICE, "{}", text.len());
            assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), told);
        }
    }
}
