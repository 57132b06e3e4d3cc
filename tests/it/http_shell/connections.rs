//! Connections: slow ones, idle ones, too many of them, and the end of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::http::{Readiness, ServerOptions};
use greenroom::lifecycle::{StopOptions, Stopped};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::harness::{KEY, Running, Setup, assert_problem, exchange, start, until_closed};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3);
const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn timed(header_read_timeout: Duration, idle_timeout: Duration) -> Setup {
    let mut setup = Setup::default();
    setup.options = ServerOptions { header_read_timeout, idle_timeout, ..setup.options };
    setup
}

#[tokio::test]
async fn slow_headers_are_cut_in_time() {
    let running = start(timed(SHORT, Duration::from_mins(1))).await;
    for beginning in [&b""[..], b"GET", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let began = Instant::now();
        exchange(&running, beginning).await;
        assert!((SHORT..LONG).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    // A byte now and then does not prolong it.
    let mut stream = running.raw().await;
    let began = Instant::now();
    while stream.write_all(b"G").await.is_ok() && began.elapsed() < LONG {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!((SHORT..LONG).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_headers_and_is_cut_after_its_own() {
    let idle = Duration::from_millis(1_200);
    let running = start(timed(SHORT, idle)).await;
    let mut stream = running.raw().await;
    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        let mut answer = [0; 1_024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(SHORT * 2).await;
    }
    let began = Instant::now();
    until_closed(stream).await;
    assert!((idle / 4..LONG).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_with_the_request_s_time() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = SHORT;
    let running = start(setup).await;
    let head = "POST /api/livekit/webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{";
    let began = Instant::now();
    // Without LiveKit the body is read before anything else is asked.
    let answer = exchange(&running, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"timeout\""), "{answer}");
    assert!((SHORT..LONG).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn abusive_headers_are_refused() {
    let running = start(Setup::default()).await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Many: 1\r\n".repeat(200));
    for (request, status) in
        [(long.as_str(), "431"), (many.as_str(), "431"), ("\0\r\n\r\n", "400"), ("GET / HTTP/9.9\r\n\r\n", "400")]
    {
        let answer = exchange(&running, request.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some(status), "{answer}");
    }
}

/// What no two servers may read differently is refused, and nothing that follows it is a request.
#[tokio::test]
async fn nothing_is_smuggled_behind_a_body() {
    let running = start(Setup::default()).await;
    let chunked = "0\r\n\r\n";
    let hidden = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    for (headers, body, status) in [
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd", "400"),
        ("Content-Length: 3, 4\r\n", "abcd", "400"),
        ("Content-Length: +3\r\n", "abc", "400"),
        ("Content-Length: -1\r\n", "", "400"),
        ("Content-Length: 99999999999999999999\r\n", "", "400"),
        ("Transfer-Encoding: gzip\r\n", "", "400"),
        ("Transfer-Encoding: chunked, gzip\r\n", "", "400"),
        ("Transfer-Encoding : chunked\r\n", chunked, "400"),
        ("X-A: b\r\n folded\r\n", "", "400"),
        ("X-A: b\0c\r\n", "", "400"),
        ("X-\u{e9}: b\r\n", "", "400"),
        ("X-A: b\rX-B: c\r\n", "", "400"),
        ("Host: b\r\n", "", "400"),
        // Read as the chunks say, and answered; the connection ends there.
        ("Content-Length: 50\r\nTransfer-Encoding: chunked\r\n", chunked, "404"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 50\r\n", chunked, "404"),
        ("Transfer-Encoding: chunked\r\n", chunked, "404"),
    ] {
        let request = format!("POST /nothing HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}{hidden}");
        let answer = exchange(&running, request.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some(status), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
    }
    for request in [
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let answer = exchange(&running, request.as_bytes()).await;
        assert_eq!(answer.get(9..10), Some("4"), "{answer}");
    }
    let uri = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    assert!(matches!(exchange(&running, uri.as_bytes()).await.get(9..12), Some("414" | "431")));
}

#[tokio::test]
async fn a_body_in_chunks_without_end_is_cut() {
    let mut setup = Setup::default();
    setup.settings.request_timeout = SHORT;
    let running = start(setup).await;
    let head = format!(
        "POST /v1/dispatches/x/ttl HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let id = "dsp_1_0198c5d0000070008000000000000000";
    for chunk in ["1\r\n \r\n".to_owned(), format!("3e8\r\n{}\r\n", " ".repeat(1_000)), "1".repeat(20)] {
        let mut stream = running.raw().await;
        stream.write_all(head.replace("/x/", &format!("/{id}/")).as_bytes()).await.unwrap();
        let began = Instant::now();
        while stream.write_all(chunk.as_bytes()).await.is_ok() && began.elapsed() < LONG {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(began.elapsed() < LONG, "{chunk:?}");
    }
    let metrics = running.bare("GET", "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("greenroom_http_problems_total{code=\"body_too_large\"} 1"), "{metrics}");
    assert!(metrics.contains("greenroom_timeouts_total{operation=\"request\"} "), "{metrics}");
}

#[tokio::test]
async fn who_does_not_read_the_answers_is_cut() {
    let mut setup = Setup::default();
    setup.options = ServerOptions { write_timeout: SHORT, ..setup.options };
    let running = start(setup).await;
    let mut stream = running.raw().await;
    let began = Instant::now();
    // One request behind the other, and not a byte of the answers is read: in the end nothing goes any more.
    let many = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let cut = async { while stream.write_all(&many).await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(1), cut).await.expect("it is cut");
    assert!(began.elapsed() >= SHORT);
    let metrics = running.bare("GET", "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("greenroom_http_connections_cut_total 1"), "{metrics}");
}

#[tokio::test]
async fn one_connection_more_than_the_limit_waits_for_a_place() {
    let mut setup = Setup::default();
    setup.options.connections_max = 1;
    let running = start(setup).await;
    let mut first = running.raw().await;
    first.write_all(GET).await.unwrap();
    let mut answer = [0; 1_024];
    assert!(first.read(&mut answer).await.unwrap() > 0);

    let mut second = running.raw().await;
    second.write_all(GET).await.unwrap();
    let waited = tokio::time::timeout(SHORT, second.read(&mut answer)).await;
    assert!(waited.is_err(), "the second one has to wait");
    drop(first);
    let served = tokio::time::timeout(LONG, second.read(&mut answer)).await;
    assert!(served.expect("a place became free").unwrap() > 0);
}

/// A server whose `/readyz` waits until it is let go.
async fn with_a_gate(gate: &Arc<Notify>) -> Running {
    let gate = Arc::clone(gate);
    let check = move || {
        let gate = Arc::clone(&gate);
        let opened: futures_util::future::BoxFuture<'static, _> = Box::pin(async move {
            gate.notified().await;
            Ok(())
        });
        opened
    };
    start(Setup { readiness: Readiness::new().with("gate", Box::new(check)), ..Setup::default() }).await
}

#[tokio::test]
async fn the_end_drains_finishes_and_closes() {
    let gate = Arc::new(Notify::new());
    let running = with_a_gate(&gate).await;
    let mut idle = running.raw().await;
    idle.write_all(GET).await.unwrap();
    let mut answer = [0; 1_024];
    let read = idle.read(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer[..read]).contains("connection: close"));

    let options = StopOptions { drain: SHORT, grace: Duration::from_secs(5) };
    let shutdown = running.shutdown.clone();
    shutdown.begin();
    let began = Instant::now();
    // While it drains, it serves: on connections that it asks to be closed.
    gate.notify_one();
    let draining = running.bare("GET", "/readyz").send().await.unwrap();
    assert_eq!((draining.status().as_u16(), &draining.headers()["connection"]), (503, &"close".parse().unwrap()));
    assert_eq!(draining.json::<serde_json::Value>().await.unwrap()["draining"], true);

    let in_flight = tokio::spawn(running.bare("GET", "/readyz").send());
    let address = running.address;
    let stop = tokio::spawn(async move { shutdown.finish(running.server.served(), options).await });
    // It stops accepting, and closes what is idle, while the request is still there.
    until_closed(idle).await;
    assert!(began.elapsed() >= SHORT && !stop.is_finished());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    gate.notify_one();
    assert_eq!(in_flight.await.unwrap().unwrap().status(), 503);
    assert_eq!(stop.await.unwrap(), Stopped::Clean);
}

#[tokio::test]
async fn a_request_in_progress_is_cut_only_by_the_grace_period() {
    let running = start(Setup::default()).await;
    let mut slow = running.raw().await;
    slow.write_all(b"POST /api/livekit/webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    assert_problem(running.bare("GET", "/x").send().await.unwrap(), 404, "route_not_found").await;
    running.shutdown.begin();
    let options = StopOptions { drain: Duration::ZERO, grace: SHORT };
    let stopped = running.shutdown.finish(running.server.served(), options).await;
    assert_eq!(stopped, Stopped::CutShort { serving: true, tasks: 0 });
}
