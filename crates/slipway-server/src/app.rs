//! The whole server put together: every service once, over one store; the routers of its faces; its loops.

use std::{collections::HashMap, convert::Infallible, ops::Deref, sync::Arc};

use axum::Router;
use futures::future::BoxFuture;
use slipway_forge::{HttpClient, HttpClientError};
use slipway_registry::RegistryError;
use slipway_store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    api, builders, loops,
    receive::{self, Receive},
    services::{
        Access, ServiceError,
        access_proofs::{self, AccessProofs},
        accounts::Accounts,
        ask::AskForge,
        audit::AuditTrail,
        bells::Bells,
        build_acts::BuildActs,
        build_logs::BuildLogs,
        builders::Builders,
        builds_read::BuildsRead,
        config::Config,
        configuring::Configuring,
        coordinator::InProcess,
        decide::Decide,
        deliveries::Deliveries,
        follow::Follow,
        forges::Forges,
        github_apps::GithubApps,
        health::HealthCheck,
        idempotency::Idempotency,
        linked_forges::LinkedForges,
        linking::Linking,
        links::Links,
        observe::Observe,
        organizations::Organizations,
        outbox::OutboxWorker,
        queue::Queue,
        registries::Registries,
        repositories::Repositories,
        source_providers::{ProviderForm, SourceProviders},
        sources::Sources,
        status::Status,
        timeline::Timeline,
        unlinking::Unlinking,
        users::Users,
        wake::Wake,
    },
    web,
};

/// What a server is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where people and providers reach it.
    pub public_url: Url,
    /// Source providers from the configuration file; others are added on the admin page.
    pub forges: Vec<ProviderForm>,
    /// Hosts of source providers, as they stand in their URLs, that may have private addresses.
    pub allow_private_hosts: Vec<String>,
    /// What the embedded builder is called; servers that share a database call theirs differently.
    pub builder: String,
}

/// The server. Cheap to clone; its services are its fields.
#[derive(Debug, Clone)]
pub struct App(Arc<Services>);

/// Every service, once.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field is the service of its name: its type says what it is for"
)]
pub struct Services {
    pub config: Arc<Config>,
    pub access: Access,
    pub access_proofs: AccessProofs,
    pub accounts: Accounts,
    pub audit: AuditTrail,
    pub bells: Bells,
    pub build_acts: BuildActs,
    pub builders: Builders,
    pub builds: BuildsRead,
    pub configuring: Configuring,
    pub deliveries: Deliveries,
    pub github_apps: GithubApps,
    pub health: HealthCheck,
    pub idempotency: Idempotency,
    pub linking: Linking,
    pub links: Links,
    pub logs: BuildLogs,
    pub organizations: Organizations,
    pub providers: SourceProviders,
    pub queue: Queue,
    pub registries: Registries,
    pub follow: Follow,
    pub repositories: Repositories,
    pub sources: Sources,
    pub status: Status,
    pub timeline: Timeline,
    pub unlinking: Unlinking,
    /// The users, for administrators.
    pub users: Users,
    /// What pages keep between requests.
    pub web: web::Shared,
    behind: Behind,
}

/// What no face sees: the way of the data from a webhook to a build.
#[derive(Debug)]
struct Behind {
    store: Store,
    receive: Receive,
    observe: Observe,
    decide: Decide,
    outbox: OutboxWorker,
    coordinator: Arc<InProcess>,
    http: reqwest::Client,
}

impl Deref for App {
    type Target = Services;
    fn deref(&self) -> &Services {
        &self.0
    }
}

impl App {
    /// Puts the server together over this store, and makes the source providers what the settings say.
    ///
    /// # Errors
    /// When a source provider of the settings cannot be, or the store does not answer.
    pub async fn new(store: Store, settings: Settings) -> Result<Self, StartError> {
        let config = Arc::new(Config {
            public_url: settings.public_url,
        });
        let http = slipway_registry::http_client()?;
        let bells = Bells::of(&store);
        let forges = Forges::new(store.clone(), HttpClient::new(settings.allow_private_hosts)?);
        let ask: Arc<dyn AskForge> = Arc::new(LinkedForges::new(store.clone(), forges.clone()));
        let observe = Observe::new(store.clone(), Arc::clone(&ask), bells.clone());
        let decide = Decide::new(store.clone(), Arc::clone(&ask), bells.clone());
        let queue = Queue::new(store.clone(), observe.clone(), decide.clone(), bells.clone());
        let providers = SourceProviders::new(store.clone(), forges.clone(), Arc::clone(&config));
        providers.configure(&settings.forges).await?;
        access_proofs::end_claims_of_the_dead(&store).await?;
        let outbox_wake = bells.outbox.clone();
        Ok(Self(Arc::new(Services {
            access: Access::new(store.clone()),
            access_proofs: AccessProofs::new(store.clone(), forges.clone()),
            accounts: Accounts::new(store.clone()),
            audit: AuditTrail::new(store.clone()),
            build_acts: BuildActs::new(store.clone(), queue.clone()),
            builders: Builders::new(store.clone()),
            builds: BuildsRead::new(store.clone()),
            configuring: Configuring::new(
                store.clone(),
                forges.clone(),
                queue.clone(),
                Arc::clone(&config),
                outbox_wake.clone(),
            ),
            deliveries: Deliveries::new(store.clone(), Arc::clone(&ask), observe.clone(), bells.clone()),
            github_apps: GithubApps::new(store.clone(), forges.clone(), Arc::clone(&config)),
            health: HealthCheck::new(
                store.clone(),
                forges.clone(),
                Arc::clone(&config),
                outbox_wake.clone(),
            ),
            idempotency: Idempotency::new(store.clone()),
            linking: Linking::new(
                store.clone(),
                forges.clone(),
                Arc::clone(&config),
                outbox_wake.clone(),
            ),
            links: Links::new(store.clone(), forges.clone()),
            logs: BuildLogs::new(store.clone()),
            organizations: Organizations::new(store.clone()),
            providers,
            registries: Registries::new(store.clone(), http.clone()),
            follow: Follow::new(store.clone(), bells.clone()),
            repositories: Repositories::new(store.clone()),
            sources: Sources::new(store.clone(), forges.clone()),
            status: Status::new(store.clone()),
            timeline: Timeline::new(store.clone()),
            unlinking: Unlinking::new(store.clone(), forges.clone(), queue.clone(), outbox_wake),
            users: Users::new(store.clone()),
            web: web::Shared::default(),
            behind: Behind {
                receive: Receive::new(
                    store.clone(),
                    Arc::clone(&ask),
                    bells.clone(),
                    receive::DEFAULT_LIMIT,
                ),
                outbox: OutboxWorker::new(store.clone(), forges, Arc::clone(&config), observe.clone()),
                coordinator: Arc::new(InProcess::new(
                    store.clone(),
                    ask,
                    bells.clone(),
                    &settings.builder,
                )),
                observe,
                decide,
                http,
                store,
            },
            bells,
            config,
            queue,
        })))
    }

