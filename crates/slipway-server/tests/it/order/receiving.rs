//! What strangers and providers send to a webhook's address (the issue's "Bad input").

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use slipway_server::receive::{Group, NotStored};
use slipway_store::{DeliveredTo, NewDelivery, Rotation, StoreError};
use slipway_types::{
    ResourceId, SourceId, Timestamp,
    decision::{ChangeResult, DeliveryOutcome},
};

use super::{
    story,
    world::{HOOK, World, branch, push_of},
};

async fn stored(world: &World) -> usize {
    world
        .store
        .deliveries()
        .of_source(world.source, None, 100)
        .await
        .unwrap()
        .len()
}

async fn rejected(world: &World) -> i64 {
    world
        .store
        .provider_resources()
        .by_hook_path("hookpath")
        .await
        .unwrap()
        .unwrap()
        .rejected
}

story! {
    async fn an_unknown_path_is_not_found(world) {
        let (status, text) = world.post("/hooks/nothing", "push", "{}", "hook-secret").await;
        assert_eq!((status, text.as_str()), (404, "there is no webhook at this address\n"));
        assert_eq!(stored(&world).await, 0);
    }

    async fn what_is_not_signed_right_is_counted_and_not_stored(world) {
        let body = world.push(&branch("main")).payload.to_string();
        for signature in [None, Some("sha256="), Some("sha256=00"), Some("sha1=00")] {
            assert_eq!(world.post_signed(HOOK, "push", &body, signature).await.0, 401, "{signature:?}");
        }
        assert_eq!(world.post(HOOK, "push", &body, "another-secret").await.0, 401);
        assert_eq!((stored(&world).await, rejected(&world).await), (0, 5));
    }

    /// A hook of one repository, signed rightly, that is sent to another's address.
    async fn a_delivery_of_another_repository_is_refused(world) {
        let mut payload = push_of(&branch("main"), None, Some(&world.commit()), "x").payload;
        payload["repository"]["id"] = 12.into();
        assert_eq!(world.post(HOOK, "push", &payload.to_string(), "hook-secret").await.0, 403);
        assert_eq!((stored(&world).await, rejected(&world).await), (0, 1));
    }

    async fn what_is_signed_but_not_understood_is_kept_as_malformed(world) {
        for body in ["not json", "[1, 2]", r#"{"ref": 5}"#, r#"{"ref": "refs/heads/..", "before": "x", "after": "y"}"#] {
            let (status, text) = world.post(HOOK, "push", body, "hook-secret").await;
            assert_eq!(status, 400, "{body}: {text}");
        }
        let deliveries = world.store.deliveries().of_source(world.source, None, 100).await.unwrap();
        assert_eq!(deliveries.len(), 4);
        assert!(deliveries.iter().all(|one| one.outcome == DeliveryOutcome::Malformed && one.handled_at.is_some()));
    }

    /// One webhook for all repositories: what is turned away is counted for the App, and all are looked at.
    async fn what_a_github_apps_webhook_is_sent_is_judged_like_a_repositorys(world) {
        let (client, source) = world.through_an_app("app-path", "app-secret").await;
        let stored = async || world.store.deliveries().of_source(source, None, 100).await.unwrap();
        let path = "/hooks/apps/app-path";
        let rejected = async || world.store.forges().rejected(client).await.unwrap();
        assert_eq!(rejected().await, (0, None));
        let push = world.push(&branch("main")).payload.to_string();
        for signature in [None, Some("sha256="), Some("sha256=00"), Some("sha1=00")] {
            assert_eq!(world.post_signed(path, "push", &push, signature).await.0, 401, "{signature:?}");
        }
        assert_eq!(world.post(path, "push", &push, "hook-secret").await.0, 401, "another hook's secret");
        let (count, last) = rejected().await;
        assert_eq!((count, last.is_some(), stored().await.len()), (5, true, 0));
        let due = Timestamp::now().plus(Duration::from_mins(11));
        assert_eq!(world.compared_out_of_turn(due).await, [source]);

        let known = json!({ "repository": { "id": 4711, "full_name": "acme/app" }, "ref": 5 });
        let unknown = json!({ "repository": { "id": 12, "full_name": "eve/hers" }, "ref": 5 });
        for body in ["not json", "[1, 2]", r#"{"repository": 7}"#, &unknown.to_string(), &known.to_string()] {
            let (status, text) = world.post(path, "push", body, "app-secret").await;
            assert_eq!(status, 400, "{body}: {text}");
        }
        let kept = stored().await;
        let outcomes: Vec<_> = kept.iter().map(|one| (one.outcome, one.handled_at.is_some())).collect();
        assert_eq!(outcomes, [(DeliveryOutcome::Malformed, true)], "only what names a repository that is built");

        assert_eq!(world.post(path, "push", &push, "app-secret").await.0, 202);
        assert_eq!((stored().await.len(), rejected().await.0), (2, 5));
    }

    async fn an_event_never_heard_of_is_ignored_and_a_ping_answered(world) {
        let body = r#"{"repository": {"id": 4711, "full_name": "acme/app"}, "zen": "Keep it simple."}"#;
        for (event, outcome) in
            [("ping", DeliveryOutcome::Ping), ("starship_launched", DeliveryOutcome::EventIgnored)]
        {
            let (status, text) = world.post(HOOK, event, body, "hook-secret").await;
            assert_eq!(status, 202);
            world.settle().await;
            let id = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
            assert_eq!(world.entry(id).await.delivery.outcome, outcome);
        }
    }

    async fn a_body_over_the_limit_is_refused(world) {
        let body = " ".repeat(slipway_server::receive::DEFAULT_LIMIT + 1);
        assert_eq!(world.post(HOOK, "push", &body, "hook-secret").await.0, 413);
        assert_eq!(stored(&world).await, 0);
    }

    /// Answered 2xx: stored. The forge is not asked anything before the answer.
    async fn a_delivery_is_stored_before_it_is_answered(world) {
        world.forge.set_down(true);
        let asked = world.forge.asked();
        let push = world.push(&branch("main"));
        let id = world.send(&push).await;
        assert_eq!(world.forge.asked(), asked);
        let body = world.store.deliveries().body(id).await.unwrap();
        assert_eq!(body, push.payload.to_string().into_bytes());
        let delivery = world.entry(id).await.delivery;
        assert_eq!((delivery.event.as_str(), delivery.outcome), ("push", DeliveryOutcome::Received));
        assert!(delivery.headers.iter().all(|(name, _)| !name.contains("signature")));
    }

    /// Many at once go into few transactions; each is answered with its own row.
    async fn many_at_once_are_each_stored(world) {
        let pushes: Vec<_> = (0..60).map(|n| world.push(&branch(&format!("b{n}")))).collect();
        let ids = join_all(pushes.iter().map(|push| world.send(push))).await;
        for (id, push) in ids.iter().zip(&pushes) {
            let body = world.store.deliveries().body(*id).await.unwrap();
            assert_eq!(body, push.payload.to_string().into_bytes());
        }
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 60);
    }

    /// One that the database refuses – its source is gone – fails alone.
    async fn one_that_cannot_be_stored_does_not_fail_its_neighbours(world) {
        let hook = world.store.provider_resources().by_hook_path("hookpath").await.unwrap().unwrap();
        let group = Group::start(world.store.clone(), world.bells.clone());
        let new = |hook: ResourceId, source: SourceId| NewDelivery {
            hook: Some(hook),
            source,
            event: "push".to_owned(),
            remote_id: None,
            attempt: 1,
            headers: Vec::new(),
            body: b"{}".to_vec(),
        };
        let group = &group;
        let all = (0..40).map(|n| {
            let gone = n == 17;
            let new = new(hook.id, if gone { SourceId::fresh() } else { world.source });
            async move {
                let room = group.room(new.body.len()).await?;
                group.store(new, None, room).await
            }
        });
        for (n, stored) in join_all(all).await.into_iter().enumerate() {
            match stored {
                Ok(_) => assert_ne!(n, 17),
                Err(NotStored::Store(error)) => {
                    assert_eq!(n, 17, "{error:?}");
                    assert!(matches!(*error, StoreError::NotFound(_)), "{error:?}");
                }
                Err(NotStored::Busy) => panic!("delivery {n} was not stored in time"),
            }
        }
        assert_eq!(stored(&world).await, 39);
    }

    /// A secret is exchanged: deliveries signed with either are taken until the one before is forgotten.
    async fn two_secrets_are_good_while_one_is_exchanged(world) {
        let hooks = || world.store.provider_resources();
        let hook = hooks().by_hook_path("hookpath").await.unwrap().unwrap().id;
        let tx = world.store.begin().await.unwrap();
        assert!(tx.provider_resources().rotate_secret(hook, &"new-secret".into()).await.unwrap());
        assert!(
            !tx.provider_resources().rotate_secret(hook, &"a third".into()).await.unwrap(),
            "the provider may have either of two"
        );
        tx.commit().await.unwrap();
        let send = async |secret: &str| {
            let body = world.push(&branch("main")).payload.to_string();
            world.post(HOOK, "push", &body, secret).await.0
        };
        assert_eq!((send("hook-secret").await, send("new-secret").await), (202, 202));

        let now = Timestamp::now();
        let soon = now.plus(Duration::from_mins(1));
        let forget = async |at| {
            let tx = world.store.begin().await.unwrap();
            let forgotten = tx.provider_resources().forget_previous_secrets(at).await.unwrap();
            tx.commit().await.unwrap();
            forgotten
        };
        assert_eq!(forget(soon).await, 0, "not before the provider has the new one");
        let tx = world.store.begin().await.unwrap();
        tx.provider_resources().settle_rotation(hook, soon).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(forget(now).await, 0, "not before its time");
        assert_eq!((send("hook-secret").await, send("new-secret").await), (202, 202));
        assert_eq!(forget(soon).await, 1);
        assert_eq!((send("hook-secret").await, send("new-secret").await), (401, 202));
    }

    /// The provider does not take a new secret: the one before is the current one again, and the other is what is tried
    /// next. Both are good until that is over, for an earlier try may have reached the provider.
    async fn a_refused_secret_stays_good_and_is_tried_again(world) {
        let hook = async || world.store.provider_resources().by_hook_path("hookpath").await.unwrap().unwrap();
        let id = hook().await.id;
        let current = async || {
            let secrets = world.store.provider_resources().open_secrets(id).await.unwrap().unwrap();
            secrecy::ExposeSecret::expose_secret(&secrets.current).to_owned()
        };
        let rotate = async |new: &str| {
            let tx = world.store.begin().await.unwrap();
            assert!(tx.provider_resources().rotate_secret(id, &new.into()).await.unwrap());
            tx.commit().await.unwrap();
        };
        let refuse = async || {
            let tx = world.store.begin().await.unwrap();
            let was_under_way = tx.provider_resources().refuse_rotation(id, "no").await.unwrap();
            tx.commit().await.unwrap();
            was_under_way
        };
        let send = async |secret: &str| {
            let body = world.push(&branch("main")).payload.to_string();
            world.post(HOOK, "push", &body, secret).await.0
        };
        assert!(!refuse().await, "nothing is under way");
        rotate("new-secret").await;
        assert!(refuse().await);
        assert!(!refuse().await, "once");
        assert_eq!(hook().await.rotation, Rotation::Refused("no".to_owned()));
        assert_eq!(current().await, "hook-secret");
        assert_eq!((send("hook-secret").await, send("new-secret").await), (202, 202));

        rotate("a third").await;
        assert_eq!(hook().await.rotation, Rotation::UnderWay);
        assert_eq!(current().await, "new-secret");
        assert_eq!((send("hook-secret").await, send("a third").await), (202, 401));
        let now = Timestamp::now();
        let tx = world.store.begin().await.unwrap();
        tx.provider_resources().settle_rotation(id, now).await.unwrap();
        assert_eq!(tx.provider_resources().forget_previous_secrets(now).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(hook().await.rotation, Rotation::None);
        assert_eq!((send("hook-secret").await, send("new-secret").await), (401, 202));
    }

    /// A delivery that begins elsewhere than the record ends tells that another was lost: all heads are compared soon.
    /// What comes in order, or twice, tells nothing of the kind.
    async fn a_gap_has_all_heads_compared_soon(world) {
        world.simple().await;
        let wanted = async || world.store.source_repositories().get(world.source).await.unwrap().compare_at;
        let first = world.push(&branch("main"));
        world.deliver(&first).await;
        world.deliver(&first).await;
        assert_eq!(wanted().await, None);

        let _lost = world.push(&branch("main"));
        let next = world.push(&branch("main"));
        world.deliver(&next).await;
        let at = wanted().await.expect("a comparison out of turn");
        let due = async |now| world.store.source_repositories().to_be_compared(Timestamp::from_millis(0), now).await;
        assert!(due(at.minus(Duration::from_secs(1))).await.unwrap().is_empty());
        assert_eq!(due(at).await.unwrap().len(), 1);

        let tx = world.store.begin().await.unwrap();
        tx.source_repositories().set_reconciled(world.source, at).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(wanted().await, None, "one look is enough");
    }

    /// What failed and is asked for again is late: the ref has moved on and back since, and its delivery follows from
    /// the record all the same. It is not believed.
    async fn a_delivery_that_was_asked_for_again_brings_no_news(world) {
        let (app, _) = world.simple().await;
        let here = world.push(&branch("main"));
        world.deliver(&here).await;
        let failed = world.push(&branch("main"));
        world.move_to(&branch("main"), here.after.as_ref());

        let hook = world.store.provider_resources().by_hook_path("hookpath").await.unwrap().unwrap().id;
        let tx = world.store.begin().await.unwrap();
        assert!(tx.redeliveries().want(DeliveredTo::Webhook(hook), "remote-id").await.unwrap());
        tx.redeliveries().asked(DeliveredTo::Webhook(hook), "remote-id").await.unwrap();
        assert!(!tx.redeliveries().want(DeliveredTo::Webhook(hook), "remote-id").await.unwrap(), "asked for once");
        tx.commit().await.unwrap();
        let id = world.deliver(&failed).await;
        assert_eq!(world.entry(id).await.changes[0].said.result, ChangeResult::HeadUnchanged);
        assert_eq!(world.builds(app).await.len(), 1);
    }
}
