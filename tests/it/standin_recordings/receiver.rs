//! A receiver of webhooks: checks each as greenroom must, and answers as the recorder's did.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use livekit_api::access_token::TokenVerifier;
use livekit_api::webhooks::WebhookReceiver;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::tokens::Credentials;

/// What came in, per room and in order, and what there was to complain about.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub(super) url: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    verifier: WebhookReceiver,
    state: Mutex<Received>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Received {
    bodies: HashMap<String, Vec<Value>>,
    complaints: Vec<String>,
    /// Statuses to answer with, per room and in order; then 200.
    answers: HashMap<String, Vec<u16>>,
}

impl Receiver {
    /// Listens on a free port; `answers` are the statuses to give, per room.
    pub(super) async fn start(credentials: &Credentials, answers: HashMap<String, Vec<u16>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/webhook", listener.local_addr()?);
        let verifier = WebhookReceiver::new(TokenVerifier::with_api_key(&credentials.key, &credentials.secret));
        let state = Mutex::new(Received { answers, ..Received::default() });
        let inner = Arc::new(Inner { verifier, state, changed: Notify::new() });
        let router = Router::new().route("/webhook", post(receive)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, inner })
    }

    /// What came in about a room so far.
    pub(super) fn bodies(&self, room: &str) -> Vec<Value> {
        self.inner.lock().bodies.get(room).cloned().unwrap_or_default()
    }

    /// Waits for something to come in.
    pub(super) async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Whether every webhook was signed and written as it should be.
    pub(super) fn check(&self) -> Result<()> {
        let complaints = &self.inner.lock().complaints;
        ensure!(complaints.is_empty(), "webhooks: {complaints:?}");
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complaint(&self, headers: &HeaderMap, body: &str) -> Option<String> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header("authorization");
        if header("content-type") != "application/webhook+json" {
            return Some(format!("content type {}", header("content-type")));
        }
        if token.starts_with("Bearer") {
            return Some("a webhook's token comes without Bearer".to_owned());
        }
        self.verifier.receive(body, token).err().map(|error| error.to_string())
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = String::from_utf8_lossy(&body);
    let complaint = inner.complaint(&headers, &body);
    let value: Value = serde_json::from_str(&body).unwrap_or_default();
    let room = value["room"]["name"].as_str().unwrap_or_default().to_owned();
    let status = {
        let mut received = inner.lock();
        received.complaints.extend(complaint);
        let bodies = received.bodies.entry(room.clone()).or_default();
        bodies.push(value);
        let index = bodies.len() - 1;
        received.answers.get(&room).and_then(|answers| answers.get(index)).copied().unwrap_or(200)
    };
    inner.changed.notify_one();
    StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
}
