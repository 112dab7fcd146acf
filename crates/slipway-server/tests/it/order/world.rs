//! A namespace with a linked account, one source repository with a webhook, and repositories that build from it.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_builder::outside::{Coordinator as _, Ended, Leased, RunEvent, Stamped};
use slipway_forge::{PullRequest, PullRequestEnd, PullRequestState};
use slipway_server::{
    loops::{
        ask_forge::ask_forge_one, decide::decide_one, handle_deliveries::handle_deliveries_one,
        settled::settled,
    },
    receive::{DEFAULT_LIMIT, Receive},
    services::{
        ask::AskForge,
        bells::Bells,
        coordinator::InProcess,
        decide::Decide,
        deliveries::Deliveries,
        follow::Follow,
        observe::{Observe, Saying},
        queue::Queue,
        timeline::{DeliveryEntry, Timeline},
    },
};
use slipway_store::{
    Admission, Build, ConfigurationFields, CredentialOf, ForgeFields, LinkTo, NewApp, NewUser,
    RegistryFields, RepositoryFields, SourceFacts, Store, StoredRule, Tokens, Tx, testing::TestStore,
};
use slipway_types::{
    BuilderId, CommitSha, ConfigurationId, DeliveryId, Digest, ForgeClientId, ForgeId, LinkId, NamespaceId,
    RefKind, RefName, RegistryId, RepositoryId, RuleId, SourceId, Timestamp,
    build::{BuildState, Cause},
    decision::Verdict,
    forge::{ClientKind, ForgeKind},
    protocol::FenceAnswer,
    rule::{Autotest, DeliveryMode, RuleFields, Supersede},
};
use tower::ServiceExt as _;

use super::memory_forge::MemoryForge;

pub(crate) const HOOK: &str = "/hooks/hookpath";
const SECRET: &str = "hook-secret";
const PROVIDER_ID: u64 = 4711;

/// Everything there is.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) forge: MemoryForge,
    pub(crate) queue: Queue,
    pub(crate) coordinator: InProcess,
    pub(crate) deliveries: Deliveries,
    pub(crate) timeline: Timeline,
    pub(crate) follow: Follow,
    pub(crate) observe: Observe,
    pub(crate) bells: Bells,
    pub(crate) namespace: NamespaceId,
    pub(crate) source: SourceId,
    pub(crate) registry: RegistryId,
    receive: Router,
    decide: Decide,
    commits: std::sync::atomic::AtomicU64,
    pub(crate) test_store: TestStore,
}

/// Something that happened at the forge, with the delivery that tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    /// Where the ref is now.
    pub(crate) after: Option<CommitSha>,
    /// What the forge says of it.
    pub(crate) payload: Value,
    /// As `push`.
    pub(crate) event: &'static str,
}

impl Pushed {
    pub(crate) fn sha(&self) -> CommitSha {
        self.after.clone().expect("a push of a commit")
    }
}

pub(crate) fn branch(name: &str) -> RefName {
    RefName::branch(name).unwrap()
}

pub(crate) fn tag(name: &str) -> RefName {
    RefName::tag(name).unwrap()
}

/// A rule that says no more than this.
pub(crate) fn rule(kind: RefKind, source: &str, docker_tag: &str) -> RuleFields {
    RuleFields {
        source_type: kind,
        source: source.to_owned(),
        docker_tag: docker_tag.to_owned(),
        ..RuleFields::default_for("main")
    }
}

pub(crate) fn fields() -> ConfigurationFields {
    ConfigurationFields {
        autotest: Autotest::Off,
        auto_repair: true,
        repository_links: false,
        delivery_mode: DeliveryMode::Webhook,
        poll_interval: Duration::from_mins(5),
        supersede: Supersede::Never,
        time_limit: None,
        builder_labels: Vec::new(),
    }
}

/// `sha256:` and 64 digits that come from a commit, as if its image had this digest.
pub(crate) fn digest_of(sha: &CommitSha) -> Digest {
    format!("sha256:{}{}", sha.as_str(), &sha.as_str()[..24])
        .parse()
        .unwrap()
}

