//! One world per test: a simulated forge, a database, a server of its own; engine, registry and PostgreSQL are the
//! run's.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use slipway_devforge::{Config, Descriptions, DevForge, Kind, NewOAuthClient};
use slipway_machine::rootless::{Prepare, prepared};
use slipway_parts::{Engine, Postgres, Registry};
use slipway_store::{Options, Store};
use slipway_vault::Vault;

use crate::{Api, Gate, Person, Process, Serve, api::Queue, linked::NewLinked, story::Account, until};

/// Everything between a developer's `git push` and an image in the registry.
#[derive(Debug)]
pub struct World {
    /// GitHub and Bitbucket.
    pub forge: DevForge,
    /// The Docker Engine that builds.
    pub engine: Engine,
    /// The registry that images go to.
    pub registry: Registry,
    /// An image to build `FROM`.
    pub base: String,
    /// The server.
    pub serve: Serve,
    /// Its administrator.
    pub person: Person,
    /// The person's account, the same at both providers.
    pub account: Account,
    /// A script of that person's.
    pub api: Api,
    /// Where hooks of its builds wait for the test.
    pub gate: Gate,
    /// For what a test wants to put somewhere.
    pub directory: PathBuf,
    isolates: bool,
    /// How a builder of this world makes machines.
    machines: Vec<(&'static str, String)>,
    program: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// How a world is to be.
#[derive(Debug)]
pub struct NewWorld {
    program: PathBuf,
    postgres: bool,
    options: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
    docker_host: Option<String>,
    directory: Option<PathBuf>,
    engine: Option<Engine>,
    driver: TestDriver,
    linked: Vec<Kind>,
    forge: Config,
}

/// Where a world's builds run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TestDriver {
    Host,
    /// With the root file system of this Debian release.
    Rootless(String),
}

impl TestDriver {
    /// What the environment says: `SLIPWAY_TEST_DRIVER=rootless-trixie`, say; else `host`.
    fn from_env() -> Self {
        let said = std::env::var("SLIPWAY_TEST_DRIVER").unwrap_or_default();
        match said.strip_prefix("rootless-") {
            Some(suite) => Self::Rootless(suite.to_owned()),
            None => Self::Host,
        }
    }
}

impl World {
    /// A world around `program` (`slipway`) on SQLite, with both providers linked.
    ///
    /// # Errors
    /// When a part does not start, or a step of the set-up fails.
    pub async fn start(program: impl AsRef<Path>) -> Result<Self> {
        Self::of(program).start().await
    }

    /// A world that is to be different.
    pub fn of(program: impl AsRef<Path>) -> NewWorld {
        NewWorld {
            program: program.as_ref().to_owned(),
            postgres: false,
            options: Vec::new(),
            environment: Vec::new(),
            docker_host: None,
            directory: None,
            engine: None,
            driver: TestDriver::from_env(),
            linked: vec![Kind::GitHub, Kind::Bitbucket],
            forge: Config::default(),
        }
    }

    /// Whether its builds run in machines of their own.
    pub fn isolates(&self) -> bool {
        self.isolates
    }

    /// A source repository at `kind`, to be linked and configured.
    pub fn repository(&self, kind: Kind) -> NewLinked<'_> {
        NewLinked::new(self, kind)
    }

    /// A builder of its own process, made by the administrator with these terms (`labels`, `namespaces`, `only_labelled`), that
    /// comes in at its first start. Nothing runs yet. Its data lies in a directory of its name.
    ///
    /// # Errors
    /// When the server does not make it.
    pub async fn builder(&self, name: &str, terms: serde_json::Value) -> Result<Process> {
        let mut new = terms;
        new["name"] = name.into();
        let made = self.api.post("/builders", &new).await?;
        let token = made["token"].as_str().context("no token")?;
        let data = self.directory.join(name);
        let mut builder = Process::new(&self.program, "builder", data.join("builder.log"));
        builder.option("--server", self.serve.url());
        builder.option("--data-dir", data.display().to_string());
        for (option, value) in &self.machines {
            builder.option(option, value);
        }
        builder.environment("SLIPWAY_TOKEN", token);
        let work = data.join("tmp");
        std::fs::create_dir_all(&work)?;
        builder.environment("TMPDIR", work.display().to_string());
        Ok(builder)
    }

