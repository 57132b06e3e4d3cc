//! `greenroom dev`: everything on this machine, for trying it: a private Redis, replicas on
//! consecutive ports, a simulated provider unless LiveKit is configured, and a pool of demo workers.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, Command};

use super::{CliError, DevArgs, say};
use crate::app::{self, Replica, store_options};
use crate::config::{Config, ProviderKind};
use crate::lifecycle::signalled;
use crate::name::Name;
use crate::store::Store;
use crate::store::keys::dispatch_pattern;
use crate::telemetry;

/// How long the private Redis may take to answer.
const REDIS_START_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(mut config: Config, args: DevArgs) -> Result<(), CliError> {
    let _logs = telemetry::init(&config.log).context("logs")?;
    let redis = PrivateRedis::start().await?;
    config.redis.url = redis.url();
    config.server.drain_ms = 0;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if config.livekit.credentials().is_none() {
        config.dispatch.provider = ProviderKind::Simulated;
    }
    let key = config.server.api_key.get_or_insert_with(random_key).clone();
    // One provider for all replicas: the simulation lives in this process.
    let provider = app::provider(&config)?;
    let mut replicas = Vec::new();
    for n in 0..args.replicas {
        let mut config = config.clone();
        config.server.listen.set_port(port(config.server.listen, n)?);
        replicas.push(Replica::start(&config, provider.clone()).await?);
    }
    let addresses: Vec<SocketAddr> = replicas.iter().map(Replica::address).collect();
    let runner = addresses.first().map(|first| demo_runner(*first, &key)).transpose()?;
    say(&greeting(&addresses, &key, provider.name(), redis.port))?;

    let shutdowns: Vec<_> = replicas.iter().map(Replica::shutdown).collect();
    let running: Vec<_> = replicas.into_iter().map(|replica| tokio::spawn(replica.run())).collect();
    signalled().await.context("signals")?;
    // Nobody's sessions are on it: it goes at once, and its workers with it.
    drop(runner);
    for shutdown in shutdowns {
        shutdown.begin();
    }
    for replica in running {
        replica.await.context("a replica broke off")?;
    }
    redis.stop().await;
    Ok(())
}

/// A runner with workers that remember what they are told: the pool `demo`. It dies with this process.
fn demo_runner(server: SocketAddr, key: &SecretString) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("this program's own path")?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(&own)
        .args(["runner", "--server", &format!("http://{server}"), "--pool", "demo", "--name"])
        .args([format!("demo-{}", std::process::id()), "--".to_owned()])
        .arg(&own)
        .arg("demo-worker")
        .env("GREENROOM_API_KEY", key.expose_secret())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a runner for the demo pool")
}

/// Consecutive ports; with port 0, whatever is free.
fn port(listen: SocketAddr, n: u16) -> anyhow::Result<u16> {
    if listen.port() == 0 {
        return Ok(0);
    }
    listen.port().checked_add(n).context("there are no ports above 65535")
}

fn random_key() -> SecretString {
    format!("dev_{:032x}", rand::random::<u128>()).into()
}

fn greeting(addresses: &[SocketAddr], key: &SecretString, provider: &str, redis_port: u16) -> String {
    let (first, key) = (addresses.first().map(ToString::to_string).unwrap_or_default(), key.expose_secret());
    let pattern = Name::room("lobby").map(|room| dispatch_pattern(&room)).unwrap_or_default();
    let all = addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join("  ");
    format!(
        r#"
greenroom is running at {all}
  provider   {provider}
  redis      redis-cli -p {redis_port}   (private to this process, empty at every start)
  API key    {key}

Ask for the agent of a room, twice, and see the same one:
  curl -s http://{first}/v1/dispatches -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{{"room":"lobby","agent":"guide"}}'
Get a warm worker for a session:
  curl -s http://{first}/v1/pools/demo/leases -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{{"session":"ann","wait_seconds":10}}'
See it in Redis:
  redis-cli -p {redis_port} HGETALL "$(redis-cli -p {redis_port} --scan --pattern '{pattern}')"
"#
    )
}

/// A `redis-server` child that dies with this process, however that ends.
struct PrivateRedis {
    child: Child,
    port: u16,
}

impl PrivateRedis {
    async fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).context("a free port")?.port();
        // setpriv has the kernel kill Redis when greenroom is killed; kill_on_drop covers the rest.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C in the terminal must reach greenroom first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start redis-server: run `scripts/setup`, or install redis-server (7.0 or newer)")?;
        let mut redis = Self { child, port };
        redis.until_ready().await?;
        Ok(redis)
    }

    fn url(&self) -> SecretString {
        format!("redis://127.0.0.1:{}", self.port).into()
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let options = crate::store::StoreOptions {
            url: self.url(),
            ..store_options(&Config::load(None, std::iter::empty()).context("the embedded settings")?)
        };
        let store = Store::open(&options, options.shards)?;
        let answers = async {
            while store.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        };
        tokio::select! {
            exited = self.child.wait() => anyhow::bail!("redis-server ended at once: {}", exited?),
            answered = tokio::time::timeout(REDIS_START_MAX, answers) => answered.context("redis-server does not answer"),
        }
    }

    async fn stop(mut self) {
        // It holds nothing that is to be kept; a failure means that it is gone already.
        let _ = self.child.kill().await;
    }
}
