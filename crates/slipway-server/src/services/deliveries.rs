//! From a stored delivery to observed heads, and replays.
//!
//! Everything here is done from the stored row, so that it can be done again after a crash: what a delivery said,
//! what came of each ref, and that it was handled are written in one transaction.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use slipway_forge::{Event, RepositoryChange};
use slipway_store::{
    DeliveredTo, Delivery, DeliveryChange, NewHead, SourceFacts, SourceRepository, Store, StoreError,
    Subject, Tx, Wish,
};
use slipway_types::{
    CommitSha, DeliveryId, Timestamp, UserId,
    build::Cause,
    decision::{ChangeResult, DeliveryOutcome},
};

use super::{
    ask::{self, AskError, AskForge},
    bells::Bells,
    observe::{After, Hint, Observe},
    reach, resources,
};

/// How long after a gap was noticed the heads are compared: deliveries that only came in another order are there by then.
const SETTLE: Duration = Duration::from_secs(10);
/// How long lies between two comparisons of one source because of gaps, at least.
const BETWEEN_LOOKS: Duration = Duration::from_mins(1);

/// Handles and replays deliveries.
#[derive(Clone)]
pub struct Deliveries {
    store: Store,
    ask: Arc<dyn AskForge>,
    observe: Observe,
    bells: Bells,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliveries")
    }
}

impl Deliveries {
    /// Of this store.
    pub fn new(store: Store, ask: Arc<dyn AskForge>, observe: Observe, bells: Bells) -> Self {
        Self {
            store,
            ask,
            observe,
            bells,
        }
    }

    /// Takes the delivery that has waited longest as far as it goes; `false` if none waits, or another server is at those
    /// that do.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub async fn handle_next(&self) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        // A look that keeps nobody from writing.
        if self.store.deliveries().next_unhandled(now).await?.is_none() {
            return Ok(false);
        }
        let tx = self.store.begin().await?;
        let Some(delivery) = tx.deliveries().take_next(now).await? else {
            tx.commit().await?;
            return Ok(false);
        };
        self.handle_in(tx, &delivery).await?;
        Ok(true)
    }

    /// Takes a stored delivery as far as it goes. One that cannot be handled now, for whatever reason, is put off: it
    /// must not keep others waiting.
    ///
    /// # Errors
    /// What the database says, when not even that could be written.
    pub async fn handle(&self, delivery: &Delivery) -> Result<(), StoreError> {
        self.handle_in(self.store.begin().await?, delivery).await
    }

    async fn handle_in(&self, tx: Tx, delivery: &Delivery) -> Result<(), StoreError> {
        let Err(error) = self.try_handle(tx, delivery).await else {
            return Ok(());
        };
        tracing::warn!(delivery = %delivery.id, error = %error, "a delivery could not be handled yet");
        let tx = self.store.begin().await?;
        let until = Timestamp::now().plus(ask::pause_after(delivery.attempts));
        tx.deliveries()
            .postpone(delivery.id, until, &error.to_string())
            .await?;
        tx.commit().await
    }

    async fn try_handle(&self, tx: Tx, delivery: &Delivery) -> Result<(), AskError> {
        let source = tx.source_repositories().get(delivery.source).await?;
        let forge = self.ask.forge(source.forge).await?;
        let body = tx.deliveries().body(delivery.id).await?;
        let event = forge.parse(&headers(delivery), &body);
        let (outcome, detail) = match event {
            Err(malformed) => (DeliveryOutcome::Malformed, Some(malformed.to_string())),
            Ok(event) => self.event(&tx, delivery, &source, event).await?,
        };
        if tx
            .deliveries()
            .set_handled(delivery.id, outcome, detail.as_deref())
            .await?
        {
            tx.commit().await?;
            tracing::info!(delivery = %delivery.id, event = delivery.event, outcome = %outcome, "delivery handled");
            self.bells.checks.up();
            self.bells.changes.up();
        }
        Ok(())
    }

    async fn event(
        &self,
        tx: &Tx,
        delivery: &Delivery,
        source: &SourceRepository,
        event: Event,
    ) -> Result<(DeliveryOutcome, Option<String>), StoreError> {
        let hints = match event {
            Event::Ping { .. } => return Ok((DeliveryOutcome::Ping, None)),
            // Of no repository: written down when it came, never stored as a delivery.
            Event::Installation { .. } | Event::AuthorizationRevoked { .. } => {
                return Ok((DeliveryOutcome::EventIgnored, None));
            }
            Event::Ignored { event, .. } => return Ok((DeliveryOutcome::EventIgnored, Some(event))),
            Event::Repository { repository, change } => {
                let name = repository
                    .path
                    .map(|path| (path.owner().to_owned(), path.name().to_owned()));
                follow(tx, source, change, name).await?;
                return Ok((DeliveryOutcome::EventIgnored, None));
            }
            Event::Push { refs, .. } => refs.into_iter().map(Hint::from).collect(),
            Event::PullRequest { hint, .. } => {
                let Some(hint) = Hint::of_pull_request(&hint) else {
                    let why = "a branch of it has a name that git does not allow".to_owned();
                    return Ok((DeliveryOutcome::EventIgnored, Some(why)));
                };
                vec![hint]
            }
        };
        if tx.configurations().of_source(source.id).await?.is_empty() {
            // What moves from now on is not recorded: the next configuration begins with a new baseline.
            tx.source_repositories().set_baselined(source.id, None).await?;
            return Ok((DeliveryOutcome::NoConfiguration, None));
        }
        let late = delivery.replay_of.is_none() && is_late(tx, delivery, source).await?;
        // Bitbucket tries again what failed: then other deliveries may have failed for good.
        let mut gap = delivery.attempt > 1;
        for (position, hint) in (0i32..).zip(&hints) {
            let place = (delivery.id, position);
            if delivery.replay_of.is_some() {
                self.replay_one(tx, delivery, source, hint, place).await?;
                continue;
            }
            let cause = if hint.subject.pull_request().is_some() {
                Cause::PullRequest
            } else {
                Cause::Push
            };
            let heard = self.observe.hear(tx, source.id, hint, cause, place, late).await?;
            gap |= heard.gap && !late;
        }
        if gap {
            let soonest = source
                .reconciled_at
                .map_or(delivery.received_at, |at| at.plus(BETWEEN_LOOKS));
            let at = soonest.max(Timestamp::now().plus(SETTLE));
            tx.source_repositories().want_compared(source.id, at).await?;
        }
        Ok((DeliveryOutcome::Observed, None))
    }

    /// Runs what a delivery said through today's rules again, whatever its ref points at by now. Its builds take the
    /// place in the order that the commit got when it was first observed: a replay does not move tags back.
    async fn replay_one(
        &self,
        tx: &Tx,
        delivery: &Delivery,
        source: &SourceRepository,
        hint: &Hint,
        place: (DeliveryId, i32),
    ) -> Result<(), StoreError> {
        let sha = said_commit(hint);
        let first = match &sha {
            Some(sha) => tx.ref_changes().that_set(source.id, &hint.subject, sha).await?,
            None => None,
        };
        let mut enrichment = hint.enrichment.clone();
        if let (Subject::PullRequest(_), Some(first)) = (&hint.subject, &first) {
            enrichment.pull_request = first.enrichment.pull_request.clone().or(enrichment.pull_request);
        }
        let wish = Wish {
            head: NewHead {
                source: source.id,
                subject: hint.subject.clone(),
                sha: sha.clone(),
                cause: Cause::Replayed,
                delivery: Some(delivery.id),
                actor: delivery.replayed_by,
                enrichment,
            },
            configuration: None,
            rule: None,
            build_seq: first.map(|change| change.build_seq),
            follows: None,
        };
        // Without its commit (an annotated tag, an abbreviation) only the forge could tell, and that of today.
        let change = match (&sha, &hint.after) {
            (None, After::Unknown | After::Closed(_)) => None,
            _ => Some(tx.ref_changes().wish(&wish, hint.before.clone()).await?),
        };
        let record = DeliveryChange {
            delivery: place.0,
            position: place.1,
            source: source.id,
            subject: hint.subject.clone(),
            before: hint.before.clone(),
            after: sha,
            result: if change.is_some() {
                ChangeResult::Accepted
            } else {
                ChangeResult::HeadUnchanged
            },
            change: change.map(|change| change.id),
        };
        tx.deliveries().insert_change(&record).await
    }

    /// Has a delivery run through today's rules again. Returns the new delivery; it is handled like any other.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it, or its body, is not kept any more.
    pub async fn replay(&self, id: DeliveryId, by: Option<UserId>) -> Result<DeliveryId, StoreError> {
        let tx = self.store.begin().await?;
        let delivery = tx
            .deliveries()
            .find(id)
            .await?
            .ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        let replayed = tx.deliveries().replay(&delivery, by).await?;
        tx.commit().await?;
        self.bells.deliveries.up();
        Ok(replayed)
    }
}

