//! One delivery of a GitHub App's one webhook: `POST /hooks/apps/{path}`.
//!
//! It serves all repositories that the App is installed on, and all namespaces that build from one. A delivery is stored
//! once for each of those sources, so that everybody has their own record and nobody's fate is shared; of repositories
//! that nobody builds from, nothing is kept, nor of what is not of a documented shape and names no repository. What the
//! App is told of itself is written down at once.

use std::time::Duration;

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
};
use slipway_forge::Event;
use slipway_store::{DeliveredTo, ForgeClient, StoreError};
use slipway_types::Timestamp;

use super::{
    Receive,
    signed::{Refusal, signed},
};
use crate::services::app_events;

/// How soon after a delivery was turned away the heads of all that is built through the App are compared; many make one
/// look. Later than for one repository's webhook: it is more to ask.
const LOOK_AFTER: Duration = Duration::from_mins(10);

/// `POST /hooks/apps/{path}`
pub(super) async fn receive(
    State(receive): State<Receive>,
    Path(path): Path<String>,
    request: Request,
) -> (StatusCode, String) {
    match take(&receive, &path, request).await {
        Ok(stored) => {
            tracing::info!(stored, "delivery to the GitHub App taken");
            (
                StatusCode::ACCEPTED,
                format!("stored for {stored} repositories\n"),
            )
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn take(receive: &Receive, path: &str, request: Request) -> Result<usize, Refusal> {
    let store = &receive.store;
    let found = store.forges().by_hook_path(path).await?;
    let client = found.ok_or(Refusal::UnknownPath)?;
    let secrets = store.forges().open_app_secrets(client.id).await?;
    let (_, secret) = secrets.ok_or(Refusal::UnknownPath)?;
    let rejected = count_rejected(receive, &client);
    let (delivery, _room) = signed(receive, client.forge, &[&secret], rejected, request).await?;
    let repository = match &delivery.event {
        Ok(event) => {
            of_itself(receive, &client, event, delivery.head.delivery_id.as_deref()).await?;
            event.repository().map(|repository| &repository.id)
        }
        Err(malformed) => malformed.repository.as_ref(),
    };
    let sources = match repository {
        Some(id) => {
            store
                .source_repositories()
                .through_client(client.id, id.as_str())
                .await?
        }
        None => Vec::new(),
    };
    // For everybody, before the answer. Where that fails on the way, it may be sent again: hearing it twice is harmless.
    for source in &sources {
        let room = delivery.room_again(receive).await?;
        delivery.store(receive, None, source.id, room).await?;
    }
    delivery.event?;
    Ok(sources.len())
}

/// Counts it. The secret may have been changed at the provider by hand; then real deliveries are turned away here, and
/// only a look at the forge tells what they said.
async fn count_rejected(receive: &Receive, client: &ForgeClient) -> Result<(), StoreError> {
    let tx = receive.store.begin().await?;
    let look_at = Timestamp::now().plus(LOOK_AFTER);
    tx.forges().count_rejected(client.id, look_at).await?;
    tx.commit().await
}

/// What the App is told of itself. A delivery that was asked for again is late, and not believed.
async fn of_itself(
    receive: &Receive,
    client: &ForgeClient,
    event: &Event,
    delivery: Option<&str>,
) -> Result<(), StoreError> {
    let store = &receive.store;
    let late = async || match delivery {
        Some(id) => store.redeliveries().is_one(DeliveredTo::App(client.id), id).await,
        None => Ok(false),
    };
    match event {
        Event::Installation {
            installation,
            sender,
            change,
            ..
        } => {
            if late().await? {
                return app_events::installation_late(store, client, installation, sender).await;
            }
            app_events::installation(store, client, installation, sender, *change).await
        }
        Event::AuthorizationRevoked { account } => {
            if late().await? {
                return app_events::authorization_revoked_late(store, client, account).await;
            }
            app_events::authorization_revoked(store, client, account).await
        }
        Event::Ping { .. }
        | Event::Push { .. }
        | Event::PullRequest { .. }
        | Event::Repository { .. }
        | Event::Ignored { .. } => Ok(()),
    }
}
