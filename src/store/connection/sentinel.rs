//! The Sentinels: they name the master, and another one after it is lost.
//!
//! A master that hung and comes back believes for some seconds that it is one still. So the connection is
//! given up as soon as the Sentinels name another, not only when it fails, and a server is used only
//! after it said of itself that it is a master.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, Value};
use tokio::sync::watch;

use super::link::{Link, Source};
use super::request::Request;
use super::survey::SentinelState;
use super::{StoreError, info};
use crate::redis_url::{RedisUrl, SentinelAuth};

/// How long a Sentinel may take to answer, also where it is far away and speaks TLS.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(700);
/// How often they are asked whether the master is still the same.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// All Sentinels of a master.
pub(super) struct Sentinels {
    url: RedisUrl,
    service: String,
    links: Vec<Arc<Link>>,
    watching: AtomicBool,
}

impl Sentinels {
    pub(super) fn new(url: &RedisUrl, service: &str, auth: Option<&SentinelAuth>) -> Result<Self, StoreError> {
        let links: Result<Vec<_>, StoreError> = url
            .nodes
            .iter()
            .map(|node| {
                let source = Source::Fixed(Box::new(info(&url.sentinel_node(node, auth))?));
                Ok(Link::new(source, ANSWER_MAX, watch::Sender::new(0)))
            })
            .collect();
        Ok(Self { url: url.clone(), service: service.to_owned(), links: links?, watching: AtomicBool::new(false) })
    }

    /// The master now. All are asked at once: the one with the newest configuration is right, and the
    /// others learn it from that one.
    pub(super) fn master(&self) -> BoxFuture<'_, Result<ConnectionInfo, String>> {
        // In a box, for a link to a Sentinel and one to a master are of the same type.
        Box::pin(async move {
            let address = self.master_address().await?;
            info(&self.url.node(&address)).map_err(|error| error.to_string())
        })
    }

    async fn master_address(&self) -> Result<String, String> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("SENTINEL").arg("MASTER").arg(&self.service);
        let ask = |link: Arc<Link>| {
            let cmd = cmd.clone();
            async move {
                let asked = link.call::<HashMap<String, String>>(Request::Command(&cmd), false);
                tokio::time::timeout(ANSWER_MAX, asked).await
            }
        };
        let mut answers: FuturesUnordered<_> = self.links.iter().cloned().map(ask).collect();
        let (mut newest, mut heard) = (None, 0);
        let mut why = "no Sentinel answers in time".to_owned();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Ok(fields)) => {
                    heard += 1;
                    let epoch: u64 = fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
                    if let (Some(ip), Some(port)) = (fields.get("ip"), fields.get("port"))
                        && newest.as_ref().is_none_or(|(known, _)| epoch > *known)
                    {
                        newest = Some((epoch, address(ip, port)));
                    }
                }
                Ok(Err(failure)) => why = format!("Sentinel: {}", StoreError::from(failure)),
                Err(_) => {}
            }
            // The rest may hang. Most of them know what was decided by most of them.
            if heard > self.links.len() / 2 {
                break;
            }
        }
        newest.map(|(_, address)| address).ok_or(why)
    }

    /// Whether the server says that it is a master.
    pub(super) async fn check_master(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("ROLE");
        let role: Vec<Value> = cmd.query_async(connection).await.map_err(|error| error.to_string())?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => Err("the server that the Sentinels name is no master yet".to_owned()),
        }
    }

    /// Makes the link leave its server as soon as the Sentinels name another. Ends with the link.
    pub(super) fn watch(self: &Arc<Self>, link: &Arc<Link>) {
        if self.watching.swap(true, Ordering::Relaxed) {
            return;
        }
        let (sentinels, link): (_, Weak<Link>) = (Arc::downgrade(self), Arc::downgrade(link));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WATCH_INTERVAL).await;
                let (Some(sentinels), Some(link)) = (sentinels.upgrade(), link.upgrade()) else { return };
                if let Ok(master) = sentinels.master().await {
                    link.leave_unless(&master);
                }
            }
        });
    }

    /// What the Sentinels say, one after the other, for `doctor`.
    pub(super) async fn states(&self) -> Vec<SentinelState> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("SENTINEL").arg("MASTER").arg(&self.service);
        let mut states = Vec::new();
        for (node, link) in self.url.nodes.iter().zip(&self.links) {
            let state = link.call(Request::Command(&cmd), false).await;
            states.push(SentinelState { address: node.clone(), fields: state.map_err(StoreError::from) });
        }
        states
    }
}

fn address(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