impl World {
    pub(crate) async fn new(test_store: TestStore) -> Self {
        let store = test_store.store.clone();
        let tx = store.begin().await.unwrap();
        let namespace = tx
            .namespaces()
            .insert(&"acme".parse().unwrap(), None, "standard")
            .await
            .unwrap();
        let (source, forge_id) = source(&tx, namespace).await;
        let registry = RegistryFields {
            name: "local",
            host: "registry.invalid:5000",
            path_prefix: "",
            username: "robot",
            password: Some(&"registry-password".into()),
            verified_at: None,
        };
        let registry = tx.registries().insert(None, &registry).await.unwrap();
        tx.commit().await.unwrap();
        let forge = MemoryForge::new(forge_id);
        let ask: Arc<dyn AskForge> = Arc::new(forge.clone());
        let bells = Bells::of(&store);
        let observe = Observe::new(store.clone(), Arc::clone(&ask), bells.clone());
        let decide = Decide::new(store.clone(), Arc::clone(&ask), bells.clone());
        Self {
            queue: Queue::new(store.clone(), observe.clone(), decide.clone(), bells.clone()),
            coordinator: InProcess::new(store.clone(), Arc::clone(&ask), bells.clone(), "embedded"),
            deliveries: Deliveries::new(store.clone(), Arc::clone(&ask), observe.clone(), bells.clone()),
            timeline: Timeline::new(store.clone()),
            follow: Follow::new(store.clone(), bells.clone()),
            receive: Receive::new(store.clone(), ask, bells.clone(), DEFAULT_LIMIT).routes(),
            bells,
            observe,
            decide,
            forge,
            namespace,
            source,
            registry,
            store,
            commits: 0.into(),
            test_store,
        }
    }

    /// A repository with these rules, after its baseline was taken.
    pub(crate) async fn repository(
        &self,
        name: &str,
        rules: &[RuleFields],
    ) -> (RepositoryId, ConfigurationId) {
        self.repository_with(name, name, rules, fields()).await
    }

    pub(crate) async fn repository_with(
        &self,
        name: &str,
        path: &str,
        rules: &[RuleFields],
        fields: ConfigurationFields,
    ) -> (RepositoryId, ConfigurationId) {
        let tx = self.store.begin().await.unwrap();
        let image_path = format!("acme/{path}").parse().unwrap();
        let more = RepositoryFields {
            description: "",
            private: false,
            registry: self.registry,
            image_path: &image_path,
        };
        let repository = tx
            .repositories()
            .insert(self.namespace, &name.parse().unwrap(), &more)
            .await
            .unwrap();
        let configuration = tx
            .configurations()
            .insert(repository, self.source, &fields)
            .await
            .unwrap();
        let rules: Vec<StoredRule> = rules
            .iter()
            .map(|fields| StoredRule {
                id: RuleId::fresh(),
                fields: fields.clone(),
            })
            .collect();
        tx.configurations()
            .set_rules(configuration, &rules)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.compare_heads().await;
        (repository, configuration)
    }

    /// A repository whose branch `main` is its tag `latest`.
    pub(crate) async fn simple(&self) -> (RepositoryId, ConfigurationId) {
        self.repository("app", &[rule(RefKind::Branch, "main", "latest")])
            .await
    }

    /// Another namespace that builds from the same repository, through a GitHub App with this webhook.
    pub(crate) async fn through_an_app(
        &self,
        hook_path: &str,
        webhook_secret: &str,
    ) -> (ForgeClientId, SourceId) {
        let tx = self.store.begin().await.unwrap();
        let name = "beta".parse().unwrap();
        let namespace = tx.namespaces().insert(&name, None, "standard").await.unwrap();
        let forge = self
            .store
            .source_repositories()
            .get(self.source)
            .await
            .unwrap()
            .forge;
        let app = NewApp {
            client_id: "app",
            client_secret: &"secret".into(),
            app_id: "7",
            page: &"https://github.invalid/apps/slipway".parse().unwrap(),
            private_key: &"key".into(),
            webhook_secret: &webhook_secret.into(),
            hook_path,
        };
        let client = tx.forges().put_app(forge, &app).await.unwrap();
        link(&tx, namespace, forge, client, "ben").await;
        let source = ensure_source(&tx, namespace, forge, PROVIDER_ID).await;
        let image_path = "beta/app".parse().unwrap();
        let more = RepositoryFields {
            description: "",
            private: false,
            registry: self.registry,
            image_path: &image_path,
        };
        let repository = tx
            .repositories()
            .insert(namespace, &"app".parse().unwrap(), &more)
            .await
            .unwrap();
        tx.configurations()
            .insert(repository, source, &fields())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.compare_heads_of(source).await;
        (client, source)
    }

