//! Webhooks: who hears of what, signed and sent for real.
//!
//! Events come from [`crate::git::receive`] (refs really moved) and [`crate::pulls`]. Each becomes
//! one delivery per subscribed hook, is logged, and goes to the [`courier`]. Tests hold, drop,
//! double, reorder and repeat deliveries through [`Deliveries`].

mod bitbucket;
pub(crate) mod courier;
mod github;

use std::path::PathBuf;
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

pub use courier::{Attempt, Delivery, DeliveryState};

use crate::error::{DevForgeError, Result};
use crate::forge::Shared;
use crate::git::inspect::Refs;
use crate::git::receive::RefChange;
use crate::people::Kind;
use crate::state::Hook;

/// Bitbucket drops payloads above this, silently ("Event payloads": 256 KB).
const BITBUCKET_LARGEST: usize = 256 * 1024;
/// GitHub's cap on a payload.
const GITHUB_LARGEST: usize = 25 * 1024 * 1024;

/// What one `git push` did to a repository.
pub(crate) struct Push {
    pub(crate) repo: u64,
    pub(crate) pusher: u64,
    pub(crate) dir: PathBuf,
    pub(crate) before: Arc<Refs>,
    pub(crate) changes: Vec<RefChange>,
}

/// What happened to a pull request.
pub(crate) enum PullAct {
    Opened,
    Synchronized { before: String },
    Reopened,
    Closed,
    Merged,
}

/// One event, before it is addressed to hooks.
pub(crate) struct Event {
    name: &'static str,
    action: Option<&'static str>,
    payload: Value,
}

impl Event {
    pub(crate) fn new(name: &'static str, action: Option<&'static str>, payload: Value) -> Self {
        Self {
            name,
            action,
            payload,
        }
    }
}

/// Tells the hooks of a repository about a push.
pub(crate) async fn pushed(forge: &Shared, kind: Kind, push: &Push) -> Result<()> {
    let events = match kind {
        Kind::GitHub => github::push_events(forge, push).await?,
        Kind::Bitbucket => bitbucket::push_event(forge, push).await?.into_iter().collect(),
    };
    for event in events {
        address(forge, kind, push.repo, &event);
    }
    Ok(())
}

/// Tells the hooks of a base repository about a pull request.
pub(crate) fn pull_request(forge: &Shared, kind: Kind, repo: u64, number: u64, sender: u64, act: &PullAct) {
    let event = match kind {
        Kind::GitHub => github::pull_request_event(forge, repo, number, sender, act),
        Kind::Bitbucket => bitbucket::pull_request_event(forge, repo, number, sender, act),
    };
    if let Some(event) = event {
        address(forge, kind, repo, &event);
    }
}

/// Tells the hooks of a repository that it is being deleted.
pub(crate) fn repository_deleted(forge: &Shared, kind: Kind, repo: u64, sender: u64) {
    let event = match kind {
        Kind::GitHub => github::deleted_event(forge, repo, sender),
        Kind::Bitbucket => bitbucket::deleted_event(forge, repo, sender),
    };
    if let Some(event) = event {
        address(forge, kind, repo, &event);
    }
}

/// Pings one hook (GitHub).
pub(crate) fn ping(forge: &Shared, repo: u64, hook: &Hook, sender: u64) {
    if let Some(event) = github::ping_event(forge, repo, hook, sender) {
        send(forge, Kind::GitHub, repo, hook, &event);
    }
}

fn address(forge: &Shared, kind: Kind, repo: u64, event: &Event) {
    let hooks = forge
        .world()
        .side(kind)
        .repo(repo)
        .map(|repo| repo.hooks.clone())
        .unwrap_or_default();
    let wants =
        |hook: &&Hook| hook.active && hook.events.iter().any(|name| name == event.name || name == "*");
    for hook in hooks.iter().filter(wants) {
        send(forge, kind, repo, hook, event);
    }
    if kind == Kind::GitHub {
        address_apps(forge, repo, event);
    }
}

