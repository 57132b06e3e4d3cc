//! The limit over HTTP: a handler that reads a body and answers one of the same size as a replica
//! does, on the server that replicas use, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use greenroom::http::{Server, ServerOptions};
use tokio_util::sync::CancellationToken;

/// The variable that makes this program be the bare server, listening there.
pub(crate) const LISTEN: &str = "GREENROOM_BENCH_BARE";

/// As long as a replica's answer about a dispatch.
static ANSWER: [u8; 520] = [b'x'; 520];

/// Serves until killed.
pub(crate) async fn serve(listen: SocketAddr) {
    let answer = || ([(CONTENT_TYPE, "application/json")], Bytes::from_static(&ANSWER));
    let routes = post(move |_: Bytes| async move { answer() }).merge(get(move || async move { answer() }));
    let server = Server::start(
        ServerOptions::new(listen),
        Router::new().route("/bare", routes),
        Arc::default(),
        CancellationToken::new(),
    );
    server.expect("an address").served().await;
}
