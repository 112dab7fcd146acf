//! The fence: which build may move a tag.

use slipway_builder::outside::{Batch, Coordinator as _, CoordinatorError, Ended, RunEvent, Stamped};
use slipway_server::{
    loops::reap::{Heartbeats, reap_one},
    services::{coordinator::TERM, queue::RetryWith},
};
use slipway_store::Fence;
use slipway_types::{RefKind, build::BuildState, protocol::FenceAnswer};
use tokio::time::Instant;

use super::{
    story,
    world::{World, branch, digest_of, rule},
};

/// What the reaper does when a builder has gone silent for a term; then the machine's last seconds are over.
async fn lose(world: &World) {
    let (mut seen, start) = (Heartbeats::default(), Instant::now());
    assert_eq!(
        reap_one(&world.store, &world.bells, &mut seen, start)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        reap_one(&world.store, &world.bells, &mut seen, start + TERM)
            .await
            .unwrap(),
        1
    );
}

story! {
    /// "A retry inherits `seq`": it may not move a tag that a newer build has moved.
    async fn a_retry_of_an_old_build_leaves_the_tag_alone_and_is_a_success(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        world.run_all().await;
        let b = world.push(&branch("main"));
        world.deliver(&b).await;
        world.run_all().await;
        let old = world.builds(app).await.remove(0);

        world.queue.retry(old.id, RetryWith::AsItWas, None).await.unwrap();
        let leased = world.lease().await.unwrap();
        assert_eq!(world.run(&leased).await, [FenceAnswer::NewerHoldsTag]);

        let retried = world.build_of(&leased).await;
        assert_eq!(retried.state, BuildState::Success);
        assert_eq!(retried.new.retry_of, Some(old.id));
        assert!(retried.message.unwrap().contains("latest"));
        assert_eq!(world.tag_holds("app", "latest").await, Some(b.sha()));
    }

    /// "*Build as newest* takes a fresh one": then the tag moves to it.
    async fn building_as_newest_moves_the_tag_to_an_old_commit(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        world.deliver(&world.push(&branch("main"))).await;
        world.run_all().await;
        let old = world.builds(app).await.remove(0);

        world.queue.build_as_newest(old.id, RetryWith::TodaysConfiguration, None).await.unwrap();
        world.run_all().await;

        assert_eq!(world.tag_holds("app", "latest").await, Some(a.sha()));
    }

    /// A grant lives no longer than its lease: the next run gets the tag, the lost one's words change nothing.
    async fn a_lost_lease_gives_its_tags_back(world) {
        let (app, _) = world.simple().await;
        let push = world.push(&branch("main"));
        world.deliver(&push).await;
        let lost = world.lease().await.unwrap();
        let tags = lost.spec.image.tags.clone();
        world.coordinator.fence(lost.spec.build, lost.lease, tags.clone()).await.unwrap();
        lose(&world).await;

        let late = Batch {
            number: 1,
            events: vec![Stamped {
                at_ms: 1,
                event: RunEvent::Pushed { tag: tags[0].clone(), digest: digest_of(&push.sha()), size: None },
            }],
            log: Vec::new(),
        };
        let (build, lease) = (lost.spec.build, lost.lease);
        let refused = [
            world.coordinator.report(build, lease, late).await.unwrap_err(),
            world.coordinator.fence(build, lease, tags).await.unwrap_err(),
            world.coordinator.renew(build, lease).await.unwrap_err(),
            world.coordinator.finish(build, lease, Ended::Success { skipped: Vec::new() }).await.unwrap_err(),
        ];
        assert!(refused.iter().all(|error| matches!(error, CoordinatorError::LeaseLost)));
        assert_eq!(world.tag_holds("app", "latest").await, None);

        world.cool(build).await;
        let again = world.lease().await.unwrap();
        assert_eq!(again.lease.0, lease.0 + 1);
        assert_eq!(world.run(&again).await, [FenceAnswer::Granted]);
        assert_eq!(world.tag_holds("app", "latest").await, Some(push.sha()));
        assert_eq!(world.builds(app).await.len(), 1);
    }

    /// "… and which no other live lease holds (then it waits)". Order keeps two builds of one tag from running at
    /// once; a build that was queued late, for an older change, runs beside a newer one all the same.
    async fn a_tag_that_a_live_lease_holds_is_waited_for(world) {
        let rules = [rule(RefKind::Branch, "main", "latest"), rule(RefKind::Branch, "next", "latest")];
        let (app, _) = world.repository("app", &rules).await;
        world.deliver(&world.push(&branch("next"))).await;
        world.deliver(&world.push(&branch("next"))).await;
        world.run_all().await;
        let old = world.builds(app).await.remove(0);
        world.deliver(&world.push(&branch("main"))).await;
        let newer = world.lease().await.unwrap();
        let (build, lease) = (newer.spec.build, newer.lease);
        let tags = newer.spec.image.tags.clone();
        world.coordinator.fence(build, lease, tags.clone()).await.unwrap();

        world.queue.retry(old.id, RetryWith::AsItWas, None).await.unwrap();
        let older = world.lease().await.unwrap();
        let tx = world.store.begin().await.unwrap();
        let held = tx.leases().hold(older.spec.build, older.lease).await.unwrap();
        assert_eq!(tx.tag_heads().fence(&held, &tags).await.unwrap(), Fence::Wait);
        drop(tx);

        let (waited, ()) = tokio::join!(world.coordinator.fence(older.spec.build, older.lease, tags), async {
            world.run(&newer).await;
        });
        assert_eq!(waited.unwrap()[0].1, FenceAnswer::NewerHoldsTag);
    }

    /// "Pushes made by hooks themselves cannot ask": what they moved behind a newer build's back is marked for repair.
    async fn a_hook_that_pushed_without_asking_does_not_take_the_tag(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        let b = world.push(&branch("main"));
        world.deliver(&b).await;
        world.run_all().await;
        let old = world.builds(app).await.remove(0);
        let head = world.tag_head("app", "latest").await;
        let tx = world.store.begin().await.unwrap();
        tx.tag_heads().set_verified(&head).await.unwrap();
        tx.commit().await.unwrap();
        assert!(world.tag_head("app", "latest").await.verified_at.is_some());

        world.queue.retry(old.id, RetryWith::AsItWas, None).await.unwrap();
        let leased = world.lease().await.unwrap();
        let pushed = RunEvent::Pushed {
            tag: "latest".parse().unwrap(),
            digest: digest_of(&a.sha()),
            size: None,
        };
        let batch = Batch { number: 1, events: vec![Stamped { at_ms: 1, event: pushed }], log: Vec::new() };
        world.coordinator.report(leased.spec.build, leased.lease, batch).await.unwrap();
        let ended = Ended::Success { skipped: Vec::new() };
        world.coordinator.finish(leased.spec.build, leased.lease, ended).await.unwrap();

        assert_eq!(world.tag_holds("app", "latest").await, Some(b.sha()));
        assert!(world.tag_head("app", "latest").await.verified_at.is_none(), "it is to be read back");
    }

    /// A tag that is not the build's own is nothing that it may ask for.
    async fn a_build_cannot_ask_for_another_builds_tag(world) {
        world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        let foreign = vec!["stable".parse().unwrap()];
        let answers = world.coordinator.fence(leased.spec.build, leased.lease, foreign).await.unwrap();
        assert_eq!(answers[0].1, FenceAnswer::NewerHoldsTag);
    }
}
