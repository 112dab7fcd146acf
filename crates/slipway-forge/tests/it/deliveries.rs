use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use secrecy::SecretString;
use slipway_devforge::Kind;
use slipway_forge::{
    ChangedPaths, Event, HeadHint, HookSpec, PullRequestAction, RefHint, RepositoryKey, RepositoryPath,
    SignatureError,
};
use url::Url;

use crate::world::{BOTH, World};

/// Takes deliveries in, as they come.
pub(crate) struct Receiver {
    pub(crate) url: Url,
    pub(crate) got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let log = got.clone();
        let app = Router::new().route(
            "/hook",
            post(async move |headers: HeaderMap, body: Bytes| log.lock().unwrap().push((headers, body))),
        );
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, got }
    }
}

struct Hooked {
    world: World,
    repository: slipway_devforge::Repository,
    path: RepositoryPath,
    token: SecretString,
    secret: SecretString,
    receiver: Receiver,
}

impl Hooked {
    async fn start(kind: Kind) -> Self {
        let world = World::start(kind).await;
        let (repository, path) = world.repository("app").await;
        let (token, secret) = (world.token().await, "hook secret".into());
        let receiver = Receiver::start().await;
        let spec = HookSpec {
            url: &receiver.url,
            secret: &secret,
        };
        world.forge.create_hook(&token, &path, spec).await.unwrap();
        Self {
            world,
            repository,
            path,
            token,
            secret,
            receiver,
        }
    }

    /// Everything delivered since the last call, verified and read.
    async fn events(&self) -> Vec<Event> {
        self.world.devforge.deliveries().flush().await;
        let got = std::mem::take(&mut *self.receiver.got.lock().unwrap());
        let forge = &self.world.forge;
        got.iter()
            .map(|(headers, body)| {
                forge.verify(headers, body, &[&self.secret]).unwrap();
                let wrong = "another".into();
                assert_eq!(forge.verify(headers, body, &[&wrong]), Err(SignatureError::Wrong));
                let head = forge.delivery_head(headers);
                assert!(
                    head.delivery_id.is_some() && head.hook_id.is_some() && head.attempt == 1,
                    "{head:?}"
                );
                forge.parse(headers, body).unwrap()
            })
            .collect()
    }

    /// The refs of all pushes among them.
    async fn pushed(&self) -> Vec<RefHint> {
        let repository = self
            .world
            .forge
            .repository(&self.token, RepositoryKey::Path(&self.path))
            .await
            .unwrap();
        let mut all = Vec::new();
        for event in self.events().await {
            assert_eq!(event.repository().unwrap().id, repository.id);
            if let Event::Push { refs, .. } = event {
                all.extend(refs);
            }
        }
        all
    }
}

#[tokio::test]
async fn a_real_push_is_signed_and_tells_the_commit() {
    for kind in BOTH {
        let hooked = Hooked::start(kind).await;
        let before = hooked.repository.head("main").await.unwrap();
        let after = hooked
            .repository
            .push("main", &[("src/a.rs", "1")], "Add a")
            .await
            .unwrap();
        let refs = hooked.pushed().await;
        assert_eq!(refs.len(), 1);
        assert_eq!(refs[0].name.full(), "refs/heads/main");
        assert_eq!(refs[0].before.as_ref().unwrap().as_str(), before);
        assert_eq!(refs[0].after, HeadHint::At(after.parse().unwrap()));
        let commit = refs[0].head_commit.as_ref().unwrap();
        assert_eq!(
            (commit.message.trim_end(), commit.author.as_str()),
            ("Add a", "Ada Lovelace")
        );
        let told = ChangedPaths::Complete(vec!["src/a.rs".to_owned()]);
        assert_eq!(
            refs[0].changed,
            if kind == Kind::GitHub {
                told
            } else {
                ChangedPaths::Unknown
            }
        );
    }
}

#[tokio::test]
async fn branches_pushed_forced_and_deleted_are_told_apart() {
    for kind in BOTH {
        let hooked = Hooked::start(kind).await;
        let first = hooked.repository.head("main").await.unwrap();
        let pushed = hooked
            .repository
            .push_branches(&["one", "feature/two"], &[("a", "1")], "Both")
            .await
            .unwrap();
        let mut refs = hooked.pushed().await;
        refs.sort_by(|a, b| a.name.cmp(&b.name));
        let told: Vec<_> = refs
            .iter()
            .map(|hint| (hint.name.name(), hint.after.commit().unwrap().as_str()))
            .collect();
        assert_eq!(
            told,
            [("feature/two", pushed[1].as_str()), ("one", pushed[0].as_str())]
        );
        assert!(refs.iter().all(|hint| hint.before.is_none()));

        hooked.repository.force_push("one", &first).await.unwrap();
        let refs = hooked.pushed().await;
        assert!(refs[0].forced);
        assert_eq!(refs[0].changed, ChangedPaths::Unknown);

        hooked.repository.delete_branch("one").await.unwrap();
        let refs = hooked.pushed().await;
        assert_eq!((refs.len(), &refs[0].after), (1, &HeadHint::Deleted));
        assert_eq!(refs[0].before.as_ref().unwrap().as_str(), first);
    }
}

#[tokio::test]
async fn an_annotated_tag_is_told_with_its_commit() {
    for kind in BOTH {
        let hooked = Hooked::start(kind).await;
        let commit = hooked.repository.head("main").await.unwrap();
        hooked
            .repository
            .push_annotated_tag("v1.0", &commit, "One")
            .await
            .unwrap();
        let refs = hooked.pushed().await;
        assert_eq!(refs.len(), 1);
        assert_eq!(refs[0].name.full(), "refs/tags/v1.0");
        assert_eq!(refs[0].after, HeadHint::At(commit.parse().unwrap()));
    }
}

#[tokio::test]
async fn a_new_hook_of_githubs_is_pinged() {
    let hooked = Hooked::start(Kind::GitHub).await;
    let events = hooked.events().await;
    assert!(
        matches!(&events[..], [Event::Ping { repository: Some(_) }]),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_pull_request_is_told_when_it_opens_and_when_it_moves() {
    for kind in BOTH {
        let hooked = Hooked::start(kind).await;
        hooked
            .repository
            .push("topic", &[("a", "1")], "Topic")
            .await
            .unwrap();
        hooked.events().await;
        hooked
            .repository
            .open_pull_request("topic", "main", "Improve")
            .await
            .unwrap();
        let moved = hooked
            .repository
            .push("topic", &[("a", "2")], "More")
            .await
            .unwrap();
        let hints: Vec<_> = hooked
            .events()
            .await
            .into_iter()
            .filter_map(|event| match event {
                Event::PullRequest { hint, .. } => Some(hint),
                _ => None,
            })
            .collect();
        let actions: Vec<_> = hints.iter().map(|hint| hint.action).collect();
        assert_eq!(actions, [PullRequestAction::Opened, PullRequestAction::Updated]);
        let last = &hints[1].pull_request;
        assert!(!last.is_external());
        assert_eq!(
            (last.head.branch.as_str(), last.base.branch.as_str()),
            ("topic", "main")
        );
        // Bitbucket abbreviates it: to be asked for.
        let told = last.head.sha.as_ref().map(|sha| sha.as_str().to_owned());
        assert_eq!(told, (kind == Kind::GitHub).then(|| moved.clone()));
        let asked = hooked
            .world
            .forge
            .pull_request(&hooked.token, &hooked.path, last.number)
            .await
            .unwrap();
        assert_eq!(asked.head.sha.unwrap().as_str(), moved);
    }
}
