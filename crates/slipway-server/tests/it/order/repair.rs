//! Tags are read back from a real registry, and put right where somebody moved them behind the record's back.

use slipway_builder::outside::{Batch, Coordinator as _, Ended, RunEvent, Stamped};
use slipway_registry::{Login, Reference, Registry, http_client};
use slipway_server::loops::repair_tags::repair_tags_one;
use slipway_store::RegistryFields;
use slipway_types::{Digest, ImagePath, RefKind};

use super::{
    story,
    world::{World, branch, fields, rule},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An index of nothing, told from others by its annotation.
fn index(note: &str) -> Vec<u8> {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"note":"{note}"}}}}"#)
        .into()
}

fn latest() -> Reference {
    Reference::Tag("latest".parse().unwrap())
}

/// Points the world's registry at the run's real one.
async fn real_registry(world: &World) -> Registry {
    let part = tokio::task::spawn_blocking(slipway_parts::Registry::shared)
        .await
        .unwrap();
    let login = part.login.expect("the shared registry asks for a login");
    let fields = RegistryFields {
        name: "local",
        host: &part.host,
        path_prefix: "",
        username: &login.user,
        password: Some(&login.password),
        verified_at: None,
    };
    let tx = world.store.begin().await.unwrap();
    tx.registries().update(world.registry, &fields).await.unwrap();
    tx.commit().await.unwrap();
    let login = Login {
        user: login.user,
        password: login.password,
    };
    Registry::new(http_client().unwrap(), &part.host)
        .unwrap()
        .with_login(login)
}

/// Builds `main`, and says that its image has this digest.
async fn build(world: &World, digest: &Digest) -> slipway_types::BuildId {
    world.deliver(&world.push(&branch("main"))).await;
    let leased = world.lease().await.unwrap();
    let (build, lease) = (leased.spec.build, leased.lease);
    let tags = leased.spec.image.tags.clone();
    world.coordinator.fence(build, lease, tags.clone()).await.unwrap();
    let event = RunEvent::Pushed {
        tag: tags[0].clone(),
        digest: digest.clone(),
        size: None,
    };
    let batch = Batch {
        number: 1,
        events: vec![Stamped { at_ms: 1, event }],
        log: Vec::new(),
    };
    world.coordinator.report(build, lease, batch).await.unwrap();
    let http = http_client().unwrap();
    assert!(
        !repair_tags_one(&world.store, &http).await.unwrap(),
        "not while the build holds the tag"
    );
    world
        .coordinator
        .finish(build, lease, Ended::Success { skipped: Vec::new() })
        .await
        .unwrap();
    build
}

story! {
    async fn a_tag_that_somebody_put_back_is_put_right_and_the_build_says_so(world) {
        let registry = real_registry(&world).await;
        let name = format!("r{}", world.namespace.uuid().simple());
        let path: ImagePath = format!("acme/{name}").parse().unwrap();
        world.repository_with("app", &name, &[rule(RefKind::Branch, "main", "latest")], fields()).await;
        let ours = registry.put_manifest(&path, &latest(), &index("ours"), INDEX).await.unwrap();
        let id = build(&world, &ours).await;
        let other = registry.put_manifest(&path, &latest(), &index("a ghost's"), INDEX).await.unwrap();

        let http = http_client().unwrap();
        assert!(repair_tags_one(&world.store, &http).await.unwrap());
        assert!(!repair_tags_one(&world.store, &http).await.unwrap(), "it is settled");

        assert_eq!(registry.head_manifest(&path, &latest()).await.unwrap(), Some(ours));
        let warnings = world.store.builds().get(id).await.unwrap().facts.warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(other.as_str()), "{warnings:?}");
    }

    async fn a_tag_that_holds_what_was_pushed_is_left_alone(world) {
        let registry = real_registry(&world).await;
        let name = format!("r{}", world.namespace.uuid().simple());
        let path: ImagePath = format!("acme/{name}").parse().unwrap();
        world.repository_with("app", &name, &[rule(RefKind::Branch, "main", "latest")], fields()).await;
        let ours = registry.put_manifest(&path, &latest(), &index("ours"), INDEX).await.unwrap();
        let id = build(&world, &ours).await;

        assert!(repair_tags_one(&world.store, &http_client().unwrap()).await.unwrap());
        assert!(world.store.builds().get(id).await.unwrap().facts.warnings.is_empty());
        assert!(world.is_settled().await);
    }
}
