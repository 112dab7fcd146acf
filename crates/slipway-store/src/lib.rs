//! The store: everything that Slipway remembers, on SQLite or PostgreSQL.
//!
//! One file per aggregate, each a small set of questions and changes; the tables' entities stay inside
//! (no sea-orm type is public). Reading goes through [`Store`], changing through a [`Tx`]:
//!
//! ```ignore
//! let tx = store.begin().await?;
//! let link = tx.links().find(namespace, forge).await?;
//! tx.links().set_state(link.id, LinkState::Unlinking).await?;
//! tx.commit().await?;                 // dropped without it: rolled back
//! ```
//!
//! Invariants kept here: a secret enters only sealed (the methods take `SecretString`, the columns are
//! called `*_sealed`); a write of a builder without the current lease number changes nothing; a head
//! never changes without its `ref_changes` row. No transaction stays open across I/O to anything but the
//! database: that is the callers' to keep, and why a [`Tx`] is not `Clone`.

mod access_proofs;
mod access_tokens;
mod aggregate;
mod app_attempts;
mod audit;
mod build_lists;
mod build_tags;
mod builders;
mod builds;
mod column;
mod configurations;
mod connect;
mod credentials;
mod deliveries;
mod error;
mod forges;
mod head_checks;
mod heads;
mod idempotency;
mod leases;
mod link_attempts;
mod link_owners;
mod links;
mod logs;
mod migrations;
mod namespaces;
mod notices;
mod outbox;
mod permissions;
mod plans;
mod provider_resources;
mod redeliveries;
mod ref_changes;
mod registries;
mod reports;
mod repositories;
mod sessions;
mod settings;
mod source_repositories;
mod sql;
mod surplus_tokens;
mod tag_heads;
mod teams;
#[cfg(feature = "testing")]
pub mod testing;
mod triggers;
mod tx;
mod users;
mod variables;
mod verdicts;

pub use access_proofs::{AccessProof, AccessProofs, NewProof};
pub use access_tokens::{AccessToken, AccessTokens, NewAccessToken};
pub use app_attempts::{AppAttempt, AppAttempts};
pub use audit::{Act, Audit, AuditOf, NewAct};
pub use build_lists::Line;
pub use build_tags::{BuildTag, TagResult};
pub use builders::{Builder, BuilderFacts, BuilderPlace, BuilderState, BuilderTerms, Builders};
pub use builds::{Build, BuildPlan, Builds, COOLING, CancelWish, Ending, NewBuild};
pub use configurations::{Configuration, ConfigurationFields, Configurations, StoredRule};
pub use connect::{Options, Store};
pub use credentials::{Credential, CredentialOf, Credentials, Tokens};
pub use deliveries::{Deliveries, Delivery, DeliveryChange, NewDelivery};
pub use error::StoreError;
pub use forges::{AppFacts, ForgeClient, ForgeFields, ForgeRecord, Forges, NewApp};
pub use head_checks::{HeadCheck, HeadChecks};
pub use heads::{Heads, Known, PullRequestHead, RefHead};
pub use idempotency::{Answered, IdempotencyKeys};
pub use leases::{BatchState, Leases, MAX_RUNS, Pulse};
pub use link_attempts::{LinkAttempt, LinkAttempts, NewLinkAttempt};
pub use link_owners::{LinkInstallation, LinkOwner, LinkOwners};
pub use links::{Link, LinkHealth, LinkTo, Links};
pub use logs::{LogChunk, LogSize, Logs};
pub use namespaces::{Member, Namespace, Namespaces};
pub use notices::{Heard, MAX_NOTICE, Notices};
pub use outbox::{NewOutboxRow, Outbox, OutboxRow};
pub use permissions::{Grantee, Permission, Permissions};
pub use plans::{Plan, Plans};
pub use provider_resources::{HookSecrets, ProviderResources, Receiving, Resource, Rotation};
pub use redeliveries::{DeliveredTo, Redeliveries};
pub use ref_changes::{Change, Enrichment, NewHead, PullRequestFacts, RefChanges, Subject, Wish};
pub use registries::{Registries, Registry, RegistryFields};
pub use reports::{PhaseReport, Reports};
pub use repositories::{Repositories, Repository, RepositoryFields};
pub use sessions::{NewSession, Session, Sessions};
pub use settings::Settings;
pub use source_repositories::{SourceFacts, SourceRepositories, SourceRepository};
pub use surplus_tokens::{SurplusToken, SurplusTokens};
pub use tag_heads::{Fence, TagHead, TagHeads};
pub use teams::{Team, Teams};
pub use triggers::{Trigger, Triggers};
pub use tx::{Db, Tx};
pub use users::{NewUser, User, Users};
pub use variables::{Variable, Variables};
pub use verdicts::{Admission, RuleVerdict, Verdicts};
