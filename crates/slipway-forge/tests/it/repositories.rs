use slipway_devforge::{Kind, NewRepository};
use slipway_forge::{ChangedPaths, CloneBy, OwnerKind, RepositoryKey, RepositoryPath, RepositoryQuery};
use slipway_types::{CommitSha, RefKind, RefName};

use crate::world::{BOTH, World};

fn of_acme<'a>(search: Option<&'a str>, page: Option<&'a str>) -> RepositoryQuery<'a> {
    RepositoryQuery {
        owner_kind: OwnerKind::Organization,
        owner: "acme",
        search,
        page,
    }
}

fn sha(text: &str) -> CommitSha {
    text.parse().unwrap()
}

#[tokio::test]
async fn repositories_come_with_the_last_pushed_to_first() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (first, _) = world.repository("first").await;
        world.repository("second").await;
        first.push("main", &[("a", "b")], "Later").await.unwrap();
        let page = world
            .forge
            .repositories(&world.token().await, of_acme(None, None))
            .await
            .unwrap();
        let names: Vec<_> = page.repositories.iter().map(|found| found.path.name()).collect();
        assert_eq!((names, page.next), (vec!["first", "second"], None));
        assert!(
            page.repositories
                .iter()
                .all(|found| found.private && found.admin == Some(true))
        );
    }
}

#[tokio::test]
async fn a_search_finds_names_that_hold_the_text() {
    for kind in BOTH {
        let world = World::start(kind).await;
        world.repository("web-shop").await;
        world.repository("api").await;
        let page = world
            .forge
            .repositories(&world.token().await, of_acme(Some("SHOP"), None))
            .await
            .unwrap();
        let names: Vec<_> = page
            .repositories
            .iter()
            .map(|found| found.path.to_string())
            .collect();
        assert_eq!(names, ["acme/web-shop"]);
    }
}

#[tokio::test]
async fn a_long_list_is_told_page_by_page() {
    for kind in BOTH {
        let world = World::start(kind).await;
        for number in 0..101 {
            world
                .provider
                .create_repository(NewRepository::new(&format!("acme/r{number}")))
                .await
                .unwrap();
        }
        let token = world.token().await;
        let first = world
            .forge
            .repositories(&token, of_acme(None, None))
            .await
            .unwrap();
        assert_eq!(first.repositories.len(), 100);
        let next = first.next.unwrap();
        let second = world
            .forge
            .repositories(&token, of_acme(None, Some(&next)))
            .await
            .unwrap();
        assert_eq!((second.repositories.len(), second.next), (1, None));
        assert!(!first.repositories.contains(&second.repositories[0]));
    }
}

#[tokio::test]
async fn the_persons_own_repositories_are_listed() {
    let world = World::start(Kind::GitHub).await;
    world
        .provider
        .create_repository(NewRepository::new("ada/own"))
        .await
        .unwrap();
    world.repository("not-own").await;
    let query = RepositoryQuery {
        owner_kind: OwnerKind::User,
        owner: "ada",
        search: None,
        page: None,
    };
    let page = world
        .forge
        .repositories(&world.token().await, query)
        .await
        .unwrap();
    let names: Vec<_> = page
        .repositories
        .iter()
        .map(|found| found.path.to_string())
        .collect();
    assert_eq!(names, ["ada/own"]);
}

#[tokio::test]
async fn a_repository_is_found_by_id_whatever_it_is_called() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("old").await;
        let token = world.token().await;
        let before = world
            .forge
            .repository(&token, RepositoryKey::Path(&path))
            .await
            .unwrap();
        repository.rename("new");
        let after = world
            .forge
            .repository(&token, RepositoryKey::Id(&before.id))
            .await
            .unwrap();
        assert_eq!(
            (after.path.to_string(), &after.id),
            ("acme/new".to_owned(), &before.id)
        );
        assert_eq!(before.default_branch.as_deref(), Some("main"));

        let unknown = "0".into();
        let gone = world
            .forge
            .repository(&token, RepositoryKey::Id(&unknown))
            .await
            .unwrap_err();
        assert_eq!(gone.kind(), "not_found");
    }
}

#[tokio::test]
async fn clone_urls_hold_nobodys_name() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (simulated, path) = world.repository("app").await;
        let token = world.token().await;
        let found = world
            .forge
            .repository(&token, RepositoryKey::Path(&path))
            .await
            .unwrap();
        assert_eq!(
            world.forge.clone_url(&found, CloneBy::Https),
            simulated.http_url().unwrap()
        );
        assert_eq!(
            world.forge.clone_url(&found, CloneBy::Ssh),
            simulated.ssh_url().unwrap()
        );
    }
}

#[tokio::test]
async fn a_strangers_token_sees_no_private_repository() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (_, path) = world.repository("app").await;
        world.provider.create_user("eve", "Eve", "secret").unwrap();
        let token = world.link("eve").await.access_token;
        let error = world
            .forge
            .repository(&token, RepositoryKey::Path(&path))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.health_reason().unwrap().as_str()),
            ("not_found", "repository_access_lost")
        );
    }
}

