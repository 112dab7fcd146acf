//! A whole installation to measure: provider, server, engine, registry, and a person who has set it up.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use slipway_testing::{Kind, World, world::NewWorld};

use crate::database::Database;

/// Where its builds run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machines {
    /// On the run's own engine.
    Host,
    /// In rootless machines.
    Rootless,
}

impl std::fmt::Display for Machines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Rootless => "rootless",
        })
    }
}

/// What it is made of.
#[derive(Debug, clap::Args)]
pub(crate) struct Parts {
    /// The program
    #[arg(long, value_name = "FILE")]
    slipway: PathBuf,
    #[command(flatten)]
    pub(crate) database: Database,
    /// An empty PostgreSQL database for a second server; needed where two are measured
    #[arg(long, value_name = "URL")]
    second_database_url: Option<String>,
    /// The Debian release in rootless machines
    #[arg(long, value_name = "NAME", default_value = "trixie")]
    pub(crate) suite: String,
}

impl Parts {
    /// A world that can be started once.
    pub(crate) fn world(&self, machines: Machines) -> NewWorld {
        self.on(machines, "first", self.database.database_url.as_deref())
    }

    /// Another, with a database of its own of the same kind.
    pub(crate) fn second_world(&self, machines: Machines) -> Result<NewWorld> {
        let url = self.second_database_url.as_deref();
        ensure!(
            self.database.database_url.is_some() == url.is_some(),
            "the second server needs a database of its own: --second-database-url"
        );
        Ok(self.on(machines, "second", url))
    }

    fn on(&self, machines: Machines, name: &str, database_url: Option<&str>) -> NewWorld {
        let new = World::of(&self.slipway)
            .directory(self.database.data.join(name))
            .linked(&[Kind::GitHub])
            .environment("SLIPWAY_LOG", "warn");
        let new = match machines {
            Machines::Host => new.on_host(),
            Machines::Rootless => new.rootless(&self.suite),
        };
        match database_url {
            Some(url) => new.option("--database-url", url),
            None => new,
        }
    }
}