    /// Waits until there is nothing left to do: deliveries answered and handled, changes decided, builds ended, the
    /// outbox empty.
    ///
    /// # Errors
    /// When that does not happen; the error shows what was left and the end of the server's log.
    pub async fn settled(&self) -> Result<()> {
        self.forge.deliveries().flush().await;
        let outcome = until("nothing is left to do", async || {
            Ok((self.api.queue().await? == Queue::EMPTY).then_some(()))
        })
        .await;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                let left = self.api.queue().await;
                Err(error.context(format!("left: {left:?}\n{}", self.serve.log_tail())))
            }
        }
    }

    /// Starts another server on this world's PostgreSQL, with an embedded builder of so many slots.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn replica(&self, name: &str, slots: usize) -> Result<Serve> {
        let mut serve = self.serve.beside(self.directory.join(name))?;
        serve.option("--slots", slots.to_string());
        serve.start().await?;
        Ok(serve)
    }

    /// The server's own records, while it does not run. Of a world on SQLite.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub async fn store(&self) -> Result<Store> {
        let keys = slipway_vault::load(&self.serve.data().join("slipway.key"))?;
        let options = Options::Sqlite {
            directory: self.serve.data().to_owned(),
        };
        Ok(Store::open(&options, Arc::new(Vault::new(keys))).await?)
    }

    /// Pulls the image of a digest of the repository `name` from the registry, runs it, and returns what it says.
    ///
    /// # Errors
    /// When it cannot be pulled, or does not run.
    pub async fn run(&self, name: &str, digest: &str) -> Result<String> {
        let image = format!("{}/{name}@{digest}", self.registry.host);
        let mut docker = tokio::process::Command::from(self.engine.docker_with(&self.registry)?);
        let output = docker
            .args(["run", "--rm", "--pull", "always", "--network", "none", &image])
            .stdin(Stdio::null())
            .output()
            .await
            .context("docker could not be started")?;
        ensure!(
            output.status.success(),
            "{image} does not run: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What the vendors' descriptions say of every answer and payload so far; `None` when they are not at hand.
    ///
    /// # Panics
    /// When one of them does not fit.
    pub fn assert_conforming(&self) {
        let report = self.forge.conformance_report();
        if !report.lines.is_empty() {
            report.assert_clean();
        }
    }
}

impl NewWorld {
    /// With a fresh PostgreSQL database instead of SQLite.
    #[must_use]
    pub fn on_postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// With an option of `slipway serve`, as `--slots`.
    #[must_use]
    pub fn option(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.options.push((name, value.into()));
        self
    }

    /// With a variable in the server's environment.
    #[must_use]
    pub fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With a builder that looks for its engine there.
    #[must_use]
    pub fn docker_host(mut self, host: impl Into<String>) -> Self {
        self.docker_host = Some(host.into());
        self
    }

    /// Below this directory, which stays; else in a temporary one.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// With this engine instead of the run's.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// With builds on the host's engine, whatever the environment says.
    #[must_use]
    pub fn on_host(mut self) -> Self {
        self.driver = TestDriver::Host;
        self
    }

    /// With builds in rootless machines of this Debian release, whatever the environment says.
    #[must_use]
    pub fn rootless(mut self, suite: &str) -> Self {
        self.driver = TestDriver::Rootless(suite.to_owned());
        self
    }

    /// With only these providers linked.
    #[must_use]
    pub fn linked(mut self, kinds: &[Kind]) -> Self {
        self.linked = kinds.to_vec();
        self
    }

    /// With Bitbucket's access tokens ending after this long.
    #[must_use]
    pub fn bitbucket_token_lifetime(mut self, lifetime: std::time::Duration) -> Self {
        self.forge.bitbucket_token_lifetime = lifetime;
        self
    }

    /// With every answer and payload of the forge held to the vendors' descriptions, where they are at hand: below
    /// `workspace`, or where the environment says. Says so where they are not.
    #[must_use]
    pub fn conforming(mut self, workspace: &Path) -> Self {
        let descriptions = Descriptions::from_env(workspace);
        let files = [
            &descriptions.github_api,
            &descriptions.github_webhooks,
            &descriptions.bitbucket_api,
        ];
        let missing = files.into_iter().find(|file| !file.is_file()).cloned();
        match missing {
            None => self.forge.conformance = Some(descriptions),
            Some(missing) => eprintln!("conformance skipped: no description at {}", missing.display()),
        }
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When a part does not start, or a step of the set-up fails.
    pub async fn start(self) -> Result<World> {
        let temporary = match &self.directory {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("slipway-world-").tempdir()?),
        };
        let place = temporary.as_ref().map(|temporary| temporary.path().to_owned());
        let directory = self.directory.clone().or(place).context("no directory")?;
        let (engine, registry, base, database) = self.parts().await?;
        let forge = DevForge::start(Config {
            data: Some(directory.join("forge")),
            ..self.forge.clone()
        })
        .await?;

        let gate = Gate::start().await?;
        let mut serve = Serve::new(&self.program, directory.join("slipway"))?;
        let config = directory.join("slipway.toml");
        write_private(&config, &configuration(&forge, &serve, database.as_deref())?)?;
        serve.option("--config", config.display().to_string());
        let machines = self.machines(&forge, &engine, &registry, &gate).await?;
        for (name, value) in &machines {
            serve.option(name, value);
        }
        std::fs::create_dir_all(directory.join("tmp"))?;
        serve.environment("TMPDIR", directory.join("tmp").display().to_string());
        for (name, value) in &self.options {
            serve.option(name, value);
        }
        for (name, value) in &self.environment {
            serve.environment(name, value);
        }
        serve.start().await?;

        let account = Account::new("ada", &format!("{:032x}", rand::random::<u128>()));
        for kind in [Kind::GitHub, Kind::Bitbucket] {
            let password = secrecy::ExposeSecret::expose_secret(&account.password);
            forge
                .provider(kind)
                .create_user(&account.login, "Ada Lovelace", password)?;
        }
        let person = Person::first_run(&serve, "ada").await.context("the first run")?;
        person
            .add_registry("local", &registry)
            .await
            .context("adding the registry")?;
        for kind in &self.linked {
            person
                .link(*kind, &account)
                .await
                .with_context(|| format!("linking {}", kind.as_str()))?;
        }
        let api = person.api().await.context("making an access token")?;
        Ok(World {
            forge,
            engine,
            registry,
            base,
            serve,
            person,
            account,
            api,
            gate,
            isolates: self.driver != TestDriver::Host,
            machines,
            program: self.program,
            directory,
            _temporary: temporary,
        })
    }

    /// The options of whatever runs builds.
    async fn machines(
        &self,
        forge: &DevForge,
        engine: &Engine,
        registry: &Registry,
        gate: &Gate,
    ) -> Result<Vec<(&'static str, String)>> {
        match &self.driver {
            TestDriver::Host => {
                let engine = self.docker_host.clone().unwrap_or_else(|| engine.host.clone());
                Ok(vec![("--driver", "host".to_owned()), ("--docker-host", engine)])
            }
            TestDriver::Rootless(suite) => {
                let directory = machines(suite).await?.display().to_string();
                let mut options = vec![("--driver", "rootless".to_owned()), ("--machines-dir", directory)];
                let services = services(forge, registry, gate)?;
                options.extend(services.into_iter().map(|service| ("--allow-service", service)));
                Ok(options)
            }
        }
    }

    /// The run's parts; they are started by programs that block.
    async fn parts(&self) -> Result<(Engine, Registry, String, Option<String>)> {
        let (engine, postgres) = (self.engine.clone(), self.postgres);
        tokio::task::spawn_blocking(move || {
            let engine = engine.map_or_else(Engine::try_shared, Ok)?;
            let registry = Registry::try_shared()?;
            let base = engine.push_base(&registry, "base:busybox");
            let database = postgres.then(|| Postgres::shared().fresh_database());
            anyhow::Ok((engine, registry, base, database))
        })
        .await?
    }
}

/// Where the machines of all tests lie, with the root file system of a Debian release: what is made there stays, for the
/// next run.
///
/// # Errors
/// When none was prepared and none can be.
pub async fn machines(suite: &str) -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.tools/machines")
        .join(suite);
    std::fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let what = Prepare {
        directory: directory.clone(),
        suite: suite.to_owned(),
        mirror: None,
    };
    tokio::task::spawn_blocking(move || prepared(&what)).await??;
    Ok(directory)
}

