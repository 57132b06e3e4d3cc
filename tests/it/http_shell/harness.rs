//! A server on port 0, as the binary serves it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use greenroom::access::{Access, Limits, Strangers};
use greenroom::alert::Alerts;
use greenroom::breaker::Breakers;
use greenroom::config::Config;
use greenroom::dispatch::{Dispatches, Settings, TokenMint};
use greenroom::error_report::{ErrorReports, GroupBounds, Reporter};
use greenroom::http::{
    App, AppState, HttpSettings, LiveKitDoor, Policies, Readiness, Server, ServerOptions, Texts, router,
};
use greenroom::lifecycle::Shutdown;
use greenroom::lock::Locks;
use greenroom::name::Name;
use greenroom::pool::{PoolSettings, Pools};
use greenroom::provider::Provider;
use greenroom::provider::simulated::{Simulated, SimulatedOptions};
use greenroom::store::Hints;
use greenroom::telemetry::Metrics;
use reqwest::header::HeaderName;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::store_alerts::RULES;
use crate::support::client::{Client, Request};
use crate::support::contract::{self, Exchange};
use crate::support::redis::TestRedis;

pub(super) const KEY: &str = "test-key";
pub(super) const BODY_BYTES_MAX: usize = 1_000;

/// What a test may set before it starts a server.
pub(super) struct Setup {
    pub(super) readiness: Readiness,
    pub(super) livekit: Option<LiveKitDoor>,
    pub(super) texts: Texts,
    pub(super) settings: HttpSettings,
    pub(super) options: ServerOptions,
    /// How many calls a second; none where it is 0, as these tests call as fast as they can.
    pub(super) rate_limit: u32,
    pub(super) wrong_keys: u32,
    /// How long each call of the provider takes.
    pub(super) provider_delay: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let agent = Name::strict("concierge").expect("a good name");
        Self {
            readiness: Readiness::new(),
            livekit: None,
            texts: Texts::default(),
            settings: HttpSettings { body_bytes_max: BODY_BYTES_MAX, ..HttpSettings::new(agent) },
            options: ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0))),
            rate_limit: 0,
            wrong_keys: 0,
            provider_delay: Duration::ZERO,
        }
    }
}

/// A running server, and a client for it.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) server: Server,
    client: Client,
    pub(super) redis: TestRedis,
}

pub(super) async fn start(setup: Setup) -> Running {
    let (redis, shutdown, metrics) = (TestRedis::start().await, Shutdown::new(), Arc::new(Metrics::new()));
    let app: App = Arc::new(AppState {
        dispatches: dispatches(&redis, setup.provider_delay).await,
        locks: Locks::new(redis.store().await, Hints::default()).until(shutdown.stopping()),
        pools: Pools::new(redis.store().await, Hints::default(), PoolSettings::default(), Duration::from_secs(15))
            .until(shutdown.stopping()),
        errors: ErrorReports::new(
            redis.store().await,
            GroupBounds { groups_max: 100, lifetime: Duration::from_hours(1) },
        ),
        // Nobody listens: what is told is counted as dropped.
        reporter: Reporter::new(Arc::clone(&metrics)).0,
        alerts: Alerts::new(redis.store().await, RULES),
        texts: setup.texts,
        breakers: Breakers::new(redis.store().await, Vec::new()),
        access: Access::new(redis.store().await, &KEY.into()),
        limits: Limits::new(redis.store().await, NonZeroU32::new(setup.rate_limit)),
        strangers: Strangers::new(NonZeroU32::new(setup.wrong_keys)),
        policies: Policies::new(&Config::load(None, std::iter::empty()).expect("the defaults")),
        metrics: Arc::clone(&metrics),
        readiness: setup.readiness,
        shutdown: shutdown.clone(),
        livekit: setup.livekit,
        settings: setup.settings,
    });
    let server = Server::start(setup.options, router(app), metrics, shutdown.stopping()).expect("a free port");
    let client = Client::new(Duration::from_secs(20));
    Running { address: server.address(), shutdown, server, client, redis }
}

async fn dispatches(redis: &TestRedis, call_delay: Duration) -> Dispatches {
    let options = SimulatedOptions { call_delay, ..SimulatedOptions::default() };
    Dispatches::new(
        redis.store().await,
        Provider::Simulated(Simulated::new(&options)),
        Settings::default(),
        TokenMint::new("secret"),
        Hints::default(),
        TaskTracker::new(),
        Arc::new(Metrics::new()),
    )
}

impl Running {
    /// A request without a key.
    pub(super) fn bare(&self, method: &str, path: &str) -> Request {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request with the key.
    pub(super) fn call(&self, method: &str, path: &str) -> Request {
        self.bare(method, path).bearer_auth(KEY)
    }

    /// A POST of this text as JSON, with the key.
    pub(super) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.call("POST", path).header("content-type", "application/json").body(body);
        request.send().await.expect("an answer")
    }

    /// A connection whose bytes the test chooses.
    pub(super) async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }
}

/// What the server says until it closes the connection; fails after ten seconds.
pub(super) async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said));
    // A reset is an end as well.
    let _ = read.await.expect("the connection is closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends the bytes and returns what comes back until the connection is closed.
pub(super) async fn exchange(running: &Running, request: &[u8]) -> String {
    let mut stream = running.raw().await;
    stream.write_all(request).await.expect("sent");
    let said = until_closed(stream).await;
    // What hyper refuses before a handler is asked has no request's id.
    if said.contains("x-request-id") {
        hold(request, &said);
    }
    said
}

/// Fails the test where the document does not promise the answer.
fn hold(request: &[u8], said: &str) {
    let request = String::from_utf8_lossy(request);
    let mut request = request.split([' ', '?']);
    let method: Method = request.next().and_then(|method| method.parse().ok()).expect("a method");
    let path = request.next().expect("a path");
    let (head, body) = said.split_once("\r\n\r\n").expect("headers and a body");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
    });
    let (headers, body) = (headers.collect(), body.as_bytes());
    let breach = contract::breach(&Exchange { method: &method, path, status, headers: &headers, body });
    assert_eq!(breach, None);
}

/// Checks that the answer is a whole problem document of this status and code.
pub(super) async fn assert_problem(response: Response, status: u16, code: &str) -> Value {
    let (have, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    assert_eq!(have, status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json");
    let body: Value = serde_json::from_str(&text).expect("a document");
    assert_eq!(body["code"], code, "{text}");
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:greenroom:problem:{code}"));
    assert_eq!(body["request_id"], headers["x-request-id"].to_str().expect("an id"));
    for member in ["title", "detail", "user_message"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {text}");
    }
    assert!(body["retryable"].is_boolean() && body["suggestions"].is_array(), "{text}");
    assert_eq!(
        body.get("retry_after_seconds").map(Value::to_string).as_deref(),
        headers.get("retry-after").map(|value| value.to_str().expect("a number"))
    );
    body
}
