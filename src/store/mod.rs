//! The store: Redis, changed only by the scripts under `lua/`, each behind a typed method.
//!

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::redis_url::RedisUrl;
use connection::Request;

mod admission;
mod alert;
mod breaker;
mod breaks;
mod connection;
mod dispatch;
mod error;
mod error_report;
mod hints;
mod key;
pub mod keys;
mod leader;
mod limit;
mod lock;
mod pool;
mod reap;
mod record;
mod room;
mod rules;
mod schema;
mod script;
mod session;
mod worker;

pub use admission::{Bounds, Taken};
pub use breaker::{Asked, Report, Wanted};
pub use breaks::Identity;
pub use connection::{Node, SentinelState, Survey};
pub use error::{Refusal, StoreError};
pub use hints::Hints;
pub use key::FoundKey;
pub use leader::Campaign;
pub use limit::Loan;
pub use lock::Grant;
pub use pool::{Asked as LeaseAsked, Planned};
pub use reap::{Due, DueKind, Silence};
pub use record::Record;
pub use rules::{AcquireRules, Commit, Judgement, Observation, ObserveRules, Verdict};
pub use schema::{SCHEMA_VERSION, Schema};
pub use script::scripts;
pub use worker::{Heard, Lapsed};

/// How a [`Store`] is reached.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// See [`crate::redis_url`] for its forms.
    pub url: SecretString,
    /// The longest that a call may take.
    pub command_timeout: Duration,
    /// How many shards a new store is made with; an existing one keeps its own.
    pub shards: u16,
    /// How many replicas of Redis must confirm a leader's grant.
    pub wait_replicas: u32,
    /// Where the scripts take the time from.
    pub clock: Clock,
}

/// Redis, with typed methods for everything that greenroom does there. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    router: connection::Router,
    wait_replicas: u32,
    shards: u16,
    clock: Clock,
    token_seen: std::sync::atomic::AtomicU64,
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
        let url = RedisUrl::parse(options.url.expose_secret()).map_err(StoreError::unavailable)?;
        Ok(Self {
            inner: Arc::new(Inner {
                router: connection::Router::new(options, &url)?,
                wait_replicas: options.wait_replicas,
                shards,
                clock: options.clock.clone(),
                token_seen: std::sync::atomic::AtomicU64::default(),
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

    /// What every server says of itself, for `doctor`.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        self.inner.router.survey().await
    }

    async fn call<T: FromRedisValue>(
        &self,
        script: &script::Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        self.inner.router.send(Request::Script { script, keys, args }).await
    }

    /// The same for what counts only once replicas have it, where that is asked for.
    async fn call_and_wait<T: FromRedisValue>(
        &self,
        script: &script::Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        let request = Request::Script { script, keys, args };
        match self.inner.wait_replicas {
            0 => self.inner.router.send(request).await,
            replicas => self.inner.router.send_and_wait(request, replicas).await,
        }
    }

    async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        self.inner.router.send(Request::Command(command)).await
    }
}
