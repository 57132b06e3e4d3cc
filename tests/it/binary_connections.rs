//! Very many connections: idle ones beside active ones, and slow ones that are closed in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::process::{Replica, assert_within};
use crate::support::stage::{AGENT, KEY, Stage, ask, client};
use crate::support::{PATIENCE, size_of_test};

/// What a slow client is allowed for its headers, and for its body.
const ALLOWED: Duration = Duration::from_secs(2);
/// The most that an idle connection may cost the server: a buffer for reading, and what tokio and hyper keep.
const BYTES_PER_CONNECTION_MAX: usize = 40 << 10;
const SLOW: usize = 50;

/// A connection that has had an answer, and says no more.
async fn idle(replica: &Replica) -> TcpStream {
    let mut stream = TcpStream::connect(replica.address).await.expect("a connection");
    assert!(is_served(&mut stream).await);
    stream
}

async fn is_served(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 1_024];
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.is_ok()
        && matches!(stream.read(&mut answer).await, Ok(read) if answer[..read].starts_with(b"HTTP/1.1 200"))
}

/// Asks for the agent that is there.
async fn is_reused(stream: &mut TcpStream) -> std::io::Result<bool> {
    let body = format!("{{\"room\":\"lobby\",\"agent\":\"{AGENT}\"}}");
    let request = format!(
        "POST /v1/dispatches HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut answer, mut length) = ([0; 4_096], 0);
    // The answer is one object, and the last thing sent.
    while !answer[..length].ends_with(b"}") {
        match stream.read(&mut answer[length..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    Ok(answer.starts_with(b"HTTP/1.1 200") && answer[..length].ends_with(b"\"reused\":true}"))
}

async fn many_idle(replica: &Replica, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let batch = (0..100.min(count - all.len())).map(|_| idle(replica));
        all.extend(futures_util::future::join_all(batch).await);
    }
    all
}

/// The figure of a metric without labels.
async fn metric(replica: &Replica, name: &str) -> usize {
    let text = reqwest::get(replica.url("/metrics")).await.expect("an answer").text().await.expect("a text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

/// A client that trickles after `beginning`; gives how long the server put up with it.
async fn slow(address: SocketAddr, beginning: String) -> Duration {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let _ = stream.write_all(beginning.as_bytes()).await;
    let mut answer = [0; 4_096];
    while began.elapsed() < ALLOWED + PATIENCE {
        match tokio::time::timeout(Duration::from_millis(200), stream.read(&mut answer)).await {
            Err(_) if stream.write_all(b"x").await.is_ok() => {}
            Ok(Ok(read)) if read > 0 => {}
            _ => break,
        }
    }
    began.elapsed()
}

/// What the active callers met.
#[derive(Default)]
struct Met {
    over: AtomicBool,
    served: AtomicUsize,
    failed: std::sync::Mutex<Vec<String>>,
}

impl Met {
    /// Asks again and again, over a connection of its own.
    async fn call(self: Arc<Self>, address: SocketAddr) {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        while !self.over.load(Ordering::SeqCst) {
            match is_reused(&mut stream).await {
                Ok(true) => drop(self.served.fetch_add(1, Ordering::SeqCst)),
                other => return self.failed.lock().expect("no panic").push(format!("{other:?}")),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_and_slow_ones_are_in_nobodys_way() {
    let count = size_of_test("GREENROOM_TEST_CONNECTIONS", 1_000);
    let mut stage = Stage::start().await;
    stage.set("GREENROOM_SERVER_HEADER_READ_TIMEOUT_MS", "2000");
    stage.set("GREENROOM_SERVER_HTTP_REQUEST_TIMEOUT_MS", "2000");
    stage.set("GREENROOM_SERVER_IDLE_TIMEOUT_MS", "600000");
    let replica = stage.replica().await;
    assert_eq!(ask(&client(), &replica.url("/v1/dispatches"), "lobby").await.expect("an answer").status, 201);

    let before = metric(&replica, "process_resident_memory_bytes").await;
    let mut idle = many_idle(&replica, count).await;
    let each = metric(&replica, "process_resident_memory_bytes").await.saturating_sub(before) / count;
    assert!(each < BYTES_PER_CONNECTION_MAX, "{each} bytes of memory for a connection");

    let met = Arc::new(Met::default());
    let callers: Vec<_> = (0..count / 10).map(|_| tokio::spawn(Arc::clone(&met).call(replica.address))).collect();
    let headers = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ".to_owned();
    let body = format!(
        "POST /v1/dispatches/dsp_1_0198c5d0000070008000000000000000/ttl HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    );
    let slow =
        (0..SLOW).flat_map(|_| [headers.clone(), body.clone()]).map(|text| tokio::spawn(slow(replica.address, text)));
    for slow in slow.collect::<Vec<_>>() {
        let lasted = slow.await.expect("no panic");
        assert!((ALLOWED..ALLOWED + PATIENCE).contains(&lasted), "{lasted:?}");
    }
    // Every caller had its turn, while all that was going on.
    let began = Instant::now();
    while met.served.load(Ordering::SeqCst) < count / 5 {
        assert_within(began, PATIENCE, "two rounds of the callers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(metric(&replica, "greenroom_http_connections").await >= count + count / 10);
    assert!(metric(&replica, "greenroom_http_connections_cut_total").await >= SLOW);
    met.over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.expect("no panic");
    }
    let failed = std::mem::take(&mut *met.failed.lock().expect("no panic"));
    assert!(failed.is_empty(), "{} of {:?} failed: {:?}", failed.len(), met.served, failed.first());
    for stream in idle.iter_mut().step_by(50) {
        assert!(is_served(stream).await, "an idle connection is kept");
    }
    let memory = metric(&replica, "process_resident_memory_bytes").await >> 20;
    eprintln!(
        "{count} idle connections cost {each} bytes each; {memory} MiB in all; {:?} calls beside; {AGENT}",
        met.served
    );
    assert_eq!(stage.livekit.created("lobby", AGENT), 1);
}
