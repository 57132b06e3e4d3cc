//! Accepts connections and serves them: HTTP/1.1, with limits on their number and their time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::telemetry::Metrics;

use super::peer::Peer;
use super::timed_io::{Answering, Limits, TimedIo};

/// The most that the headers of a request may take.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// How long not to accept after an error that is not one connection's, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections may wait to be accepted. Where more come at once, the kernel resets some: a thousand
/// pages that connect again together are few. Linux takes no more than its `somaxconn`, 4,096.
const BACKLOG: u32 = 4096;

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a request's headers may take.
    pub header_read_timeout: Duration,
    /// How long a connection may lie idle between two requests. Above the load balancer's own,
    /// or it will now and then send a request into a closing connection.
    pub idle_timeout: Duration,
    /// How long a peer may take to read an answer.
    pub write_timeout: Duration,
    /// How many connections are served at once; more wait in the kernel's queue.
    pub connections_max: usize,
}

impl ServerOptions {
    /// The defaults, at this address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            connections_max: 20_000,
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves until `stopping` is cancelled. Then it accepts nothing more and
    /// finishes the requests that it has begun.
    pub fn start(
        options: ServerOptions,
        router: Router,
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
    ) -> io::Result<Self> {
        let listener = listen(options.listen)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, options, router, metrics, stopping));
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when everything is answered, after `stopping` was cancelled.
    pub async fn served(self) {
        if let Err(error) = self.accepting.await {
            tracing::error!(cause = %error, "the server broke off");
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A replica that is started anew takes the place of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    listener: TcpListener,
    options: ServerOptions,
    router: Router,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
) {
    let free = Arc::new(Semaphore::new(options.connections_max));
    let limits =
        Limits { headers: options.header_read_timeout, idle: options.idle_timeout, taking: options.write_timeout };
    let connections = TaskTracker::new();
    let serve = async {
        loop {
            let (stream, peer, place) = next(&listener, &free).await;
            let (router, metrics) = (router.clone(), Arc::clone(&metrics));
            let connection = Connection { peer, limits, router, metrics, stopping: stopping.clone() };
            connections.spawn(async move {
                connection.serve(stream).await;
                drop(place);
            });
        }
    };
    stopping.run_until_cancelled(serve).await;
    // Closed at once, so that who connects now is told by the kernel.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, once there is a place for it.
async fn next(listener: &TcpListener, free: &Arc<Semaphore>) -> (TcpStream, Peer, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit in the end.
    let place = Arc::clone(free).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, Peer(peer.ip()), place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(cause = %error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Connection {
    peer: Peer,
    limits: Limits,
    router: Router,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let _connected = self.metrics.connected();
        // Answers are small and whole: nothing is gained by waiting for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(cause = %error, "a connection without TCP_NODELAY");
        }
        let answering = Answering::default();
        let io = TokioIo::new(TimedIo::new(stream, self.limits, answering.clone()));
        let (router, peer) = (self.router, self.peer);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let guard = answering.begin();
            let answer = router.clone().call(request);
            async move {
                let answer = answer.await;
                drop(guard);
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // TimedIo does it, and tells idle connections from slow headers.
            .header_read_timeout(None)
            .max_header_size(HEADER_BYTES_MAX)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // The peer hung up, sent what is no HTTP, or was cut: nothing that we could mend.
        if let Err(error) = ended {
            if timed_out(&error) {
                self.metrics.connection_cut();
            }
            tracing::debug!(cause = %error, "a connection ended early");
        }
    }
}

/// Whether it was us who cut it.
fn timed_out(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
