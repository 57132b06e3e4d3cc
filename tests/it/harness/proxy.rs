//! A small TCP proxy, which can be slow, hang, or cut every connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way through is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Open.
    Open,
    /// Each piece is held up for so long, in both directions.
    Slow(Duration),
    /// Nothing comes through, and nobody is told.
    Hanging,
    /// Connections are closed, new ones at once.
    Cut,
}

/// A proxy before some servers, which it takes in turn; one that refuses is passed over.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub(crate) async fn start(servers: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (way, watched) = watch::channel(Way::Open);
        tokio::spawn(serve(listener, Arc::new(servers), watched));
        Self { address, way }
    }

    /// Changes the way, for connections that there are as well.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Serves until the proxy is dropped.
async fn serve(listener: TcpListener, servers: Arc<Vec<SocketAddr>>, mut way: watch::Receiver<Way>) {
    let turn = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = way.changed() => match changed { Ok(()) => continue, Err(_) => return },
        };
        let Ok((client, _)) = accepted else { continue };
        if *way.borrow() == Way::Cut {
            continue;
        }
        let (servers, turn, way) = (Arc::clone(&servers), Arc::clone(&turn), way.clone());
        tokio::spawn(async move {
            for _ in 0..servers.len() {
                let server = servers[turn.fetch_add(1, Ordering::Relaxed) % servers.len()];
                if let Ok(server) = TcpStream::connect(server).await {
                    return join(client, server, way).await;
                }
            }
        });
    }
}

async fn join(client: TcpStream, server: TcpStream, way: watch::Receiver<Way>) {
    // Best effort: without it pieces are merely later.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let forth = pass_on(from_client, to_server, way.clone());
    let back = pass_on(from_server, to_client, way);
    tokio::select! { () = forth => {}, () = back => {} }
}

/// Passes on what comes until one side closes, or the way is cut.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            cut = way.wait_for(|way| *way == Way::Cut) => { drop(cut); return }
        };
        let Ok(length @ 1..) = read else { return };
        let now = *way.borrow();
        if let Way::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        let Ok(now) = way.wait_for(|way| *way != Way::Hanging).await.map(|way| *way) else { return };
        if now == Way::Cut || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
