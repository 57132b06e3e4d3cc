//! Webhooks: signed, one room's in order, tried again by the real server's rule; and mischief with
//! them: lost, repeated, reordered, held back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{EncodingKey, Header, encode};
use livekit_protocol as proto;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Shared;
use crate::support::client::status_of_post;

/// What is done to webhooks on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mischief {
    /// Nothing.
    #[default]
    None,
    /// All are lost.
    DropAll,
    /// Each comes three times, with the same id.
    TripleEach,
    /// Of one room's, each second one comes before the one that it follows.
    ReversePairs,
    /// None comes until another mischief, or none, is set.
    HoldAll,
}

/// One try of one webhook, and how it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The event as it was sent.
    pub(crate) event: proto::WebhookEvent,
    /// Which try this was, from 1.
    pub(crate) attempt: usize,
    /// The status that came back; `None` if none did.
    pub(crate) status: Option<u16>,
}

#[derive(Debug)]
struct Parcel {
    event: proto::WebhookEvent,
    posted_at: Instant,
}

/// Webhooks on their way.
#[derive(Debug, Default)]
pub(super) struct Courier {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    url: Option<String>,
    mischief: Mischief,
    /// Waiting, per room; a key is there exactly while a task delivers for the room.
    queues: HashMap<String, VecDeque<Parcel>>,
    held: Vec<Parcel>,
    deliveries: Vec<Delivery>,
}

impl Courier {
    pub(super) fn set_url(&self, url: Option<String>) {
        self.lock().url = url;
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.lock().deliveries.clone()
    }

    /// Changes the mischief; what was held back goes out.
    pub(super) fn set_mischief(&self, shared: &Arc<Shared>, mischief: Mischief) {
        let mut inner = self.lock();
        inner.mischief = mischief;
        for mut parcel in std::mem::take(&mut inner.held) {
            // Held by the test, not by a slow receiver: it has not aged.
            parcel.posted_at = Instant::now();
            inner.enqueue(shared, parcel);
        }
    }

    /// Takes webhooks on; called in the order in which they happened.
    pub(super) fn post(&self, shared: &Arc<Shared>, events: Vec<proto::WebhookEvent>) {
        if events.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for event in events {
            let parcel = Parcel { event, posted_at: Instant::now() };
            inner.take_on(shared, parcel);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parcel {
    fn room(&self) -> &str {
        self.event.room.as_ref().map(|room| room.name.as_str()).unwrap_or_default()
    }

    fn copy(&self) -> Self {
        Self { event: self.event.clone(), posted_at: self.posted_at }
    }
}

impl Inner {
    fn take_on(&mut self, shared: &Arc<Shared>, parcel: Parcel) {
        match self.mischief {
            Mischief::None => self.enqueue(shared, parcel),
            Mischief::DropAll => {}
            Mischief::TripleEach => {
                self.enqueue(shared, parcel.copy());
                self.enqueue(shared, parcel.copy());
                self.enqueue(shared, parcel);
            }
            Mischief::HoldAll => self.held.push(parcel),
            Mischief::ReversePairs => match self.held.iter().position(|held| held.room() == parcel.room()) {
                Some(index) => {
                    let earlier = self.held.remove(index);
                    self.enqueue(shared, parcel);
                    self.enqueue(shared, earlier);
                }
                None => self.held.push(parcel),
            },
        }
    }

    fn enqueue(&mut self, shared: &Arc<Shared>, parcel: Parcel) {
        if self.url.is_none() {
            return;
        }
        let room = parcel.room().to_owned();
        if let Some(queue) = self.queues.get_mut(&room) {
            if queue.len() < shared.timings.webhook_depth_max {
                queue.push_back(parcel);
            }
            return;
        }
        self.queues.insert(room.clone(), VecDeque::from([parcel]));
        let shared = shared.clone();
        tokio::spawn(async move {
            let stop = shared.stop.clone();
            stop.run_until_cancelled(deliver_all(&shared, &room)).await;
        });
    }
}

async fn deliver_all(shared: &Arc<Shared>, room: &str) {
    loop {
        let next = {
            let mut inner = shared.courier.lock();
            let parcel = inner.queues.get_mut(room).and_then(VecDeque::pop_front);
            if parcel.is_none() {
                inner.queues.remove(room);
            }
            parcel.map(|parcel| (parcel, inner.url.clone().unwrap_or_default()))
        };
        let Some((parcel, url)) = next else { return };
        if parcel.posted_at.elapsed() <= shared.timings.webhook_age_max {
            deliver(shared, &parcel.event, &url).await;
        }
    }
}

/// Five tries after 429 and 5xx, and after no answer; any other status ends it.
async fn deliver(shared: &Arc<Shared>, event: &proto::WebhookEvent, url: &str) {
    let Ok(body) = serde_json::to_vec(event) else { return };
    for attempt in 1.. {
        let status = send(shared, &body, url).await;
        let delivery = Delivery { event: event.clone(), attempt, status };
        shared.courier.lock().deliveries.push(delivery);
        shared.announce();
        let is_transient = status.is_none_or(|status| status == 429 || (500..600).contains(&status));
        match shared.timings.webhook_waits.get(attempt - 1) {
            Some(wait) if is_transient => tokio::time::sleep(*wait).await,
            _ => return,
        }
    }
}

async fn send(shared: &Arc<Shared>, body: &[u8], url: &str) -> Option<u16> {
    let token = signature(body, &shared.key, &shared.secret)?;
    let request = shared
        .client
        .post(url)
        .header("content-type", "application/webhook+json")
        .header("authorization", token)
        .timeout(shared.timings.request_timeout)
        .body(body.to_vec());
    status_of_post(request.send().await.ok()?).await
}

/// The token that goes with a webhook: bare, and with the body's hash.
fn signature(body: &[u8], key: &str, secret: &str) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let hash = STANDARD.encode(Sha256::digest(body));
    let claims = json!({"iss": key, "exp": now + 300, "nbf": now, "iat": now, "sha256": hash});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).ok()
}
