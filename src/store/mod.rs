//! The store: Redis, changed only by the scripts under `lua/`, each behind a typed method.
//!
//! All calls share one multiplexed connection (two to three times the throughput of a checkout per
//! call, measured). A bare multiplexed connection never recovers, so it is taken anew, by one
//! caller at a time, after an error that says it is lost.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, FromRedisValue, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;

mod admission;
mod dispatch;
mod error;
mod hints;
mod key;
pub mod keys;
mod leader;
mod reap;
mod record;
mod room;
mod rules;
mod schema;
mod script;

pub use admission::{Bounds, Taken};
pub use error::{Refusal, StoreError};
pub use hints::Hints;
pub use key::FoundKey;
pub use leader::Campaign;
pub use reap::{Due, DueKind};
pub use record::Record;
pub use rules::{AcquireRules, Commit, Judgement, Observation, ObserveRules, Verdict};
pub use schema::{SCHEMA_VERSION, Schema};
pub use script::scripts;

/// How a [`Store`] is reached.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `redis://` or `rediss://`, with user, password and database as usual.
    pub url: SecretString,
    /// The longest that a call may take.
    pub command_timeout: Duration,
    /// How many shards a new store is made with; an existing one keeps its own.
    pub shards: u16,
    /// Where the scripts take the time from.
    pub clock: Clock,
}

/// Redis, with typed methods for everything that greenroom does there. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: deadpool_redis::Pool,
    client: redis::Client,
    shared: RwLock<Shared>,
    // Held by the one caller that connects; holds when the last try failed.
    connecting: tokio::sync::Mutex<Option<(Instant, String)>>,
    command_timeout: Duration,
    shards: u16,
    clock: Clock,
}

#[derive(Default)]
struct Shared {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

/// After a failed try to connect, others who ask within this time get the same answer.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEPALIVE_TIME: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What is sent: a script by its hash, or a command.
#[derive(Clone, Copy)]
enum Request<'a> {
    Script { script: &'a script::Script, keys: &'a [&'a str], args: &'a [&'a [u8]] },
    Command(&'a redis::Cmd),
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<T> {
        match self {
            Self::Script { script, keys, args } => script.call(connection, keys, args).await,
            Self::Command(command) => command.query_async(connection).await,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("shards", &self.inner.shards).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, and makes the schema where the store is empty. The number of shards is the
    /// schema's from then on.
    pub async fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        let store = Self::open(options, options.shards)?;
        let schema = store.create_schema().await?;
        schema.check()?;
        if schema.shards == options.shards { Ok(store) } else { Self::open(options, schema.shards) }
    }

    /// A store that was not looked at yet: for the commands that judge or change the schema.
    pub fn open(options: &StoreOptions, shards: u16) -> Result<Self, StoreError> {
        // A connection that is lost without a word is noticed also where nothing is sent: that of the hints.
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = options.url.expose_secret().into_connection_info()?.set_tcp_settings(tcp);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(options.command_timeout))
            .set_pipeline_buffer_size(1024);
        let manager = deadpool_redis::Manager::new_with_config(info.clone(), config)?;
        let pool = deadpool_redis::Pool::builder(manager)
            .max_size(1)
            .build()
            .map_err(|error| StoreError::unavailable(error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                client: redis::Client::open(info)?,
                shared: RwLock::default(),
                connecting: tokio::sync::Mutex::new(None),
                command_timeout: options.command_timeout,
                shards,
                clock: options.clock.clone(),
            }),
        })
    }

    /// How many shards the store has.
    pub fn shards(&self) -> u16 {
        self.inner.shards
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("PING");
        self.command(&cmd).await
    }

    /// Redis's own account of itself (`INFO server`, `INFO memory`), for `doctor`.
    pub async fn info(&self) -> Result<String, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("INFO");
        self.command(&cmd).await
    }

    /// Redis's clock, in milliseconds since 1970.
    pub async fn redis_time_ms(&self) -> Result<u64, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("TIME");
        let (seconds, micros): (u64, u64) = self.command(&cmd).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    async fn call<T: FromRedisValue>(
        &self,
        script: &script::Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        self.send(Request::Script { script, keys, args }).await
    }

    async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        self.send(Request::Command(command)).await
    }

    async fn send<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, StoreError> {
        let mut is_first = true;
        loop {
            let (generation, mut connection) = self.connection().await?;
            // The client's own time-out covers the answer alone; this one covers the way in, too.
            let sent = tokio::time::timeout(self.inner.command_timeout, request.send(&mut connection));
            let Ok(answer) = sent.await else {
                self.discard(generation);
                return Err(StoreError::unavailable("no answer in time"));
            };
            match answer {
                Ok(value) => return Ok(value),
                Err(error) if error::is_lost(&error) => {
                    self.discard(generation);
                    // A connection that broke while nobody used it is found broken by the next call: that one
                    // goes over a new one. To say a thing twice is harmless, see `lua/`.
                    if !is_first || error.is_timeout() {
                        return Err(error.into());
                    }
                    is_first = false;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let mut last_failure = self.inner.connecting.lock().await;
        if let Some(found) = self.current() {
            return Ok(found);
        }
        if let Some((at, detail)) = &*last_failure
            && at.elapsed() < RECONNECT_PAUSE
        {
            return Err(StoreError::unavailable(detail.clone()));
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, self.inner.pool.get()).await {
            Ok(Ok(taken)) => {
                let connection = deadpool_redis::Connection::take(taken);
                *last_failure = None;
                let mut shared = self.inner.shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
                shared.generation += 1;
                shared.connection = Some(connection.clone());
                Ok((shared.generation, connection))
            }
            failed => {
                let detail = match failed {
                    Ok(Err(deadpool_redis::PoolError::Backend(error))) => error.to_string(),
                    Ok(Err(error)) => error.to_string(),
                    _ => "no connection in time".to_owned(),
                };
                *last_failure = Some((Instant::now(), detail.clone()));
                Err(StoreError::unavailable(detail))
            }
        }
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let shared = self.inner.shared.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.connection.clone().map(|connection| (shared.generation, connection))
    }

    fn discard(&self, generation: u64) {
        let mut shared = self.inner.shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if shared.generation == generation {
            shared.connection = None;
        }
    }
}
