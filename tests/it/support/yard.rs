//! A yard of pools: Redis, replicas behind a balancer, runners with real workers, and who has sessions with them.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::eventually;
use super::process::{Balancer, Process, Replica, own_address, settings};
use super::redis::TestRedis;
use crate::runner_desk::{name, start_runner};

const KEY: &str = "a-key-of-a-test";
/// The pool of the yard.
pub(crate) const POOL: &str = "echo";

/// Redis, replicas behind a balancer, and runners.
pub(crate) struct Yard {
    pub(crate) redis: TestRedis,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) runners: Vec<Process>,
    dir: tempfile::TempDir,
    balancer: Balancer,
    client: Client,
}

impl Yard {
    pub(crate) async fn start(replicas: usize, pool: Value) -> Self {
        Self::start_with(replicas, [], pool).await
    }

    /// The same, with more settings.
    pub(crate) async fn start_with<const N: usize>(replicas: usize, more: [(&str, &str); N], pool: Value) -> Self {
        let redis = TestRedis::start().await;
        let dir = tempfile::tempdir().expect("a directory");
        let mut own = settings([
            ("REDIS_URL", &redis.url()),
            ("GREENROOM_API_KEY", KEY),
            ("GREENROOM_DISPATCH_PROVIDER", "simulated"),
            ("GREENROOM_SERVER_DRAIN_MS", "0"),
            ("GREENROOM_SERVER_RATE_LIMIT_PER_SECOND", "0"),
            ("GREENROOM_POOL_RUNNER_BELIEVED_MS", "3000"),
            ("GREENROOM_LOG_FORMAT", "text"),
        ]);
        own.extend(settings(more));
        let settings = own;
        let starting = (0..replicas).map(|_| Replica::start(own_address(), &settings, dir.path()));
        let replicas = futures_util::future::join_all(starting).await;
        let addresses: Vec<_> = replicas.iter().map(|replica| replica.address).collect();
        let balancer = Balancer::start(&addresses, dir.path()).await;
        let client = Client::new(Duration::from_secs(40));
        let yard = Self { redis, replicas, runners: Vec::new(), dir, balancer, client };
        assert!(yard.put(&format!("/v1/pools/{POOL}"), pool).await < 300);
        yard
    }

    pub(crate) fn add_runner(&mut self, command: &[String], capacity: u32) {
        let name = format!("{}-{}", name(self.dir.path()), self.runners.len());
        let (server, capacity) = (self.balancer.url(""), capacity.to_string());
        let more = ["--capacity", &capacity];
        self.runners.push(start_runner((&server, KEY), (POOL, &name), self.dir.path(), command, &more));
    }

    /// Kills Redis and, once every replica has noticed, starts it again: empty.
    pub(crate) async fn restart_redis_empty(&mut self) {
        self.redis.kill();
        self.balancer.until_up(0).await;
        self.redis.restart_empty(Duration::ZERO).await;
        self.balancer.until_up(self.replicas.len()).await;
    }

    /// Posts, and returns status and answer.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.post(self.balancer.url(path)).bearer_auth(KEY).json(&body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Deletes, and returns the status.
    pub(crate) async fn delete(&self, path: &str) -> u16 {
        let request = self.client.request(reqwest::Method::DELETE, self.balancer.url(path)).bearer_auth(KEY);
        request.send().await.expect("an answer").status().as_u16()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> u16 {
        let request = self.client.request(reqwest::Method::PUT, self.balancer.url(path)).bearer_auth(KEY);
        request.json(&body).send().await.expect("an answer").status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        self.client.get(self.balancer.url(path)).bearer_auth(KEY).send().await.ok()?.json().await.ok()
    }

    pub(crate) async fn status(&self) -> Option<Value> {
        let pool = self.get(&format!("/v1/pools/{POOL}")).await?;
        pool.get("status").cloned()
    }

    /// Waits until the pool is at rest with that many ready workers, and nothing else.
    pub(crate) async fn until_ready(&self, count: u64) -> Value {
        eventually(&format!("{count} workers are ready and nothing else is"), async || {
            let status = self.status().await?;
            let all: u64 = status["workers"].as_object()?.values().filter_map(Value::as_u64).sum();
            let at_rest = status["workers"]["ready"] == count && all == count && status["leased"] == 0;
            at_rest.then_some(status)
        })
        .await
    }
}

/// Somebody who has sessions.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    base: String,
}

impl Caller {
    pub(crate) fn of(yard: &Yard) -> Self {
        Self { client: yard.client.clone(), base: yard.balancer.url("") }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Option<(u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(KEY).json(&body);
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.unwrap_or_default()))
    }

    pub(crate) async fn lease(&self, body: Value) -> Option<(u16, Value)> {
        self.post(&format!("/v1/pools/{POOL}/leases"), body).await
    }

    pub(crate) async fn release(&self, lease: &Value) -> Option<u16> {
        let path = format!("/v1/leases/{}/release", lease["id"].as_str()?);
        Some(self.post(&path, json!({"token": lease["token"]})).await?.0)
    }
}