#[tokio::test]
async fn heads_are_commits_also_of_annotated_tags() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let main = repository.head("main").await.unwrap();
        let feature = repository.push("feature/x", &[("a", "b")], "More").await.unwrap();
        repository.push_tag("v1", &main).await.unwrap();
        let object = repository
            .push_annotated_tag("v2", &feature, "Two")
            .await
            .unwrap();
        assert_ne!(object, feature);

        let token = world.token().await;
        let expected = [
            (RefName::branch("feature/x").unwrap(), &feature),
            (RefName::branch("main").unwrap(), &main),
            (RefName::tag("v1").unwrap(), &main),
            (RefName::tag("v2").unwrap(), &feature),
        ];
        let mut heads = world.forge.heads(&token, &path).await.unwrap();
        heads.sort_by(|a, b| a.name.cmp(&b.name));
        let told: Vec<_> = heads
            .iter()
            .map(|head| (head.name.clone(), head.commit.to_string()))
            .collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|(name, sha)| (name.clone(), (*sha).clone()))
            .collect();
        assert_eq!(told, wanted);
        for (name, expected) in &expected {
            let head = world.forge.head(&token, &path, name).await.unwrap();
            assert_eq!(head, Some(sha(expected)), "{name}");
        }
        let missing = RefName::branch("main/not").unwrap();
        assert_eq!(world.forge.head(&token, &path, &missing).await.unwrap(), None);
    }
}

#[tokio::test]
async fn all_pages_of_heads_are_read() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let main = repository.head("main").await.unwrap();
        let names: Vec<String> = (0..230).map(|number| format!("v{number}")).collect();
        let tags: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), main.as_str())).collect();
        repository.push_tags(&tags).await.unwrap();
        let heads = world.forge.heads(&world.token().await, &path).await.unwrap();
        assert_eq!(
            heads
                .iter()
                .filter(|head| head.name.kind() == RefKind::Tag)
                .count(),
            230
        );
        assert_eq!(heads.len(), 231);
    }
}

#[tokio::test]
async fn an_empty_repository_has_no_heads() {
    for kind in BOTH {
        let world = World::start(kind).await;
        world
            .provider
            .create_repository(NewRepository::new("acme/empty"))
            .await
            .unwrap();
        let (token, path) = (world.token().await, RepositoryPath::new("acme", "empty").unwrap());
        assert_eq!(world.forge.heads(&token, &path).await.unwrap(), []);
        let main = RefName::branch("main").unwrap();
        assert_eq!(world.forge.head(&token, &path, &main).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_commit_tells_its_message_and_author() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let pushed = repository
            .push("main", &[("a", "b")], "Say hello\n\n[skip ci]")
            .await
            .unwrap();
        let token = world.token().await;
        let commit = world.forge.commit(&token, &path, &sha(&pushed)).await.unwrap();
        assert_eq!(commit.message.trim_end(), "Say hello\n\n[skip ci]");
        assert_eq!(
            (commit.author.as_str(), commit.sha),
            ("Ada Lovelace", sha(&pushed))
        );

        let unknown = sha(&"a".repeat(40));
        let error = world.forge.commit(&token, &path, &unknown).await.unwrap_err();
        assert_eq!(error.kind(), "not_found");
    }
}

#[tokio::test]
async fn what_lies_between_two_commits_is_told() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let base = repository.head("main").await.unwrap();
        repository
            .push("main", &[("docs/a.md", "1")], "One")
            .await
            .unwrap();
        let head = repository
            .push("main", &[("src/b.rs", "2")], "Two")
            .await
            .unwrap();
        let token = world.token().await;
        let changed = world
            .forge
            .changed_paths(&token, &path, &sha(&base), &sha(&head))
            .await
            .unwrap();
        let ChangedPaths::Complete(mut paths) = changed else {
            panic!("{changed:?}")
        };
        paths.sort();
        assert_eq!(paths, ["docs/a.md", "src/b.rs"]);

        let unknown = sha(&"a".repeat(40));
        let changed = world
            .forge
            .changed_paths(&token, &path, &unknown, &sha(&head))
            .await
            .unwrap();
        assert_eq!(changed, ChangedPaths::Unknown);
    }
}

#[tokio::test]
async fn bitbucket_tells_what_a_roll_back_has_touched() {
    let world = World::start(Kind::Bitbucket).await;
    let (repository, path) = world.repository("app").await;
    let old = repository.head("main").await.unwrap();
    let new = repository.push("main", &[("a", "b")], "More").await.unwrap();
    let changed = world
        .forge
        .changed_paths(&world.token().await, &path, &sha(&new), &sha(&old))
        .await
        .unwrap();
    assert_eq!(changed, ChangedPaths::Complete(vec!["a".to_owned()]));
}

#[tokio::test]
async fn github_does_not_claim_to_know_what_a_roll_back_has_touched() {
    let world = World::start(Kind::GitHub).await;
    let (repository, path) = world.repository("app").await;
    let old = repository.head("main").await.unwrap();
    let new = repository.push("main", &[("a", "b")], "More").await.unwrap();
    let changed = world
        .forge
        .changed_paths(&world.token().await, &path, &sha(&new), &sha(&old))
        .await
        .unwrap();
    assert_eq!(changed, ChangedPaths::Unknown);
}

#[tokio::test]
async fn host_keys_are_asked_for_and_the_administrators_win() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (repository, _) = world.repository("app").await;
        let (token, clone) = (world.token().await, repository.ssh_url().unwrap());
        let lines = world.forge.known_hosts(&token, &clone).await.unwrap();
        assert_eq!(lines, [world.devforge.addresses().known_hosts_line()]);

        let own = vec!["forge.example ssh-ed25519 AAAA".to_owned()];
        let forge = world.configured(|config| config.known_hosts.clone_from(&own));
        assert_eq!(forge.known_hosts(&token, &clone).await.unwrap(), own);
    }
}

#[tokio::test]
async fn lost_access_does_not_pass_for_a_deleted_branch() {
    for kind in BOTH {
        let world = World::start(kind).await;
        let (_, path) = world.repository("app").await;
        world.provider.create_user("eve", "Eve", "secret").unwrap();
        let token = world.link("eve").await.access_token;
        let main = RefName::branch("main").unwrap();
        let error = world.forge.head(&token, &path, &main).await.unwrap_err();
        assert_eq!(error.kind(), "not_found");
    }
}
