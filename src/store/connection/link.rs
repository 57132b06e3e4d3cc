//! The connection to one server, shared by all calls. A bare multiplexed connection never recovers, so it
//! is taken anew, by one caller at a time, after an error that says it is lost, and after a time-out.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, FromRedisValue, RedisError};
use tokio::sync::watch;
use tracing::field::Empty;

use super::CONNECT_TIMEOUT;
use super::request::{Asking, Request};
use super::sentinel::{ANSWER_MAX, Sentinels};
use crate::store::StoreError;
use crate::store::error::is_lost;

/// After a failed try to connect, others who ask within this time get the same answer.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How many grants at once wait for replicas to have them, each on a connection of its own.
const GRANTS_AT_ONCE: usize = 16;

/// Which server a link leads to.
pub(super) enum Source {
    /// Always this one.
    Fixed(Box<ConnectionInfo>),
    /// The master that the Sentinels name at the time.
    Sentinels(Arc<Sentinels>),
}

/// The connection to one server.
pub(super) struct Link {
    source: Source,
    command_timeout: Duration,
    shared: RwLock<Shared>,
    // Held by the one caller that connects; holds when the last try failed.
    connecting: tokio::sync::Mutex<Option<(Instant, String)>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Shared {
    generation: u64,
    open: Option<Open>,
}

#[derive(Clone)]
struct Open {
    endpoint: ConnectionInfo,
    connection: MultiplexedConnection,
    // For those who need a connection of their own.
    pool: deadpool_redis::Pool,
}

/// Why a call over a link gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection to be had.
    Unreachable(String),
    /// No answer came in time; the connection is given up.
    TimedOut,
    /// Redis refused, or the connection broke.
    Redis(RedisError),
}

impl Failure {
    /// Whether the connection broke, and another may do.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Redis(error) if is_lost(error) && !error.is_timeout())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(detail) => Self::unavailable(detail),
            Failure::TimedOut => Self::unavailable("no answer in time"),
            Failure::Redis(error) => error.into(),
        }
    }
}

impl Link {
    pub(super) fn new(source: Source, command_timeout: Duration, changes: watch::Sender<u64>) -> Arc<Self> {
        let link = Self {
            source,
            command_timeout,
            shared: RwLock::default(),
            connecting: tokio::sync::Mutex::new(None),
            changes,
        };
        Arc::new(link)
    }