/// Whether a delivery comes because it was asked for again.
async fn is_late(tx: &Tx, delivery: &Delivery, source: &SourceRepository) -> Result<bool, StoreError> {
    let to = match delivery.hook {
        Some(hook) => Some(DeliveredTo::Webhook(hook)),
        None => resources::app_of(tx, source).await?.map(DeliveredTo::App),
    };
    match to {
        Some(to) => tx.redeliveries().is_one(to, &delivery.remote_id).await,
        None => Ok(false),
    }
}

fn said_commit(hint: &Hint) -> Option<CommitSha> {
    match &hint.after {
        After::At(sha) | After::Closed(Some(sha)) => Some(sha.clone()),
        After::Deleted | After::Unknown | After::Closed(None) => None,
    }
}

/// Follows what a provider says of the repository itself. Only a `deleted` event can tell that it is gone.
async fn follow(
    tx: &Tx,
    source: &SourceRepository,
    change: RepositoryChange,
    name: Option<(String, String)>,
) -> Result<(), StoreError> {
    if change == RepositoryChange::Deleted {
        return reach::gone(tx, source).await;
    }
    if let Some((owner, name)) = name
        && (owner != source.facts.owner || name != source.facts.name)
    {
        let facts = SourceFacts {
            owner,
            name,
            ..source.facts.clone()
        };
        reach::reached(tx, source, &facts).await?;
    }
    Ok(())
}

/// The stored headers, as a forge reads them.
fn headers(delivery: &Delivery) -> HeaderMap {
    let pairs = delivery.headers.iter().filter_map(|(name, value)| {
        Some((
            HeaderName::try_from(name.as_str()).ok()?,
            HeaderValue::try_from(value.as_str()).ok()?,
        ))
    });
    pairs.collect()
}
