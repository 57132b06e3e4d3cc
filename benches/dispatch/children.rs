//! The processes that are measured, and what they have used of a processor.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use greenroom::clock::Clock;
use greenroom::store::keys::Shard;
use greenroom::store::{Store, StoreOptions};

/// The API key of the replicas.
pub(crate) const KEY: &str = "a-key-of-a-bench";
/// The agent that is asked for.
pub(crate) const AGENT: &str = "guide";
/// The unit of `/proc/<pid>/stat`: a hundredth of a second on Linux.
const TICK_SECONDS: f64 = 0.01;

/// A child process that listens; dropping it kills it.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port")
}

/// A request for the agent of a room, as JSON.
pub(crate) fn body(room: &str) -> String {
    format!(r#"{{"room":"{room}","agent":"{AGENT}"}}"#)
}

/// The header that opens a replica's routes; the bare handler ignores it.
pub(crate) fn authorization() -> String {
    format!("Bearer {KEY}")
}

impl Child {
    fn start(mut command: Command, address: SocketAddr) -> Self {
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { process: process.expect("a process"), address }
    }

    /// This program again, as the bare handler.
    pub(crate) fn bare() -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env_clear().env(super::bare::LISTEN, address.to_string());
        Self::start(command, address)
    }

    /// This program again, with the domain behind the bare handler.
    pub(crate) fn domain(redis: &Redis) -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env_clear().env(super::bare::LISTEN, address.to_string()).env(super::bare::STORE, redis.url());
        Self::start(command, address)
    }

    /// A replica with the settings that it ships with, but for a limit that is out of reach, and the simulated provider.
    pub(crate) fn replica(redis: &Redis) -> Self {
        Self::replica_with_limit(redis, 1_000_000)
    }

    /// The same with this limit; 0 is none.
    pub(crate) fn replica_with_limit(redis: &Redis, per_second: u32) -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command.arg("serve").env_clear();
        command.env("GREENROOM_LISTEN", address.to_string()).env("REDIS_URL", redis.url());
        command.env("GREENROOM_API_KEY", KEY).env("GREENROOM_DISPATCH_PROVIDER", "simulated");
        command.env("GREENROOM_SERVER_RATE_LIMIT_PER_SECOND", per_second.to_string());
        Self::start(command, address)
    }

    /// Waits until it answers that path.
    pub(crate) async fn until_ready(&self, path: &str) {
        let url = format!("http://{}{path}", self.address);
        for _ in 0..1000 {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{url} does not answer");
    }

    /// What it has used of a processor, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // The name in brackets may hold anything; user and system time are the 12th and 13th after it.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).expect("fields");
        let ticks: u32 = fields.skip(11).take(2).map(|field| field.parse::<u32>().unwrap_or_default()).sum();
        TICK_SECONDS * f64::from(ticks)
    }
}

/// A `redis-server` as greenroom wants it, without persistence.
pub(crate) struct Redis {
    child: Child,
    client: redis::Client,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(std::env::temp_dir());
        let child = Child::start(command, address);
        let client = redis::Client::open(format!("redis://{address}")).expect("a client");
        let redis = Self { child, client };
        for _ in 0..1000 {
            if redis.connection().await.is_some() {
                return redis;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    async fn connection(&self) -> Option<redis::aio::MultiplexedConnection> {
        self.client.get_multiplexed_async_connection().await.ok()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.child.address)
    }

    /// Runs a command.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().await.expect("a connection");
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]).query_async(&mut connection).await.expect("an answer")
    }

    async fn info(&self, field: &str) -> f64 {
        let info: String = self.run(&["INFO", "everything"]).await;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).expect("a number")
    }

    /// What it has used of a processor, in seconds.
    pub(crate) async fn cpu(&self) -> f64 {
        self.info("used_cpu_user").await + self.info("used_cpu_sys").await
    }

    /// The memory that the history of events has, in bytes.
    pub(crate) async fn events(&self, shards: u16) -> f64 {
        let mut bytes = 0.0;
        for shard in (0..shards).map(Shard) {
            bytes += self.run::<Option<f64>>(&["MEMORY", "USAGE", &shard.events()]).await.unwrap_or_default();
        }
        bytes
    }

    /// The memory that it has in use, in bytes.
    pub(crate) async fn memory(&self) -> f64 {
        self.info("used_memory").await
    }
}

/// The store, as a replica has it.
pub(crate) async fn store(url: String, clock: Clock) -> Store {
    let options =
        StoreOptions { url: url.into(), command_timeout: Duration::from_secs(2), shards: 32, wait_replicas: 0, clock };
    Store::connect(&options).await.expect("a store")
}
