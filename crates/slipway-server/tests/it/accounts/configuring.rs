//! What saving a configuration makes at the provider: one hook and one key, whatever happens in between.

use slipway_server::services::{ServiceError, configuring::VariableForm};
use slipway_types::{
    forge::{HealthReason, ResourceState},
    rule::DeliveryMode,
};

use super::{World, kind, rule, slug};

async fn saving_makes_one_hook_and_one_key(world: World) {
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world.settle().await;

    let view = world
        .configuring
        .view(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    let (hook, key) = (view.hook.unwrap(), view.key.unwrap());
    assert_eq!(
        (hook.state, key.state),
        (ResourceState::Active, ResourceState::Active)
    );
    let url = world.config.hook_url(hook.hook_path.as_deref().unwrap());
    let there = source.hooks();
    assert_eq!(
        there.iter().map(|hook| hook.url.as_str()).collect::<Vec<_>>(),
        [url.as_str()]
    );
    assert!(there[0].active && there[0].secret.is_some());
    let keys = source.keys();
    assert_eq!(keys.len(), 1);
    assert!(key.public_key.unwrap().starts_with(&keys[0].key));
    // All present heads are the baseline, and nothing is built.
    assert!(
        view.source.id
            == world
                .store()
                .source_repositories()
                .get(view.source.id)
                .await
                .unwrap()
                .id
    );
    let known = world
        .store()
        .source_repositories()
        .get(view.source.id)
        .await
        .unwrap();
    assert!(known.baselined_at.is_some());

    // Saved again, and again by another configuration of the same link: still one of each.
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    let second = world.repository(&slug("ada"), "second").await;
    world
        .configure(&ada, &slug("ada"), &second, "octo/app")
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));

    // The last configuration to go takes them away.
    world.configuring.delete(&ada, &slug("ada"), &app).await.unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
    world
        .configuring
        .delete(&ada, &slug("ada"), &second)
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (0, 0));
}

#[tokio::test]
async fn saving_makes_one_hook_and_one_key_at_github() {
    saving_makes_one_hook_and_one_key(World::github().await).await;
}

#[tokio::test]
async fn saving_makes_one_hook_and_one_key_at_bitbucket() {
    saving_makes_one_hook_and_one_key(World::bitbucket().await).await;
}

/// A crash after the provider has made hook and key, before that was written down: what was recorded is taken
/// back to the moment before, and the same rows are worked once more.
#[tokio::test]
async fn a_crash_between_making_and_recording_converges_to_one() {
    for world in [World::github().await, World::bitbucket().await] {
        let ada = world.administrator().await;
        let source = world.source("octo/app").await;
        let app = world.repository(&slug("ada"), "app").await;
        world.link(&ada, &slug("ada"), "octo").await;
        world
            .configure(&ada, &slug("ada"), &app, "octo/app")
            .await
            .unwrap();

        // The calls are made by hand, as by a process that died before it wrote the outcome.
        let view = world
            .configuring
            .view(&ada, &slug("ada"), &app)
            .await
            .unwrap()
            .unwrap();
        let (hook, key) = (view.hook.unwrap(), view.key.unwrap());
        let (forge, token) = world.forges.for_source(view.source.id).await.unwrap();
        let at = "octo/app".parse().unwrap();
        let secrets = world
            .store()
            .provider_resources()
            .open_secrets(hook.id)
            .await
            .unwrap()
            .unwrap();
        let url = world.config.hook_url(hook.hook_path.as_deref().unwrap());
        let spec = slipway_forge::HookSpec {
            url: &url,
            secret: &secrets.current,
        };
        forge.create_hook(&token, &at, spec).await.unwrap();
        forge
            .create_key(&token, &at, "Slipway", key.public_key.as_deref().unwrap())
            .await
            .unwrap();
        assert_eq!(hook.state, ResourceState::Creating);

        world.settle().await;
        assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
        let view = world
            .configuring
            .view(&ada, &slug("ada"), &app)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(view.hook.unwrap().state, ResourceState::Active);
        assert_eq!(view.key.unwrap().state, ResourceState::Active);
    }
}

