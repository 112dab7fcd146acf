//! Every worked example of order.md, "One way in".

use slipway_types::{RefKind, build::BuildState, decision::ChangeResult};

use super::{
    story,
    world::{branch, ensure_source, fields, rule, states, tag},
};

story! {
    /// "push A, B, force-push back to A → three builds, `latest` ends at A; B's delivery arriving once more after
    /// that → `head_unchanged` after asking".
    async fn rolling_back_builds_the_old_commit_again(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        let b = world.push(&branch("main"));
        world.deliver(&b).await;
        let back = world.move_to(&branch("main"), Some(&a.sha()));
        world.deliver(&back).await;
        world.run_all().await;

        assert_eq!(world.commits(app).await, [a.sha(), b.sha(), a.sha()]);
        assert_eq!(world.tag_holds("app", "latest").await, Some(a.sha()));

        let asked = world.forge.asked();
        let late = world.deliver(&b).await;
        assert_eq!(world.entry(late).await.changes[0].said.result, ChangeResult::HeadUnchanged);
        assert_eq!(world.forge.asked(), asked + 1, "the forge was asked");
        assert_eq!(world.builds(app).await.len(), 3);
    }

    /// "B's delivery before A's → head asked, B built, A's late one harmless".
    async fn reordered_deliveries_build_the_newest_once(world) {
        let (app, _) = world.simple().await;
        let first = world.push(&branch("main"));
        world.deliver(&first).await;
        let a = world.push(&branch("main"));
        let b = world.push(&branch("main"));

        world.deliver(&b).await;
        let late = world.deliver(&a).await;
        world.run_all().await;

        assert_eq!(world.commits(app).await, [first.sha(), b.sha()]);
        assert_eq!(world.entry(late).await.changes[0].said.result, ChangeResult::HeadUnchanged);
        assert_eq!(world.tag_holds("app", "latest").await, Some(b.sha()));
    }

    /// The roll-back's delivery before the push's: what was not believed counts as said.
    async fn a_push_that_arrives_after_its_roll_back_is_not_news(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        let b = world.push(&branch("main"));
        let back = world.move_to(&branch("main"), Some(&a.sha()));

        world.deliver(&back).await;
        world.deliver(&b).await;
        world.run_all().await;

        assert_eq!(world.commits(app).await, [a.sha()]);
        assert_eq!(world.tag_holds("app", "latest").await, Some(a.sha()));
    }

    /// "Webhook lost, next push arrives → one build, of the newest".
    async fn a_lost_webhook_costs_no_more_than_its_own_build(world) {
        let (app, _) = world.simple().await;
        let first = world.push(&branch("main"));
        world.deliver(&first).await;
        world.push(&branch("main"));
        let newest = world.push(&branch("main"));
        world.deliver(&newest).await;

        assert_eq!(world.commits(app).await, [first.sha(), newest.sha()]);
    }

    /// "Branch deleted and pushed again at the same commit → built again".
    async fn a_branch_that_comes_back_is_built_again(world) {
        let (app, _) = world.simple().await;
        let a = world.push(&branch("main"));
        world.deliver(&a).await;
        world.run_all().await;
        let gone = world.move_to(&branch("main"), None);
        world.deliver(&gone).await;
        let again = world.move_to(&branch("main"), Some(&a.sha()));
        world.deliver(&again).await;
        world.run_all().await;

        assert_eq!(world.commits(app).await, [a.sha(), a.sha()]);
    }

    /// "Five tags at once (GitHub says nothing) → found by the next reconciliation, five builds".
    async fn tags_that_nobody_told_of_are_found_by_comparing(world) {
        let (app, _) = world.repository("app", &[rule(RefKind::Tag, "/^v(.+)$/", r"{\1}")]).await;
        let pushed: Vec<_> = (1..=5).map(|n| world.push(&tag(&format!("v{n}"))).sha()).collect();

        assert_eq!(world.compare_heads().await, 5);
        world.settle().await;

        let mut commits = world.commits(app).await;
        commits.sort();
        assert_eq!(commits, pushed);
        assert_eq!(world.compare_heads().await, 0, "found once");
    }

    /// "Two branches whose rules write one tag → ordered by `seq`".
    async fn builds_that_write_one_tag_run_in_the_order_of_their_pushes(world) {
        let rules = [rule(RefKind::Branch, "main", "latest"), rule(RefKind::Branch, "next", "latest")];
        let (app, _) = world.repository("app", &rules).await;
        let first = world.push(&branch("next"));
        world.deliver(&first).await;
        let second = world.push(&branch("main"));
        world.deliver(&second).await;

        let builds = world.builds(app).await;
        assert_eq!(builds.iter().map(|build| build.ready).collect::<Vec<_>>(), [true, false]);
        let leased = world.lease().await.unwrap();
        assert_eq!(leased.spec.source.commit, first.sha());
        assert!(world.lease().await.is_none(), "the second waits for the first");
        world.run(&leased).await;
        let leased = world.lease().await.unwrap();
        assert_eq!(leased.spec.source.commit, second.sha());
        world.run(&leased).await;
        assert_eq!(world.tag_holds("app", "latest").await, Some(second.sha()));
    }

    /// Two repositories may point at one place: the tag is keyed by where the image really is.
    async fn the_order_of_a_tag_holds_across_repositories(world) {
        let main = [rule(RefKind::Branch, "main", "latest")];
        world.repository_with("one", "shared", &main, fields()).await;
        world.repository_with("two", "shared", &main, fields()).await;
        world.deliver(&world.push(&branch("main"))).await;

        let leased = world.lease().await.unwrap();
        assert!(world.lease().await.is_none());
        world.run(&leased).await;
        assert!(world.lease().await.is_some());
    }

    /// "Redelivery of last week's push → `head_unchanged`".
    async fn an_old_delivery_sent_again_changes_nothing(world) {
        let (app, _) = world.simple().await;
        let old = world.push(&branch("main"));
        world.deliver(&old).await;
        world.deliver(&world.push(&branch("main"))).await;
        world.deliver(&world.push(&branch("main"))).await;

        let again = world.deliver(&old).await;

        assert_eq!(world.entry(again).await.changes[0].said.result, ChangeResult::HeadUnchanged);
        assert_eq!(world.builds(app).await.len(), 3);
    }

    /// "The same delivery twice: one build" (issue, "Bad input"): the record says so already, nobody is asked.
    async fn a_delivery_that_comes_twice_builds_once(world) {
        let (app, _) = world.simple().await;
        let asked = world.forge.asked();
        let push = world.push(&branch("main"));
        world.send(&push).await;
        world.send(&push).await;
        world.settle().await;

        assert_eq!(world.commits(app).await, [push.sha()]);
        assert_eq!(world.forge.asked(), asked);
    }

    /// "Source repository exchanged for another → tags go on moving forward".
    async fn a_tag_moves_forward_when_the_source_is_exchanged(world) {
        let (app, configuration) = world.simple().await;
        let old = world.push(&branch("main"));
        world.deliver(&old).await;
        world.run_all().await;

        let tx = world.store.begin().await.unwrap();
        let source = tx.source_repositories().get(world.source).await.unwrap();
        let other = ensure_source(&tx, world.namespace, source.forge, 4712).await;
        let now = tx.configurations().find(configuration).await.unwrap().unwrap();
        assert!(tx.configurations().update(configuration, now.version, other, &now.fields).await.unwrap());
        tx.commit().await.unwrap();
        let newer = world.push(&branch("main"));
        let triggered = world
            .queue
            .trigger(configuration, &slipway_server::services::queue::TriggerWhat::All, None)
            .await
            .unwrap();
        assert_eq!(triggered[0].commit, Some(newer.sha()));
        world.settle().await;
        world.run_all().await;

        assert_eq!(world.builds(app).await.len(), 2);
        assert_eq!(world.tag_holds("app", "latest").await, Some(newer.sha()));
    }

    /// "Killed between accepting and admitting → built once": what was in memory is gone, the row is not.
    async fn a_change_that_was_accepted_before_a_crash_is_built_once(world) {
        let (app, _) = world.simple().await;
        let push = world.push(&branch("main"));
        world.send(&push).await;
        assert!(world.handle_once().await);
        assert_eq!(world.store.ref_changes().count_observed().await.unwrap(), 1);
        assert!(world.builds(app).await.is_empty());

        // Another process takes up what the first one left; the first one's last word comes late.
        let left = world.store.ref_changes().next_observed(slipway_types::Timestamp::now()).await.unwrap().unwrap();
        assert!(world.decide_once().await);
        world.late_decision(&left).await;

        assert_eq!(world.commits(app).await, [push.sha()]);
        assert!(world.is_settled().await);
    }

    /// Killed between storing a delivery and looking at it, twice over: handled once.
    async fn a_delivery_that_was_answered_is_handled_after_a_crash(world) {
        let (app, _) = world.simple().await;
        let push = world.push(&branch("main"));
        world.send(&push).await;
        let left = world.store.deliveries().next_unhandled(slipway_types::Timestamp::now()).await.unwrap().unwrap();
        world.deliveries.handle(&left).await.unwrap();
        world.deliveries.handle(&left).await.unwrap();
        world.settle().await;

        assert_eq!(world.commits(app).await, [push.sha()]);
    }

    /// "First sight: saving a configuration records all present heads as the baseline, without builds".
    async fn heads_that_were_there_before_are_remembered_and_not_built(world) {
        world.push(&branch("main"));
        let (app, _) = world.simple().await;
        world.settle().await;
        assert!(world.builds(app).await.is_empty());

        let push = world.push(&branch("main"));
        world.deliver(&push).await;
        assert_eq!(world.commits(app).await, [push.sha()]);
    }

    /// A forge that is down: the question waits, and is answered when it is back.
    async fn a_question_waits_for_a_forge_that_is_down(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        world.push(&branch("main"));
        let newest = world.push(&branch("main"));
        world.forge.set_down(true);
        let id = world.deliver(&newest).await;
        assert_eq!(world.entry(id).await.changes[0].said.result, ChangeResult::AskingForge);
        assert_eq!(world.builds(app).await.len(), 1);

        world.forge.set_down(false);
        let tx = world.store.begin().await.unwrap();
        assert_eq!(tx.head_checks().wake(world.source).await.unwrap(), 1);
        tx.commit().await.unwrap();
        world.settle().await;
        assert_eq!(world.entry(id).await.changes[0].said.result, ChangeResult::Accepted);
        assert_eq!(world.builds(app).await.last().unwrap().new.sha, newest.sha());
    }

    /// With superseding on, three quick pushes leave one build to run; the others say which took their place.
    async fn a_newer_build_of_a_branch_takes_the_place_of_waiting_ones(world) {
        let superseding = slipway_store::ConfigurationFields {
            supersede: slipway_types::rule::Supersede::Branches,
            ..fields()
        };
        let main = [rule(RefKind::Branch, "main", "latest")];
        let (app, _) = world.repository_with("app", "app", &main, superseding).await;
        world.deliver(&world.push(&branch("main"))).await;
        let running = world.lease().await.unwrap();
        world.deliver(&world.push(&branch("main"))).await;
        world.deliver(&world.push(&branch("main"))).await;

        let builds = world.builds(app).await;
        assert_eq!(states(&builds), [BuildState::InProgress, BuildState::Canceled, BuildState::Pending]);
        assert_eq!(builds[1].superseded_by, Some(builds[2].id));
        world.run(&running).await;
        world.run_all().await;
        assert_eq!(world.tag_holds("app", "latest").await, Some(builds[2].new.sha.clone()));
    }
}
