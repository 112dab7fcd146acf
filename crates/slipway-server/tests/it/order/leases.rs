//! Leases: who runs a build, and when they do not any more.

use futures::TryStreamExt as _;
use slipway_builder::outside::{
    Batch, CancelReason, Coordinator as _, CoordinatorError, Ended, RunEvent, Stamped,
};
use slipway_server::{
    loops::reap::{Heartbeats, reap_one},
    services::{
        coordinator::TERM,
        follow::{LogEvent, LogPlace},
    },
};
use slipway_store::{ConfigurationFields, Plan};
use slipway_types::{
    RefKind,
    build::{BuildState, FailureKind, Hold, Phase},
    protocol::{Facts, Step},
};
use tokio::time::Instant;

use super::{
    log, story,
    world::{World, branch, fields, rule},
};

async fn some_branches(world: &World, count: usize) {
    for n in 0..count {
        world.deliver(&world.push(&branch(&format!("b{n}")))).await;
    }
}

story! {
    async fn a_namespace_runs_no_more_builds_than_its_plan_allows(world) {
        world.repository("app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")]).await;
        let tx = world.store.begin().await.unwrap();
        let plan = tx.plans().of(world.namespace).await.unwrap();
        tx.plans().set(&Plan { concurrency: 2, ..plan }).await.unwrap();
        tx.commit().await.unwrap();
        some_branches(&world, 4).await;

        let first = world.lease().await.unwrap();
        assert!(world.lease().await.is_some());
        assert!(world.lease().await.is_none());
        let waiting = world.queue.waiting(world.namespace).await.unwrap();
        let holds: Vec<_> = waiting.iter().map(|one| (one.position, one.hold)).collect();
        assert_eq!(
            holds,
            [(None, None), (None, None), (Some(1), Some(Hold::Concurrency)), (Some(2), Some(Hold::Concurrency))]
        );
        world.run(&first).await;
        assert!(world.lease().await.is_some());
        let waiting = world.queue.waiting(world.namespace).await.unwrap();
        assert!(waiting.iter().all(|one| one.usual.is_some() && one.estimate.is_some()), "one build has told");
    }

    /// "one namespace's hundred pushes do not starve another's one".
    async fn the_namespace_with_the_fewest_running_builds_goes_first(world) {
        world.repository("app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")]).await;
        some_branches(&world, 3).await;
        let busy = world.lease().await.unwrap();
        let other = world.other_namespace_waits().await;

        let next = world.lease().await.unwrap();
        assert_eq!(world.build_of(&next).await.new.namespace, other);
        let after = world.build_of(&world.lease().await.unwrap()).await;
        assert_eq!(after.new.namespace, world.build_of(&busy).await.new.namespace);
    }

    /// "On `host`, one build per `DOCKER_REPO` at a time: they would share the tag `this`."
    async fn builds_on_one_engine_do_not_share_an_image_path(world) {
        world.repository("app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")]).await;
        world.repository("web", &[rule(RefKind::Branch, "/^b/", "{sourceref}")]).await;
        some_branches(&world, 2).await;
        let host = world.builder("host", false).await;
        let mut repos = Vec::new();
        while let Some(leased) = world.coordinator.try_lease(host).await.unwrap() {
            repos.push(leased.spec.image.docker_repo());
        }
        assert_eq!(repos, ["registry.invalid:5000/acme/app", "registry.invalid:5000/acme/web"]);
        assert!(world.lease().await.is_some(), "an engine of its own has no such limit");
    }

    async fn a_build_is_found_behind_many_that_ask_for_another_builder(world) {
        let elsewhere = ConfigurationFields { builder_labels: vec!["gpu".to_owned()], ..fields() };
        world.repository_with("app", "app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")], elsewhere).await;
        some_branches(&world, 7).await;
        let (web, _) = world.repository("web", &[rule(RefKind::Branch, "main", "latest")]).await;
        world.deliver(&world.push(&branch("main"))).await;
        let found = world.build_of(&world.lease().await.unwrap()).await;
        assert_eq!(found.new.repository, web);
    }

    async fn a_lost_builder_is_tried_three_times(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        for run in 1..=3 {
            let leased = world.lease().await.unwrap();
            assert_eq!(leased.lease.0, run);
            let (mut seen, start) = (Heartbeats::default(), Instant::now());
            reap_one(&world.store, &world.bells, &mut seen, start).await.unwrap();
            world.coordinator.renew(leased.spec.build, leased.lease).await.unwrap();
            let renewed = reap_one(&world.store, &world.bells, &mut seen, start + TERM).await.unwrap();
            assert_eq!(renewed, 0, "its counter has moved");
            let reaped = reap_one(&world.store, &world.bells, &mut seen, start + TERM + TERM).await.unwrap();
            assert_eq!(reaped, 1);
            if run < 3 {
                assert!(world.lease().await.is_none(), "its machine may live for some seconds");
                let waiting = world.queue.waiting(world.namespace).await.unwrap();
                assert_eq!(waiting[0].hold, Some(Hold::Cooling));
                world.cool(leased.spec.build).await;
            }
        }
        let build = world.builds(app).await.remove(0);
        assert_eq!((build.state, build.failure), (BuildState::Failed, Some(FailureKind::BUILDER_LOST)));
    }

    async fn a_builder_that_stops_gives_its_build_back_at_once(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        world.coordinator.finish(leased.spec.build, leased.lease, Ended::GivenBack).await.unwrap();
        assert_eq!(world.builds(app).await[0].runs, 0, "that run does not count");
        assert_eq!(world.lease().await.unwrap().lease.0, leased.lease.0 + 1);
    }

    async fn a_batch_that_comes_twice_is_taken_once_and_none_may_be_missing(world) {
        world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        let (build, lease) = (leased.spec.build, leased.lease);
        world.coordinator.report(build, lease, log(1, "one\n")).await.unwrap();
        world.coordinator.report(build, lease, log(1, "one\n")).await.unwrap();
        let gap = world.coordinator.report(build, lease, log(3, "three\n")).await.unwrap_err();
        assert!(matches!(gap, CoordinatorError::Unreachable(_)), "to be sent again, after the one before");
        world.coordinator.report(build, lease, log(2, "two\n")).await.unwrap();
        world.coordinator.report(build, lease, log(3, "three\n")).await.unwrap();

        let chunks = world.store.logs().read(build, lease, 0, 64).await.unwrap();
        let text: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
        assert_eq!(text, "one\ntwo\nthree\n");
        assert_eq!(chunks.iter().map(|chunk| (chunk.byte_offset, chunk.first_line)).collect::<Vec<_>>(), [(0, 0), (4, 1), (8, 2)]);
    }

    async fn a_report_tells_phases_steps_and_facts(world) {
        world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        let (build, lease) = (leased.spec.build, leased.lease);
        let at = |at_ms, event| Stamped { at_ms, event };
        let step = Step {
            number: 1,
            name: "[1/1] COPY . .".to_owned(),
            stage: None,
            cached: true,
            started_ms: Some(2),
            ended_ms: Some(3),
            error: None,
        };
        let facts = Facts { dockerfile: Some("Dockerfile".to_owned()), warnings: vec!["Mind it.".to_owned()], ..Facts::default() };
        let events = vec![
            at(1, RunEvent::PhaseStarted { phase: Phase::Build }),
            at(2, RunEvent::Step { step: Step { cached: false, ended_ms: None, ..step.clone() } }),
            at(3, RunEvent::Step { step: step.clone() }),
            at(4, RunEvent::Resolved { facts: facts.clone() }),
            at(9, RunEvent::PhaseEnded { phase: Phase::Build, ok: true }),
        ];
        world.coordinator.report(build, lease, Batch { number: 1, events, log: Vec::new() }).await.unwrap();

        assert_eq!(world.store.reports().steps(build, lease).await.unwrap(), [step]);
        assert_eq!(world.store.builds().get(build).await.unwrap().facts, facts);
        let phases = world.store.reports().phases(build, lease).await.unwrap();
        assert_eq!(phases.len(), 1);
        let phase = &phases[0];
        assert_eq!((phase.phase, phase.ok), (Phase::Build, Some(true)));
        assert_eq!(phase.ended_at.unwrap().since(phase.started_at).as_millis(), 8);
    }

    /// A reader that comes late, or again, is told everything, and hears of the end.
    async fn a_log_is_followed_from_any_place_to_its_end(world) {
        world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        let (build, lease) = (leased.spec.build, leased.lease);
        world.coordinator.report(build, lease, log(1, "one\n")).await.unwrap();
        let follow = |from: LogPlace| {
            let events = world.follow.build(build, from);
            async move {
                let events: Vec<LogEvent> = events.try_collect().await.unwrap();
                let text = |event: &LogEvent| match event {
                    LogEvent::Chunk { chunk, .. } => Some(chunk.text.clone()),
                    _ => None,
                };
                let told: String = events.iter().filter_map(text).collect();
                (told, matches!(events.last(), Some(LogEvent::Ended(BuildState::Failed))))
            }
        };
        let rest = async {
            world.coordinator.report(build, lease, log(2, "two\n")).await.unwrap();
            let ended = Ended::Failed { kind: FailureKind::BUILD, message: "it broke".to_owned() };
            world.coordinator.finish(build, lease, ended).await.unwrap();
        };
        let (all, part, ()) =
            tokio::join!(follow(LogPlace::START), follow(LogPlace { run: lease, byte: 2 }), rest);
        assert_eq!(all, ("one\ntwo\n".to_owned(), true));
        assert_eq!(part, ("e\ntwo\n".to_owned(), true));
    }

    async fn a_running_build_hears_that_it_was_canceled(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        let (build, lease) = (leased.spec.build, leased.lease);
        let (reason, canceled) =
            tokio::join!(world.coordinator.canceled(build, lease), world.queue.cancel(build, None));
        assert_eq!(reason, CancelReason::Requested);
        assert_eq!(canceled.unwrap().state, BuildState::InProgress, "its machine is still to be killed");
        assert_eq!(world.coordinator.renew(build, lease).await.unwrap().cancel, Some(CancelReason::Requested));
        world.coordinator.finish(build, lease, Ended::Canceled { reason }).await.unwrap();
        world.coordinator.finish(build, lease, Ended::Canceled { reason }).await.unwrap();
        assert_eq!(world.builds(app).await[0].state, BuildState::Canceled);
    }

    async fn a_builder_is_given_secrets_and_nobody_else(world) {
        let (app, configuration) = world.simple().await;
        let tx = world.store.begin().await.unwrap();
        let wanted = [("TOKEN".to_owned(), Some("variable-canary".into()))];
        tx.variables().replace(configuration, &wanted).await.unwrap();
        tx.commit().await.unwrap();
        world.deliver(&world.push(&branch("main"))).await;
        let leased = world.lease().await.unwrap();
        assert_eq!(leased.spec.variables[0].name, "TOKEN");
        assert_eq!(leased.spec.registry_logins[0].user, "robot");
        assert_eq!(leased.spec.source.clone_url, "https://github.invalid/acme/app.git");
        assert_eq!(leased.spec.image.docker_repo(), "registry.invalid:5000/acme/app");
        let shown = format!("{:?} {leased:?}", world.builds(app).await);
        assert!(!shown.contains("canary") && !shown.contains("registry-password"));
    }

    /// Two builders that ask at once never get one build, nor more than the plan allows.
    async fn builders_that_ask_at_once_share_the_queue(world) {
        world.repository("app", &[rule(RefKind::Branch, "/^b/", "{sourceref}")]).await;
        some_branches(&world, 7).await;
        let (a, b, c) =
            (world.builder("a", true).await, world.builder("b", true).await, world.builder("c", true).await);
        let take = |builder| {
            let coordinator = world.coordinator.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for _ in 0..5 {
                    taken.extend(coordinator.try_lease(builder).await.unwrap().map(|leased| leased.spec.build));
                }
                taken
            })
        };
        let (by_a, by_b, by_c) = tokio::join!(take(a), take(b), take(c));
        // A namespace that somebody leases from just now is passed over: together they may have left one, until they
        // ask again.
        let later = take(a).await;
        let mut all = [by_a, by_b, by_c, later].map(Result::unwrap).concat();
        let taken = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), taken, "no build was given twice");
        assert_eq!(world.store.builds().count_running(world.namespace).await.unwrap(), 5, "as the plan allows");
    }
}
