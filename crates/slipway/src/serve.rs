//! `slipway serve`: opens what the server stands on, starts it, and stops it in order.
//!
//! Stopping (`SIGTERM`, `SIGINT`): no more requests are taken, the embedded builder gives its builds back, and what
//! is in a transaction ends. A second signal ends the process at once; nothing is lost then either, it only
//! takes a lease's term longer to be taken up again.

use std::{os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use slipway_builder::outside::{Builder, BuilderConfig};
use slipway_server::app::{App, Settings};
use slipway_server::services::source_providers::{AppForm, ProviderForm};
use slipway_store::{Options, Store};
use slipway_vault::Vault;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{AppEntry, Config, ForgeEntry, ServeFlags},
    signal::Stop,
};

pub(crate) fn serve(flags: &ServeFlags) -> Result<()> {
    let config = Config::from(flags)?;
    crate::log::to_stderr(config.log_json);
    arm_fault_point()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    data_directory(&config.data_dir)?;
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

    let mut told = Stop::listen()?;
    let ended = tokio::select! {
        () = told.told() => {
            tracing::info!("stopping");
            Ok(())
        }
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

/// Makes a data directory, for nobody else to look into.
pub(crate) fn data_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the data directory {} cannot be made", path.display()))
}

fn settings(config: &Config) -> Result<Settings> {
    let forges = config.forges.iter().map(provider);
    Ok(Settings {
        public_url: config.public_url()?,
        forges: forges.collect::<Result<_>>()?,
        allow_private_hosts: config.allow_private_hosts.clone(),
        builder: config.builder_name(),
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
    let slots = usize::try_from(config.machines.slots)?;
    let (driver, pipeline) = crate::driver::of(&config.machines, &config.data_dir)?;
    let config = BuilderConfig {
        slots,
        spool: config.data_dir.clone(),
        ..BuilderConfig::new(pipeline)
    };
    let coordinator = app.coordinator();
    Ok(async move {
        if slots == 0 {
            return stop.cancelled().await;
        }
        // What runs when the server stops is given back, and taken up again after the start.
        let builder = Builder::new(coordinator, driver, config, stop.clone(), stop);
        if let Err(refused) = builder.run().await {
            tracing::error!(
                error = &refused as &dyn std::error::Error,
                "the embedded builder has stopped"
            );
        }
    })
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
