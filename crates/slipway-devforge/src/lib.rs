//! A stateful simulation of GitHub and Bitbucket, close enough that Slipway cannot tell.
//!
//! No test or demo can reach the real providers. So this crate plays both of them, on loopback,
//! with real git, real HTTP, real SSH and real signatures, and fails where the real ones fail. It
//! is a development tool: nothing of the product depends on it, and it depends on nothing of the
//! product, so that the two cannot agree on a mistake.
//!
//! # For whoever writes a test
//!
//! ```no_run
//! # async fn example() -> slipway_devforge::Result<()> {
//! use slipway_devforge::{Config, DevForge, NewOAuthClient, NewRepository, Role};
//!
//! let forge = DevForge::start(Config::default()).await?;
//! let github = forge.github();
//! github.create_user("ada", "Ada Lovelace", "secret")?;
//! github.create_organization("acme", &[("ada", Role::Owner)])?;
//! let client = github.register_client(NewOAuthClient::new("Slipway", "http://127.0.0.1:8080/callback"));
//! let repo = github
//!     .create_repository(NewRepository::new("acme/web").private().file("Dockerfile", "FROM scratch\n"))
//!     .await?;
//!
//! // … the product links ada's account and makes a hook; then a developer pushes:
//! let sha = repo.push("main", &[("hello.txt", "hello\n")], "Say hello").await?;
//! forge.deliveries().flush().await; // every webhook of that push has been answered
//! assert!(repo.statuses().iter().any(|status| status.sha == sha));
//! # drop(client); Ok(()) }
//! ```
//!
//! - The product is told four things per forge: [`Provider::web_url`], [`Provider::api_url`], client id
//!   and secret. SSH host keys: [`Addresses::ssh_host_key`], or `GET /meta`.
//! - **Waiting**: a push returns after its webhooks are queued; [`Deliveries::flush`] returns when they
//!   are answered. Nothing needs a sleep. Codes and tokens age with [`DevForge::advance`].
//! - **Disorder on purpose**: [`Deliveries::pause`], [`Deliveries::release`], [`Deliveries::drop_next`],
//!   [`Deliveries::duplicate_next`], [`Deliveries::redeliver`].
//! - **Misfortune**: [`Provider::set_away`], [`Provider::expire_tokens`].
//! - **Linking**: [`Provider::browser`] is a person who signs in and authorizes:
//!   [`Browser::authorize`] takes the product's authorize URL and gives back its callback URL. The
//!   forms themselves are described in the `oauth` module and by `--help`.
//! - **Leaks**: [`DevForge::secrets`] lists every value a leak test has to look for.
//! - **Honesty**: with [`Config::conformance`] every answer and payload is recorded as sent, and
//!   [`Report::assert_clean`] fails unless the vendors' own descriptions agree.
//!
//! - **People at the provider**: [`Repository::remove_hooks`] and its like, [`Provider::restrict_apps`],
//!   [`Provider::require_single_sign_on`], [`Provider::suspend`].
//! - **Bad days**: [`Provider::befall`] with a [`Mishap`]; [`Provider::use_up_the_hour`].
//!
//! - **GitHub Apps**: [`Provider::register_app`], or a browser that goes through the pages; [`App::install`],
//!   [`App::suspend`], [`App::uninstall`]. Its webhook is told of everything, as GitHub's is.

mod api;
mod apps;
mod bitbucket;
mod browser;
mod config;
mod conformance;
mod control;
mod developer;
mod error;
mod faults;
mod forge;
mod git;
mod github;
mod hand;
mod mishaps;
mod oauth;
mod people;
mod policies;
mod provider;
mod pulls;
mod rates;
mod repository;
mod secrets;
mod seed;
mod setup;
mod state;
mod webhooks;

pub use apps::{App, AppToken, InstallationView, NewApp};
pub use browser::{Browser, Visited};
pub use config::{Config, ScopeField};
pub use conformance::{Descriptions, Line, Report, Verdict};
pub use error::{DevForgeError, Result};
pub use forge::{Addresses, DevForge};
pub use mishaps::Mishap;
pub use people::{Kind, Permission, Role};
pub use provider::Provider;
pub use pulls::PullRequest;
pub use repository::{HookView, KeyView, Repository, StatusView};
pub use secrets::{IssuedSecret, SecretKind};
pub use seed::Seed;
pub use setup::{IssuedToken, NewOAuthClient, NewRepository, OAuthClient, User};
pub use webhooks::{Attempt, Deliveries, Delivery, DeliveryState, Order};
