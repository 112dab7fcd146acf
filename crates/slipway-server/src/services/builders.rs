//! Builders, from both sides: what administrators do with them, and how those on other hosts come in and are recognised.
//!
//! A builder sees the secrets of what it builds, so an administrator says which builds it may get before it comes in. It comes
//! in with a one-time token and a credential that it made itself: should the answer be lost, it is known all the same.

use std::{collections::HashMap, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use slipway_builder::outside::BuilderHello;
use slipway_store::{Builder, BuilderFacts, BuilderPlace, BuilderState, BuilderTerms, Store, StoreError};
use slipway_types::{BuildId, BuilderId, LeaseNo, SlugName, Timestamp};
use slipway_vault::TokenHash;

use super::{Access, Caller, ServiceError, act};

/// How long a one-time token is good for.
pub const TOKEN_TERM: Duration = Duration::from_hours(24);

/// A builder that was not heard of for so long is told to be away; it asks for work every 20 seconds, and renews its leases
/// every 10.
pub const AWAY_AFTER: Duration = Duration::from_mins(1);

/// How exactly it is kept when a builder was heard of last.
const SEEN_EVERY: Duration = Duration::from_secs(5);

/// The most labels that a builder has, and the longest, in characters.
const LABELS: (usize, usize) = (20, 50);

/// A builder as administrators see it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The builder.
    pub builder: Builder,
    /// How many builds it runs now.
    pub running: i64,
    /// Whose builds alone it gets, by name; empty: everybody's.
    pub namespaces: Vec<SlugName>,
}

/// What an administrator says of a builder.
#[derive(Debug, Clone, Default)]
pub struct TermsForm {
    /// Labels that configurations can ask for.
    pub labels: Vec<String>,
    /// Whose builds alone it gets, by name; empty: everybody's.
    pub namespaces: Vec<String>,
    /// Whether it gets no builds but those that ask for one of its labels.
    pub only_labelled: bool,
}

/// Why a builder is not let in.
#[derive(Debug, thiserror::Error)]
pub enum RefusedBuilder {
    /// The one-time token is not one.
    #[error(
        "the token is unknown, was used already, or is older than a day; an administrator makes another one"
    )]
    Token,
    /// The credential is not one, or not any more.
    #[error("no builder has this credential: it was removed, or an administrator made a new token for it")]
    Credential,
    /// It cannot speak with this server.
    #[error(
        "it runs Slipway {0}, this server {ours}: they work together while they differ by one version at most; update the older",
        ours = env!("CARGO_PKG_VERSION")
    )]
    Version(String),
    /// The lease is somebody else's, or over.
    #[error("the lease is lost")]
    LeaseLost,
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Builders.
#[derive(Debug, Clone)]
pub struct Builders {
    store: Store,
    access: Access,
}

impl Builders {
    /// Over this store.
    pub fn new(store: Store) -> Self {
        Self {
            access: Access::new(store.clone()),
            store,
        }
    }

    // ---- What administrators do -------------------------------------------------------------------

    /// All builders that are not gone, by name.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] for who does not administer, as everywhere here.
    pub async fn all(&self, caller: &Caller) -> Result<Vec<Listed>, ServiceError> {
        self.access.administrator(caller)?;
        let running: HashMap<BuilderId, i64> = self.store.builders().running().await?.into_iter().collect();
        let mut all = Vec::new();
        for builder in self.store.builders().all().await? {
            let mut namespaces = Vec::new();
            for id in &builder.terms.namespaces {
                // One that was deleted has no builds.
                if let Some(namespace) = self.store.namespaces().find(*id).await? {
                    namespaces.push(namespace.name);
                }
            }
            all.push(Listed {
                running: running.get(&builder.id).copied().unwrap_or_default(),
                namespaces,
                builder,
            });
        }
        Ok(all)
    }

    /// A builder.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone.
    pub async fn get(&self, caller: &Caller, id: BuilderId) -> Result<Listed, ServiceError> {
        let all = self.all(caller).await?;
        all.into_iter()
            .find(|listed| listed.builder.id == id)
            .ok_or(NO_BUILDER)
    }

    /// Makes a builder that is to come in from another host, and the one-time token for that.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when the name is taken, [`ServiceError::Invalid`] for what cannot be used.
    pub async fn create(
        &self,
        caller: &Caller,
        name: &str,
        terms: &TermsForm,
    ) -> Result<(BuilderId, SecretString), ServiceError> {
        self.access.administrator(caller)?;
        let name: SlugName = name.parse().map_err(|_| ServiceError::Invalid {
            field: "name".to_owned(),
            message: "a builder's name has lower-case letters and digits, with single . _ or - between them"
                .to_owned(),
        })?;
        let terms = self.terms(terms).await?;
        let (token, hash) = TokenHash::generate("slw_reg");
        let tx = self.store.begin().await?;
        let made = tx
            .builders()
            .expect(
                name.as_str(),
                &terms,
                hash.as_str(),
                Timestamp::now().plus(TOKEN_TERM),
            )
            .await;
        let id = match made {
            Ok(id) => id,
            Err(StoreError::Conflict(_)) => {
                return Err(ServiceError::Conflict {
                    kind: "name_taken",
                    message: format!("a builder is called {name} already"),
                });
            }
            Err(error) => return Err(error.into()),
        };
        tx.audit()
            .record(&act(caller, "builder.created", name.as_str()))
            .await?;
        tx.commit().await?;
        Ok((id, token))
    }

