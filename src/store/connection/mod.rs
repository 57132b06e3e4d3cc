//! How Redis is reached: one server, the master that Sentinels name, or the masters of a Cluster.
//!
//! Each server has one multiplexed connection that all calls share (two to three times the throughput
//! of a checkout per call, measured): a [`Link`]. A Cluster is a map of slots and a link per master, so
//! that a master which hangs holds up its own rooms and no others.

use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, FromRedisValue, IntoConnectionInfo as _};
use tokio::sync::watch;

use super::{StoreError, StoreOptions};
use crate::redis_url::{RedisUrl, Topology};

mod cluster;
mod link;
mod request;
mod sentinel;
mod slots;
mod survey;

use cluster::Cluster;
use link::{Link, Source};
pub(super) use request::Request;
use sentinel::Sentinels;
pub use survey::{Node, SentinelState, Survey};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// The way to Redis.
pub(super) struct Router(Way);

enum Way {
    /// To one server: the only one, or the master that the Sentinels name.
    One(Arc<Link>, Option<Arc<Sentinels>>),
    /// To the masters of a Cluster.
    Cluster(Arc<Cluster>),
}

impl Router {
    /// The way that the options name; nothing is connected yet.
    pub(super) fn new(options: &StoreOptions, url: &RedisUrl) -> Result<Self, StoreError> {
        let limit = options.command_timeout;
        Ok(Self(match &url.topology {
            Topology::Single => {
                let info = info(&url.node(url.nodes.first().map_or("", String::as_str)))?;
                Way::One(Link::new(Source::Fixed(Box::new(info)), limit, watch::Sender::new(0)), None)
            }
            Topology::Sentinel { service, auth } => {
                let sentinels = Arc::new(Sentinels::new(url, service, auth.as_ref())?);
                let source = Source::Sentinels(Arc::clone(&sentinels));
                Way::One(Link::new(source, limit, watch::Sender::new(0)), Some(sentinels))
            }
            Topology::Cluster => Way::Cluster(Arc::new(Cluster::new(url.clone(), limit))),
        }))
    }

    /// Sends a request to where its key is.
    pub(super) async fn send<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, StoreError> {
        match &self.0 {
            Way::Cluster(cluster) => cluster.send(request).await,
            Way::One(link, _) => match link.call(request, false).await {
                // A connection that broke while nobody used it is found broken by the next call: that one
                // goes over a new one. To say a thing twice is harmless, see `lua/`.
                Err(failure) if failure.is_broken() => Ok(link.call(request, false).await?),
                answer => Ok(answer?),
            },
        }
    }

    /// The same over a connection of its own, which then waits until so many replicas have it. Where they
    /// do not say so in time, whether it will last is unknown, and that is an error.
    pub(super) async fn send_and_wait<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        replicas: u32,
    ) -> Result<T, StoreError> {
        match &self.0 {
            Way::Cluster(cluster) => {
                let answer = cluster.link_of(request).await?.call_and_wait(request, replicas).await;
                if answer.is_err() {
                    cluster.refresh_soon();
                }
                answer
            }
            Way::One(link, _) => link.call_and_wait(request, replicas).await,
        }
    }

    /// A server to hear the hints from. `PUBLISH` reaches every node of a Cluster.
    pub(super) async fn hearing(&self) -> Result<ConnectionInfo, StoreError> {
        match &self.0 {
            Way::One(link, _) => Ok(link.endpoint().await?),
            Way::Cluster(cluster) => cluster.hearing().await,
        }
    }

    /// Tells that a connection was given up or the masters are others: who hears hints begins anew.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        match &self.0 {
            Way::One(link, _) => link.changes(),
            Way::Cluster(cluster) => cluster.changes(),
        }
    }
}

/// The client's own form of an address, with our settings of TCP.
fn info(url: &str) -> Result<ConnectionInfo, StoreError> {
    // A connection that is lost without a word is noticed also where nothing is sent: that of the hints.
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    Ok(url.into_connection_info()?.set_tcp_settings(tcp))
}