/// Tells the Apps that are installed where this happened: once each, with the installation.
fn address_apps(forge: &Shared, repo: u64, event: &Event) {
    let told: Vec<(u64, Value)> = {
        let world = forge.world();
        let side = world.side(Kind::GitHub);
        let Some(repo) = side.repo(repo) else { return };
        let wants = |app: &&crate::apps::AppRecord| app.events.iter().any(|name| name == event.name);
        side.github_apps
            .iter()
            .filter(wants)
            .filter_map(|app| Some((app.id, side.covering(app.id, repo)?.id)))
            .map(|(app, installation)| {
                let mut payload = event.payload.clone();
                payload["installation"] = serde_json::json!({
                    "id": installation,
                    "node_id": crate::github::render::node_id("I_", installation),
                });
                (app, payload)
            })
            .collect()
    };
    for (app, payload) in told {
        tell_app(
            forge,
            app,
            Some(repo),
            &Event::new(event.name, event.action, payload),
        );
    }
}

/// Sends to an App's one webhook.
pub(crate) fn tell_app(forge: &Shared, app: u64, repo: Option<u64>, event: &Event) {
    let hook = {
        let world = forge.world();
        world
            .side(Kind::GitHub)
            .github_app(app)
            .map(|app| app.hook.clone())
    };
    if let Some(hook) = hook.filter(|hook| hook.active) {
        send_to(
            forge,
            Kind::GitHub,
            Target::App(app),
            repo.unwrap_or(0),
            &hook,
            event,
        );
    }
}

/// Whose hook a delivery goes to.
#[derive(Clone, Copy)]
enum Target {
    Repository(u64),
    App(u64),
}

fn send(forge: &Shared, kind: Kind, repo: u64, hook: &Hook, event: &Event) {
    send_to(forge, kind, Target::Repository(repo), repo, hook, event);
}

fn send_to(forge: &Shared, kind: Kind, target: Target, repo: u64, hook: &Hook, event: &Event) {
    let json = event.payload.to_string();
    let (body, content_type) = match (kind, hook.content_type.as_str()) {
        (Kind::GitHub, "form") => {
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("payload", &json)
                .finish();
            (form, "application/x-www-form-urlencoded")
        }
        _ => (json, "application/json"),
    };
    let guid = uuid::Uuid::new_v4().to_string();
    let mut headers = vec![("content-type".to_owned(), content_type.to_owned())];
    headers.extend(match kind {
        Kind::GitHub => github_headers(hook, target, event.name, &guid, body.as_bytes()),
        Kind::Bitbucket => bitbucket_headers(hook, event.name, &guid, body.as_bytes()),
    });
    let largest = match kind {
        Kind::GitHub => GITHUB_LARGEST,
        Kind::Bitbucket => BITBUCKET_LARGEST,
    };
    forge
        .recorder
        .payload(kind, event.name, event.action, &event.payload);
    let too_large = body.len() > largest;
    let delivery = Delivery {
        id: forge.world().next_id(),
        kind,
        repository_id: repo,
        hook_id: hook.id,
        guid,
        event: event.name.to_owned(),
        action: event.action.map(str::to_owned),
        url: hook.url.clone(),
        headers,
        body: body.into_bytes(),
        redelivery: false,
        delivered_at: forge.now(),
        state: if too_large {
            DeliveryState::TooLarge
        } else {
            DeliveryState::Queued
        },
        attempts: Vec::new(),
    };
    courier::submit(forge, delivery);
}

/// `sha256=` and the hexadecimal HMAC over the body as sent.
fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn github_headers(
    hook: &Hook,
    target: Target,
    event: &str,
    guid: &str,
    body: &[u8],
) -> Vec<(String, String)> {
    let (target, id) = match target {
        Target::Repository(id) => ("repository", id),
        Target::App(id) => ("integration", id),
    };
    let mut headers = vec![
        ("accept".into(), "*/*".into()),
        ("user-agent".into(), "GitHub-Hookshot/devforge".into()),
        ("x-github-delivery".into(), guid.into()),
        ("x-github-event".into(), event.into()),
        ("x-github-hook-id".into(), hook.id.to_string()),
        ("x-github-hook-installation-target-id".into(), id.to_string()),
        ("x-github-hook-installation-target-type".into(), target.into()),
        ("x-github-enterprise-host".into(), "127.0.0.1".into()),
    ];
    if let Some(secret) = &hook.secret {
        headers.push(("x-hub-signature-256".into(), signature(secret, body)));
    }
    headers
}