    /// What is compared at `now` because somebody asked for it.
    pub(crate) async fn compared_out_of_turn(&self, now: Timestamp) -> Vec<SourceId> {
        let ever = Timestamp::from_millis(0);
        let all = self.store.source_repositories().to_be_compared(ever, now).await;
        all.unwrap().into_iter().map(|source| source.id).collect()
    }

    /// What the reconciliation does for one source.
    pub(crate) async fn compare_heads(&self) -> usize {
        self.compare_heads_of(self.source).await
    }

    async fn compare_heads_of(&self, source: SourceId) -> usize {
        let source = self.store.source_repositories().get(source).await.unwrap();
        let saying = Saying {
            cause: Cause::Reconciled,
            delivery: None,
            actor: None,
        };
        self.observe.look_at_all(&source, &saying).await.unwrap()
    }

    /// A commit that nobody has seen before.
    pub(crate) fn commit(&self) -> CommitSha {
        let n = 1 + self.commits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sha: CommitSha = format!("{n:040x}").parse().unwrap();
        self.forge.says(&sha, &format!("commit {n}"));
        sha
    }

    /// A new commit is pushed. Nothing is delivered yet.
    pub(crate) fn push(&self, name: &RefName) -> Pushed {
        let sha = self.commit();
        self.move_to(name, Some(&sha))
    }

    /// A ref is moved, or deleted. Nothing is delivered yet.
    pub(crate) fn move_to(&self, name: &RefName, sha: Option<&CommitSha>) -> Pushed {
        let before = self.forge.set(name, sha);
        push_of(name, before.as_ref(), sha, "a commit")
    }

    /// Delivers, and waits until nothing is left to do.
    pub(crate) async fn deliver(&self, pushed: &Pushed) -> DeliveryId {
        let id = self.send(pushed).await;
        self.settle().await;
        id
    }