    /// All routes: pages, API, builders', webhooks.
    pub fn router(&self) -> Router {
        let receive = self.behind.receive.clone().routes();
        let all = web::routes(self.clone())
            .merge(api::routes(self.clone()))
            .merge(builders::routes(self.clone()))
            .merge(receive);
        web::outer(all, self)
    }

    /// Runs all loops until one dies – none ever ends by itself – or `stop` is cancelled.
    ///
    /// # Errors
    /// The loop that died.
    pub async fn run_loops(&self, stop: CancellationToken) -> Result<(), LoopDied> {
        let Behind {
            store,
            observe,
            decide,
            outbox,
            http,
            ..
        } = &self.behind;
        let deliveries = &self.deliveries;
        let bells = &self.bells;
        let mut running = JoinSet::new();
        let mut names = HashMap::new();
        let mut start = |name: &'static str, task: BoxFuture<'static, Infallible>| {
            names.insert(running.spawn(task).id(), name);
        };
        let (s, o, b) = (store.clone(), observe.clone(), bells.clone());
        start(
            "handle_deliveries",
            Box::pin(loops::handle_deliveries::handle_deliveries(
                deliveries.clone(),
                b.clone(),
            )),
        );
        start(
            "ask_forge",
            Box::pin(loops::ask_forge::ask_forge(s.clone(), o.clone(), b.clone())),
        );
        start(
            "decide",
            Box::pin(loops::decide::decide(s.clone(), decide.clone(), b.clone())),
        );
        start("reap", Box::pin(loops::reap::reap(s.clone(), b.clone())));
        start(
            "reconcile",
            Box::pin(loops::reconcile::reconcile(s.clone(), o, Wake::default())),
        );
        start(
            "repair_tags",
            Box::pin(loops::repair_tags::repair_tags(s.clone(), http.clone(), b)),
        );
        start(
            "outbox",
            Box::pin(loops::outbox::outbox(outbox.clone(), bells.outbox.clone())),
        );
        start(
            "verify",
            Box::pin(loops::health::verify(
                s.clone(),
                self.health.clone(),
                Wake::default(),
            )),
        );
        start(
            "sweep",
            Box::pin(loops::sweep::sweep(
                s.clone(),
                self.linking.clone(),
                Wake::default(),
            )),
        );
        if s.is_shared() {
            // Who rang, so that nobody wakes themselves.
            let me = uuid::Uuid::new_v4();
            let told = loops::tell_others::tell_others(s.clone(), bells.clone(), me);
            let heard = loops::tell_others::hear_others(s, bells.clone(), me);
            start("tell_others", Box::pin(told));
            start("hear_others", Box::pin(heard));
        }
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = self.behind.receive.died() => Err(LoopDied { name: "store_deliveries" }),
            died = running.join_next_with_id() => {
                let id = match &died {
                    Some(Err(error)) => Some(error.id()),
                    Some(Ok((_, never))) => match *never {},
                    None => None,
                };
                let name = id.and_then(|id| names.get(&id)).copied().unwrap_or("unknown");
                Err(LoopDied { name })
            }
        }
    }

    /// What builders ask.
    pub fn coordinator(&self) -> Arc<InProcess> {
        Arc::clone(&self.behind.coordinator)
    }

    /// The public URL's host, for people.
    pub fn host(&self) -> String {
        self.config.public_url.authority().to_owned()
    }

    /// Whether browsers reach this server by HTTPS.
    pub fn is_https(&self) -> bool {
        self.config.public_url.scheme() == "https"
    }

    /// The origin of this server's pages (RFC 6454), as browsers send it.
    pub fn origin(&self) -> String {
        self.config.public_url.origin().ascii_serialization()
    }
}

/// Why a server could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No client for the providers.
    #[error("no HTTP client for the source providers can be made")]
    Forges(#[from] HttpClientError),
    /// No client for the registries.
    #[error("no HTTP client for the registries can be made")]
    Registries(#[from] RegistryError),
    /// A source provider of the configuration file cannot be.
    #[error("the source providers of the configuration file cannot be used")]
    Providers(#[from] ServiceError),
    /// The store did not answer.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
}

/// A loop died: it panicked, which its log line says. The process must end, for without it the server would look well
/// and do nothing.
#[derive(Debug, thiserror::Error)]
#[error("the loop {name} died")]
pub struct LoopDied {
    /// Which.
    pub name: &'static str,
}
