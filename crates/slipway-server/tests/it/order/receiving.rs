//! What strangers and providers send to a webhook's address (the issue's "Bad input").

use slipway_types::decision::DeliveryOutcome;

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
}
