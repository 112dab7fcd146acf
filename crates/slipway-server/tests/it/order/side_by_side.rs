//! Two servers on one PostgreSQL do the loops at once: what one has taken the other leaves alone, so that nothing is
//! done twice, and no forge is asked twice.

use std::sync::Arc;

use futures::future::join;
use slipway_forge::HttpClient;
use slipway_server::{
    loops::{
        ask_forge::ask_forge_one,
        decide::decide_one,
        handle_deliveries::handle_deliveries_one,
        reconcile::{Failing, reconcile_one},
    },
    services::{
        ask::AskForge,
        bells::Bells,
        config::Config,
        decide::Decide,
        deliveries::Deliveries,
        forges::Forges,
        observe::Observe,
        source_providers::{ProviderForm, SourceProviders},
    },
};
use slipway_store::{Store, testing::on_postgres};
use slipway_types::{RefKind, Timestamp, forge::ForgeKind};

use super::world::{World, branch, rule};

/// Another server on a world's database.
struct Other {
    store: Store,
    bells: Bells,
    deliveries: Deliveries,
    observe: Observe,
    decide: Decide,
}

async fn two() -> (World, Other) {
    let world = World::new(on_postgres().await).await;
    let store = world.test_store.again().await;
    let bells = Bells::of(&store);
    let ask: Arc<dyn AskForge> = Arc::new(world.forge.clone());
    let observe = Observe::new(store.clone(), Arc::clone(&ask), bells.clone());
    let other = Other {
        deliveries: Deliveries::new(store.clone(), Arc::clone(&ask), observe.clone(), bells.clone()),
        decide: Decide::new(store.clone(), ask, bells.clone()),
        observe,
        bells,
        store,
    };
    (world, other)
}

impl Other {
    /// Until neither of the two finds anything to do.
    async fn settle_with(&self, world: &World) {
        loop {
            let here = async {
                let handled = world.handle_once().await;
                let asked = ask_forge_one(&world.store, &world.observe, &world.bells)
                    .await
                    .unwrap();
                handled | asked | world.decide_once().await
            };
            let there = async {
                let handled = handle_deliveries_one(&self.deliveries).await.unwrap();
                let asked = ask_forge_one(&self.store, &self.observe, &self.bells)
                    .await
                    .unwrap();
                handled | asked | decide_one(&self.store, &self.decide).await.unwrap()
            };
            if join(Box::pin(here), Box::pin(there)).await == (false, false) && world.is_settled().await {
                return;
            }
        }
    }
}

/// Each push follows the one before: taken in their order, none of them is a question to the forge.
#[tokio::test]
async fn deliveries_of_one_source_are_handled_once_and_in_their_order() {
    let (world, other) = two().await;
    let (app, _) = world.simple().await;
    let before = world.forge.asked();
    let mut pushed = Vec::new();
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        let push = world.push(&branch("main"));
        deliveries.push(world.send(&push).await);
        pushed.push(push.sha());
    }
    other.settle_with(&world).await;
    assert_eq!(world.commits(app).await, pushed);
    assert_eq!(world.forge.asked(), before, "nothing came out of order");
    for id in deliveries {
        let delivery = world.store.deliveries().find(id).await.unwrap().unwrap();
        assert_eq!((delivery.attempts, delivery.detail), (0, None));
    }
}

#[tokio::test]
async fn a_forge_is_asked_once_for_each_head() {
    let (world, other) = two().await;
    let names: Vec<_> = (0..20).map(|n| format!("b{n}")).collect();
    world
        .repository("app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")])
        .await;
    for name in &names {
        // Its first push is never heard of: the second does not follow from the record.
        world.push(&branch(name));
        let heard = world.push(&branch(name));
        world.send(&heard).await;
    }
    let before = world.forge.asked();
    other.settle_with(&world).await;
    assert_eq!(world.forge.asked() - before, names.len());
}

#[tokio::test]
async fn a_forge_is_asked_once_for_what_rules_look_at() {
    let (world, other) = two().await;
    let (app, _) = world.simple().await;
    // Found by comparing, heads come without their commits' messages.
    let before = world.forge.told();
    for n in 1..=10 {
        world.push(&branch("main"));
        world.compare_heads().await;
        other.settle_with(&world).await;
        assert_eq!(world.forge.told() - before, n);
    }
    assert_eq!(world.builds(app).await.len(), 10);
}

#[tokio::test]
async fn heads_are_compared_by_one_server() {
    let (world, other) = two().await;
    world.simple().await;
    for _ in 0..10 {
        let started = Timestamp::now().plus(std::time::Duration::from_millis(1));
        let before = world.forge.asked();
        let mut failing = [Failing::default(), Failing::default()];
        let [first, second] = &mut failing;
        let here = reconcile_one(&world.store, &world.observe, first, started);
        let there = reconcile_one(&other.store, &other.observe, second, started);
        let (here, there) = join(here, there).await;
        assert!(here.unwrap() | there.unwrap());
        assert_eq!(world.forge.asked() - before, 1);
    }
}

#[tokio::test]
async fn what_is_read_back_or_checked_is_taken_by_one_server() {
    let (world, other) = two().await;
    world.simple().await;
    world.deliver(&world.push(&branch("main"))).await;
    world.run_all().await;
    let now = Timestamp::now();
    let until = now.plus(std::time::Duration::from_mins(1));

    let head = world
        .store
        .tag_heads()
        .next_unverified(now)
        .await
        .unwrap()
        .unwrap();
    let take = async |store: &Store| {
        let tx = store.begin().await.unwrap();
        let ours = tx.tag_heads().claim(&head, until).await.unwrap();
        tx.commit().await.unwrap();
        ours
    };
    let (here, there) = join(take(&world.store), take(&other.store)).await;
    assert!(here ^ there, "one of them");
    assert_eq!(other.store.tag_heads().next_unverified(now).await.unwrap(), None);

    let link = world
        .store
        .links()
        .to_be_checked(until, 1)
        .await
        .unwrap()
        .remove(0);
    let take = async |store: &Store| {
        let tx = store.begin().await.unwrap();
        let ours = tx.links().take_check(link.id, now, until).await.unwrap();
        tx.commit().await.unwrap();
        ours
    };
    let (here, there) = join(take(&world.store), take(&other.store)).await;
    assert!(here ^ there, "one of them");
}

/// Both find no provider in an empty database, and both have to start.
#[tokio::test]
async fn servers_that_start_together_make_a_provider_once() {
    let database = on_postgres().await;
    let form = ProviderForm {
        kind: ForgeKind::Github,
        name: "github".to_owned(),
        display_name: "GitHub".to_owned(),
        web_url: "https://github.invalid".parse().unwrap(),
        api_url: "https://api.github.invalid".parse().unwrap(),
        known_hosts: Vec::new(),
        client_id: "client".to_owned(),
        client_secret: Some("secret".into()),
        app: None,
    };
    let config = Arc::new(Config {
        public_url: "https://slipway.invalid".parse().unwrap(),
    });
    // It installs the TLS provider.
    let _ = slipway_registry::http_client();
    let none: [String; 0] = [];
    let servers = [database.store.clone(), database.again().await].map(|store| {
        let forges = Forges::new(store.clone(), HttpClient::new(none.clone()).unwrap());
        SourceProviders::new(store, forges, Arc::clone(&config))
    });
    let forms = [form];
    let (here, there) = join(servers[0].configure(&forms), servers[1].configure(&forms)).await;
    here.unwrap();
    there.unwrap();
    assert_eq!(database.store.forges().all().await.unwrap().len(), 1);
}
