use slipway_parts::Registry as RealRegistry;
use slipway_registry::{Reference, Registry, http_client};
use slipway_types::{DockerTag, ImagePath};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn client() -> Registry {
    Registry::new(http_client().unwrap(), &RealRegistry::shared_open().host).unwrap()
}

fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse::<DockerTag>().unwrap())
}

/// An index of nothing, told from others by its annotation.
fn index(note: &str) -> Vec<u8> {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"note":"{note}"}}}}"#)
        .into()
}

#[tokio::test]
async fn what_was_put_is_found_by_tag_and_by_digest() {
    let (registry, path): (_, ImagePath) = (client(), "registry-tests/put".parse().unwrap());
    assert_eq!(registry.head_manifest(&path, &tag("a")).await.unwrap(), None);
    assert_eq!(registry.get_manifest(&path, &tag("a")).await.unwrap(), None);

    let digest = registry
        .put_manifest(&path, &tag("a"), &index("one"), INDEX)
        .await
        .unwrap();

    assert_eq!(
        registry.head_manifest(&path, &tag("a")).await.unwrap(),
        Some(digest.clone())
    );
    let found = registry
        .get_manifest(&path, &Reference::from(digest.clone()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.bytes, found.media_type.as_str(), found.digest),
        (index("one"), INDEX, digest)
    );
}

#[tokio::test]
async fn tags_are_read_over_all_pages() {
    let (registry, path): (_, ImagePath) = (client(), "registry-tests/tags".parse().unwrap());
    assert_eq!(registry.tags(&path).await.unwrap(), []);
    for n in 0..5 {
        registry
            .put_manifest(&path, &tag(&format!("t{n}")), &index("t"), INDEX)
            .await
            .unwrap();
    }
    let mut tags: Vec<String> = registry
        .tags(&path)
        .await
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    tags.sort();
    assert_eq!(tags, ["t0", "t1", "t2", "t3", "t4"]);
}
