//! One `redis-server` child of a test's own, on a free port of loopback.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, FromRedisValue as _, RedisResult, Value};

use super::PATIENCE;

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    bus: u16,
    args: Vec<String>,
    // Ends with the server.
    dir: tempfile::TempDir,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

/// What a server that is being started has for itself.
struct Own<'a> {
    bus: u16,
    dir: &'a Path,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program: another engine where the tests are told so.
fn program() -> String {
    std::env::var("GREENROOM_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A port that is free, below those that outgoing connections leave from.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    /// A server that keeps nothing on disk.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let mut args = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"].to_vec();
        args.extend(["--repl-diskless-sync-delay", "0"]);
        args.extend(more);
        Self::spawn(|_| args.iter().map(|arg| (*arg).to_owned()).collect()).await
    }

    /// A node of a Cluster.
    pub(crate) async fn start_node() -> Self {
        let args = ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let more = ["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--cluster-port"];
        Self::spawn(|own| args.iter().chain(&more).map(|arg| (*arg).to_owned()).chain([own.bus.to_string()]).collect())
            .await
    }

    /// A Sentinel with this configuration.
    pub(crate) async fn start_sentinel(config: &str) -> Self {
        Self::spawn(|own| {
            let path = own.dir.join("sentinel.conf");
            std::fs::write(&path, config).expect("a file");
            vec![path.display().to_string(), "--sentinel".to_owned()]
        })
        .await
    }

    async fn spawn(args: impl Fn(&Own<'_>) -> Vec<String>) -> Self {
        loop {
            let (port, bus, dir) = (free_port(), free_port(), tempfile::tempdir().expect("a directory"));
            let mut args = args(&Own { bus, dir: dir.path() });
            args.extend(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"].map(str::to_owned));
            args.extend(["--dir".to_owned(), dir.path().display().to_string()]);
            let child = child(&args);
            let mut server = Self { child, port, bus, args, dir, connection: tokio::sync::Mutex::new(None) };
            // Somebody was faster at a port: another one.
            if server.until_ready().await {
                return server;
            }
        }
    }

    /// The port at which nodes of a Cluster speak to each other.
    pub(crate) fn bus(&self) -> u16 {
        self.bus
    }

    /// Waits until it answers; says no when it ended instead.
    pub(crate) async fn until_ready(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if self.child.try_wait().expect("a child").is_some() {
                return false;
            }
            if self.query(&::redis::cmd("PING")).await.is_ok() {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps what it keeps.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub(crate) async fn start_again(&mut self) {
        *self.connection.lock().await = None;
        self.child = child(&self.args);
        assert!(self.until_ready().await, "redis-server ended");
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{signal}");
    }

    /// As if its disk were full: the files to which it appends can grow no further; or they can again.
    pub(crate) fn fill_disk(&self, full: bool) {
        let files = std::fs::read_dir(self.dir().join("appendonlydir")).into_iter().flatten().flatten();
        let most = files.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or_default();
        let limit = if full { most.to_string() } else { "unlimited".to_owned() };
        let pid = self.child.id().to_string();
        // The soft limit alone, so that it can be lifted again.
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:unlimited")]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit");
    }

    /// Sends a command over a connection that is kept; a new one where it was closed, as Sentinels do.
    pub(crate) async fn query(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self.query_once(cmd).await {
            Err(error) if error.is_connection_dropped() => self.query_once(cmd).await,
            answer => answer,
        }
    }

    async fn query_once(&self, cmd: &Cmd) -> RedisResult<Value> {
        let mut kept = self.connection.lock().await;
        let mut connection = if let Some(connection) = kept.take() {
            connection
        } else {
            let client = ::redis::Client::open(format!("redis://{}", self.address()))?;
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
            client.get_multiplexed_async_connection_with_config(&config).await?
        };
        let answer = cmd.query_async(&mut connection).await;
        if answer.as_ref().err().is_none_or(|error| !error.is_io_error()) {
            *kept = Some(connection);
        }
        answer
    }

    /// A field of its `INFO`.
    pub(crate) async fn info(&self, field: &str) -> Option<String> {
        let info = String::from_redis_value(self.query(&::redis::cmd("INFO")).await.ok()?).ok()?;
        info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned)
    }
}

// A file that can grow no further is then an error to it, as on a full disk, and no signal.
fn child(args: &[String]) -> Child {
    Command::new("env")
        .arg("--ignore-signal=XFSZ")
        .arg(program())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed: see scripts/setup")
}
