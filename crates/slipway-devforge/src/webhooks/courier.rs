//! The courier: takes deliveries to their receivers and writes down what happened.
//!
//! Deliveries to one hook go one after another in the order they arose, so that tests are
//! deterministic; the providers promise no order, and [`super::Deliveries::release`] is there to
//! break it on purpose. Different hooks do not wait for each other.
//!
//! Only Bitbucket retries, only on 5xx, twice ("Manage webhooks": retried two more times). Its
//! pause between attempts is left out: nobody's test should wait for it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::Order;
use crate::forge::Shared;
use crate::people::Kind;
use crate::secrets::lock;

/// Bitbucket's attempts altogether.
const BITBUCKET_ATTEMPTS: usize = 3;
/// How much of a receiver's answer is kept.
const MOST_ANSWER: usize = 64 * 1024;

/// One webhook delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Id in the log.
    pub id: u64,
    /// Whose hook it is.
    pub kind: Kind,
    /// The repository's numeric id.
    pub repository_id: u64,
    /// The hook's numeric id.
    pub hook_id: u64,
    /// `X-GitHub-Delivery` or `X-Request-UUID`; the same on redelivery.
    pub guid: String,
    /// `push`, `repo:push`, …
    pub event: String,
    /// `opened`, … for GitHub's events that have one.
    pub action: Option<String>,
    /// Where it goes.
    pub url: String,
    /// Request headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Request body as sent and signed.
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// It repeats an earlier one.
    pub redelivery: bool,
    /// When it arose.
    #[serde(serialize_with = "as_display")]
    pub delivered_at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    /// The status code of the last answer, if one came.
    pub fn status(&self) -> Option<u16> {
        self.attempts.last().and_then(|attempt| attempt.status)
    }

    /// The body as JSON (of a form delivery: its `payload` field).
    pub fn payload(&self) -> serde_json::Value {
        if let Ok(value) = serde_json::from_slice(&self.body) {
            return value;
        }
        let field = url::form_urlencoded::parse(&self.body).find(|(name, _)| name == "payload");
        field
            .and_then(|(_, json)| serde_json::from_str(&json).ok())
            .unwrap_or_default()
    }

    /// A request header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn as_text<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

fn as_display<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// One try to deliver.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The receiver's status code; `None` when nothing came back.
    pub status: Option<u16>,
    /// Why nothing came back.
    pub error: Option<String>,
    /// The beginning of the receiver's answer.
    pub answer: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// On its way.
    Queued,
    /// Held back by a test.
    Held,
    /// Lost on purpose by a test.
    Dropped,
    /// Above the provider's size limit: never sent, and nobody is told.
    TooLarge,
    /// Answered, or given up; see the attempts.
    Done,
}

pub(crate) struct Courier {
    timeout: Duration,
    client: reqwest::Client,
    book: Mutex<Book>,
    /// How many deliveries are on their way.
    under_way: watch::Sender<usize>,
}

#[derive(Default)]
struct Book {
    paused: bool,
    drop_next: usize,
    duplicate_next: usize,
    log: Vec<Delivery>,
    routes: HashMap<(Kind, u64), mpsc::UnboundedSender<u64>>,
}

impl Book {
    fn entry(&mut self, id: u64) -> Option<&mut Delivery> {
        self.log.iter_mut().find(|delivery| delivery.id == id)
    }
}

/// A client that follows nothing, keeps nothing and uses no proxy: what it is given is what is sent.
pub(crate) fn plain_client() -> reqwest::Client {
    // reqwest is built without a TLS provider of its own; a second installation is refused, fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client without certificates or proxies always builds")
}

