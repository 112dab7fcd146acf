//! One delivery of a GitHub App's one webhook: `POST /hooks/apps/{path}`.
//!
//! It serves all repositories that the App is installed on, and all namespaces that build from one. A delivery is stored
//! once for each of those sources, so that everybody has their own record and nobody's fate is shared; of repositories
//! that nobody builds from, nothing is kept. What the App is told of itself is written down at once.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
};
use slipway_forge::{DeliveryHead, Event, Forge};
use slipway_store::{DeliveredTo, ForgeClient, SourceRepository, StoreError};

use super::{
    Receive,
    hook::{Refusal, new_delivery, read, room},
};
use crate::services::app_events;

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
    let found = receive.store.forges().by_hook_path(path).await?;
    let client = found.ok_or(Refusal::UnknownPath)?;
    let forge = receive.ask.forge(client.forge).await?;
    let headers = request.headers().clone();
    let _room = room(receive, &headers).await?;
    let body = read(request).await?;
    verify(receive, &client, &forge, &headers, &body).await?;
    let event = forge
        .parse(&headers, &body)
        .map_err(|malformed| Refusal::Malformed(malformed.to_string()))?;
    let head = forge.delivery_head(&headers);
    of_itself(receive, &client, &event, head.delivery_id.as_deref()).await?;
    let Some(repository) = event.repository() else {
        return Ok(0);
    };
    let sources = receive
        .store
        .source_repositories()
        .through_client(client.id, repository.id.as_str())
        .await?;
    store(receive, &sources, &head, &headers, &body).await?;
    Ok(sources.len())
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

async fn verify(
    receive: &Receive,
    client: &ForgeClient,
    forge: &Arc<dyn Forge>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refusal> {
    let secrets = receive.store.forges().open_app_secrets(client.id).await?;
    let (_, secret) = secrets.ok_or(Refusal::UnknownPath)?;
    forge
        .verify(headers, body, &[&secret])
        .map_err(|error| Refusal::Signature(error.kind()))
}

/// Stores it for everybody, before the answer. Where that fails on the way, it may be sent again: hearing it twice is
/// harmless.
async fn store(
    receive: &Receive,
    sources: &[SourceRepository],
    head: &DeliveryHead,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refusal> {
    for source in sources {
        let room = receive.group.room(body.len()).await?;
        let new = new_delivery(None, source.id, head, headers, body);
        receive.group.store(new, None, room).await?;
    }
    Ok(())
}
