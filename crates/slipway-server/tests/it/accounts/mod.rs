//! Linking, configuring and unlinking against the simulated forge, told as a person would do it.

mod app;
mod configuring;
mod forges;
mod linking;
mod unlinking;

use std::sync::{Arc, Once};

use secrecy::SecretString;
use slipway_devforge::{Browser, DevForge, Kind, NewOAuthClient, NewRepository, OAuthClient, Provider};
use slipway_forge::HttpClient;
use slipway_server::services::{
    Access, Caller, ServiceError,
    access_proofs::AccessProofs,
    accounts::{Accounts, Origin},
    ask::AskForge,
    bells::Bells,
    config::Config,
    configuring::{ConfigurationForm, Configuring, RuleForm, Saved, default_fields},
    decide::Decide,
    forges::Forges,
    health::HealthCheck,
    linked_forges::LinkedForges,
    linking::{LinkOutcome, Linking},
    links::Links,
    observe::Observe,
    outbox::OutboxWorker,
    queue::Queue,
    source_providers::{ProviderForm, SourceProviders},
    sources::{SourceChoice, Sources},
    unlinking::Unlinking,
    users::Users,
};
use slipway_store::{RegistryFields, RepositoryFields, Store, testing::TestStore};
use slipway_types::{RefKind, SlugName, forge::ForgeKind, rights::Role, rule::RuleFields};

const PASSWORD: &str = "correct horse battery";

/// Slipway's services over one store, and one simulated provider that `octo` has an account at.
struct World {
    database: TestStore,
    devforge: DevForge,
    kind: Kind,
    config: Arc<Config>,
    forges: Forges,
    providers: SourceProviders,
    access: Access,
    accounts: Accounts,
    users: Users,
    linking: Linking,
    links: Links,
    health: HealthCheck,
    sources: Sources,
    configuring: Configuring,
    access_proofs: AccessProofs,
    unlinking: Unlinking,
    outbox: OutboxWorker,
    client: OAuthClient,
}

static TLS: Once = Once::new();

impl World {
    async fn github() -> Self {
        Self::start(Kind::GitHub, slipway_devforge::Config::default()).await
    }

    async fn bitbucket() -> Self {
        Self::start(Kind::Bitbucket, slipway_devforge::Config::default()).await
    }

