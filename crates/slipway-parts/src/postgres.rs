//! PostgreSQL for a test run: one server, a database of its own for every test.
//!
//! It listens on a unix socket in a directory that only its own account (and root) may enter, and on no
//! network address; therefore it asks for no password. Nothing survives the run, so nothing is synced.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;
use serde::{Deserialize, Serialize};

use crate::error::PartError;
use crate::programs;
use crate::run::{Place, Run};

const ACCOUNT: &str = "postgres";

/// The run's PostgreSQL server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Postgres {
    socket_directory: PathBuf,
    programs: PathBuf,
}

impl Postgres {
    /// The run's server, started if this is the first test to ask.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub fn shared() -> Self {
        crate::or_fail(Self::try_shared())
    }

    /// As [`Postgres::shared`], for callers that report failure themselves.
    ///
    /// # Errors
    /// [`PartError::Missing`] without PostgreSQL on the machine, [`PartError::NotUp`] if it does not start.
    pub fn try_shared() -> Result<Self, PartError> {
        Run::current()?.part("postgres", start)
    }

    /// Creates an empty database with a name of its own, and returns its address in the form that
    /// [`Postgres::url`] has.
    ///
    /// # Panics
    /// When the server refuses; the message says why.
    pub fn fresh_database(&self) -> String {
        let name = format!("test_{:016x}", rand::random::<u64>());
        crate::or_fail(self.execute(&format!("CREATE DATABASE {name}")));
        self.url(&name)
    }

    /// The address of a database: `postgres://postgres@localhost/NAME?host=SOCKET_DIRECTORY`, as libpq
    /// and sqlx understand it.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{ACCOUNT}@localhost/{database}?host={}",
            self.socket_directory.display()
        )
    }

    /// Runs a statement as the administrator, in the database `postgres`; for the faults that a test
    /// wants to see survived, as `pg_terminate_backend`. Returns what `psql` prints, bare.
    ///
    /// # Errors
    /// [`PartError::Command`] with what the server said.
    pub fn execute(&self, statement: &str) -> Result<String, PartError> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]);
        psql.arg("--host")
            .arg(&self.socket_directory)
            .args(["--username", ACCOUNT, "--dbname", "postgres"]);
        let output = programs::run(psql.args(["--command", statement]))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn start(place: &Place<'_>) -> Result<Postgres, PartError> {
    let server = Postgres {
        socket_directory: place.directory.clone(),
        programs: newest_programs()?,
    };
    let account = programs::account_unless_ordinary(ACCOUNT)?;
    if let Some(user) = &account {
        chown(&place.directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(PartError::io("give away", &place.directory))?;
    }

    let data = place.directory.join("data").display().to_string();
    let run_as = run_as(account.as_ref());
    initialise(&run_as, &server.programs, &data)?;

    let program = server.programs.join("postgres").display().to_string();
    let sockets = format!("unix_socket_directories={}", place.directory.display());
    let mut command = vec!["setpriv", "--pdeathsig", "INT"];
    command.extend(run_as.iter().map(String::as_str));
    command.extend([
        program.as_str(),
        "-D",
        &data,
        "-c",
        &sockets,
        "-c",
        "listen_addresses=",
    ]);
    command.extend([
        "-c",
        "fsync=off",
        "-c",
        "synchronous_commit=off",
        "-c",
        "full_page_writes=off",
    ]);
    command.extend(["-c", "max_connections=200", "-c", "shared_buffers=64MB"]);
    // QUIT ends it at once, without a checkpoint, but lets it give back its shared memory.
    place.start_guarded("QUIT", &command)?;

    place.wait_until_up(|| server.execute("SELECT 1").ok())?;
    Ok(server)
}

fn initialise(run_as: &[String], programs: &Path, data: &str) -> Result<(), PartError> {
    let mut initdb = Command::new("setpriv");
    initdb.args(run_as).arg(programs.join("initdb"));
    initdb.args([
        "--no-sync",
        "--no-locale",
        "--encoding=UTF8",
        "--auth=trust",
        "--username",
        ACCOUNT,
        "-D",
        data,
    ]);
    programs::run(initdb.current_dir("/")).map(drop)
}

/// `setpriv`'s arguments for running as `account`.
fn run_as(account: Option<&User>) -> Vec<String> {
    account.map_or_else(Vec::new, |user| {
        vec![
            format!("--reuid={}", user.uid),
            format!("--regid={}", user.gid),
            "--clear-groups".to_owned(),
        ]
    })
}

/// Debian keeps each version's server programs in a directory of its own, outside `PATH`.
fn newest_programs() -> Result<PathBuf, PartError> {
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = installed
        .filter_map(|version| {
            Some((
                version.file_name().to_str()?.parse::<u32>().ok()?,
                version.path().join("bin"),
            ))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max();
    if let Some((_, programs)) = newest {
        return Ok(programs);
    }
    let initdb = programs::find("initdb").map_err(|_| PartError::Missing("postgresql"))?;
    Ok(initdb.parent().map(Path::to_path_buf).unwrap_or_default())
}
