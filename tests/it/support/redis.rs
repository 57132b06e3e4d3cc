//! The Redis of a test: one server, or a Cluster of three masters where `GREENROOM_TEST_TOPOLOGY` says so.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, RedisResult, Value};
use greenroom::clock::Clock;
use greenroom::store::{Store, StoreOptions};

use super::server::Server;
use super::{PATIENCE_WITH_SENTINELS, eventually, eventually_within};

/// What concerns every server and names no key.
const EVERYWHERE: [&str; 5] = ["KEYS", "FLUSHALL", "SCRIPT", "CONFIG", "SAVE"];

/// What the Sentinels call the master.
const SERVICE: &str = "main";

/// Redis; dropping it kills it.
pub(crate) struct TestRedis {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// Whether the tests run on a Cluster.
pub(crate) fn on_cluster() -> bool {
    match std::env::var("GREENROOM_TEST_TOPOLOGY").as_deref() {
        Ok("cluster") => true,
        Ok(other) if !other.is_empty() => panic!("GREENROOM_TEST_TOPOLOGY is {other}; it may be `cluster`"),
        _ => false,
    }
}

impl TestRedis {
    pub(crate) async fn start() -> Self {
        if on_cluster() { Self::cluster(3, 0).await } else { Self::of(vec![Server::start(&[]).await]) }
    }

    /// One server with further arguments, such as `--appendonly yes`.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        Self::of(vec![Server::start(more).await])
    }

    /// A Cluster of so many masters, each with so many replicas, which stand behind the masters in the list.
    pub(crate) async fn cluster(masters: u16, replicas: u16) -> Self {
        let starting = (0..masters * (1 + replicas)).map(|_| Server::start_node());
        let redis = Self::of(futures_util::future::join_all(starting).await);
        redis.join(masters).await;
        redis
    }

    fn of(servers: Vec<Server>) -> Self {
        Self { servers, sentinels: Vec::new() }
    }

    /// A master, a replica of it, and three Sentinels that take a master for lost after a second.
    pub(crate) async fn with_sentinels() -> Self {
        Self::with_sentinels_and(&["nobody", "off"]).await
    }