impl Courier {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            client: plain_client(),
            book: Mutex::default(),
            under_way: watch::Sender::new(0),
        }
    }

    pub(crate) fn pause(&self) {
        lock(&self.book).paused = true;
    }

    pub(crate) fn drop_next(&self, count: usize) {
        lock(&self.book).drop_next += count;
    }

    pub(crate) fn duplicate_next(&self, count: usize) {
        lock(&self.book).duplicate_next += count;
    }

    pub(crate) fn held(&self) -> Vec<Delivery> {
        lock(&self.book)
            .log
            .iter()
            .filter(|delivery| delivery.state == DeliveryState::Held)
            .cloned()
            .collect()
    }

    pub(crate) fn log(&self) -> Vec<Delivery> {
        lock(&self.book).log.clone()
    }

    pub(crate) fn get(&self, id: u64) -> Option<Delivery> {
        lock(&self.book).entry(id).cloned()
    }

    pub(crate) async fn flush(&self) {
        // The sender lives as long as we do, so waiting cannot fail.
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// Logs a delivery and sends, holds or loses it.
pub(crate) fn submit(forge: &Shared, mut delivery: Delivery) {
    let mut book = lock(&forge.courier.book);
    if delivery.state == DeliveryState::Queued && book.drop_next > 0 {
        book.drop_next -= 1;
        delivery.state = DeliveryState::Dropped;
    }
    let twin = (delivery.state == DeliveryState::Queued && book.duplicate_next > 0).then(|| {
        book.duplicate_next -= 1;
        let mut twin = delivery.clone();
        twin.redelivery = true;
        twin
    });
    enter(forge, &mut book, delivery);
    drop(book);
    if let Some(mut twin) = twin {
        twin.id = forge.world().next_id();
        enter(forge, &mut lock(&forge.courier.book), twin);
    }
}

fn enter(forge: &Shared, book: &mut Book, mut delivery: Delivery) {
    if delivery.state == DeliveryState::Queued && book.paused {
        delivery.state = DeliveryState::Held;
    }
    let (id, going) = (delivery.id, delivery.state == DeliveryState::Queued);
    let route = (delivery.kind, delivery.hook_id);
    book.log.push(delivery);
    if going {
        dispatch(forge, book, route, id);
    }
}

fn dispatch(forge: &Shared, book: &mut Book, route: (Kind, u64), id: u64) {
    forge.courier.under_way.send_modify(|count| *count += 1);
    let sender = book.routes.entry(route).or_insert_with(|| {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(walk(std::sync::Arc::downgrade(forge), receiver));
        sender
    });
    // The receiver ends only with the forge.
    let _ = sender.send(id);
}

/// Serves one hook until the forge is gone.
async fn walk(forge: std::sync::Weak<crate::forge::Inner>, mut orders: mpsc::UnboundedReceiver<u64>) {
    while let Some(id) = orders.recv().await {
        let Some(forge) = forge.upgrade() else { return };
        deliver(&forge, id).await;
        forge
            .courier
            .under_way
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

async fn deliver(forge: &Shared, id: u64) {
    let Some(delivery) = forge.courier.get(id) else {
        return;
    };
    let most = match delivery.kind {
        Kind::GitHub => 1,
        Kind::Bitbucket => BITBUCKET_ATTEMPTS,
    };
    for number in 1..=most {
        let attempt = attempt(&forge.courier, &delivery, number).await;
        let again = attempt.status.is_some_and(|status| status >= 500);
        note_response(forge, &delivery, &attempt);
        if let Some(entry) = lock(&forge.courier.book).entry(id) {
            entry.attempts.push(attempt);
        }
        if !again {
            break;
        }
    }
    if let Some(entry) = lock(&forge.courier.book).entry(id) {
        entry.state = DeliveryState::Done;
    }
}

/// A hook shows its last response.
fn note_response(forge: &Shared, delivery: &Delivery, attempt: &Attempt) {
    let mut world = forge.world();
    let repo = world.side_mut(delivery.kind).repo_mut(delivery.repository_id);
    for hook in repo
        .into_iter()
        .flat_map(|repo| &mut repo.hooks)
        .filter(|hook| hook.id == delivery.hook_id)
    {
        let status = match attempt.status {
            Some(200..300) => "active",
            Some(_) => "invalid_response",
            None => "connection_error",
        };
        hook.last_response = Some((attempt.status.unwrap_or(0), status.to_owned()));
    }
}

async fn attempt(courier: &Courier, delivery: &Delivery, number: usize) -> Attempt {
    let started = Instant::now();
    let mut request = courier
        .client
        .post(&delivery.url)
        .timeout(courier.timeout)
        .body(delivery.body.clone());
    for (name, value) in &delivery.headers {
        let numbered = number.to_string();
        let value = if name == "x-attempt-number" {
            &numbered
        } else {
            value
        };
        request = request.header(name, value);
    }
    let outcome = match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            let answer = response.bytes().await.unwrap_or_default();
            let kept = &answer[..answer.len().min(MOST_ANSWER)];
            Ok((status, String::from_utf8_lossy(kept).into_owned()))
        }
        Err(error) => Err(error.to_string()),
    };
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Ok((status, answer)) => Attempt {
            status: Some(status),
            error: None,
            answer,
            seconds,
        },
        Err(error) => Attempt {
            status: None,
            error: Some(error),
            answer: String::new(),
            seconds,
        },
    }
}

/// Sends everything held in the given order, each answered before the next goes out.
pub(crate) async fn release(forge: &Shared, order: &Order) {
    let mut held: Vec<u64> = forge.courier.held().iter().map(|delivery| delivery.id).collect();
    match order {
        Order::Fifo => {}
        Order::Reversed => held.reverse(),
        Order::Exactly(positions) => {
            let named: Vec<u64> = positions.iter().filter_map(|&at| held.get(at).copied()).collect();
            held.retain(|id| !named.contains(id));
            held = named.into_iter().chain(held).collect();
        }
    }
    for id in held {
        let route = {
            let mut book = lock(&forge.courier.book);
            let Some(entry) = book.entry(id) else { continue };
            entry.state = DeliveryState::Queued;
            let route = (entry.kind, entry.hook_id);
            dispatch(forge, &mut book, route, id);
            route
        };
        tracing::debug!(?route, id, "released");
        forge.courier.flush().await;
    }
    // What came meanwhile goes out too.
    let mut book = lock(&forge.courier.book);
    book.paused = false;
    let late: Vec<(u64, (Kind, u64))> = book
        .log
        .iter_mut()
        .filter(|entry| entry.state == DeliveryState::Held)
        .map(|entry| {
            entry.state = DeliveryState::Queued;
            (entry.id, (entry.kind, entry.hook_id))
        })
        .collect();
    for (id, route) in late {
        dispatch(forge, &mut book, route, id);
    }
}
