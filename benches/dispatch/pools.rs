//! Workers of a pool, leased and given back: over HTTP, and by the scripts alone, in a pool of a few and of many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenroom::clock::Clock;
use greenroom::id::{LeaseId, WorkerId};
use greenroom::name::Name;
use greenroom::pool::{
    Action, Affinity, Assignment, Instruction, Observed, ObservedState, PoolName, PoolSettings, Pools, Priority,
    Runner, Wish,
};
use greenroom::store::keys::shard_of_pool;
use greenroom::store::{Hints, LeaseAsked, Store};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::children::{self, Child, Redis};
use super::load::{self, Connection, Told, micros};
use super::table::{Row, Table};

/// How many workers a simulated runner has at most.
const OF_RUNNER_MAX: usize = 50;
/// How long a runner is believed: it is never taken for silent here.
const BELIEVED: Duration = Duration::from_hours(1);
/// How long a runner waits for something to do before it looks whether the bench is over.
const WAIT: Duration = Duration::from_millis(500);
const POOL: &str = "bench";

fn pool() -> PoolName {
    PoolName { tenant: Name::default_tenant(), pool: Name::strict(POOL).expect("a name") }
}

/// So many workers, none of which is ever replaced; a session has its worker without confirmation.
fn settings(workers: usize) -> PoolSettings {
    let mut settings = PoolSettings { confirm: false, foresee: false, ..PoolSettings::default() };
    let (numbers, workers) = (&mut settings.numbers, u32::try_from(workers).expect("a number of workers"));
    (numbers.spare, numbers.min, numbers.max) = (0, workers, workers);
    (numbers.sessions_max, numbers.age_ms) = (1_000_000, 1_209_600_000);
    (numbers.assign_ms, numbers.reset_ms) = (60_000, 600_000);
    settings
}

fn ready(id: WorkerId) -> Observed {
    Observed {
        id: id.to_string(),
        state: ObservedState::Ready,
        instruction: None,
        done: false,
        lease: None,
        session: None,
        released: false,
        failures: 0,
        memory_bytes: None,
        pid: None,
        endpoint: None,
        requests: None,
        errors: None,
    }
}

/// Does at once what it is told, and has that to tell.
fn obey(runner: &mut Runner, told: &[Instruction]) {
    runner.since = Some(runner.report);
    runner.workers.clear();
    for instruction in told {
        let mut worker = ready(instruction.worker.parse().expect("an id"));
        worker.state = match instruction.action {
            Action::Assign => ObservedState::Busy,
            Action::Reset | Action::Restart => ObservedState::Ready,
            Action::Run | Action::Keep | Action::Stop => continue,
        };
        (worker.instruction, worker.done) = (Some(instruction.token), true);
        let is_busy = worker.state == ObservedState::Busy;
        worker.lease = instruction.lease.clone().filter(|_| is_busy);
        worker.session.clone_from(&worker.lease);
        runner.workers.push(worker);
    }
}

/// Runners that register so many workers, and reset them until told to stop.
struct Runners {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    following: DropGuard,
}

impl Runners {
    async fn start(store: &Store, workers: usize) -> Self {
        let (pool, stop, mut tasks) = (pool(), Arc::new(AtomicBool::new(false)), JoinSet::new());
        store.define_pool(&pool, &settings(workers), false, 10, None).await.expect("a pool");
        let hints = Hints::default();
        let pools = Pools::new(store.clone(), hints.clone(), settings(workers), BELIEVED);
        let following = CancellationToken::new();
        tokio::spawn(hints.follow(store.clone(), following.clone()));
        let shard = shard_of_pool(&pool, store.shards());
        for first in (0..workers).step_by(OF_RUNNER_MAX) {
            let own = OF_RUNNER_MAX.min(workers - first);
            let strict = |text: &str| Name::strict(text).expect("a name");
            let mut runner = Runner {
                name: strict(&format!("runner-{first}")),
                host: strict("host"),
                driver: strict("simulated"),
                capacity: u32::try_from(own).expect("a small number"),
                draining: false,
                boot: strict("boot"),
                report: 1,
                since: None,
                workers: (0..own).map(|_| ready(WorkerId::new(shard.0))).collect(),
            };
            let mut told = pools.sync(&pool, &runner, None, Duration::ZERO).await.expect("it is heard");
            let (pools, pool, stop) = (pools.clone(), pool.clone(), Arc::clone(&stop));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    obey(&mut runner, &told.instructions);
                    runner.report += 1;
                    let wait = if runner.workers.is_empty() { WAIT } else { Duration::ZERO };
                    told = pools.sync(&pool, &runner, Some(&told.revision), wait).await.expect("it is heard");
                }
            });
        }
        Self { tasks, stop, following: following.drop_guard() }
    }

    async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done.expect("no panic");
        }
        drop(self.following);
    }
}