    async fn start(kind: Kind, devforge: slipway_devforge::Config) -> Self {
        TLS.call_once(|| {
            // Another test module may have been first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let database = slipway_store::testing::on_sqlite().await;
        let store = database.store.clone();
        let devforge = DevForge::start(devforge).await.unwrap();
        let config = Arc::new(Config {
            public_url: "http://127.0.0.1:9/slipway/".parse().unwrap(),
        });
        let provider = devforge.provider(kind);
        provider.create_user("octo", "Octo Cat", PASSWORD).unwrap();
        provider.create_user("mona", "Mona", PASSWORD).unwrap();
        provider
            .create_organization("acme", &[("octo", slipway_devforge::Role::Owner)])
            .unwrap();
        let callback = config.callback_url(kind.as_str());
        let client = provider.register_client(NewOAuthClient::new("Slipway", callback.as_str()));
        let bells = Bells::default();
        let forges = Forges::new(store.clone(), HttpClient::new(["127.0.0.1".to_owned()]).unwrap());
        let ask: Arc<dyn AskForge> = Arc::new(LinkedForges::new(store.clone(), forges.clone()));
        let observe = Observe::new(store.clone(), Arc::clone(&ask), bells.clone());
        let decide = Decide::new(store.clone(), ask, bells.clone());
        let queue = Queue::new(store.clone(), observe.clone(), decide, bells.clone());
        let wake = bells.outbox.clone();
        let world = Self {
            providers: SourceProviders::new(store.clone(), forges.clone(), Arc::clone(&config)),
            access: Access::new(store.clone()),
            accounts: Accounts::new(store.clone()),
            users: Users::new(store.clone()),
            linking: Linking::new(store.clone(), forges.clone(), Arc::clone(&config), wake.clone()),
            links: Links::new(store.clone(), forges.clone()),
            health: HealthCheck::new(store.clone(), forges.clone(), Arc::clone(&config), wake.clone()),
            sources: Sources::new(store.clone(), forges.clone()),
            configuring: Configuring::new(
                store.clone(),
                forges.clone(),
                queue.clone(),
                Arc::clone(&config),
                wake.clone(),
            ),
            access_proofs: AccessProofs::new(store.clone(), forges.clone()),
            unlinking: Unlinking::new(store.clone(), forges.clone(), queue, wake),
            outbox: OutboxWorker::new(store, forges.clone(), Arc::clone(&config), observe),
            database,
            devforge,
            kind,
            config,
            forges,
            client,
        };
        world.providers.configure(&[world.form()]).await.unwrap();
        world
    }

    fn store(&self) -> &Store {
        &self.database.store
    }

    fn provider(&self) -> Provider {
        self.devforge.provider(self.kind)
    }

    fn form(&self) -> ProviderForm {
        ProviderForm {
            kind: match self.kind {
                Kind::GitHub => ForgeKind::Github,
                Kind::Bitbucket => ForgeKind::Bitbucket,
            },
            name: self.kind.as_str().to_owned(),
            display_name: "Forge".to_owned(),
            web_url: self.provider().web_url().parse().unwrap(),
            api_url: self.provider().api_url().parse().unwrap(),
            known_hosts: Vec::new(),
            client_id: self.client.client_id.clone(),
            client_secret: Some(self.client.client_secret.clone().into()),
            app: None,
        }
    }

    fn forge(&self) -> &'static str {
        self.kind.as_str()
    }

    /// The first administrator, signed in.
    async fn administrator(&self) -> Caller {
        let origin = Origin::default();
        let password = SecretString::from(PASSWORD);
        let signed_in = self
            .accounts
            .first_administrator("ada", &password, &origin)
            .await
            .unwrap();
        self.caller(&signed_in.token).await
    }

    /// Another person, signed in.
    async fn person(&self, by: &Caller, name: &str) -> Caller {
        self.users
            .create(by, name, &SecretString::from(PASSWORD), false)
            .await
            .unwrap();
        self.sign_in(name).await
    }

    /// A person at another browser.
    async fn sign_in(&self, name: &str) -> Caller {
        let password = SecretString::from(PASSWORD);
        let signed_in = self
            .accounts
            .sign_in(name, &password, &Origin::default())
            .await
            .unwrap()
            .unwrap();
        self.caller(&signed_in.token).await
    }

    async fn caller(&self, token: &SecretString) -> Caller {
        self.access.by_session(token, None).await.unwrap().unwrap().0
    }

    /// An organization that `owner` owns, with `member` in it.
    async fn organization(&self, name: &str, owner: &Caller, member: Option<&Caller>) -> SlugName {
        let name = slug(name);
        let tx = self.store().begin().await.unwrap();
        let id = tx.namespaces().insert(&name, None, "standard").await.unwrap();
        tx.namespaces()
            .set_member(id, owner.user, Role::Owner)
            .await
            .unwrap();
        if let Some(member) = member {
            tx.namespaces()
                .set_member(id, member.user, Role::Member)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        name
    }

    /// A repository of ours; its images go nowhere.
    async fn repository(&self, namespace: &SlugName, name: &str) -> SlugName {
        let name = slug(name);
        let tx = self.store().begin().await.unwrap();
        let of = tx.namespaces().by_name(namespace).await.unwrap().unwrap().id;
        let registry = RegistryFields {
            name: "registry",
            host: "registry.example",
            path_prefix: "",
            username: "",
            password: None,
            verified_at: None,
        };
        let registry = tx.registries().insert(Some(of), &registry).await.unwrap();
        let path = format!("{namespace}/{name}").parse().unwrap();
        let fields = RepositoryFields {
            description: "",
            private: false,
            registry,
            image_path: &path,
        };
        tx.repositories().insert(of, &name, &fields).await.unwrap();
        tx.commit().await.unwrap();
        name
    }

    /// A source repository at the provider.
    async fn source(&self, full_name: &str) -> slipway_devforge::Repository {
        let new = NewRepository::new(full_name).file("Dockerfile", "FROM scratch\n");
        self.provider().create_repository(new).await.unwrap()
    }

    /// A browser in which this person is signed in at the provider.
    async fn browser(&self, login: &str) -> Browser {
        let mut browser = self.provider().browser();
        browser.sign_in(login, PASSWORD).await.unwrap();
        browser
    }

    /// Starts linking, grants access as `login`, and comes back: the query string of the callback.
    async fn authorized(&self, caller: &Caller, namespace: &SlugName, login: &str) -> String {
        let url = self
            .linking
            .start(caller, namespace, self.forge(), false)
            .await
            .unwrap();
        let back = self.browser(login).await.authorize(url.as_str()).await.unwrap();
        query(&back)
    }

    async fn back(&self, caller: &Caller, query: &str) -> Result<LinkOutcome, ServiceError> {
        self.linking.callback(caller, self.forge(), query).await
    }

    /// The whole way, from *Link provider* to the linked account.
    async fn link(&self, caller: &Caller, namespace: &SlugName, login: &str) -> slipway_store::Link {
        let query = self.authorized(caller, namespace, login).await;
        match self.back(caller, &query).await.unwrap() {
            LinkOutcome::Linked { .. } => self.current_link(namespace).await.unwrap(),
            LinkOutcome::OtherAccount(other) => panic!("asked about another account: {other:?}"),
        }
    }

    async fn current_link(&self, namespace: &SlugName) -> Option<slipway_store::Link> {
        let of = self
            .store()
            .namespaces()
            .by_name(namespace)
            .await
            .unwrap()
            .unwrap()
            .id;
        let forge = self
            .store()
            .forges()
            .by_name(self.forge())
            .await
            .unwrap()
            .unwrap()
            .id;
        self.store().links().current(of, forge).await.unwrap()
    }

    /// Saves a configuration: `main` → `latest`.
    async fn configure(
        &self,
        caller: &Caller,
        namespace: &SlugName,
        repository: &SlugName,
        source: &str,
    ) -> Result<Saved, ServiceError> {
        self.configuring
            .save(caller, namespace, repository, &self.configuration(source))
            .await
    }

    fn configuration(&self, source: &str) -> ConfigurationForm {
        ConfigurationForm {
            source: SourceChoice {
                forge: self.forge().to_owned(),
                path: source.parse().unwrap(),
            },
            fields: default_fields(),
            rules: vec![rule("main", "latest")],
            variables: Vec::new(),
            version: None,
        }
    }

    /// Works the outbox until nothing is due.
    async fn settle(&self) {
        while self.outbox.work_due().await.unwrap() {}
    }

    /// Access tokens at the provider that still work.
    fn valid_tokens(&self) -> Vec<String> {
        let tokens = self.provider().tokens().into_iter();
        tokens
            .filter(|token| token.valid)
            .map(|token| token.value)
            .collect()
    }
}

fn rule(source: &str, tag: &str) -> RuleForm {
    let fields = RuleFields {
        docker_tag: tag.to_owned(),
        ..RuleFields::default_for(source)
    };
    assert_eq!(fields.source_type, RefKind::Branch);
    RuleForm { id: None, fields }
}

fn slug(name: &str) -> SlugName {
    name.parse().unwrap()
}

/// The query string of an address.
fn query(url: &str) -> String {
    url.split_once('?').unwrap().1.to_owned()
}

/// The stable word of what went wrong.
fn kind<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> &'static str {
    result.unwrap_err().kind()
}