fn bitbucket_headers(hook: &Hook, event: &str, guid: &str, body: &[u8]) -> Vec<(String, String)> {
    let mut headers = vec![
        ("user-agent".into(), "Bitbucket-Webhooks/2.0".into()),
        ("x-event-key".into(), event.into()),
        (
            "x-hook-uuid".into(),
            hook.uuid.trim_matches(['{', '}']).to_owned(),
        ),
        ("x-request-uuid".into(), guid.into()),
        ("x-attempt-number".into(), "1".into()),
    ];
    if let Some(secret) = &hook.secret {
        headers.push(("x-hub-signature".into(), signature(secret, body)));
    }
    headers
}

/// Sends a logged delivery again for `POST …/attempts`: same identity and body, signed with the
/// secret the hook has now. Returns whether there was such a delivery and hook.
pub(crate) fn attempt_again(forge: &Shared, hook: &Hook, delivery: u64) -> bool {
    let Some(mut again) = forge
        .courier
        .get(delivery)
        .filter(|known| known.hook_id == hook.id)
    else {
        return false;
    };
    again.headers.retain(|(name, _)| name != "x-hub-signature-256");
    if let Some(secret) = &hook.secret {
        again
            .headers
            .push(("x-hub-signature-256".into(), signature(secret, &again.body)));
    }
    again.url.clone_from(&hook.url);
    resend(forge, again);
    true
}

fn resend(forge: &Shared, mut again: Delivery) {
    again.id = forge.world().next_id();
    again.redelivery = true;
    again.delivered_at = forge.now();
    again.state = DeliveryState::Queued;
    again.attempts.clear();
    courier::submit(forge, again);
}

/// In which order [`Deliveries::release`] sends what was held.
#[derive(Debug, Clone)]
pub enum Order {
    /// As they came.
    Fifo,
    /// Newest first.
    Reversed,
    /// By position among [`Deliveries::held`]; those not named follow as they came.
    Exactly(Vec<usize>),
}

/// Control over webhook deliveries, and their log.
pub struct Deliveries {
    forge: Shared,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

impl Deliveries {
    pub(crate) fn new(forge: Shared) -> Self {
        Self { forge }
    }

    /// From now on deliveries are held back instead of sent.
    pub fn pause(&self) {
        self.forge.courier.pause();
    }

    /// What is held back now, in the order it came.
    pub fn held(&self) -> Vec<Delivery> {
        self.forge.courier.held()
    }

    /// Sends what was held, one after another in this order, and holds nothing back any more.
    pub async fn release(&self, order: Order) {
        courier::release(&self.forge, &order).await;
    }

    /// Loses the next `count` deliveries: logged, never sent.
    pub fn drop_next(&self, count: usize) {
        self.forge.courier.drop_next(count);
    }

    /// Sends each of the next `count` deliveries twice, byte for byte.
    pub fn duplicate_next(&self, count: usize) {
        self.forge.courier.duplicate_next(count);
    }

    /// Sends a logged delivery again, byte for byte, headers and all.
    ///
    /// # Errors
    /// When there is no such delivery.
    pub fn redeliver(&self, id: u64) -> Result<()> {
        let delivery = self.forge.courier.get(id);
        let delivery = delivery.ok_or_else(|| DevForgeError::Unknown(format!("delivery {id}")))?;
        resend(&self.forge, delivery);
        Ok(())
    }

    /// Waits until every delivery that is not held back has been answered, or given up.
    pub async fn flush(&self) {
        self.forge.courier.flush().await;
    }

    /// Everything ever addressed to a hook, oldest first, with what came back.
    pub fn log(&self) -> Vec<Delivery> {
        self.forge.courier.log()
    }
}
