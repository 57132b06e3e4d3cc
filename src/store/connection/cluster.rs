//! A Cluster: a map of slots, and a link to each master.
//!
//! The map is asked for anew when a node says that a slot is elsewhere, and when a node is lost or hangs.
//! A master that hangs holds up the calls to its own slots and no others.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{ConnectionInfo, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::watch;
use tracing::field::Empty;

use super::link::{Failure, Link, Source};
use super::request::Request;
use super::slots::{SlotMap, slot_of};
use super::{StoreError, info};
use crate::redis_url::RedisUrl;

/// How long a node may take to say what it knows of the others.
const ANSWER_MAX: Duration = Duration::from_millis(700);
/// How long an answer counts beside those of other nodes.
const HEARD_MAX: Duration = Duration::from_secs(5);
/// A slot on the move answers some calls only when all their keys are over.
const MOVING_PAUSE: Duration = Duration::from_millis(20);
/// The most nodes that one call is sent on to. Those who say "try again" are not counted: the time is.
const REDIRECTS_MAX: u32 = 8;

/// The masters of a Cluster.
pub(super) struct Cluster {
    url: RedisUrl,
    command_timeout: Duration,
    state: RwLock<State>,
    // Held by the one caller that asks for the map.
    refreshing: tokio::sync::Mutex<Asked>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    map: Arc<SlotMap>,
    links: HashMap<String, Arc<Link>>,
}

/// What was heard when the map was last asked for.
#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    failed: Option<StoreError>,
    /// The last answer of each node by its address. They count on for a while: right after a fail-over, those
    /// who answer next may be the ones who do not know of it yet, and nobody should go back.
    heard: HashMap<String, (Instant, String)>,
}

/// Where to send a call next.
enum Next {
    /// To the slot's master by the map.
    Mapped,
    /// To this node; `asking` where the slot is on its way there.
    Told { address: String, asking: bool },
}

