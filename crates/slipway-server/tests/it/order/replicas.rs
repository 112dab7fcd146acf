//! Two servers on one PostgreSQL: what is rung in one is heard in the other.
//!
//! Whoever waits here looks by itself once in an hour, so that nothing but a ring of the other server can wake them.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::StreamExt as _;
use secrecy::ExposeSecret as _;
use slipway_builder::outside::{BuilderHello, CancelReason, Coordinator as _, Ended, Leased};
use slipway_server::{
    loops::tell_others::{hear_others, tell_others},
    services::{
        ask::AskForge,
        bells::{Bells, Patience},
        coordinator::InProcess,
        follow::{Follow, LogEvent, LogPlace},
        queue::RetryWith,
    },
};
use slipway_store::{Options, testing::on_postgres};
use slipway_types::{BuildId, RefKind, protocol::FenceAnswer};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    log,
    world::{World, branch, rule},
};

/// Who waits this long waits in vain.
const DEADLINE: Duration = Duration::from_mins(1);

/// Nobody looks by themselves.
const DEAF: Patience = {
    let long = Duration::from_hours(1);
    Patience {
        lease: long,
        fence: long,
        cancel: long,
        log: long,
    }
};

/// Another server on a world's database.
struct Replica {
    bells: Bells,
    coordinator: InProcess,
    follow: Follow,
    /// What carries rings between the two.
    _carriers: JoinSet<std::convert::Infallible>,
}

async fn within<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, waited_for)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A world on PostgreSQL, and another server beside it. Returns when both listen.
async fn two() -> (World, Replica) {
    let world = World::new(on_postgres().await).await;
    let store = world.test_store.again().await;
    let mut bells = Bells::of(&store);
    bells.patience = Arc::new(DEAF);
    let mut carriers = JoinSet::new();
    for (store, bells) in [(&world.store, &world.bells), (&store, &bells)] {
        let me = Uuid::new_v4();
        // Listening begins with a ring: anything may have happened before.
        let mut first = bells.queue.listen();
        carriers.spawn(hear_others(store.clone(), bells.clone(), me));
        carriers.spawn(tell_others(store.clone(), bells.clone(), me));
        within("both to listen", first.rung()).await;
    }
    let ask: Arc<dyn AskForge> = Arc::new(world.forge.clone());
    let replica = Replica {
        coordinator: InProcess::new(store.clone(), ask, bells.clone(), "other"),
        follow: Follow::new(store, bells.clone()),
        bells,
        _carriers: carriers,
    };
    (world, replica)
}

/// Ends every connection that listens on a world's database, as a restart of PostgreSQL would. Returns how many.
async fn cut(world: &World) -> usize {
    let Options::Postgres { url } = &world.test_store.options else {
        panic!("not on PostgreSQL");
    };
    let url: url::Url = url.expose_secret().parse().unwrap();
    let statement = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{}' AND application_name = 'slipway wake-ups'",
        url.path().trim_start_matches('/')
    );
    let ended = tokio::task::spawn_blocking(move || slipway_parts::Postgres::shared().execute(&statement));
    ended.await.unwrap().unwrap().lines().count()
}

/// A builder of another host.
fn hello() -> BuilderHello {
    BuilderHello {
        host: "other".to_owned(),
        version: "0".to_owned(),
        platforms: vec!["linux/amd64".to_owned()],
        driver: "rootless".to_owned(),
        isolates: true,
        slots: 100,
    }
}

/// A push to `main`, and its build leased by a builder of the world's own server.
async fn leased(world: &World) -> Leased {
    world.deliver(&world.push(&branch("main"))).await;
    world.lease().await.unwrap()
}

#[tokio::test]
async fn every_bell_that_is_rung_at_one_server_rings_at_the_other() {
    let (world, replica) = two().await;
    let (here, there) = (&world.bells, &replica.bells);
    for (name, here, there) in [
        ("deliveries", &here.deliveries, &there.deliveries),
        ("checks", &here.checks, &there.checks),
        ("changes", &here.changes, &there.changes),
        ("tags", &here.tags, &there.tags),
        ("outbox", &here.outbox, &there.outbox),
    ] {
        // The ring with which listening began.
        within(name, there.woken()).await;
        here.up();
        within(name, there.woken()).await;
    }
    let mut queue = there.queue.listen();
    here.queue.ring();
    within("the queue", queue.rung()).await;

    let (build, other) = (BuildId::fresh(), BuildId::fresh());
    let (mut hears, mut hears_not) = (there.builds.listen(build), there.builds.listen(other));
    here.builds.ring(build);
    within("a build", hears.rung()).await;
    assert!(
        futures::poll!(pin!(hears_not.rung())).is_pending(),
        "it was another build"
    );
}

