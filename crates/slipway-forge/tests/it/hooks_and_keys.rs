use secrecy::SecretString;
use slipway_devforge::{Kind, Permission};
use slipway_forge::{HookSpec, generate_deploy_key};
use url::Url;

use crate::world::{BOTH, World};

fn address(path: &str) -> Url {
    Url::parse("http://127.0.0.1:9/hooks/")
        .unwrap()
        .join(path)
        .unwrap()
}

#[tokio::test]
async fn a_hook_is_made_read_back_changed_and_removed() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let token = world.token().await;
        let secret: SecretString = "first secret".into();
        let url = address("a");
        let spec = HookSpec {
            url: &url,
            secret: &secret,
        };
        let hook = world.forge.create_hook(&token, &path, spec).await.unwrap();
        assert!(hook.active && hook.covers_events);
        assert_eq!(hook.url, url.as_str());
        assert_eq!(repository.hooks()[0].secret.as_deref(), Some("first secret"));

        world.devforge.deliveries().flush().await;
        let mut listed = world.forge.hooks(&token, &path).await.unwrap();
        assert_eq!(listed.len(), 1);
        // GitHub has pinged meanwhile, and nobody was there.
        assert_eq!(
            listed[0]
                .last_delivery
                .as_ref()
                .is_some_and(|last| !last.succeeded()),
            kind == Kind::GitHub
        );
        listed[0].last_delivery = None;
        assert_eq!(listed, std::slice::from_ref(&hook));

        let (moved, rotated) = (address("b"), "second secret".into());
        let spec = HookSpec {
            url: &moved,
            secret: &rotated,
        };
        let changed = world
            .forge
            .update_hook(&token, &path, &hook.id, spec)
            .await
            .unwrap();
        assert_eq!((changed.url.as_str(), &changed.id), (moved.as_str(), &hook.id));
        assert_eq!(repository.hooks()[0].secret.as_deref(), Some("second secret"));
        let read = world.forge.hook(&token, &path, &hook.id).await.unwrap().unwrap();
        assert_eq!(read.url, moved.as_str());

        assert!(world.forge.delete_hook(&token, &path, &hook.id).await.unwrap());
        assert!(!world.forge.delete_hook(&token, &path, &hook.id).await.unwrap());
        assert_eq!(world.forge.hook(&token, &path, &hook.id).await.unwrap(), None);
        assert!(repository.hooks().is_empty());
    }
}

#[tokio::test]
async fn hooks_need_an_administrator() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        world.provider.create_user("bob", "Bob", "secret").unwrap();
        repository.grant("bob", Some(Permission::Write)).unwrap();
        let token = world.link("bob").await.access_token;
        let (url, secret) = (address("a"), "secret".into());
        let spec = HookSpec {
            url: &url,
            secret: &secret,
        };
        let error = world.forge.create_hook(&token, &path, spec).await.unwrap_err();
        assert_eq!(error.kind(), "needs_admin", "{error}");
        let error = world
            .forge
            .create_key(&token, &path, "Slipway", "ssh-ed25519 AAAA")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "needs_admin", "{error}");
    }
}

#[tokio::test]
async fn a_second_hook_of_the_same_address_is_told_as_there_already() {
    let world = World::start(Kind::GitHub).await;
    let (_, path) = world.repository("app").await;
    let token = world.token().await;
    let (url, secret) = (address("a"), "secret".into());
    let spec = HookSpec {
        url: &url,
        secret: &secret,
    };
    world.forge.create_hook(&token, &path, spec).await.unwrap();
    let error = world.forge.create_hook(&token, &path, spec).await.unwrap_err();
    assert_eq!(error.kind(), "already_in_use", "{error}");
}

#[tokio::test]
async fn a_deploy_key_only_reads_and_is_made_read_back_and_removed() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let token = world.token().await;
        let pair = generate_deploy_key("slipway acme/app").unwrap();
        let key = world
            .forge
            .create_key(&token, &path, "Slipway", &pair.public)
            .await
            .unwrap();
        assert!(key.read_only && key.is(&pair.public));
        assert_eq!(key.title, "Slipway");
        assert!(repository.keys()[0].read_only);
        assert_eq!(
            world.forge.keys(&token, &path).await.unwrap(),
            std::slice::from_ref(&key)
        );
        assert_eq!(
            world.forge.key(&token, &path, &key.id).await.unwrap(),
            Some(key.clone())
        );

        let again = world
            .forge
            .create_key(&token, &path, "Slipway", &pair.public)
            .await
            .unwrap_err();
        assert_eq!(again.kind(), "already_in_use", "{again}");

        assert!(world.forge.delete_key(&token, &path, &key.id).await.unwrap());
        assert!(!world.forge.delete_key(&token, &path, &key.id).await.unwrap());
        assert_eq!(world.forge.key(&token, &path, &key.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_no_key_is_invalid() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (_, path) = world.repository("app").await;
        let error = world
            .forge
            .create_key(&world.token().await, &path, "Slipway", "nonsense")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "invalid", "{error}");
    }
}

#[tokio::test]
async fn lost_access_does_not_pass_for_a_removed_hook_or_key() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (_, path) = world.repository("app").await;
        world.provider.create_user("eve", "Eve", "secret").unwrap();
        let token = world.link("eve").await.access_token;
        let (hook, key) = ("1".into(), "1".into());
        let errors = [
            world.forge.hook(&token, &path, &hook).await.unwrap_err(),
            world.forge.delete_hook(&token, &path, &hook).await.unwrap_err(),
            world.forge.key(&token, &path, &key).await.unwrap_err(),
            world.forge.delete_key(&token, &path, &key).await.unwrap_err(),
        ];
        assert!(
            errors.iter().all(|error| error.kind() == "not_found"),
            "{errors:?}"
        );
    }
}
