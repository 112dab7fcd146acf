//! `slipway builder`: runs the builds of a server on another host.
//!
//! Its credential it makes itself, before it comes in with the one-time token: whatever happens on the way, it is either known
//! already or can try again.
//!
//! Stopping (`SIGTERM`, `SIGINT`): no more work is taken, and what runs is run to its end. A second signal kills what runs and
//! gives it back.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_builder::outside::{Builder, BuilderConfig as Options, CoordinatorError, Remote};
use slipway_vault::TokenHash;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{BuilderConfig, BuilderFlags},
    serve::data_directory,
    signal::Stop,
};

/// Waits while the server cannot be reached to come in.
const AGAIN: Duration = Duration::from_secs(5);

/// How long a server is waited for that is told that this builder drains.
const FAREWELL: Duration = Duration::from_secs(3);

pub(crate) fn builder(flags: &BuilderFlags) -> Result<()> {
    let config = BuilderConfig::from(flags)?;
    crate::log::to_stderr(config.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: BuilderConfig) -> Result<()> {
    data_directory(&config.data_dir)?;
    let credential = credential(&config.data_dir.join("credential"))?;
    let remote = Arc::new(Remote::new(config.server()?, credential, config.allow_http)?);
    let mut token = config.token()?;
    let (driver, pipeline) = crate::driver::of(&config.machines, &config.data_dir)?;
    let slots = usize::try_from(config.machines.slots)?;
    anyhow::ensure!(slots > 0, "a builder needs a slot: --slots 1");
    let options = Options {
        slots,
        spool: config.data_dir.clone(),
        ..Options::new(pipeline)
    };
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
    let farewell = tokio::spawn(hear_signals(
        Stop::listen()?,
        Arc::clone(&remote),
        drain.clone(),
        abort.clone(),
    ));
    tracing::info!(server = %config.server()?, driver = %driver.name(), slots, "the builder is up");
    loop {
        let builder = Builder::new(
            Arc::clone(&remote),
            Arc::clone(&driver),
            options.clone(),
            drain.clone(),
            abort.clone(),
        );
        match (builder.run().await, token.take()) {
            (Ok(()), _) => break,
            // Unknown as yet, or not any more.
            (Err(refused), Some(token)) => tokio::select! {
                () = drain.cancelled() => break,
                came = come_in(&remote, &token) => came.context(refused)?,
            },
            (Err(refused), None) => return Err(refused).context("there is no work for this builder"),
        }
    }
    // Told before this process is gone.
    farewell.await?;
    Ok(())
}

/// Comes in with the one-time token.
async fn come_in(remote: &Remote, token: &SecretString) -> Result<()> {
    loop {
        match remote.come_in(token).await {
            Ok(()) => return Ok(()),
            Err(CoordinatorError::Unreachable(error)) => {
                tracing::warn!(error = &*error, "the server could not be reached; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(refused) => return Err(refused).context("this builder is not let in"),
        }
    }
}

/// The first signal drains, which the server is told; the second aborts.
async fn hear_signals(
    mut stop: Stop,
    remote: Arc<Remote>,
    drain: CancellationToken,
    abort: CancellationToken,
) {
    stop.told().await;
    tracing::info!("draining: what runs is run to its end; a second signal gives it back");
    drain.cancel();
    tokio::spawn(async move {
        stop.told().await;
        tracing::info!("giving back what runs");
        abort.cancel();
    });
    // Only for people who look: the server gives no work to a builder that does not ask.
    let _ = tokio::time::timeout(FAREWELL, remote.drain()).await;
}

/// This builder's credential, made at its first start. Nobody else may read it.
fn credential(file: &Path) -> Result<SecretString> {
    let failed = || format!("the credential {} cannot be used", file.display());
    if !file.try_exists().with_context(failed)? {
        let directory = file.parent().unwrap_or(Path::new("."));
        // Made 0600 (tempfile), and complete before it has its name.
        let mut draft = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
        let (credential, _) = TokenHash::generate("slw_bld");
        draft
            .write_all(credential.expose_secret().as_bytes())
            .and_then(|()| draft.as_file().sync_all())
            .with_context(failed)?;
        match draft.persist_noclobber(file) {
            Ok(_) => {}
            // Another process of this builder was quicker.
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error).with_context(failed),
        }
    }
    let text = std::fs::read_to_string(file).with_context(failed)?;
    Ok(text.trim().to_owned().into())
}
