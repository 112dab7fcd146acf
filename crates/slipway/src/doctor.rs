//! `slipway doctor`: looks at everything outside of this program that it needs, and says what to do about what is missing.

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use slipway_builder::pipeline;
use slipway_machine::rootless::{Finding, Health, Options, examine};

use crate::config::{Config, DriverChoice, ServeFlags};

/// Prints what was found. Fails where something keeps the configured driver from working.
pub(crate) fn doctor(flags: &ServeFlags, json: bool) -> Result<()> {
    let config = Config::from(flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(look(&config))?;
    let mut out = std::io::stdout();
    if json {
        serde_json::to_writer_pretty(&mut out, &findings)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", table(&findings))?;
    }
    let missing = findings
        .iter()
        .filter(|finding| finding.health == Health::Missing)
        .count();
    anyhow::ensure!(
        missing == 0,
        "{missing} things are missing; what to do is said with each"
    );
    Ok(())
}

async fn look(config: &Config) -> Result<Vec<Finding>> {
    let mut findings = vec![data_directory(&config.data_dir), key(config)];
    let machines = examine(&Options {
        directory: config.machines.directory(&config.data_dir),
        launcher: std::env::current_exe().context("this program's own path is gone")?,
        services: Vec::new(),
        disk: slipway_machine::rootless::DISK,
        layers_budget: 0,
    })
    .await;
    let can = machines.iter().all(|finding| finding.health != Health::Missing);
    let host_is_used = match config.machines.driver {
        DriverChoice::Host => true,
        DriverChoice::Rootless => false,
        DriverChoice::Auto => !can,
    };
    if host_is_used {
        findings.push(engine(config).await);
        // What machines would need is worth knowing, and not what keeps builds from running.
        findings.extend(machines.into_iter().map(|finding| Finding {
            health: if finding.health == Health::Missing {
                Health::Warning
            } else {
                finding.health
            },
            ..finding
        }));
        findings.push(Finding::warning(
            "driver",
            "builds run on the host's own engine",
            "mend what is said above, or build only what you trust",
        ));
    } else {
        findings.extend(machines);
        if can {
            findings.push(Finding::good("driver", "builds run in rootless machines"));
        }
    }
    Ok(findings)
}

/// The least that a data directory's disk should have free, in bytes.
const FREE: u64 = 10_000_000_000;

fn data_directory(path: &Path) -> Finding {
    let name = "data directory";
    if !path.is_dir() {
        return Finding::warning(
            name,
            format!("{} is not there", path.display()),
            "the server makes it at its first start",
        );
    }
    let writable = tempfile::tempfile_in(path).is_ok();
    let space = nix::sys::statvfs::statvfs(path);
    match space {
        _ if !writable => Finding::missing(
            name,
            format!("{} cannot be written", path.display()),
            "give it to the user that Slipway runs as",
        ),
        Ok(space) if space.blocks_available() * space.fragment_size() < FREE => Finding::warning(
            name,
            "less than 10 GB are free",
            "make room, or move it: --data-dir, --machines-dir",
        ),
        _ => Finding::good(name, path.display().to_string()),
    }
}

/// Whoever has the database and the key has every secret.
fn key(config: &Config) -> Finding {
    let (name, key) = ("key file", config.key_file());
    if key.parent() == Some(config.data_dir.as_path()) {
        let fix = "put it elsewhere and say where: --key-file; leave it out of backups of the data directory";
        return Finding::warning(name, "it lies beside the database", fix);
    }
    Finding::good(name, key.display().to_string())
}

async fn engine(config: &Config) -> Finding {
    let name = "engine";
    match pipeline::try_engine(config.machines.docker_host.clone()).await {
        Ok(versions) => Finding::good(name, versions.join("; ")),
        Err(why) => Finding::missing(
            name,
            why,
            "start Docker, or prepare rootless machines: docs/machines.md",
        ),
    }
}

/// A line for each finding, and one for what to do about it.
fn table(findings: &[Finding]) -> String {
    use std::fmt::Write as _;
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Finding {
        name,
        health,
        found,
        fix,
    } in findings
    {
        let mark = match health {
            Health::Good => "ok     ",
            Health::Warning => "warning",
            Health::Missing => "MISSING",
        };
        let _ = writeln!(text, "{mark}  {name:width$}  {found}");
        if let Some(fix) = fix {
            let _ = writeln!(text, "{:width$}           -> {fix}", "");
        }
    }
    text
}