/// What machines may reach of this host: the registry, the simulated providers, and the test.
fn services(forge: &DevForge, registry: &Registry, gate: &Gate) -> Result<Vec<String>> {
    let mut all = vec![registry.host.clone(), gate.service()];
    for kind in [Kind::GitHub, Kind::Bitbucket] {
        let url: url::Url = forge.provider(kind).web_url().parse()?;
        let (host, port) = (url.host_str(), url.port_or_known_default());
        let (host, port) = host.zip(port).context("a provider's URL has a host and a port")?;
        all.push(format!("{host}:{port}"));
    }
    all.push(forge.addresses().ssh.to_string());
    all.sort();
    all.dedup();
    Ok(all)
}

/// The server's file: where the providers are, and what Slipway is there.
fn configuration(forge: &DevForge, serve: &Serve, database: Option<&str>) -> Result<String> {
    let mut text = String::new();
    if let Some(url) = database {
        writeln!(text, "database_url = {url:?}")?;
    }
    // The simulated providers are on this machine.
    writeln!(text, "allow_private_hosts = [\"127.0.0.1\"]")?;
    for (kind, title) in [(Kind::GitHub, "GitHub"), (Kind::Bitbucket, "Bitbucket")] {
        let provider = forge.provider(kind);
        let name = kind.as_str();
        let callback = serve.at(&format!("/settings/linked-accounts/{name}/callback"));
        let client = provider.register_client(NewOAuthClient::new("Slipway", &callback));
        write!(
            text,
            "[[forges]]\nkind = {name:?}\nname = {name:?}\ndisplay_name = {title:?}\nweb_url = {:?}\napi_url = {:?}\n\
             client_id = {:?}\nclient_secret = {:?}\nknown_hosts = [{:?}]\n\n",
            provider.web_url(),
            provider.api_url(),
            client.client_id,
            client.client_secret,
            forge.addresses().known_hosts_line(),
        )?;
    }
    Ok(text)
}

/// The file holds client secrets.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{
        fs::{DirBuilder, OpenOptions},
        io::Write as _,
        os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    };
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
