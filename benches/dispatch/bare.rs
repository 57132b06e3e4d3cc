//! The limits over HTTP, on the server that replicas use: a handler that reads a body and answers one of the
//! same size as a replica does, and nothing else; and the same with the domain behind it, but no door before it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use greenroom::dispatch::{Acquire, Dispatches, Place, Settings, TokenMint};
use greenroom::http::{Server, ServerOptions};
use greenroom::name::Name;
use greenroom::provider::Provider;
use greenroom::provider::simulated::{Simulated, SimulatedOptions};
use greenroom::store::Hints;
use greenroom::telemetry::Metrics;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The variable that makes this program be the bare server, listening there.
pub(crate) const LISTEN: &str = "GREENROOM_BENCH_BARE";
/// The variable that puts the domain behind it, with this Redis.
pub(crate) const STORE: &str = "GREENROOM_BENCH_STORE";

/// As long as a replica's answer about a dispatch.
static ANSWER: [u8; 520] = [b'x'; 520];

/// Serves until killed.
pub(crate) async fn serve(listen: SocketAddr) {
    let mut routes = get(async || answer());
    routes = match std::env::var(STORE) {
        Ok(url) => {
            let dispatches = domain(url).await;
            routes.merge(post(move |body: Bytes| {
                let dispatches = dispatches.clone();
                async move {
                    dispatches.acquire(wanted(&body)).await.expect("a dispatch");
                    answer()
                }
            }))
        }
        Err(_) => routes.merge(post(async |_: Bytes| answer())),
    };
    let server = Server::start(
        ServerOptions::new(listen),
        Router::new().route("/bare", routes),
        Arc::default(),
        CancellationToken::new(),
    );
    server.expect("an address").served().await;
}

fn answer() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], Bytes::from_static(&ANSWER))
}

async fn domain(url: String) -> Dispatches {
    Dispatches::new(
        super::children::store(url, greenroom::clock::Clock::Redis).await,
        Provider::Simulated(Simulated::new(&SimulatedOptions::default())),
        // Nobody looks after these dispatches: they count as starting for as long as this lasts.
        Settings { join_deadline: Duration::from_mins(10), ..Settings::default() },
        TokenMint::new("a secret of a bench"),
        Hints::default(),
        TaskTracker::new(),
        Arc::new(Metrics::new()),
    )
}

fn wanted(body: &[u8]) -> Acquire {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let text = |field: &str| body[field].as_str().expect("a text").to_owned();
    let place = Place {
        tenant: Name::default_tenant(),
        room: Name::room(text("room")).expect("a name"),
        agent: Name::strict(text("agent")).expect("a name"),
    };
    Acquire {
        place,
        metadata: String::new(),
        ttl_seconds: None,
        by_pool: false,
        patience: Duration::from_secs(10),
        once: None,
    }
}
