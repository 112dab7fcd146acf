//! Source providers: everything that Slipway says to GitHub and Bitbucket, and hears from them.
//!
//! One trait, [`Forge`], with two implementations that differ in words and habits but not in what the
//! rest of Slipway sees. A forge is nothing but a [`ForgeConfig`]: no address is compiled in, so a GitHub
//! Enterprise Server, or the simulated forge of the tests, is reached by its URLs alone.
//!
//! Invariants kept here:
//! - A token goes into the `Authorization` header (and GitHub's token check body) and nowhere else: no
//!   URL, error, log or `Debug` output holds one, and none leaves the configured origins.
//! - Whatever a provider, or somebody in its place, answers is bounded: 8 MiB a body, a number of pages,
//!   30 seconds. An answer of another shape is an error with a sentence, never a panic.
//! - Nothing here decides or retries: one call asks once and says exactly what came of it. Repeating,
//!   spreading and giving up belong to the outbox and the loops.

mod account;
mod app;
mod bitbucket;
mod clone;
mod config;
mod error;
mod forge;
mod github;
mod hook;
mod http;
mod key;
mod names;
mod oauth;
mod pull_request;
mod reach;
mod remembered;
mod repository;
mod rest;
mod signature;
mod status;
mod webhook;

pub use account::{Account, Installation, Owner, OwnerAccess, OwnerKind, OwnerRole};
pub use app::{AppError, AppManifest, AppReach, ConvertedApp, GithubApp, InstallationToken};
pub use config::{AppConfig, ForgeConfig, connect};
pub use error::{Forbidden, ForgeError};
pub use forge::Forge;
pub use hook::{FailedDelivery, Hook, HookSpec, LastDelivery};
pub use http::{HttpClient, HttpClientError};
pub use key::{DeployKey, DeployKeyPair, KeyError, generate_deploy_key};
pub use names::{
    RemoteAccountId, RemoteHookId, RemoteInstallationId, RemoteKeyId, RemoteRepositoryId, RepositoryKey,
    RepositoryPath, RepositoryPathError,
};
pub use oauth::{AuthorizeRequest, Grant, OauthError, Pkce, Revocation, Scopes, TokenCheck, fresh_state};
pub use pull_request::{PullRequest, PullRequestEnd, PullRequestState};
pub use repository::{ChangedPaths, CloneBy, Commit, Head, Repository, RepositoryPage, RepositoryQuery};
pub use signature::SignatureError;
pub use status::{Status, StatusState};
pub use webhook::{
    DeliveryHead, Event, HeadHint, InstallationChange, Malformed, PullRequestAction, PullRequestHint,
    RefHint, RepositoryChange, RepositoryHint,
};