    /// Sends a request; `asking` says to a node of a Cluster that it is sent there on purpose.
    pub(super) async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        request: Request<'_>,
        asking: bool,
    ) -> Result<T, Failure> {
        let (generation, mut open) = self.open().await?;
        let send = async {
            if asking {
                request.send(&mut Asking(&mut open.connection)).await
            } else {
                request.send(&mut open.connection).await
            }
        };
        // The client's own time-out covers the answer alone; this one covers the way in, too.
        match tokio::time::timeout(self.command_timeout, send).await {
            Err(_) => {
                self.discard(generation);
                Err(Failure::TimedOut)
            }
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.discard(generation);
                }
                if error.is_timeout() { Err(Failure::TimedOut) } else { Err(Failure::Redis(error)) }
            }
            Ok(Ok(value)) => Ok(value),
        }
    }

    /// Sends a request over a connection of its own, and waits until so many replicas have it.
    pub(super) async fn call_and_wait<T: FromRedisValue>(
        self: &Arc<Self>,
        request: Request<'_>,
        replicas: u32,
    ) -> Result<T, StoreError> {
        let (generation, open) = self.open().await?;
        // That many wait already says nothing of the server: the connection that all share is kept.
        let own = tokio::time::timeout(self.command_timeout, open.pool.get()).await;
        let own = own.map_err(|_| StoreError::unavailable("too many wait for replicas to confirm"))?;
        let mut own = own.map_err(|error| {
            self.discard(generation);
            Failure::Unreachable(error.to_string())
        })?;
        let send = async {
            let connection: &mut MultiplexedConnection = &mut own;
            let value: T = request.send(connection).await.map_err(Failure::Redis)?;
            let wait = u64::try_from(self.command_timeout.as_millis() / 2).unwrap_or(u64::MAX);
            let mut cmd = redis::Cmd::new();
            cmd.arg("WAIT").arg(replicas).arg(wait);
            let reached: u32 = cmd.query_async(connection).await.map_err(Failure::Redis)?;
            Ok((value, reached))
        };
        let answer = tokio::time::timeout(self.command_timeout, send).await;
        match answer.unwrap_or(Err(Failure::TimedOut)) {
            Ok((value, reached)) if reached >= replicas => Ok(value),
            Ok((_, reached)) => {
                Err(StoreError::unavailable(format!("{reached} of {replicas} replicas confirmed in time")))
            }
            Err(failure) => {
                if matches!(&failure, Failure::TimedOut) || failure.is_broken() {
                    self.discard(generation);
                }
                Err(failure.into())
            }
        }
    }

    /// The server that is used, connected if need be.
    pub(super) async fn endpoint(self: &Arc<Self>) -> Result<ConnectionInfo, Failure> {
        self.open().await.map(|(_, open)| open.endpoint)
    }

    /// The server that is used, if there is a connection.
    pub(super) fn current_endpoint(&self) -> Option<ConnectionInfo> {
        self.current().map(|(_, open)| open.endpoint)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Gives the connection up where it leads to another server than this.
    pub(super) fn leave_unless(&self, master: &ConnectionInfo) {
        if let Some((generation, open)) = self.current()
            && open.endpoint.addr() != master.addr()
        {
            tracing::info!(line.kept = Empty, from = %open.endpoint.addr(), to = %master.addr(), "the master of Redis is another");
            self.discard(generation);
        }
    }

    async fn open(self: &Arc<Self>) -> Result<(u64, Open), Failure> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let mut last_failure = self.connecting.lock().await;
        if let Some(found) = self.current() {
            return Ok(found);
        }
        if let Some((at, detail)) = &*last_failure
            && at.elapsed() < RECONNECT_PAUSE
        {
            return Err(Failure::Unreachable(detail.clone()));
        }
        let limit = match self.source {
            Source::Fixed(_) => CONNECT_TIMEOUT,
            Source::Sentinels(_) => ANSWER_MAX + CONNECT_TIMEOUT,
        };
        let connected = tokio::time::timeout(limit, self.connect()).await;
        match connected.unwrap_or_else(|_| Err("no connection in time".to_owned())) {
            Ok(open) => {
                *last_failure = None;
                let generation = {
                    let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
                    shared.generation += 1;
                    shared.open = Some(open.clone());
                    shared.generation
                };
                if generation > 1 {
                    tracing::info!(line.notice = Empty, server = %open.endpoint.addr(), "connected to Redis again");
                }
                Ok((generation, open))
            }
            Err(detail) => {
                tracing::warn!(line.notice = Empty, cause = detail, "Redis cannot be reached");
                *last_failure = Some((Instant::now(), detail.clone()));
                Err(Failure::Unreachable(detail))
            }
        }
    }

    // In a box, which keeps the types of all calls small.
    fn connect(self: &Arc<Self>) -> BoxFuture<'_, Result<Open, String>> {
        Box::pin(self.connect_now())
    }

    async fn connect_now(self: &Arc<Self>) -> Result<Open, String> {
        let endpoint = match &self.source {
            Source::Fixed(info) => (**info).clone(),
            Source::Sentinels(sentinels) => sentinels.master().await?,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Each call has a time-out of ours, which covers the way in as well.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024);
        let manager = deadpool_redis::Manager::new_with_config(endpoint.clone(), config).map_err(text)?;
        let pool = deadpool_redis::Pool::builder(manager).max_size(GRANTS_AT_ONCE).build().map_err(text)?;
        let taken = pool.get().await.map_err(|error| match error {
            deadpool_redis::PoolError::Backend(error) => error.to_string(),
            error => error.to_string(),
        })?;
        let mut connection = deadpool_redis::Connection::take(taken);
        if let Source::Sentinels(sentinels) = &self.source {
            sentinels.check_master(&mut connection).await?;
            sentinels.watch(self);
        }
        Ok(Open { endpoint, connection, pool })
    }

    fn current(&self) -> Option<(u64, Open)> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        shared.open.clone().map(|open| (shared.generation, open))
    }

    fn discard(&self, generation: u64) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if shared.generation == generation
            && let Some(open) = shared.open.take()
        {
            drop(shared);
            tracing::warn!(line.notice = Empty, server = %open.endpoint.addr(), "the connection to Redis is lost");
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