impl Cluster {
    pub(super) fn new(url: RedisUrl, command_timeout: Duration) -> Self {
        Self {
            url,
            command_timeout,
            state: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Sends a request to the master of its key; one without a key to any.
    pub(super) async fn send<T: FromRedisValue>(self: &Arc<Self>, request: Request<'_>) -> Result<T, StoreError> {
        let began = Instant::now();
        let (mut next, mut told, mut broken) = (Next::Mapped, 0, false);
        loop {
            let (link, asking) = match next {
                Next::Mapped => (self.link_of(request).await?, false),
                Next::Told { address, asking } => (self.link(&address)?, asking),
            };
            let failure = match link.call(request, asking).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let may_go_on = began.elapsed() < self.command_timeout;
            next = match failure {
                Failure::Redis(error) if redirect(&error).is_some() && told < REDIRECTS_MAX && may_go_on => {
                    told += 1;
                    let Some((address, asking)) = redirect(&error) else { return Err(error.into()) };
                    if !asking {
                        self.refresh_soon();
                    }
                    Next::Told { address, asking }
                }
                Failure::Redis(error) if code(&error) == Some(ServerErrorKind::TryAgain) && may_go_on => {
                    told = 0;
                    tokio::time::sleep(MOVING_PAUSE.mul_f64(rand::random_range(0.5..1.5))).await;
                    Next::Mapped
                }
                // Once, by a fresh map: its replica may have taken over. To say a thing twice is harmless.
                Failure::Unreachable(_) | Failure::Redis(_) if !broken && may_go_on && is_about_node(&failure) => {
                    broken = true;
                    self.refresh(Instant::now()).await?;
                    Next::Mapped
                }
                Failure::Redis(error) if redirect(&error).is_some() => {
                    return Err(StoreError::unavailable("the nodes of the Cluster do not agree who has the slot"));
                }
                failure => {
                    if is_about_node(&failure) {
                        self.refresh_soon();
                    }
                    return Err(failure.into());
                }
            };
        }
    }

    /// The link to the master of the request's key; to any where it has none.
    pub(super) async fn link_of(self: &Arc<Self>, request: Request<'_>) -> Result<Arc<Link>, StoreError> {
        let slot = request.key().map(slot_of);
        if let Some(address) = self.address_of(slot) {
            return self.link(&address);
        }
        self.refresh(Instant::now()).await?;
        match self.address_of(slot) {
            Some(address) => self.link(&address),
            None => Err(StoreError::unavailable("no master of the Cluster serves the slot")),
        }
    }

    /// A node to hear hints from: one whose connection is well, if there is one.
    pub(super) async fn hearing(self: &Arc<Self>) -> Result<ConnectionInfo, StoreError> {
        if self.map().masters().is_empty() {
            self.refresh(Instant::now()).await?;
        }
        let well = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.links.values().find_map(|link| link.current_endpoint())
        };
        if let Some(endpoint) = well {
            return Ok(endpoint);
        }
        let address = self.address_of(None).ok_or_else(|| StoreError::unavailable("the Cluster has no master"))?;
        Ok(self.link(&address)?.endpoint().await?)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).map)
    }

    /// The link to a node, which is made where there is none.
    pub(super) fn link(&self, address: &str) -> Result<Arc<Link>, StoreError> {
        if let Some(link) = self.state.read().unwrap_or_else(PoisonError::into_inner).links.get(address) {
            return Ok(Arc::clone(link));
        }
        let source = Source::Fixed(Box::new(info(&self.url.node(address))?));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let link = state
            .links
            .entry(address.to_owned())
            .or_insert_with(|| Link::new(source, self.command_timeout, self.changes.clone()));
        Ok(Arc::clone(link))
    }

    fn address_of(&self, slot: Option<u16>) -> Option<String> {
        let map = self.map();
        if let Some(slot) = slot {
            return map.master_of(slot).map(str::to_owned);
        }
        let masters = map.masters();
        (!masters.is_empty()).then(|| masters[rand::random_range(0..masters.len())].clone())
    }

    /// Asks for the map in a task of its own.
    pub(super) fn refresh_soon(self: &Arc<Self>) {
        let (cluster, since) = (Arc::clone(self), Instant::now());
        tokio::spawn(async move {
            if let Err(error) = cluster.refresh(since).await {
                tracing::warn!(line.notice = Empty, %error, "no node of the Cluster tells its slots");
            }
        });
    }

    /// Asks for the map, unless somebody has since then.
    pub(super) async fn refresh(&self, since: Instant) -> Result<(), StoreError> {
        let mut last = self.refreshing.lock().await;
        if last.at.is_some_and(|at| at >= since) {
            return last.failed.clone().map_or(Ok(()), Err);
        }
        let asked = Instant::now();
        let answers = Box::pin(self.ask_for_nodes()).await;
        last.at = Some(asked);
        last.failed = answers.as_ref().err().cloned();
        last.heard.retain(|_, (at, _)| at.elapsed() < HEARD_MAX);
        last.heard.extend(answers?.into_iter().map(|(address, nodes)| (address, (asked, nodes))));
        let mut heard: Vec<_> = last.heard.iter().collect();
        heard.sort_by_key(|(_, (at, _))| *at);
        let map =
            SlotMap::read(heard.into_iter().map(|(from, (_, nodes))| (from.as_str(), nodes.as_str())), self.url.tls);
        let masters = map.masters();
        let changed = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let changed = *state.map != map;
            state.map = Arc::new(map);
            state.links.retain(|address, _| masters.contains(address) || self.url.nodes.contains(address));
            changed
        };
        if changed {
            tracing::info!(line.kept = Empty, ?masters, "the Cluster's masters or their slots are others");
            self.changes.send_modify(|changes| *changes += 1);
        }
        Ok(())
    }

    /// `CLUSTER NODES` of most of the nodes that are known: one that hangs is not waited for.
    async fn ask_for_nodes(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut addresses = self.map().masters();
        addresses.extend(self.url.nodes.iter().cloned());
        addresses.sort();
        addresses.dedup();
        let mut cmd = redis::Cmd::new();
        cmd.arg("CLUSTER").arg("NODES");
        let mut asked = FuturesUnordered::new();
        for address in &addresses {
            let (link, cmd) = (self.link(address)?, &cmd);
            asked.push(async move {
                let answer = tokio::time::timeout(ANSWER_MAX, link.call::<String>(Request::Command(cmd), false)).await;
                (address.clone(), answer.unwrap_or(Err(Failure::TimedOut)))
            });
        }
        let (mut heard, mut why) = (Vec::new(), None);
        while let Some((address, answer)) = asked.next().await {
            match answer {
                Ok(nodes) => heard.push((address, nodes)),
                Err(failure) => why = Some(failure.into()),
            }
            if heard.len() > addresses.len() / 2 {
                break;
            }
        }
        if heard.is_empty() {
            return Err(why.unwrap_or_else(|| StoreError::unavailable("no node of the Cluster answers")));
        }
        Ok(heard)
    }
}

/// The node that a call is sent on to, and whether the slot is only on its way there.
fn redirect(error: &RedisError) -> Option<(String, bool)> {
    let (address, _) = error.redirect_node()?;
    Some((address.to_owned(), code(error) == Some(ServerErrorKind::Ask)))
}

fn code(error: &RedisError) -> Option<ServerErrorKind> {
    match error.kind() {
        ErrorKind::Server(kind) => Some(kind),
        _ => None,
    }
}

/// Whether the node is not what the map says, rather than the call wrong.
fn is_about_node(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) | Failure::TimedOut => true,
        Failure::Redis(error) => {
            use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
            failure.is_broken() || matches!(code(error), Some(BusyLoading | ClusterDown | MasterDown | ReadOnly))
        }
    }
}
