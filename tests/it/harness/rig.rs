//! Everything that a seed runs on: Redis, LiveKit's stand-in, three replicas each with a way of its own to
//! Redis, a door to them for webhooks and reports, and a pool.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::pool::{self, Runners};
use super::proxy::Proxy;
use super::schedule::REPLICAS;
use crate::standin::{Standin, Timings, WorkerBehaviour, WorkerId};
use crate::support::client::get;
use crate::support::process::own_address;
use crate::support::redis::TestRedis;
use crate::support::stage::KEY;

/// The agent that reports, and the one that does not.
pub(crate) const AGENTS: [&str; 2] = ["guide", "scribe"];
/// How long a report is believed.
pub(crate) const BELIEVED: Duration = Duration::from_millis(1200);
/// How long a claim lasts.
pub(crate) const CLAIM: Duration = Duration::from_secs(1);
/// What differs from the shipped settings: times are a tenth or less of those, in about the same proportions.
const SETTINGS: [(&str, &str); 25] = [
    ("GREENROOM_API_KEY", KEY),
    ("GREENROOM_LOG_FORMAT", "text"),
    ("GREENROOM_SERVER_HTTP_REQUEST_TIMEOUT_MS", "5000"),
    ("GREENROOM_REDIS_SHARDS", "4"),
    ("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "1000"),
    ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", "2000"),
    ("AGENT_TTL_SECONDS", "2"),
    ("CLEANUP_INTERVAL_MS", "1000"),
    ("GREENROOM_DISPATCH_LIVENESS_WINDOW_MS", "1500"),
    ("GREENROOM_DISPATCH_CHECK_INTERVAL_MS", "500"),
    ("GREENROOM_DISPATCH_HEARTBEAT_BELIEVED_MS", "1200"),
    ("GREENROOM_DISPATCH_JOIN_DEADLINE_MS", "2000"),
    ("GREENROOM_DISPATCH_JOIN_DEADLINE_WITH_JOB_MS", "4000"),
    ("GREENROOM_DISPATCH_CREATION_BUDGET_MS", "4000"),
    ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "100"),
    ("GREENROOM_DISPATCH_CLAIM_MS", "1000"),
    ("GREENROOM_DISPATCH_FAILURE_HOLD_MS", "1000"),
    ("GREENROOM_DISPATCH_SLOW_TRY_INTERVAL_MS", "2000"),
    ("GREENROOM_DISPATCH_RECONCILE_INTERVAL_MS", "2000"),
    ("GREENROOM_BREAKER_OPEN_MS", "1000"),
    ("GREENROOM_BREAKER_OPEN_MS_MAX", "1000"),
    ("GREENROOM_POOL_RUNNER_BELIEVED_MS", "3000"),
    ("GREENROOM_LEADER_LEASE_MS", "1500"),
    ("GREENROOM_LEADER_RENEW_MS", "300"),
    ("GREENROOM_LEADER_SCAN_INTERVAL_MS", "50"),
];

/// A replica.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    /// Its way to Redis.
    pub(crate) way: Proxy,
    pub(crate) keeper: Keeper,
}

