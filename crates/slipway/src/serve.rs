//! `slipway serve`: opens what the server stands on, starts it, and stops it in order.
//!
//! Stopping (`SIGTERM`, `SIGINT`): no more requests are taken, the embedded builder gives its builds back, and what
//! is in a transaction ends. A second signal ends the process at once; nothing is lost then either, it only
//! takes a lease's term longer to be taken up again.

use std::{os::unix::fs::DirBuilderExt as _, sync::Arc};

use anyhow::{Context as _, Result};
use slipway_builder::outside::{Builder, BuilderConfig};
use slipway_server::app::{App, Settings};
use slipway_server::services::source_providers::{AppForm, ProviderForm};
use slipway_store::{Options, Store};
use slipway_vault::Vault;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{AppEntry, Config, ForgeEntry, ServeFlags};

pub(crate) fn serve(flags: &ServeFlags) -> Result<()> {
    let config = Config::from(flags)?;
    log_to_stderr(config.log_json);
    arm_fault_point()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .with_context(|| format!("the data directory {} cannot be made", config.data_dir.display()))?;
    let keys = slipway_vault::load_or_create(&config.key_file()).context("the key file cannot be used")?;
    let database = match &config.database_url {
        Some(url) => Options::Postgres { url: url.clone() },
        None => Options::Sqlite {
            directory: config.data_dir.clone(),
        },
    };
    let store = Store::open(&database, Arc::new(Vault::new(keys))).await?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: is another server running there?",
            config.listen
        )
    })?;
    let app = App::new(store.clone(), settings(&config)?).await?;

    let stop = CancellationToken::new();
    let loops = tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { app.run_loops(stop).await }
    });
    let builder = tokio::spawn(builder(&config, &app, stop.clone())?);
    let server = axum::serve(
        listener,
        app.router()
            .into_make_service_with_connect_info::<std::net::SocketAddr>(),
    )
    .with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(std::future::IntoFuture::into_future(server));
    tracing::info!(address = %config.listen, public_url = %config.public_url()?, database = store.backend(), "slipway is up");

    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| tracing::info!("stopping")),
        // A loop never ends by itself; without it the server would look well and do nothing.
        died = loops => died?.map_err(anyhow::Error::new),
    };
    stop.cancel();
    let _ = builder.await;
    // Open event streams end with the process: they know how to come again.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), server).await;
    store.close().await?;
    ended
}

fn settings(config: &Config) -> Result<Settings> {
    let forges = config.forges.iter().map(provider);
    Ok(Settings {
        public_url: config.public_url()?,
        forges: forges.collect::<Result<_>>()?,
        allow_private_hosts: config.allow_private_hosts.clone(),
    })
}

fn provider(entry: &ForgeEntry) -> Result<ProviderForm> {
    Ok(ProviderForm {
        kind: entry.kind,
        name: entry.name.clone(),
        display_name: entry.display_name.clone().unwrap_or_else(|| entry.name.clone()),
        web_url: entry.web_url.clone(),
        api_url: entry.api_url.clone(),
        known_hosts: entry.known_hosts.clone(),
        client_id: entry.client_id.clone(),
        client_secret: entry.client_secret.clone(),
        app: entry.app.as_ref().map(app).transpose()?,
    })
}

fn app(entry: &AppEntry) -> Result<AppForm> {
    Ok(AppForm {
        app_id: entry.app_id.to_string(),
        page: entry.page_url.clone(),
        client_id: entry.client_id.clone(),
        client_secret: entry.client_secret.clone(),
        private_key: entry.key()?,
        webhook_secret: entry.webhook_secret.clone(),
    })
}

/// The embedded builder.
fn builder(
    config: &Config,
    app: &App,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<>> {
    let slots = usize::try_from(config.slots)?;
    let (driver, pipeline) = crate::driver::of(config)?;
    let config = BuilderConfig {
        slots,
        ..BuilderConfig::new(&embedded_name(config, app), pipeline)
    };
    let coordinator = app.coordinator();
    Ok(async move {
        if slots == 0 {
            return stop.cancelled().await;
        }
        // What runs when the server stops is given back, and taken up again after the start.
        Builder::new(coordinator, driver, config, stop.clone(), stop)
            .run()
            .await;
    })
}

/// What the embedded builder is called. Servers that share a database have one each, and a builder is known by its name.
fn embedded_name(config: &Config, app: &App) -> String {
    if !app.is_shared() {
        return "embedded".to_owned();
    }
    let host = nix::unistd::gethostname().unwrap_or_default();
    format!("embedded in {}:{}", host.to_string_lossy(), config.listen.port())
}

async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupt = tokio::signal::ctrl_c() => interrupt?,
    }
    Ok(())
}

/// For tests of crashes: has this process die at a named moment.
fn arm_fault_point() -> Result<()> {
    let Some(name) = std::env::var_os("SLIPWAY_FAULT_POINT") else {
        return Ok(());
    };
    slipway_server::fault::arm(&name.to_string_lossy())?;
    tracing::warn!(point = %name.display(), "this server is told to die at a fault point");
    Ok(())
}

fn log_to_stderr(json: bool) {
    use tracing_subscriber::{EnvFilter, fmt, prelude::*};
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .init();
    } else {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(false))
            .init();
    }
}