    /// The same, where all of them know a user, too: a name with its rules.
    pub(crate) async fn with_sentinels_and(user: &[&str]) -> Self {
        let master = Server::start(&[&["--user"], user].concat()).await;
        let port = master.port.to_string();
        let replica = Server::start(&[&["--replicaof", "127.0.0.1", &port, "--user"], user].concat()).await;
        eventually("the replica is connected", async || {
            replica.info("master_link_status").await.filter(|it| it == "up")
        })
        .await;
        let config = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {SERVICE} 1000\n\
             sentinel failover-timeout {SERVICE} 3000\nuser {}\n",
            master.port,
            user.join(" ")
        );
        let sentinels = futures_util::future::join_all((0..3).map(|_| Server::start_sentinel(&config))).await;
        let known = format!("name={SERVICE},status=ok,address={},slaves=1,sentinels=3", master.address());
        for sentinel in &sentinels {
            eventually_within(PATIENCE_WITH_SENTINELS, "the Sentinels know each other", async || {
                sentinel.info("master0").await.filter(|it| *it == known)
            })
            .await;
        }
        Self { servers: vec![master, replica], sentinels }
    }

    // By hand, for `redis-cli --cluster create` takes twice as long.
    async fn join(&self, masters: u16) {
        let size = 16_384 / masters;
        for (n, server) in (0_u16..).zip(&self.servers) {
            let run = async |words: &[&str]| server.query(&command(words)).await.expect("an answer");
            run(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]).await;
            if n < masters {
                let last = if n + 1 == masters { 16_383 } else { (n + 1) * size - 1 };
                run(&["CLUSTER", "ADDSLOTSRANGE", &(n * size).to_string(), &last.to_string()]).await;
            }
        }
        for server in &self.servers {
            let run = async |words: &[&str]| server.query(&command(words)).await.expect("an answer");
            for other in &self.servers {
                let bus = other.bus().to_string();
                run(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), &bus]).await;
            }
        }
        let nodes = self.servers.len();
        self.until_all_say(&format!("cluster_known_nodes:{nodes}")).await;
        for (n, server) in (0_u16..).zip(&self.servers).skip(masters.into()) {
            let master = &self.servers[usize::from(n % masters)];
            let id = String::from_redis_value(master.query(&command(&["CLUSTER", "MYID"])).await.expect("an id"));
            let replicate = command(&["CLUSTER", "REPLICATE", &id.expect("text")]);
            eventually("a node becomes a replica", async || server.query(&replicate).await.ok()).await;
        }
        self.until_cluster_serves().await;
    }

    /// Waits until every node says that the Cluster is well.
    pub(crate) async fn until_cluster_serves(&self) {
        self.until_all_say("cluster_state:ok").await;
        self.until_all_say("cluster_slots_ok:16384").await;
    }

    async fn until_all_say(&self, line: &str) {
        for server in &self.servers {
            eventually(&format!("the Cluster is ready: {line}"), async || {
                let said = server.query(&command(&["CLUSTER", "INFO"])).await.ok()?;
                String::from_redis_value(said).ok().filter(|said| said.lines().any(|it| it == line))
            })
            .await;
        }
    }

    /// The servers: the first masters first.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The same, to kill one.
    pub(crate) fn servers_mut(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Which server of a Cluster has the key.
    pub(crate) async fn owner_of(&self, key: &str) -> usize {
        for (n, server) in self.servers.iter().enumerate() {
            if server.query(&command(&["EXISTS", key])).await.is_ok() {
                return n;
            }
        }
        panic!("nobody has {key}");
    }

    /// Kills the servers (-9).
    pub(crate) fn kill(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
    }

    /// The same, and starts them again: empty, since nothing is kept on disk.
    pub(crate) async fn restart_empty(&mut self, down: Duration) {
        self.kill();
        tokio::time::sleep(down).await;
        for server in &mut self.servers {
            server.start_again().await;
        }
        if self.servers.len() > 1 {
            self.until_cluster_serves().await;
        }
    }

    /// The same, but with all that is there now kept.
    pub(crate) async fn restart_full(&mut self, down: Duration) {
        self.run::<()>(&["SAVE"]).await;
        self.restart_empty(down).await;
    }

    /// Stops the processes for so long (SIGSTOP, SIGCONT): they answer nothing, and forget nothing.
    pub(crate) async fn pause(&self, down: Duration) {
        for (signal, then) in [("STOP", down), ("CONT", Duration::ZERO)] {
            for server in &self.servers {
                server.signal(signal);
            }
            tokio::time::sleep(then).await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let of = |servers: &[Server]| servers.iter().map(Server::address).collect::<Vec<_>>();
        if !self.sentinels.is_empty() {
            return format!("redis-sentinel://{}/{SERVICE}", of(&self.sentinels).join(","));
        }
        let addresses = of(&self.servers);
        let scheme = if addresses.len() > 1 { "redis-cluster" } else { "redis" };
        format!("{scheme}://{}", addresses.join(","))
    }

    /// Runs a command, as `redis-cli -c` would; what names no key, on every server.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_run(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn try_run<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        self.query(&command(words)).await
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        let verb = cmd.args_iter().next().map(|arg| match arg {
            ::redis::Arg::Simple(verb) => String::from_utf8_lossy(verb).into_owned(),
            _ => String::new(),
        });
        let value = if verb.is_some_and(|verb| EVERYWHERE.contains(&verb.as_str())) {
            self.everywhere(cmd).await?
        } else {
            self.where_the_key_is(cmd).await?
        };
        Ok(T::from_redis_value(value)?)
    }

    async fn everywhere(&self, cmd: &Cmd) -> RedisResult<Value> {
        let mut all = Vec::new();
        let mut last = Value::Nil;
        for server in &self.servers {
            match server.query(cmd).await? {
                Value::Array(some) => all.extend(some),
                other => last = other,
            }
        }
        Ok(if matches!(last, Value::Nil) { Value::Array(all) } else { last })
    }

    async fn where_the_key_is(&self, cmd: &Cmd) -> RedisResult<Value> {
        let answer = self.servers[0].query(cmd).await;
        let moved = answer.as_ref().err().and_then(::redis::RedisError::redirect_node);
        match self.servers.iter().find(|server| moved.is_some_and(|(to, _)| to == server.address())) {
            Some(server) => server.query(cmd).await,
            None => answer,
        }
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions {
            url: self.url().into(),
            command_timeout: Duration::from_secs(2),
            shards: 4,
            wait_replicas: 0,
            clock: Clock::Redis,
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::connect(&self.options()).await.expect("a store")
    }

    /// A store whose time stands still until the test moves it.
    pub(crate) async fn store_at(&self, now_ms: &Arc<AtomicU64>) -> Store {
        let options = StoreOptions { clock: Clock::Injected(Arc::clone(now_ms)), ..self.options() };
        Store::connect(&options).await.expect("a store")
    }
}

/// A command of these words.
pub(crate) fn command(words: &[&str]) -> Cmd {
    let mut cmd = ::redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    cmd
}