/// One session after the other, each asking for a worker and giving it back; timed is the asking.
async fn sessions_over_http(replica: &Child, at_once: usize, lasting: Duration) -> Told {
    let (address, began, mut tasks) = (replica.address, Instant::now(), JoinSet::new());
    for _ in 0..at_once {
        tasks.spawn(async move {
            let (mut told, mut connection) = (Told::new(Duration::ZERO), Connection::open(address).await);
            let ask = load::post(address, &format!("/v1/pools/{POOL}/leases"), r#"{"wait_seconds":20}"#);
            while began.elapsed() < lasting {
                let asked = Instant::now();
                let lease: Value = serde_json::from_slice(connection.exchange(&ask).await).expect("JSON");
                told.latencies.record(micros(asked)).expect("in range");
                let (id, token) = (lease["id"].as_str().expect("an id"), &lease["token"]);
                let path = format!("/v1/leases/{id}/release");
                connection.exchange(&load::post(address, &path, &format!(r#"{{"token":{token}}}"#))).await;
            }
            told
        });
    }
    all(began, tasks).await
}

/// The same by the scripts, without a replica.
async fn sessions_by_script(store: &Store, at_once: usize, lasting: Duration) -> Told {
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..at_once {
        let (store, pool) = (store.clone(), pool());
        tasks.spawn(async move {
            let (mut told, shard) = (Told::new(Duration::ZERO), shard_of_pool(&pool, store.shards()));
            let wish = Wish {
                session: None,
                lease: None,
                wait: Duration::ZERO,
                priority: Priority::Normal,
                affinity: Affinity::Hint,
                assignment: Assignment::default(),
            };
            while began.elapsed() < lasting {
                let asked = Instant::now();
                let id = LeaseId::new(shard.0);
                let lease = store.ask_for_worker(&pool, id, &wish, None).await;
                let LeaseAsked::Held(lease) = lease.expect("an answer") else {
                    // All are being reset.
                    tokio::task::yield_now().await;
                    continue;
                };
                told.latencies.record(micros(asked)).expect("in range");
                store.release_lease(&pool.tenant, (lease.id, lease.token), None).await.expect("a release");
            }
            told
        });
    }
    all(began, tasks).await
}

async fn all(began: Instant, mut tasks: JoinSet<Told>) -> Told {
    let mut all = Told::new(Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        all.latencies.add(done.expect("no panic").latencies).expect("in range");
    }
    all.took = began.elapsed();
    all
}

/// Sessions in a pool of each of these sizes.
pub(crate) async fn lease_and_release(sizes: &[usize], lasting: Duration) {
    let mut table = Table::default();
    for &workers in sizes {
        let at_once = (workers / 2).clamp(1, 64);
        let redis = Redis::start().await;
        let replica = Child::replica(&redis);
        replica.until_ready("/readyz").await;
        let store = children::store(redis.url(), Clock::Redis).await;
        let runners = Runners::start(&store, workers).await;
        sessions_over_http(&replica, at_once, load::WARM_UP).await;

        let (replica_cpu, redis_cpu) = (replica.cpu(), redis.cpu().await);
        let told = sessions_over_http(&replica, at_once, lasting).await;
        let row = Row::new(&told).replica_cpu(replica.cpu() - replica_cpu, told.count());
        let row = row.redis_cpu(redis.cpu().await - redis_cpu, told.count());
        table.push(row.named(&format!("lease and release over HTTP, {workers} workers, {at_once} at once")));

        let redis_cpu = redis.cpu().await;
        let told = sessions_by_script(&store, at_once, lasting).await;
        let row = Row::new(&told).redis_cpu(redis.cpu().await - redis_cpu, told.count());
        table.push(row.named(&format!("limit: the scripts alone, {workers} workers, {at_once} at once")));
        runners.stop().await;
    }
    println!("\nSessions of a pool (latency of the lease; CPU of Redis with reset and runners' reports):\n");
    table.print();
}
