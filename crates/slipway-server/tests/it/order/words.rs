//! Every delivery ends in verdicts, and each word of order.md, "Words for decisions", has its story.

use slipway_forge::ChangedPaths;
use slipway_store::{ConfigurationFields, Plan};
use slipway_types::{
    RefKind,
    build::{Cause, Purpose},
    decision::{DeliveryOutcome, Verdict},
    rule::{Autotest, ConfigurationState, RuleFields, Supersede},
};

use super::{
    story,
    world::{branch, fields, pull_request, pull_request_of, push_of, rule, said, tag},
};

fn no(because: &str) -> (String, Option<&'static str>) {
    (because.to_owned(), None)
}

fn build(admission: &'static str) -> (String, Option<&'static str>) {
    ("build".to_owned(), Some(admission))
}

story! {
    async fn every_rule_says_something_to_every_change(world) {
        let rules = [
            rule(RefKind::Branch, "main", "latest, {sourceref}"),
            rule(RefKind::Branch, "other", "other"),
            rule(RefKind::Branch, "/^release-/", "release"),
            rule(RefKind::Tag, "main", "tag"),
            RuleFields { autobuild: false, ..rule(RefKind::Branch, "main", "off") },
        ];
        world.repository("app", &rules).await;
        let id = world.deliver(&world.push(&branch("main"))).await;

        let entry = world.entry(id).await;
        assert_eq!(entry.delivery.outcome, DeliveryOutcome::Observed);
        assert_eq!(
            said(&entry),
            [build("queued"), no("name_differs"), no("regex_no_match"), no("ref_type_differs"), no("autobuild_off")]
        );
        let change = entry.changes[0].change.as_ref().unwrap();
        assert_eq!(change.builds.len(), 1);
        assert_eq!(change.verdicts[0].build, Some(change.builds[0].id));
        let Verdict::Build { tags, .. } = &change.verdicts[0].verdict else { panic!("a build") };
        assert_eq!(tags.iter().map(slipway_types::DockerTag::as_str).collect::<Vec<_>>(), ["latest", "main"]);
        assert_eq!(change.builds[0].new.plan.tags_as_written, "latest,main");
    }

    async fn a_deletion_builds_nothing(world) {
        let (app, _) = world.simple().await;
        world.deliver(&world.push(&branch("main"))).await;
        let id = world.deliver(&world.move_to(&branch("main"), None)).await;

        assert_eq!(said(&world.entry(id).await), [no("ref_deleted")]);
        assert_eq!(world.builds(app).await.len(), 1);
    }

    async fn a_skip_marker_and_untouched_paths_build_nothing(world) {
        let only_docs =
            RuleFields { paths_include: vec!["docs/**".to_owned()], ..rule(RefKind::Branch, "main", "docs") };
        world.repository("app", &[rule(RefKind::Branch, "main", "latest"), only_docs]).await;
        world.deliver(&world.push(&branch("main"))).await;
        let before = world.forge.head_of(&branch("main"));
        let sha = world.commit();
        world.forge.set(&branch("main"), Some(&sha));
        let id = world.deliver(&push_of(&branch("main"), before.as_ref(), Some(&sha), "wip [skip ci]")).await;
        assert_eq!(said(&world.entry(id).await), [no("skip_marker"), no("skip_marker")]);

        let id = world.deliver(&world.push(&branch("main"))).await;
        assert_eq!(said(&world.entry(id).await), [build("queued"), no("paths_not_touched")]);
    }

    /// "Enrich: what rules need and the hint lacks is fetched before evaluating".
    async fn what_a_hint_lacks_is_asked_of_the_forge(world) {
        let only_docs =
            RuleFields { paths_include: vec!["docs/**".to_owned()], ..rule(RefKind::Branch, "main", "docs") };
        let (app, _) = world.repository("app", &[only_docs]).await;
        world.deliver(&world.push(&branch("main"))).await;
        let built = world.builds(app).await.len();
        // Nobody delivers this one: it is found by comparing, which knows neither message nor paths.
        let silent = world.push(&branch("main")).sha();
        world.forge.touches(&silent, ChangedPaths::Complete(vec!["src/main.rs".to_owned()]));
        world.compare_heads().await;
        world.settle().await;
        assert_eq!(world.builds(app).await.len(), built, "no path below docs was touched");

        let silent = world.push(&branch("main")).sha();
        world.forge.touches(&silent, ChangedPaths::Complete(vec!["docs/index.md".to_owned()]));
        world.forge.says(&silent, "Write it down");
        world.compare_heads().await;
        world.settle().await;
        let last = world.builds(app).await.pop().unwrap();
        assert_eq!(last.new.sha, silent);
        assert_eq!(last.new.cause, Cause::Reconciled);
        assert_eq!(last.new.plan.message.as_deref(), Some("Write it down"));
    }

    /// "What cannot be had does not hold a build back … and the verdict says so."
    async fn a_forge_that_does_not_tell_does_not_hold_a_build_back(world) {
        let (app, _) = world.repository("app", &[rule(RefKind::Branch, "main", "latest")]).await;
        world.compare_heads().await;
        let silent = world.push(&branch("main")).sha();
        world.compare_heads().await;
        world.forge.set_down(true);
        let change = world.store.ref_changes().next_observed(slipway_types::Timestamp::now()).await.unwrap().unwrap();
        for attempts in 0..4 {
            let change = slipway_store::Change { attempts, ..change.clone() };
            world.late_decision(&change).await;
        }
        assert_eq!(world.commits(app).await, [silent]);
        let told = world.timeline.change(change.id).await.unwrap().unwrap();
        let Verdict::Build { unknown, .. } = &told.verdicts[0].verdict else { panic!("a build") };
        assert_eq!(unknown.len(), 1, "{unknown:?}");
    }

    async fn an_equal_build_that_waits_is_enough(world) {
        let (app, _) = world.repository("app", &[rule(RefKind::Tag, "v1", "one")]).await;
        let a = world.push(&tag("v1"));
        world.deliver(&a).await;
        world.deliver(&world.move_to(&tag("v1"), None)).await;
        let id = world.deliver(&world.move_to(&tag("v1"), Some(&a.sha()))).await;

        assert_eq!(said(&world.entry(id).await), [build("already_queued")]);
        let builds = world.builds(app).await;
        assert_eq!(builds.len(), 1);
        assert_eq!(world.entry(id).await.changes[0].change.as_ref().unwrap().verdicts[0].build, Some(builds[0].id));
    }

    /// A change that is decided late must not build what a newer one has built already.
    async fn an_older_change_that_is_decided_late_is_superseded(world) {
        let superseding = ConfigurationFields { supersede: Supersede::Branches, ..fields() };
        let main = [rule(RefKind::Branch, "main", "latest")];
        let (app, _) = world.repository_with("app", "app", &main, superseding).await;
        world.deliver(&world.push(&branch("main"))).await;
        let older = world.push(&branch("main"));
        world.send(&older).await;
        world.handle_once().await;
        let late = world.store.ref_changes().next_observed(slipway_types::Timestamp::now()).await.unwrap().unwrap();
        let tx = world.store.begin().await.unwrap();
        let later = slipway_types::Timestamp::now().plus(std::time::Duration::from_mins(10));
        tx.ref_changes().postpone(late.id, later).await.unwrap();
        tx.commit().await.unwrap();
        world.deliver(&world.push(&branch("main"))).await;

        world.late_decision(&late).await;

        let told = world.timeline.change(late.id).await.unwrap().unwrap();
        assert_eq!(told.verdicts[0].admission.map(slipway_store::Admission::as_str), Some("superseded"));
        assert!(world.builds(app).await.iter().all(|build| build.new.sha != older.sha()));
    }

    async fn a_plan_says_how_much_may_wait_and_whether_at_all(world) {
        let (app, _) = world.simple().await;
        let tx = world.store.begin().await.unwrap();
        let plan = tx.plans().of(world.namespace).await.unwrap();
        assert!(tx.plans().set(&Plan { pending: 1, ..plan.clone() }).await.unwrap());
        tx.commit().await.unwrap();
        world.deliver(&world.push(&branch("main"))).await;
        let id = world.deliver(&world.push(&branch("main"))).await;
        assert_eq!(said(&world.entry(id).await), [build("queue_full")]);

        let tx = world.store.begin().await.unwrap();
        assert!(tx.plans().set(&Plan { autobuild: false, ..plan }).await.unwrap());
        tx.commit().await.unwrap();
        let id = world.deliver(&world.push(&branch("main"))).await;
        assert_eq!(said(&world.entry(id).await), [build("plan_forbids")]);
        assert_eq!(world.builds(app).await.len(), 1);
    }

    async fn a_configuration_that_cannot_build_says_so(world) {
        let (_, configuration) = world.simple().await;
        for (state, word) in
            [(ConfigurationState::Disconnected, "disconnected"), (ConfigurationState::Blocked, "blocked")]
        {
            let tx = world.store.begin().await.unwrap();
            tx.configurations().set_state(configuration, state, None).await.unwrap();
            tx.commit().await.unwrap();
            let id = world.deliver(&world.push(&branch("main"))).await;
            assert_eq!(said(&world.entry(id).await), [build(word)]);
        }
    }

    async fn without_a_configuration_nothing_is_recorded(world) {
        let push = world.push(&branch("main"));
        let id = world.deliver(&push).await;
        assert_eq!(world.entry(id).await.delivery.outcome, DeliveryOutcome::NoConfiguration);

        // The next configuration begins with what is there then.
        let (app, _) = world.simple().await;
        world.settle().await;
        assert!(world.builds(app).await.is_empty());
    }

    async fn an_internal_pull_request_is_tested_once_and_never_pushed(world) {
        let testing = ConfigurationFields { autotest: Autotest::Internal, ..fields() };
        let rules = [
            rule(RefKind::Branch, "main", "latest"),
            rule(RefKind::Branch, "/^ma/", "also"),
            rule(RefKind::Branch, "other", "other"),
        ];
        let (app, _) = world.repository_with("app", "app", &rules, testing).await;
        let sha = world.commit();
        world.forge.set_pull_request(pull_request(7, &sha, true));
        let id = world.deliver(&pull_request_of("opened", 7, &sha, true)).await;

        let entry = world.entry(id).await;
        assert_eq!(said(&entry), [build("queued"), build("already_queued"), no("base_branch_no_match")]);
        let builds = world.builds(app).await;
        assert_eq!(builds.len(), 1);
        assert_eq!(builds[0].new.purpose, Purpose::Test);
        assert_eq!(builds[0].new.git_ref, branch("topic"));
        assert!(world.store.builds().tags(builds[0].id).await.unwrap().is_empty(), "it claims no tag");

        // A new push to it takes the place of the build that waits; it is asked for, since no one says from where.
        let newer = world.commit();
        world.forge.set_pull_request(pull_request(7, &newer, true));
        world.deliver(&pull_request_of("synchronize", 7, &newer, true)).await;
        let builds = world.builds(app).await;
        assert_eq!(builds[0].superseded_by, Some(builds[1].id));
        assert_eq!(builds[1].new.sha, newer);

        // Closing it, and an old delivery after that, build nothing.
        world.deliver(&pull_request_of("closed", 7, &newer, true)).await;
        world.deliver(&pull_request_of("synchronize", 7, &sha, true)).await;
        assert_eq!(world.builds(app).await.len(), 2);
    }

    async fn an_external_pull_request_needs_a_builder_that_isolates(world) {
        let testing = ConfigurationFields { autotest: Autotest::InternalAndExternal, ..fields() };
        let main = [rule(RefKind::Branch, "main", "latest")];
        let (app, _) = world.repository_with("app", "app", &main, testing).await;
        world.builder("host", false).await;
        let sha = world.commit();
        let id = world.deliver(&pull_request_of("opened", 8, &sha, false)).await;
        assert_eq!(said(&world.entry(id).await), [build("needs_isolation")]);

        world.builder("rootless", true).await;
        let sha = world.commit();
        let id = world.deliver(&pull_request_of("opened", 9, &sha, false)).await;
        assert_eq!(said(&world.entry(id).await), [build("queued")]);
        let host = world.builder("host", false).await;
        assert!(world.coordinator.try_lease(host).await.unwrap().is_none(), "the host builder does not get it");
        let leased = world.lease().await.unwrap();
        assert!(leased.spec.registry_logins.is_empty() && leased.spec.variables.is_empty());
        assert!(leased.spec.source.drop_credential);
        assert_eq!(leased.spec.source.fetch_ref, "refs/pull/9/head");
        assert_eq!(world.builds(app).await.len(), 1);
    }

    async fn an_external_pull_request_is_not_tested_where_only_internal_ones_are(world) {
        let testing = ConfigurationFields { autotest: Autotest::Internal, ..fields() };
        let main = [rule(RefKind::Branch, "main", "latest")];
        world.repository_with("app", "app", &main, testing).await;
        let id = world.deliver(&pull_request_of("opened", 8, &world.commit(), false)).await;
        assert_eq!(said(&world.entry(id).await), [no("external_pull_request")]);
    }
}