#[tokio::test]
async fn without_admin_at_the_source_the_configuration_stays_and_says_why() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    source
        .grant("mona", Some(slipway_devforge::Permission::Read))
        .unwrap();
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "mona").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world.settle().await;

    let view = world
        .configuring
        .view(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    let hook = view.hook.unwrap();
    assert_eq!(
        (hook.state, hook.reason),
        (ResourceState::Failed, Some(HealthReason::WebhookMissing))
    );
    let by_hand = world
        .configuring
        .hook_by_hand(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    assert!(by_hand.url.as_str().contains("/hooks/"));
    assert!(source.hooks().is_empty());

    // Allowed later: saving again tries again.
    source
        .grant("mona", Some(slipway_devforge::Permission::Admin))
        .unwrap();
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
}

#[tokio::test]
async fn polling_only_needs_no_hook() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    let mut form = world.configuration("octo/app");
    form.fields.delivery_mode = DeliveryMode::Polling;
    world
        .configuring
        .save(&ada, &slug("ada"), &app, &form)
        .await
        .unwrap();
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (0, 1));
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_its_place_and_nothing_is_saved() {
    let world = World::github().await;
    let ada = world.administrator().await;
    world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    assert_eq!(
        kind(world.configure(&ada, &slug("ada"), &app, "octo/app").await),
        "not_linked"
    );
    world.link(&ada, &slug("ada"), "octo").await;

    let mut form = world.configuration("octo/app");
    form.rules = vec![rule("main", "latest"), rule("/v(/", "{nonsense}")];
    let Err(ServiceError::Rules(problems)) = world.configuring.save(&ada, &slug("ada"), &app, &form).await
    else {
        panic!("a rule that does not compile was saved");
    };
    assert_eq!((problems.len(), problems[0].rule), (1, 1));
    assert_eq!(problems[0].error.field().as_str(), "source");

    let mut form = world.configuration("octo/app");
    form.variables = vec![VariableForm {
        name: "1X".to_owned(),
        value: Some("v".into()),
    }];
    assert_eq!(
        kind(world.configuring.save(&ada, &slug("ada"), &app, &form).await),
        "invalid"
    );
    assert_eq!(
        kind(world.configure(&ada, &slug("ada"), &app, "octo/nothing").await),
        "invalid"
    );
    assert!(
        world
            .configuring
            .view(&ada, &slug("ada"), &app)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn variables_are_write_only_and_a_missing_one_goes() {
    let world = World::github().await;
    let ada = world.administrator().await;
    world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    let variable = |name: &str, value: Option<&str>| VariableForm {
        name: name.to_owned(),
        value: value.map(Into::into),
    };
    let mut form = world.configuration("octo/app");
    form.variables = vec![variable("KEEP", Some("kept")), variable("GO", Some("gone"))];
    let saved = world
        .configuring
        .save(&ada, &slug("ada"), &app, &form)
        .await
        .unwrap();

    form.variables = vec![variable("NEW", Some("new")), variable("KEEP", None)];
    form.version = Some(saved.version);
    world
        .configuring
        .save(&ada, &slug("ada"), &app, &form)
        .await
        .unwrap();
    let values = world
        .store()
        .variables()
        .open_all(saved.configuration)
        .await
        .unwrap();
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (name.as_str(), expose(value)))
        .collect();
    assert_eq!(values, [("NEW", "new"), ("KEEP", "kept")]);

    // Somebody else's save has overtaken this one.
    assert_eq!(
        kind(world.configuring.save(&ada, &slug("ada"), &app, &form).await),
        "stale"
    );
    form.version = None;
    form.variables = vec![variable("NEVER", None)];
    assert_eq!(
        kind(world.configuring.save(&ada, &slug("ada"), &app, &form).await),
        "invalid"
    );
}

fn expose(secret: &secrecy::SecretString) -> &str {
    secrecy::ExposeSecret::expose_secret(secret)
}

#[tokio::test]
async fn rules_are_tried_on_the_branches_that_there_are() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let head = source.head("main").await.unwrap();
    source.create_branch("feature/x", &head).await.unwrap();
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    let choice = world.configuration("octo/app").source;
    let rules = [rule("/^feature\\/(.*)$/", "f-{\\1}")];
    let preview = world
        .configuring
        .preview(
            &ada,
            &slug("ada"),
            &app,
            &choice,
            &rules,
            slipway_types::rule::Autotest::Off,
        )
        .await
        .unwrap();
    assert_eq!(preview.of, 2);
    let tags: Vec<_> = preview.rules[0]
        .matches
        .iter()
        .map(|it| (it.git_ref.name(), it.tags[0].as_str()))
        .collect();
    assert_eq!(tags, [("feature/x", "f-x")]);
}

