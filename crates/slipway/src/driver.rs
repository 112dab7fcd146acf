//! Where builds run on this host, and what runs there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use slipway_builder::outside::PipelineProgram;
use slipway_machine::{Driver, Host};

use crate::config::{DriverChoice, Machines};

/// The driver that is configured, or, without a choice, the safest that this host can have.
///
/// # Errors
/// When rootless machines were asked for and cannot be had.
pub(crate) fn of(config: &Machines, data_dir: &Path) -> Result<(Arc<dyn Driver>, PipelineProgram)> {
    let program = std::env::current_exe().context("this program's own path is gone")?;
    match config.driver {
        DriverChoice::Host => Ok(host(config, program)),
        DriverChoice::Rootless => {
            rootless(config, data_dir, program).context("rootless machines cannot be had here")
        }
        DriverChoice::Auto => match rootless(config, data_dir, program.clone()) {
            Ok(rootless) => Ok(rootless),
            Err(error) => {
                tracing::warn!(
                    reason = format!("{error:#}"),
                    "builds run on the host's own engine: build only what you trust"
                );
                Ok(host(config, program))
            }
        },
    }
}

fn host(config: &Machines, program: PathBuf) -> (Arc<dyn Driver>, PipelineProgram) {
    let mut arguments = vec!["machine".into(), "pipeline".into()];
    if let Some(host) = &config.docker_host {
        arguments.extend(["--docker-host".into(), host.into()]);
    }
    let pipeline = PipelineProgram {
        program,
        arguments,
        environment: PipelineProgram::environment_of_this_host(),
    };
    (Arc::new(Host::new(work_directory())), pipeline)
}

#[cfg(target_os = "linux")]
fn rootless(
    config: &Machines,
    data_dir: &Path,
    program: PathBuf,
) -> Result<(Arc<dyn Driver>, PipelineProgram)> {
    use slipway_machine::rootless::{DISK, ENGINE_LOG, Options, Rootless};
    let services = config.allow_services.iter().map(|service| service.parse());
    let driver = Rootless::new(Options {
        directory: config.directory(data_dir),
        launcher: program.clone(),
        services: services
            .collect::<Result<_, String>>()
            .map_err(anyhow::Error::msg)?,
        disk: DISK,
        layers_budget: u64::from(config.layer_cache) * 1_000_000_000 / u64::from(config.slots.max(1)),
    })?;
    let slots = usize::try_from(config.slots)?;
    anyhow::ensure!(
        driver.lanes() >= slots,
        "{slots} builds at once need {slots} times 65,536 sub-ids; there are {} times: see /etc/subuid and /etc/subgid",
        driver.lanes()
    );
    let arguments = ["machine", "pipeline", "--engine-log", ENGINE_LOG];
    let pipeline = PipelineProgram {
        program,
        arguments: arguments.map(Into::into).to_vec(),
        environment: Vec::new(),
    };
    Ok((Arc::new(driver), pipeline))
}

#[cfg(not(target_os = "linux"))]
fn rootless(_: &Machines, _: &Path, _: PathBuf) -> Result<(Arc<dyn Driver>, PipelineProgram)> {
    anyhow::bail!("they need Linux")
}

/// Below the system's temporary directory: unix sockets lie there, and their paths end at 108 bytes.
fn work_directory() -> PathBuf {
    std::env::temp_dir().join(format!("slipway-{}", nix::unistd::getuid()))
}
