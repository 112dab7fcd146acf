//! order.md, "One way in", as a property: whatever is lost in order, doubled, late or asked in between, the record
//! ends at the forge's head, every change is decided once, and the last build of a branch is of its head.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use slipway_store::testing::TestStore;
use slipway_types::CommitSha;

use super::world::{Pushed, World, branch};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happens {
    /// Somebody pushes something new.
    Push,
    /// Somebody moves the branch to a commit that it held before; which, modulo how many there are.
    Back(usize),
    /// Somebody deletes the branch.
    Delete,
    /// The provider delivers one of the hints that are under way; which, modulo how many there are.
    Deliver(usize),
    /// The provider delivers one of those that were delivered before.
    Redeliver(usize),
    /// The server takes one step of its loops.
    Step,
    /// All heads are compared with the forge's.
    Compare,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => Just(Happens::Push),
        2 => (0usize..8).prop_map(Happens::Back),
        1 => Just(Happens::Delete),
        5 => (0usize..8).prop_map(Happens::Deliver),
        2 => (0usize..8).prop_map(Happens::Redeliver),
        3 => Just(Happens::Step),
        1 => Just(Happens::Compare),
    ]
}

struct Story {
    world: World,
    held: Vec<CommitSha>,
    under_way: Vec<Pushed>,
    delivered: Vec<Pushed>,
}

impl Story {
    fn moved(&mut self, to: Option<&CommitSha>) {
        let main = branch("main");
        if self.world.forge.head_of(&main).as_ref() == to {
            return;
        }
        let pushed = self.world.move_to(&main, to);
        self.under_way.push(pushed);
    }

    async fn tell(&mut self, what: &Happens) {
        match what {
            Happens::Push => {
                let sha = self.world.commit();
                self.held.push(sha.clone());
                self.moved(Some(&sha));
            }
            Happens::Back(which) if !self.held.is_empty() => {
                let sha = self.held[which % self.held.len()].clone();
                self.moved(Some(&sha));
            }
            Happens::Delete => self.moved(None),
            Happens::Deliver(which) if !self.under_way.is_empty() => {
                let pushed = self.under_way.remove(which % self.under_way.len());
                self.world.send(&pushed).await;
                self.delivered.push(pushed);
            }
            Happens::Redeliver(which) if !self.delivered.is_empty() => {
                let pushed = &self.delivered[which % self.delivered.len()];
                self.world.send(pushed).await;
            }
            Happens::Step => drop(self.world.handle_once().await),
            Happens::Compare => drop(self.world.compare_heads().await),
            Happens::Back(_) | Happens::Deliver(_) | Happens::Redeliver(_) => {}
        }
    }
}

async fn ends_at_the_forges_head(test_store: TestStore, all: &[Happens]) {
    let world = World::new(test_store).await;
    let (app, _) = world.simple().await;
    let mut story = Story {
        world,
        held: Vec::new(),
        under_way: Vec::new(),
        delivered: Vec::new(),
    };
    for what in all {
        story.tell(what).await;
    }
    // In the end everything arrives.
    let Story { world, under_way, .. } = story;
    for pushed in under_way {
        world.send(&pushed).await;
    }
    world.settle().await;

    let main = branch("main");
    let known = world
        .store
        .heads()
        .of_ref(world.source, &main)
        .await
        .unwrap()
        .and_then(|head| head.sha);
    assert_eq!(
        known,
        world.forge.head_of(&main),
        "the record is where the forge is"
    );
    let changes = world
        .store
        .ref_changes()
        .of_source(world.source, None, 1000)
        .await
        .unwrap();
    assert!(
        changes.iter().all(|change| change.decided_at.is_some()),
        "every change was decided"
    );
    let of_main: Vec<_> = changes.iter().rev().collect();
    for pair in of_main.windows(2) {
        assert_eq!(
            pair[0].new, pair[1].old,
            "each change begins where the one before ended"
        );
    }
    for change in &changes {
        let verdicts = world.store.verdicts().of_change(change.id).await.unwrap();
        assert_eq!(verdicts.len(), 1, "the rule spoke once to each change");
    }
    world.run_all().await;
    let last = world
        .builds(app)
        .await
        .into_iter()
        .max_by_key(|build| (build.new.seq, build.id));
    if let (Some(head), Some(last)) = (known, last) {
        assert_eq!(last.new.sha, head, "the newest build is of the head");
        assert_eq!(world.tag_holds("app", "latest").await, Some(head));
    }
}

fn tell_many(cases: u32, open: impl AsyncFn() -> TestStore) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&prop::collection::vec(happens(), 1..24), |all| {
            runtime.block_on(async {
                Box::pin(ends_at_the_forges_head(open().await, &all)).await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_order_of_hints_ends_at_the_forges_head_on_sqlite() {
    tell_many(48, async || slipway_store::testing::on_sqlite().await);
}

#[test]
fn any_order_of_hints_ends_at_the_forges_head_on_postgres() {
    tell_many(16, async || slipway_store::testing::on_postgres().await);
}