#[tokio::test]
async fn a_server_hears_again_after_its_connection_was_lost() {
    let (world, replica) = two().await;
    let mut queue = replica.bells.queue.listen();
    let mut any = replica.bells.builds.listen(BuildId::fresh());
    assert_eq!(cut(&world).await, 2, "both listened");
    // What was rung meanwhile is not known: everything rings.
    within("the connection that is made again", queue.rung()).await;
    within("every build", any.rung()).await;
    world.bells.queue.ring();
    within("a ring after it", queue.rung()).await;
}

#[tokio::test]
async fn a_log_is_followed_at_another_server_than_the_one_that_writes_it() {
    let (world, replica) = two().await;
    world.simple().await;
    let leased = leased(&world).await;
    let (build, lease) = (leased.spec.build, leased.lease);
    let mut heard = replica.follow.build(build, LogPlace::START);
    let mut next_text = async || loop {
        let event = within("more log", heard.next()).await.unwrap().unwrap();
        if let LogEvent::Chunk { chunk, .. } = event {
            return chunk.text;
        }
    };
    for number in 1..=20 {
        let text = format!("line {number}\n");
        world
            .coordinator
            .report(build, lease, log(number, &text))
            .await
            .unwrap();
        assert_eq!(next_text().await, text);
    }
}

#[tokio::test]
async fn a_build_is_cancelled_at_another_server_than_its_builders() {
    let (world, replica) = two().await;
    world.simple().await;
    for _ in 0..5 {
        let leased = leased(&world).await;
        let (build, lease) = (leased.spec.build, leased.lease);
        let hears = within("the wish", replica.coordinator.canceled(build, lease));
        let (wish, canceled) = tokio::join!(hears, world.queue.cancel(build, None));
        assert_eq!((wish, canceled.is_ok()), (CancelReason::Requested, true));
        let ended = Ended::Canceled {
            reason: CancelReason::Requested,
        };
        replica.coordinator.finish(build, lease, ended).await.unwrap();
    }
}

#[tokio::test]
async fn a_push_that_one_server_takes_is_leased_by_a_builder_of_the_other() {
    let (world, replica) = two().await;
    world.simple().await;
    for _ in 0..5 {
        let waits = within("a build", replica.coordinator.lease(hello()));
        let pushed = world.push(&branch("main"));
        let (leased, _) = tokio::join!(waits, world.deliver(&pushed));
        let leased = leased.unwrap().expect("a ring, and not the end of patience");
        world.run(&leased).await;
    }
}

/// As in `fence`: an old build that is retried runs beside a newer one, and waits for its tag.
#[tokio::test]
async fn a_tag_that_is_let_go_at_one_server_wakes_who_waits_at_the_other() {
    let (world, replica) = two().await;
    let rules = ["main", "next"].map(|name| rule(RefKind::Branch, name, "latest"));
    let (app, _) = world.repository("app", &rules).await;
    world.deliver(&world.push(&branch("next"))).await;
    world.run_all().await;
    let old = world.builds(app).await.remove(0);
    for _ in 0..5 {
        let newer = leased(&world).await;
        let tags = newer.spec.image.tags.clone();
        world
            .coordinator
            .fence(newer.spec.build, newer.lease, tags.clone())
            .await
            .unwrap();
        world.queue.retry(old.id, RetryWith::AsItWas, None).await.unwrap();
        let older = world.lease().await.unwrap();
        let (build, lease) = (older.spec.build, older.lease);
        let waits = within("the tag", replica.coordinator.fence(build, lease, tags));
        let (answers, _) = tokio::join!(waits, world.run(&newer));
        assert_eq!(answers.unwrap()[0].1, FenceAnswer::NewerHoldsTag);
        let skipped = vec!["latest".parse().unwrap()];
        let ended = Ended::Success { skipped };
        replica.coordinator.finish(build, lease, ended).await.unwrap();
    }
}
