//! A `redis-server` child of the test's own, on a free port of loopback.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use greenroom::clock::Clock;
use greenroom::store::{Store, StoreOptions};

/// A running server; dropping it kills it.
pub(crate) struct TestRedis {
    child: Child,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
    /// Arguments of its own.
    own: Vec<String>,
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TestRedis {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with further arguments, such as `--appendonly yes`.
    pub(crate) async fn start_with(own: &[&str]) -> Self {
        let own = own.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let dir = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut redis = Self { child: spawn(port, dir.path(), &own), port, dir, own };
        redis.until_ready().await;
        redis
    }

    /// Kills the server (-9).
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills the server (-9), and starts it again: empty, since nothing is kept on disk.
    pub(crate) async fn restart_empty(&mut self, down: Duration) {
        self.kill();
        tokio::time::sleep(down).await;
        self.start_again().await;
    }

    /// Starts the server that was killed; returns once it answers.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, self.dir.path(), &self.own);
        self.until_ready().await;
    }

    /// Where it keeps what it keeps.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The same, but with all that is there now kept.
    pub(crate) async fn restart_full(&mut self, down: Duration) {
        self.run::<()>(&["SAVE"]).await;
        self.restart_empty(down).await;
    }

    /// Stops the process for so long (SIGSTOP, SIGCONT): it answers nothing, and forgets nothing.
    pub(crate) async fn pause(&self, down: Duration) {
        self.signal("-STOP");
        tokio::time::sleep(down).await;
        self.signal("-CONT");
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    async fn until_ready(&mut self) {
        let client = self.client();
        super::eventually("redis-server answers", async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            ::redis::cmd("PING").query_async::<String>(&mut connection).await.ok()
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn client(&self) -> ::redis::Client {
        ::redis::Client::open(self.url()).expect("a client")
    }

    /// Runs a command, as `redis-cli` would.
    pub(crate) async fn run<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        // On a machine that is busy, a connection may take its time.
        let client = self.client();
        let mut connection =
            super::eventually("a connection", async || client.get_multiplexed_async_connection().await.ok()).await;
        let mut cmd = ::redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query_async(&mut connection).await.expect("an answer")
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions { url: self.url().into(), command_timeout: Duration::from_secs(2), shards: 4, clock: Clock::Redis }
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

fn spawn(port: u16, dir: &std::path::Path, own: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
        .arg("--dir")
        .arg(dir)
        .args(own)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed: see scripts/setup")
}
