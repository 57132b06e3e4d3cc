//! A load generator that costs little itself: one task and one connection per request in flight,
//! requests as ready-made bytes, answers read no further than needed.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a load lasts that is not measured.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// Who waits for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Each connection sends when it has its answer.
    Closed,
    /// So many a second, whether or not answers have come: time counts from when one should have
    /// been sent. A timer's millisecond is in it.
    Open(f64),
}

/// What is sent where.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// One for each connection, sent again and again.
    pub(crate) requests: Vec<Vec<u8>>,
}

/// What came of it: how long answers took, in microseconds.
pub(crate) struct Told {
    pub(crate) latencies: Histogram<u64>,
    pub(crate) took: Duration,
}

impl Told {
    pub(crate) fn new(took: Duration) -> Self {
        Self { latencies: Histogram::new(3).expect("a histogram"), took }
    }

    pub(crate) fn count(&self) -> u64 {
        self.latencies.len()
    }
}

/// The microseconds since `began`.
pub(crate) fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A `POST` of JSON as bytes.
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let (length, key) = (body.len(), super::children::authorization());
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Load {
    /// Sends for so long.
    pub(crate) async fn run(&self, shape: Shape, lasting: Duration) -> Told {
        let connections = self.requests.len();
        let mut open = Vec::with_capacity(connections);
        for request in &self.requests {
            open.push((Connection::open(self.address).await, request.clone()));
        }
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (n, (mut connection, request)) in open.into_iter().enumerate() {
            tasks.spawn(async move {
                let mut latencies = Histogram::<u64>::new(3).expect("a histogram");
                let step = match shape {
                    Shape::Closed => None,
                    Shape::Open(rate) => Some(Duration::from_secs_f64(count(connections) / rate)),
                };
                let mut due = began + step.unwrap_or_default().mul_f64(count(n) / count(connections));
                while began.elapsed() < lasting {
                    match step {
                        None => due = Instant::now(),
                        Some(_) => tokio::time::sleep_until(due).await,
                    }
                    connection.exchange(&request).await;
                    latencies.record(micros(due)).expect("in range");
                    due += step.unwrap_or_default();
                }
                latencies
            });
        }
        let mut told = Told::new(Duration::ZERO);
        while let Some(done) = tasks.join_next().await {
            told.latencies.add(done.expect("no panic")).expect("in range");
        }
        told.took = began.elapsed();
        told
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends, and gives the body of the answer, which must be a good one.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("a connection");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert!(read > 0, "the connection was closed");
            let Some(end) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end]).expect("text");
            assert!(head.starts_with("HTTP/1.1 20"), "{}", String::from_utf8_lossy(&self.buffer));
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let is_empty = head.starts_with("HTTP/1.1 204");
            let length = length.map_or(is_empty.then_some(0), |length| length.parse::<usize>().ok()).expect("a length");
            if self.buffer.len() >= end + 4 + length {
                return &self.buffer[end + 4..end + 4 + length];
            }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
