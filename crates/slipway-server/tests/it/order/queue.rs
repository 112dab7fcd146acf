//! The queue as people use it.

use slipway_builder::outside::{Coordinator as _, Ended};
use slipway_server::services::queue::{QueueError, RetryWith, TriggerWhat};
use slipway_types::{
    RefKind,
    build::{BuildState, Cause, FailureKind},
    rule::RuleFields,
};

use super::{
    story,
    world::{branch, rule, said, tag},
};

story! {
    /// "Trigger … observe first, then build the head even if unchanged".
    async fn a_trigger_builds_the_head_also_if_it_was_built(world) {
        let (app, configuration) = world.simple().await;
        let push = world.push(&branch("main"));
        world.deliver(&push).await;
        world.run_all().await;

        let triggered = world.queue.trigger(configuration, &TriggerWhat::All, None).await.unwrap();
        assert_eq!(triggered[0].verdicts[0].admission.map(slipway_store::Admission::as_str), Some("queued"));
        let builds = world.builds(app).await;
        assert_eq!(builds.len(), 2);
        assert_eq!((builds[1].new.cause, &builds[1].new.sha), (Cause::Triggered, &push.sha()));
    }

    /// What the trigger's own look finds is built once, not once for the find and once for the wish.
    async fn a_trigger_that_finds_a_new_head_builds_it_once(world) {
        let (app, configuration) = world.simple().await;
        let push = world.push(&branch("main"));
        let triggered = world.queue.trigger(configuration, &TriggerWhat::All, None).await.unwrap();
        assert_eq!(triggered[0].verdicts[0].admission.map(slipway_store::Admission::as_str), Some("already_queued"));
        assert_eq!(world.commits(app).await, [push.sha()]);
        // Its delivery is no news any more.
        world.deliver(&push).await;
        assert_eq!(world.builds(app).await.len(), 1);
    }

    async fn a_trigger_speaks_to_one_configuration_only(world) {
        let (app, configuration) = world.simple().await;
        let (web, _) = world.repository("web", &[rule(RefKind::Branch, "main", "latest")]).await;
        world.deliver(&world.push(&branch("main"))).await;
        world.run_all().await;
        world.queue.trigger(configuration, &TriggerWhat::Ref(branch("main")), None).await.unwrap();
        assert_eq!((world.builds(app).await.len(), world.builds(web).await.len()), (2, 1));
    }

    async fn a_trigger_names_rules_by_tag_and_refs_by_name(world) {
        let rules = [
            rule(RefKind::Branch, "main", "latest, edge"),
            rule(RefKind::Branch, "next", "next"),
            rule(RefKind::Tag, "/^v(.+)$/", r"{\1}"),
            RuleFields { autobuild: false, ..rule(RefKind::Branch, "main", "asked-for") },
        ];
        let (app, configuration) = world.repository("app", &rules).await;
        world.push(&branch("main"));
        world.push(&branch("next"));
        world.push(&tag("v1"));
        world.compare_heads().await;
        world.settle().await;
        world.run_all().await;
        let before = world.builds(app).await.len();
        let trigger = async |what: TriggerWhat| {
            let triggered = world.queue.trigger(configuration, &what, None).await.unwrap();
            world.run_all().await;
            triggered.into_iter().map(|one| (one.git_ref.full().to_owned(), one.verdicts.len())).collect::<Vec<_>>()
        };
        assert_eq!(trigger(TriggerWhat::DockerTag("edge".to_owned())).await, [("refs/heads/main".to_owned(), 1)]);
        assert_eq!(trigger(TriggerWhat::DockerTag("none".to_owned())).await, []);
        assert_eq!(trigger(TriggerWhat::Ref(tag("v1"))).await, [("refs/tags/v1".to_owned(), 4)]);
        assert_eq!(trigger(TriggerWhat::All).await.len(), 3, "all rules that name one branch or tag");
        assert_eq!(world.builds(app).await.len() - before, 1 + 1 + 3);

        let id = world.store.configurations().rules(configuration).await.unwrap()[2].id;
        let refused = world.queue.trigger(configuration, &TriggerWhat::Rule(id), None).await.unwrap_err();
        assert!(matches!(refused, QueueError::WhichRef));
    }

    async fn a_trigger_of_a_branch_that_is_not_there_builds_nothing(world) {
        let (app, configuration) = world.simple().await;
        let triggered = world.queue.trigger(configuration, &TriggerWhat::All, None).await.unwrap();
        assert_eq!((triggered[0].commit.clone(), triggered[0].verdicts.len()), (None, 0));
        assert!(world.builds(app).await.is_empty());
    }

    /// "Replay of a delivery runs its changes through today's rules again, and builds what they say."
    async fn a_replay_asks_todays_rules_and_does_not_move_tags_back(world) {
        let (app, configuration) = world.repository("app", &[rule(RefKind::Branch, "other", "latest")]).await;
        let a = world.push(&branch("main"));
        let first = world.deliver(&a).await;
        assert_eq!(said(&world.entry(first).await)[0].0, "name_differs");
        let tx = world.store.begin().await.unwrap();
        let fixed = slipway_store::StoredRule {
            id: slipway_types::RuleId::fresh(),
            fields: rule(RefKind::Branch, "main", "latest"),
        };
        tx.configurations().set_rules(configuration, &[fixed]).await.unwrap();
        tx.commit().await.unwrap();

        let replayed = world.deliveries.replay(first, None).await.unwrap();
        world.settle().await;
        let entry = world.entry(replayed).await;
        assert_eq!(entry.delivery.replay_of, Some(first));
        assert_eq!(said(&entry), [("build".to_owned(), Some("queued"))]);
        world.run_all().await;
        assert_eq!(world.tag_holds("app", "latest").await, Some(a.sha()));

        let b = world.push(&branch("main"));
        world.deliver(&b).await;
        world.run_all().await;
        world.deliveries.replay(first, None).await.unwrap();
        world.settle().await;
        world.run_all().await;
        assert_eq!(world.commits(app).await, [a.sha(), b.sha(), a.sha()]);
        assert_eq!(world.tag_holds("app", "latest").await, Some(b.sha()), "the replay is as old as its delivery");
    }

    async fn a_build_that_waits_is_canceled_at_once_and_lets_the_next_one_go(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        world.deliver(&world.push(&branch("main"))).await;
        let builds = world.builds(app).await;
        assert!(builds[0].ready && !builds[1].ready);

        assert_eq!(world.queue.cancel(builds[0].id, None).await.unwrap().state, BuildState::Canceled);
        assert!(world.builds(app).await[1].ready);
        assert!(matches!(world.queue.cancel(builds[0].id, None).await, Err(QueueError::HasEnded)));
    }

    async fn a_retry_waits_for_its_build_to_end_and_can_take_todays_rule(world) {
        let (app, configuration) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let id = world.builds(app).await[0].id;
        let early = world.queue.retry(id, RetryWith::AsItWas, None).await;
        assert!(matches!(early, Err(QueueError::HasNotEnded)));
        let leased = world.lease().await.unwrap();
        let failed = Ended::Failed { kind: FailureKind::BUILD, message: "it broke".to_owned() };
        world.coordinator.finish(leased.spec.build, leased.lease, failed).await.unwrap();

        let mut rules = world.store.configurations().rules(configuration).await.unwrap();
        "stable".clone_into(&mut rules[0].fields.docker_tag);
        let tx = world.store.begin().await.unwrap();
        tx.configurations().set_rules(configuration, &rules).await.unwrap();
        tx.commit().await.unwrap();
        let as_it_was = world.queue.retry(id, RetryWith::AsItWas, None).await.unwrap();
        let todays = world.queue.retry(id, RetryWith::TodaysConfiguration, None).await.unwrap();
        assert_eq!(as_it_was.new.plan.tags[0].as_str(), "latest");
        assert_eq!(todays.new.plan.tags[0].as_str(), "stable");
        assert_eq!(todays.new.seq, leased_seq(&world.builds(app).await));
    }

    async fn disconnecting_ends_what_runs_and_what_waits(world) {
        let (app, configuration) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        world.deliver(&world.push(&branch("main"))).await;
        assert_eq!(world.queue.disconnect(configuration).await.unwrap(), 2);
        let told = world.coordinator.renew(leased.spec.build, leased.lease).await.unwrap();
        let reason = told.cancel.unwrap();
        assert_eq!(reason, slipway_builder::outside::CancelReason::Disconnected);
        world.coordinator.finish(leased.spec.build, leased.lease, Ended::Canceled { reason }).await.unwrap();
        assert!(world.builds(app).await.iter().all(|build| build.state == BuildState::Canceled));
    }

    /// Every state of a build is told to the forge, through the outbox, in the transaction that made it so.
    async fn the_forge_hears_how_a_build_stands(world) {
        world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        world.run_all().await;
        let due = world.store.outbox().due(slipway_types::Timestamp::now(), 10).await.unwrap();
        assert_eq!(due.len(), 1, "in order: waiting, running, ended");
        assert_eq!(due[0].kind, slipway_types::forge::OutboxKind::CommitStatus);
        let payload: slipway_server::services::finish::CommitStatus = due[0].payload().unwrap();
        let config = slipway_server::services::config::Config { public_url: "https://ci.invalid/".parse().unwrap() };
        let (_, _, status) = slipway_server::services::finish::commit_status(&world.store, &config, payload.build)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.state, slipway_forge::StatusState::Success);
        assert_eq!(status.target_url.as_str(), "https://ci.invalid/acme/app/builds/1");
    }
}

fn leased_seq(builds: &[slipway_store::Build]) -> slipway_types::Seq {
    builds[0].new.seq
}