/// All of it.
pub(crate) struct Rig {
    pub(crate) redis: tokio::sync::Mutex<TestRedis>,
    pub(crate) redis_client: redis::Client,
    pub(crate) livekit: Standin,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) door: Proxy,
    pub(crate) runners: Runners,
    pub(crate) dir: tempfile::TempDir,
    workers: Mutex<[WorkerId; 2]>,
    over: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Rig {
    pub(crate) async fn start(fsync: &str) -> Arc<Self> {
        let redis = TestRedis::start_with(&["--appendonly", "yes", "--appendfsync", fsync]).await;
        let timings = Timings {
            room_second: Duration::from_secs(1),
            report_interval: Duration::from_millis(300),
            request_timeout: Duration::from_secs(1),
            ..Timings::fast()
        };
        let livekit = Standin::start(timings).await.expect("a stand-in");
        let workers = [livekit.add_worker(AGENTS[0], guide()), livekit.add_worker(AGENTS[1], scribe())];
        let addresses: Vec<_> = (0..REPLICAS).map(|_| own_address()).collect();
        let door = Proxy::start(addresses.clone()).await;
        livekit.set_webhook(&format!("http://{}/api/livekit/webhook", door.address));
        let mut replicas = Vec::new();
        for (n, &address) in addresses.iter().enumerate() {
            let way = Proxy::start(vec![SocketAddr::from(([127, 0, 0, 1], redis.servers()[0].port))]).await;
            let mut settings: Vec<_> =
                SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            for (name, value) in [
                ("REDIS_URL", format!("redis://{}", way.address)),
                ("LIVEKIT_URL", livekit.url().to_owned()),
                ("LIVEKIT_API_KEY", livekit.api_key().to_owned()),
                ("LIVEKIT_API_SECRET", livekit.api_secret().to_owned()),
                ("GREENROOM_LISTEN", address.to_string()),
                ("GREENROOM_SERVER_PUBLIC_URL", format!("http://{}", door.address)),
            ] {
                settings.push((name.to_owned(), value));
            }
            let keeper = Keeper::new(format!("replica-{n}"), vec!["serve".to_owned()], settings);
            replicas.push(Replica { address, way, keeper });
        }
        let (redis_client, dir) =
            (redis::Client::open(redis.url()).expect("an address"), tempfile::tempdir().expect("a directory"));
        let (redis, over) = (tokio::sync::Mutex::new(redis), CancellationToken::new());
        let runners = Runners::new(addresses, dir.path()).await;
        let workers = Mutex::new(workers);
        let rig = Arc::new(Self { redis, redis_client, livekit, replicas, door, runners, dir, workers, over });
        tokio::spawn(keep_running(Arc::downgrade(&rig), rig.over.clone()));
        for replica in 0..REPLICAS {
            assert!(rig.is_ready(replica, Duration::from_secs(20)).await, "replica {replica} does not start");
        }
        pool::define(&rig).await;
        rig.runners.start();
        assert!(pool::has_spare(&rig).await, "the pool gets no workers");
        rig
    }

    /// Waits until a replica is ready; `false` where it is not in time.
    pub(crate) async fn is_ready(&self, replica: usize, patience: Duration) -> bool {
        let url = format!("http://{}/readyz", self.replicas[replica].address);
        let ready = async {
            while !get(&url).await.is_ok_and(|answer| answer.status() == 200) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, ready).await.is_ok()
    }

    /// The replica that says that it leads, if one does.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for (n, replica) in self.replicas.iter().enumerate() {
            let url = format!("http://{}/metrics", replica.address);
            let asked =
                tokio::time::timeout(Duration::from_millis(500), async { get(&url).await.ok()?.text().await.ok() });
            let text = asked.await.ok().flatten().unwrap_or_default();
            if text.lines().any(|line| line == "greenroom_leader 1") {
                return Some(n);
            }
        }
        None
    }

    /// `kill -9` of the worker whose agents report.
    pub(crate) fn kill_worker(&self) {
        let worker = self.workers()[0];
        self.livekit.kill_worker(worker);
    }

    /// Another one in its place.
    pub(crate) fn start_worker(&self) {
        let worker = self.livekit.add_worker(AGENTS[0], guide());
        self.workers()[0] = worker;
    }

    fn workers(&self) -> MutexGuard<'_, [WorkerId; 2]> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_running(rig: std::sync::Weak<Rig>, over: CancellationToken) {
    while !over.is_cancelled() {
        let Some(rig) = rig.upgrade() else { return };
        let replicas = rig.replicas.iter().map(|replica| &replica.keeper);
        replicas.chain(&rig.runners.keepers).for_each(|keeper| keeper.keep(rig.dir.path()));
        drop(rig);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn guide() -> WorkerBehaviour {
    WorkerBehaviour::long_lived().reporting()
}

fn scribe() -> WorkerBehaviour {
    WorkerBehaviour::long_lived()
}