    /// Delivers, and leaves it at that.
    pub(crate) async fn send(&self, pushed: &Pushed) -> DeliveryId {
        let (status, text) = self
            .post(HOOK, pushed.event, &pushed.payload.to_string(), SECRET)
            .await;
        assert_eq!(status, 202, "{text}");
        text.trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// A request as GitHub makes it.
    pub(crate) async fn post(&self, path: &str, event: &str, body: &str, secret: &str) -> (u16, String) {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .unwrap()
            .chain_update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        self.post_signed(path, event, body, Some(&signature)).await
    }

    pub(crate) async fn post_signed(
        &self,
        path: &str,
        event: &str,
        body: &str,
        signature: Option<&str>,
    ) -> (u16, String) {
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", "remote-id");
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = self.receive.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Takes steps of all loops until nothing is to be done now.
    pub(crate) async fn settle(&self) {
        for _ in 0..10_000 {
            let handled = handle_deliveries_one(&self.deliveries).await.unwrap();
            let asked = ask_forge_one(&self.store, &self.observe, &self.bells)
                .await
                .unwrap();
            let decided = decide_one(&self.store, &self.decide).await.unwrap();
            if !handled && !asked && !decided {
                return;
            }
        }
        panic!("the loops do not come to rest");
    }

    /// One step of the deciding loop alone.
    pub(crate) async fn decide_once(&self) -> bool {
        decide_one(&self.store, &self.decide).await.unwrap()
    }

    /// A process that has read a change before somebody else decided it, and goes on only now.
    pub(crate) async fn late_decision(&self, change: &slipway_store::Change) {
        self.decide.change(change).await.unwrap();
    }

    /// One step of the handling loop alone.
    pub(crate) async fn handle_once(&self) -> bool {
        handle_deliveries_one(&self.deliveries).await.unwrap()
    }

    pub(crate) async fn is_settled(&self) -> bool {
        settled(&self.store).await.unwrap()
    }

    /// A repository's builds, the oldest first.
    pub(crate) async fn builds(&self, repository: RepositoryId) -> Vec<Build> {
        let mut builds = self
            .store
            .builds()
            .of_repository(repository, None, 1000)
            .await
            .unwrap();
        builds.reverse();
        builds
    }

    /// Their commits.
    pub(crate) async fn commits(&self, repository: RepositoryId) -> Vec<CommitSha> {
        self.builds(repository)
            .await
            .into_iter()
            .map(|build| build.new.sha)
            .collect()
    }

    /// What the build that moved a tag last was of.
    pub(crate) async fn tag_holds(&self, path: &str, tag: &str) -> Option<CommitSha> {
        let path = format!("acme/{path}").parse().unwrap();
        let head = self
            .store
            .tag_heads()
            .find("registry.invalid:5000", &path, &tag.parse().unwrap())
            .await
            .unwrap()?;
        let build = self.store.builds().get(head.build?).await.unwrap();
        assert_eq!(head.digest, Some(digest_of(&build.new.sha)));
        Some(build.new.sha)
    }

    /// What is recorded of a tag.
    pub(crate) async fn tag_head(&self, path: &str, tag: &str) -> slipway_store::TagHead {
        let path = format!("acme/{path}").parse().unwrap();
        let tag = tag.parse().unwrap();
        self.store
            .tag_heads()
            .find("registry.invalid:5000", &path, &tag)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn entry(&self, delivery: DeliveryId) -> DeliveryEntry {
        self.timeline.delivery(delivery).await.unwrap().unwrap()
    }

    // ---- Builders ---------------------------------------------------------------------------------

    pub(crate) async fn builder(&self, name: &str, isolates: bool) -> BuilderId {
        let facts = slipway_store::BuilderFacts {
            host: name.to_owned(),
            driver: if isolates { "rootless" } else { "host" }.to_owned(),
            isolates,
            platforms: vec!["linux/amd64".to_owned()],
            slots: 100,
            version: "0".to_owned(),
        };
        let tx = self.store.begin().await.unwrap();
        let id = tx.builders().embedded(name, &facts).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A build for the one builder of this world, if one may run.
    pub(crate) async fn lease(&self) -> Option<Leased> {
        let builder = self.builder("one", true).await;
        self.coordinator.try_lease(builder).await.unwrap()
    }

    pub(crate) async fn build_of(&self, leased: &Leased) -> Build {
        self.store.builds().get(leased.spec.build).await.unwrap()
    }

    /// Asks for all tags, pushes those that are granted, and ends well.
    pub(crate) async fn run(&self, leased: &Leased) -> Vec<FenceAnswer> {
        let (build, lease) = (leased.spec.build, leased.lease);
        let tags = leased.spec.image.tags.clone();
        let answers = self.coordinator.fence(build, lease, tags).await.unwrap();
        let digest = digest_of(&leased.spec.source.commit);
        let pushed = answers
            .iter()
            .filter(|(_, answer)| *answer == FenceAnswer::Granted)
            .map(|(tag, _)| Stamped {
                at_ms: 5,
                event: RunEvent::Pushed {
                    tag: tag.clone(),
                    digest: digest.clone(),
                    size: Some(12),
                },
            });
        let batch = slipway_builder::outside::Batch {
            number: 1,
            events: pushed.collect(),
            log: Vec::new(),
        };
        self.coordinator.report(build, lease, batch).await.unwrap();
        let held = |(tag, answer): &(slipway_types::DockerTag, FenceAnswer)| {
            (*answer == FenceAnswer::NewerHoldsTag).then(|| tag.clone())
        };
        let skipped = answers.iter().filter_map(held).collect();
        self.coordinator
            .finish(build, lease, Ended::Success { skipped })
            .await
            .unwrap();
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// A build's time of cooling is over: as if its ten seconds had passed.
    pub(crate) async fn cool(&self, build: slipway_types::BuildId) {
        let tx = self.store.begin().await.unwrap();
        tx.leases().end_cooling(build).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Another namespace, with one build that waits. Returns it.
    pub(crate) async fn other_namespace_waits(&self) -> NamespaceId {
        let tx = self.store.begin().await.unwrap();
        let namespace = tx
            .namespaces()
            .insert(&"other".parse().unwrap(), None, "standard")
            .await
            .unwrap();
        let forge = tx.source_repositories().get(self.source).await.unwrap().forge;
        let source = ensure_source(&tx, namespace, forge, PROVIDER_ID).await;
        let image_path = "other/app".parse().unwrap();
        let more = RepositoryFields {
            description: "",
            private: false,
            registry: self.registry,
            image_path: &image_path,
        };
        let repository = tx
            .repositories()
            .insert(namespace, &"app".parse().unwrap(), &more)
            .await
            .unwrap();
        let configuration = tx
            .configurations()
            .insert(repository, source, &fields())
            .await
            .unwrap();
        let main = StoredRule {
            id: RuleId::fresh(),
            fields: rule(RefKind::Branch, "b0", "latest"),
        };
        tx.configurations()
            .set_rules(configuration, &[main])
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.queue
            .trigger(
                configuration,
                &slipway_server::services::queue::TriggerWhat::All,
                None,
            )
            .await
            .unwrap();
        namespace
    }

    /// Runs everything that waits, one build after another.
    pub(crate) async fn run_all(&self) {
        while let Some(leased) = self.lease().await {
            self.run(&leased).await;
        }
        assert_eq!(
            self.store.builds().count_unfinished().await.unwrap(),
            0,
            "builds are left that nobody may run"
        );
    }
}

/// Link, forge, source and webhook.
async fn source(tx: &Tx, namespace: NamespaceId) -> (SourceId, ForgeId) {
    let forge = ForgeFields {
        kind: ForgeKind::Github,
        name: "github".to_owned(),
        display_name: "GitHub".to_owned(),
        web_url: "https://github.invalid".parse().unwrap(),
        api_url: "https://api.github.invalid".parse().unwrap(),
        known_hosts: Vec::new(),
    };
    let forge = tx.forges().insert(&forge).await.unwrap();
    let client = tx
        .forges()
        .put_client(forge, ClientKind::Oauth, "client", &"secret".into())
        .await
        .unwrap();
    let link = link(tx, namespace, forge, client, "ann").await;
    let source = ensure_source(tx, namespace, forge, PROVIDER_ID).await;
    let hook = tx
        .provider_resources()
        .insert_hook(source, link, "hookpath", &SECRET.into())
        .await
        .unwrap();
    assert!(tx.provider_resources().settle_active(hook, "99").await.unwrap());
    (source, forge)
}

async fn link(tx: &Tx, namespace: NamespaceId, forge: ForgeId, client: ForgeClientId, name: &str) -> LinkId {
    let user = NewUser {
        name: &name.parse().unwrap(),
        display_name: name,
        email: None,
        password_hash: "-",
        is_admin: true,
    };
    let user = tx.users().insert(&user).await.unwrap();
    let of = CredentialOf {
        account_id: "1".to_owned(),
        login: name.to_owned(),
        avatar_url: None,
    };
    let tokens = Tokens {
        access: "token".into(),
        refresh: None,
        expires_at: None,
        scopes: Vec::new(),
    };
    let credential = tx.credentials().insert(client, &of, &tokens).await.unwrap();
    let to = LinkTo {
        credential,
        account_id: "1".to_owned(),
        login: name.to_owned(),
        by: user,
    };
    tx.links().insert(namespace, forge, &to).await.unwrap()
}

pub(crate) async fn ensure_source(
    tx: &Tx,
    namespace: NamespaceId,
    forge: ForgeId,
    provider_id: u64,
) -> SourceId {
    let facts = SourceFacts {
        provider_id: provider_id.to_string(),
        owner: "acme".to_owned(),
        name: "app".to_owned(),
        private: false,
        default_branch: "main".to_owned(),
        web_url: "https://github.invalid/acme/app".to_owned(),
        clone_ssh: "git@github.invalid:acme/app.git".to_owned(),
        clone_https: "https://github.invalid/acme/app.git".to_owned(),
    };
    tx.source_repositories()
        .ensure(namespace, forge, &facts)
        .await
        .unwrap()
        .id
}

/// A push as GitHub tells of it.
pub(crate) fn push_of(
    name: &RefName,
    before: Option<&CommitSha>,
    after: Option<&CommitSha>,
    message: &str,
) -> Pushed {
    const NONE: &str = "0000000000000000000000000000000000000000";
    let text = |sha: Option<&CommitSha>| sha.map_or(NONE, CommitSha::as_str).to_owned();
    let commit = after.map(|sha| {
        json!({"id": sha.as_str(), "message": message, "author": {"name": "Ann"}, "added": ["a"], "removed": [],
               "modified": []})
    });
    let payload = json!({
        "ref": name.full(),
        "before": text(before),
        "after": text(after),
        "created": before.is_none(),
        "deleted": after.is_none(),
        "forced": false,
        "head_commit": commit,
        "commits": commit.iter().collect::<Vec<_>>(),
        "repository": {"id": PROVIDER_ID, "full_name": "acme/app"},
    });
    Pushed {
        after: after.cloned(),
        payload,
        event: "push",
    }
}

/// A pull request from `topic` into `main`, as GitHub tells of it.
pub(crate) fn pull_request_of(action: &str, number: u64, sha: &CommitSha, internal: bool) -> Pushed {
    let head_id = if internal { PROVIDER_ID } else { 815 };
    let end = |id: u64, name: &str, branch: &str, sha: &str| json!({"ref": branch, "sha": sha, "repo": {"id": id, "full_name": name}});
    let head_name = if internal { "acme/app" } else { "stranger/app" };
    let base = "00000000000000000000000000000000000000ff";
    let payload = json!({
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "title": "Better",
            "state": if action == "closed" { "closed" } else { "open" },
            "merged": false,
            "user": {"login": "bob"},
            "head": end(head_id, head_name, "topic", sha.as_str()),
            "base": end(PROVIDER_ID, "acme/app", "main", base),
        },
        "repository": {"id": PROVIDER_ID, "full_name": "acme/app"},
    });
    Pushed {
        after: Some(sha.clone()),
        payload,
        event: "pull_request",
    }
}

/// The same pull request, as the forge says when it is asked.
pub(crate) fn pull_request(number: u64, sha: &CommitSha, internal: bool) -> PullRequest {
    let end = |id: u64, branch: &str, sha: Option<&CommitSha>| PullRequestEnd {
        repository: Some(id.into()),
        path: None,
        branch: branch.to_owned(),
        sha: sha.cloned(),
    };
    PullRequest {
        number,
        title: "Better".to_owned(),
        author: "bob".to_owned(),
        state: PullRequestState::Open,
        head: end(if internal { PROVIDER_ID } else { 815 }, "topic", Some(sha)),
        base: end(PROVIDER_ID, "main", None),
    }
}

/// What each rule said to a delivery's first change, in words: `build` or the reason, and the admission.
pub(crate) fn said(entry: &DeliveryEntry) -> Vec<(String, Option<&'static str>)> {
    let change = entry.changes[0].change.as_ref().expect("a change");
    let word = |verdict: &Verdict| match verdict {
        Verdict::Build { .. } => "build".to_owned(),
        Verdict::No { because } => because.to_string(),
    };
    let one = |verdict: &slipway_store::RuleVerdict| {
        (word(&verdict.verdict), verdict.admission.map(Admission::as_str))
    };
    change.verdicts.iter().map(one).collect()
}

pub(crate) fn states(builds: &[Build]) -> Vec<BuildState> {
    builds.iter().map(|build| build.state).collect()
}
