//! `slipway-devforge`: the simulated forge as a program, for the demo and for trying things out.
//!
//! When it is ready it prints one line of JSON with its addresses and the SSH host key, and runs
//! until it is interrupted. The seed's format is described with [`slipway_devforge::Seed`] and by `--help`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use slipway_devforge::{Config, DevForge, DevForgeError, Seed};

const SEED_HELP: &str = r#"The seed is JSON; both parts and all lists may be left out:
  {
    "github": {
      "users":         [{ "login": "ada", "name": "Ada Lovelace", "password": "…" }],
      "organizations": [{ "login": "acme", "members": { "ada": "owner" } }],
      "repositories":  [{ "name": "acme/web", "private": true, "default_branch": "main",
                          "files": { "Dockerfile": "FROM scratch\n" } }],
      "clients":       [{ "name": "Slipway", "redirect_uri": "http://127.0.0.1:8080/…",
                          "client_id": "…", "client_secret": "…" }]
    },
    "bitbucket": { …, "clients": [{ …, "scopes": ["account", "repository", …] }] }
  }
Roles are "owner" and "member". Bitbucket's organizations are workspaces; every user has one.

Signing in and authorizing by plain HTTP (keep cookies, follow no redirects out):
  GitHub     POST /session login, password, return_to · GET /login/oauth/authorize?… ·
             POST /login/oauth/authorize with the page's hidden fields, granted_scope=… each, authorize=1
  Bitbucket  POST /account/signin username, password, next · GET /site/oauth2/authorize?… ·
             POST /site/oauth2/authorize with the page's hidden fields, action=grant

Control API on GitHub's listener: /_devforge/addresses, secrets, deliveries, flush,
  {github|bitbucket}/tokens, {kind}/authorize, {kind}/repositories[/OWNER/NAME[/push]]"#;

/// A stateful simulation of GitHub and Bitbucket for demos and tests. Not a forge: it guards nothing.
#[derive(Debug, Parser)]
#[command(version, after_long_help = SEED_HELP)]
struct Args {
    /// GitHub's web, git and API listener.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen_github: SocketAddr,
    /// Bitbucket's web, git and API listener.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen_bitbucket: SocketAddr,
    /// The SSH listener for both.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen_ssh: SocketAddr,
    /// Where the bare repositories go; a temporary directory if not given. State is not kept over restarts.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to start with; the format is at the end of --help.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(kind = error.kind(), "{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and everything it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn run(args: Args) -> Result<(), DevForgeError> {
    let seed = match &args.seed {
        None => Seed::default(),
        Some(path) => {
            let read = tokio::fs::read_to_string(path).await;
            let text = read.map_err(|source| DevForgeError::File {
                path: path.clone(),
                source,
            })?;
            Seed::parse(&text)?
        }
    };
    let config = Config {
        listen_github: args.listen_github,
        listen_bitbucket: args.listen_bitbucket,
        listen_ssh: args.listen_ssh,
        data: args.data,
        ..Config::default()
    };
    let forge = DevForge::start(config).await?;
    seed.plant(&forge).await?;

    let mut line = serde_json::to_string(forge.addresses()).map_err(DevForgeError::Seed)?;
    line.push('\n');
    let written = std::io::stdout().write_all(line.as_bytes());
    written.map_err(|source| DevForgeError::File {
        path: "standard output".into(),
        source,
    })?;

    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|source| {
            DevForgeError::File {
                path: "SIGTERM".into(),
                source,
            }
        })?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    forge.stop();
    Ok(())
}