#[tokio::test]
async fn a_renamed_source_is_followed_by_its_id() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let source = world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    source.rename("renamed");
    world.settle().await;
    assert_eq!((source.hooks().len(), source.keys().len()), (1, 1));
    let view = world
        .configuring
        .view(&ada, &slug("ada"), &app)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.source.full_name(), "octo/renamed");
}

#[tokio::test]
async fn for_an_organization_only_an_owner_chooses_the_source_and_admins_edit_after_that() {
    let world = World::github().await;
    let ada = world.administrator().await;
    let bob = world.person(&ada, "bob").await;
    let org = world.organization("acme", &ada, Some(&bob)).await;
    world.source("octo/app").await;
    let app = world.repository(&org, "app").await;
    world.link(&ada, &org, "octo").await;
    let tx = world.store().begin().await.unwrap();
    let of = tx.namespaces().by_name(&org).await.unwrap().unwrap().id;
    let id = tx.repositories().by_name(of, &app).await.unwrap().unwrap().id;
    let grantee = slipway_store::Grantee::User(bob.user);
    tx.permissions()
        .set(id, grantee, slipway_types::rights::Level::Admin)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(
        kind(world.configure(&bob, &org, &app, "octo/app").await),
        "forbidden"
    );
    world.configure(&ada, &org, &app, "octo/app").await.unwrap();
    world.configure(&bob, &org, &app, "octo/app").await.unwrap();
    assert_eq!(
        kind(world.configuring.delete(&bob, &org, &app).await),
        "forbidden"
    );
}

#[tokio::test]
async fn the_picker_finds_repositories_by_owner_and_name() {
    for world in [World::github().await, World::bitbucket().await] {
        let ada = world.administrator().await;
        world.source("acme/web").await;
        world.source("acme/api").await;
        world.source("octo/app").await;
        world.link(&ada, &slug("ada"), "octo").await;
        let owners = world
            .sources
            .owners(&ada, &slug("ada"), world.forge())
            .await
            .unwrap();
        assert!(owners.iter().any(|owner| owner.name == "acme"), "{owners:?}");
        let found = world
            .sources
            .repositories(&ada, &slug("ada"), world.forge(), "acme", Some("we"), None)
            .await
            .unwrap();
        let names: Vec<_> = found.repositories.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(names, ["acme/web"]);
        let own = world
            .sources
            .repositories(&ada, &slug("ada"), world.forge(), "octo", None, None)
            .await
            .unwrap();
        assert!(own.repositories.iter().any(|it| it.path.name() == "app"));
    }
}

#[tokio::test]
async fn a_build_trigger_is_shown_once_and_kept_as_a_hash() {
    let world = World::github().await;
    let ada = world.administrator().await;
    world.source("octo/app").await;
    let app = world.repository(&slug("ada"), "app").await;
    world.link(&ada, &slug("ada"), "octo").await;
    let early = world
        .configuring
        .create_trigger(&ada, &slug("ada"), &app, "ci")
        .await;
    assert_eq!(kind(early), "not_found");
    world
        .configure(&ada, &slug("ada"), &app, "octo/app")
        .await
        .unwrap();
    let (id, url) = world
        .configuring
        .create_trigger(&ada, &slug("ada"), &app, "ci")
        .await
        .unwrap();

    let token = expose(&url)
        .split("/trigger/")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let hash = slipway_vault::TokenHash::of(&token);
    let found = world
        .store()
        .triggers()
        .by_token_hash(hash.as_str())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.id, id);
    world
        .configuring
        .revoke_trigger(&ada, &slug("ada"), &app, id)
        .await
        .unwrap();
    assert!(
        world
            .store()
            .triggers()
            .by_token_hash(hash.as_str())
            .await
            .unwrap()
            .is_none()
    );
}
