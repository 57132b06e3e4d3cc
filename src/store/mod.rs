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

mod dispatch;
mod error;
mod hints;
pub mod keys;
mod leader;
mod reap;
mod record;
mod room;
mod rules;
mod schema;
mod script;

pub use error::{Refusal, StoreError};
pub use hints::Hints;
pub use leader::Campaign;
pub use reap::{Due, DueKind};
pub use record::Record;
pub use rules::{AcquireRules, Commit, Judgement, Observation, ObserveRules, Verdict};
pub use schema::{SCHEMA_VERSION, Schema};

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
        let tcp = TcpSettings::default().set_nodelay(true);
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
        self.with_connection(async |connection| cmd.query_async::<()>(connection).await).await
    }

    /// Redis's own account of itself (`INFO server`, `INFO memory`), for `doctor`.
    pub async fn info(&self) -> Result<String, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("INFO");
        self.with_connection(async |connection| cmd.query_async(connection).await).await
    }

    /// Redis's clock, in milliseconds since 1970.
    pub async fn redis_time_ms(&self) -> Result<u64, StoreError> {
        let mut cmd = redis::Cmd::new();
        cmd.arg("TIME");
        let (seconds, micros): (u64, u64) =
            self.with_connection(async |connection| cmd.query_async(connection).await).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    async fn call<T: FromRedisValue>(
        &self,
        script: &script::Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        self.with_connection(async |connection| script.call(connection, keys, args).await).await
    }

    async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, StoreError> {
        let (generation, mut connection) = self.connection().await?;
        // The client's own time-out covers the answer alone; this one covers the way in, too.
        match tokio::time::timeout(self.inner.command_timeout, work(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error::is_lost(&error) {
                    self.discard(generation);
                }
                Err(error.into())
            }
            Err(_) => {
                self.discard(generation);
                Err(StoreError::unavailable("no answer in time"))
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