    /// Makes another one-time token for a builder on another host; what it came in with before opens nothing from now on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone, [`ServiceError::Conflict`] for one that is embedded in a server.
    pub async fn new_token(&self, caller: &Caller, id: BuilderId) -> Result<SecretString, ServiceError> {
        let listed = self.get(caller, id).await?;
        remote(&listed.builder)?;
        let (token, hash) = TokenHash::generate("slw_reg");
        let tx = self.store.begin().await?;
        tx.builders()
            .expect_again(id, hash.as_str(), Timestamp::now().plus(TOKEN_TERM))
            .await?;
        tx.audit()
            .record(&act(caller, "builder.token_made", &listed.builder.name))
            .await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Says which builds a builder gets.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone, [`ServiceError::Invalid`] for what cannot be used.
    pub async fn set_terms(
        &self,
        caller: &Caller,
        id: BuilderId,
        terms: &TermsForm,
    ) -> Result<(), ServiceError> {
        let listed = self.get(caller, id).await?;
        let terms = self.terms(terms).await?;
        let tx = self.store.begin().await?;
        tx.builders().set_terms(id, &terms).await?;
        tx.audit()
            .record(&act(caller, "builder.changed", &listed.builder.name))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Has a builder take no more work, until it is resumed. What it runs goes on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone.
    pub async fn pause(&self, caller: &Caller, id: BuilderId) -> Result<(), ServiceError> {
        self.set_state(caller, id, BuilderState::Paused, "builder.paused")
            .await
    }

    /// Has a builder take work again.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone.
    pub async fn resume(&self, caller: &Caller, id: BuilderId) -> Result<(), ServiceError> {
        self.set_state(caller, id, BuilderState::Active, "builder.resumed")
            .await
    }

    /// Removes a builder: its credential opens nothing any more, what it runs is killed there and taken up again elsewhere.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when it is gone, [`ServiceError::Conflict`] for one that is embedded in a server.
    pub async fn remove(&self, caller: &Caller, id: BuilderId) -> Result<(), ServiceError> {
        let listed = self.get(caller, id).await?;
        let seen = listed.builder.last_seen_at;
        let is_away = seen.is_none_or(|at| Timestamp::now().since(at) > AWAY_AFTER);
        if !is_away {
            remote(&listed.builder)?;
        }
        self.set_state(caller, id, BuilderState::Removed, "builder.removed")
            .await
    }

    async fn set_state(
        &self,
        caller: &Caller,
        id: BuilderId,
        state: BuilderState,
        what: &'static str,
    ) -> Result<(), ServiceError> {
        let listed = self.get(caller, id).await?;
        let tx = self.store.begin().await?;
        tx.builders().set_state(id, state).await?;
        tx.audit()
            .record(&act(caller, what, &listed.builder.name))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn terms(&self, form: &TermsForm) -> Result<BuilderTerms, ServiceError> {
        let invalid = |field: &str, message: String| ServiceError::Invalid {
            field: field.to_owned(),
            message,
        };
        let mut terms = BuilderTerms {
            only_labelled: form.only_labelled,
            ..BuilderTerms::default()
        };
        for label in form.labels.iter().map(|label| label.trim()) {
            let fine = label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            if !fine || label.is_empty() || label.len() > LABELS.1 {
                return Err(invalid(
                    "labels",
                    format!("a label has up to {} letters, digits and . _ - /", LABELS.1),
                ));
            }
            if !terms.labels.iter().any(|known| known == label) {
                terms.labels.push(label.to_owned());
            }
        }
        if terms.labels.len() > LABELS.0 {
            return Err(invalid(
                "labels",
                format!("a builder has up to {} labels", LABELS.0),
            ));
        }
        if terms.only_labelled && terms.labels.is_empty() {
            return Err(invalid(
                "labels",
                "a builder that gets labelled builds alone needs a label, or it gets none".to_owned(),
            ));
        }
        for name in form.namespaces.iter().map(|name| name.trim()) {
            let namespace = match name.parse::<SlugName>() {
                Ok(name) => self.store.namespaces().by_name(&name).await?,
                Err(_) => None,
            };
            let Some(namespace) = namespace else {
                return Err(invalid("namespaces", format!("nobody is called {name}")));
            };
            if !terms.namespaces.contains(&namespace.id) {
                terms.namespaces.push(namespace.id);
            }
        }
        Ok(terms)
    }

    // ---- What builders on other hosts do ----------------------------------------------------------

    /// Lets a builder in that shows its one-time token. It is known by `credential` from now on.
    ///
    /// # Errors
    /// [`RefusedBuilder::Token`].
    pub async fn come_in(
        &self,
        token: &SecretString,
        credential: &SecretString,
    ) -> Result<BuilderId, RefusedBuilder> {
        // What the vault's tokens look like: a builder must not choose a word that somebody guesses.
        let digits = credential.expose_secret().strip_prefix("slw_bld_");
        let is_strong = digits.is_some_and(|d| d.len() == 64 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        if !is_strong {
            return Err(RefusedBuilder::Credential);
        }
        let tx = self.store.begin().await?;
        let came = tx
            .builders()
            .come_in(
                TokenHash::of(token.expose_secret()).as_str(),
                TokenHash::of(credential.expose_secret()).as_str(),
            )
            .await?;
        tx.commit().await?;
        let id = came.ok_or(RefusedBuilder::Token)?;
        tracing::info!(builder = %id, "a builder came in");
        Ok(id)
    }

    /// Who shows this credential. Rows are found by the credential's hash, so that its time tells nothing.
    ///
    /// # Errors
    /// [`RefusedBuilder::Credential`].
    pub async fn recognise(&self, credential: &SecretString) -> Result<Builder, RefusedBuilder> {
        let hash = TokenHash::of(credential.expose_secret());
        let found = self.store.builders().by_token_hash(hash.as_str()).await?;
        let builder = found.ok_or(RefusedBuilder::Credential)?;
        let now = Timestamp::now();
        if builder.last_seen_at.is_none_or(|at| now.since(at) > SEEN_EVERY) {
            let tx = self.store.begin().await?;
            tx.builders().seen(builder.id, now).await?;
            tx.commit().await?;
        }
        Ok(builder)
    }

    /// Notes what a builder that asks for work says of itself.
    ///
    /// # Errors
    /// [`RefusedBuilder::Version`] when it cannot speak with this server.
    pub async fn hello(&self, id: BuilderId, hello: &BuilderHello) -> Result<(), RefusedBuilder> {
        if !speaks_with(&hello.version, env!("CARGO_PKG_VERSION")) {
            return Err(RefusedBuilder::Version(hello.version.chars().take(40).collect()));
        }
        let tx = self.store.begin().await?;
        tx.builders().report(id, &facts(hello)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a builder takes no more work until it starts again. One that is paused stays so.
    ///
    /// # Errors
    /// What the store says.
    pub async fn drain(&self, builder: &Builder) -> Result<(), RefusedBuilder> {
        if builder.state == BuilderState::Active {
            let tx = self.store.begin().await?;
            tx.builders()
                .set_state(builder.id, BuilderState::Draining)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Whether this lease is this builder's: a lease never changes hands, so once is enough.
    ///
    /// # Errors
    /// [`RefusedBuilder::LeaseLost`] when it is not, or not any more.
    pub async fn holds(
        &self,
        builder: &Builder,
        build: BuildId,
        lease: LeaseNo,
    ) -> Result<(), RefusedBuilder> {
        let found = self.store.builds().find(build).await?;
        match found {
            Some(found) if found.lease == lease && found.builder == Some(builder.id) => Ok(()),
            _ => Err(RefusedBuilder::LeaseLost),
        }
    }
}

const NO_BUILDER: ServiceError = ServiceError::NotFound { what: "the builder" };

fn remote(builder: &Builder) -> Result<(), ServiceError> {
    if builder.place == BuilderPlace::Embedded {
        return Err(ServiceError::Conflict {
            kind: "builder_is_embedded",
            message: "this builder lives in the server's own process: start `slipway serve` with --slots 0 to be without it"
                .to_owned(),
        });
    }
    Ok(())
}

/// What a builder says of itself, bounded as everything that comes from outside.
pub(super) fn facts(hello: &BuilderHello) -> BuilderFacts {
    let cut = |text: &str| text.chars().take(100).collect::<String>();
    BuilderFacts {
        host: cut(&hello.host),
        driver: cut(&hello.driver),
        isolates: hello.isolates,
        platforms: hello.platforms.iter().take(20).map(|p| cut(p)).collect(),
        slots: i32::try_from(hello.slots).unwrap_or(i32::MAX),
        version: cut(&hello.version),
    }
}

/// Whether two versions of Slipway work together: those whose minor numbers differ by one at most, of one major number.
fn speaks_with(theirs: &str, ours: &str) -> bool {
    let parse = |text: &str| {
        let mut numbers = text.split('.').map(str::parse::<u64>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    match (parse(theirs), parse(ours)) {
        (Some((a, b)), Some((c, d))) => a == c && b.abs_diff(d) <= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_differ_by_one_work_together() {
        for theirs in ["0.3.0", "0.4.9", "0.5.0", "0.4.0-rc.1"] {
            assert!(speaks_with(theirs, "0.4.2"), "{theirs}");
        }
        for theirs in ["0.2.9", "0.6.0", "1.4.2", "", "x", "4"] {
            assert!(!speaks_with(theirs, "0.4.2"), "{theirs}");
        }
    }
}
