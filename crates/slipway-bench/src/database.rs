//! The database that a benchmark uses: one of its own, empty at the start.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use slipway_store::{Options, Store};
use slipway_vault::{Vault, load_or_create};

/// Where it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Database {
    /// An empty directory for the server's data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// PostgreSQL instead of SQLite
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

impl Database {
    /// `sqlite` or `postgres`, as in the last line of a benchmark.
    pub(crate) const fn name(&self) -> &'static str {
        match self.database_url {
            Some(_) => "postgres",
            None => "sqlite",
        }
    }

    /// Opens it with the key that a server on the same directory will find.
    pub(crate) async fn open(&self) -> Result<Store> {
        let keys = load_or_create(&self.data.join("slipway.key"))?;
        let options = match &self.database_url {
            Some(url) => Options::Postgres {
                url: url.clone().into(),
            },
            None => Options::Sqlite {
                directory: self.data.clone(),
            },
        };
        Ok(Store::open(&options, Arc::new(Vault::new(keys))).await?)
    }
}
