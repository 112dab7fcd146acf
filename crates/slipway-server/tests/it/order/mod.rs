//! Heads, order, leases and the fence (order.md), told at the services' face: real stores, real deliveries as GitHub
//! signs and shapes them, and a forge that is a few lines of memory.

mod fence;
mod leases;
mod memory_forge;
mod queue;
mod receiving;
mod reordering;
mod repair;
mod replicas;
mod side_by_side;
mod words;
mod worked_examples;
mod world;

use slipway_builder::outside::{Batch, LogChunk};
use slipway_types::build::Phase;

/// Tells one story on both databases: `story! { async fn name(world) { … } }`.
macro_rules! story {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident) $body:block)+) => {
        $($(#[$doc])* mod $name {
            use super::*;

            async fn story($world: $crate::order::world::World) $body

            #[tokio::test]
            async fn on_sqlite() {
                story($crate::order::world::World::new(slipway_store::testing::on_sqlite().await).await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                story($crate::order::world::World::new(slipway_store::testing::on_postgres().await).await).await;
            }
        })+
    };
}
pub(crate) use story;

/// A batch of nothing but a piece of the log.
fn log(number: u64, text: &str) -> Batch {
    let chunk = LogChunk {
        phase: Phase::Build,
        at_ms: 1,
        text: text.to_owned(),
    };
    Batch {
        number,
        events: Vec::new(),
        log: vec![chunk],
    }
}
