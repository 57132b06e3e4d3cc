//! The pool of the rig: runners with their workers, the door through which they reach the replicas, and how all of it
//! comes to an end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenroom::name::Name;
use greenroom::pool::PoolName;
use greenroom::store::keys::shard_of_pool;
use reqwest::Method;
use serde_json::{Value, json};

use super::history::{History, Line};
use super::keeper::Keeper;
use super::proxy::Proxy;
use super::rig::Rig;
use super::{BOUND, within};
use crate::runner_desk::{labelled, name, python, variables};
use crate::support::client::Client;
use crate::support::pool_state::{Hash, State, number, text};
use crate::support::process::settings;
use crate::support::stage::KEY;

/// The pool that `support/pool_state.rs` judges.
pub(crate) const POOL: &str = "py";
/// How many runners there are, and how many workers each may have.
pub(crate) const RUNNERS: usize = 2;
const CAPACITY: &str = "4";
/// How many workers wait for sessions, and how many there are at most.
const SPARE: usize = 3;
const MAX: usize = 5;
/// How long a lease lasts where nobody says.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// How long a runner is believed.
pub(crate) const BELIEVED: Duration = Duration::from_secs(3);
/// The lease of a pool that nobody defined, ms.
const SHIPPED_LEASE_MS: u64 = 60_000;

/// How the pool is to be. A busy machine may keep a worker from answering for a second.
fn rules(draining: bool) -> Value {
    json!({"spare": SPARE, "max": MAX, "lease_ms": LEASE.as_secs() * 1000, "stop_ms": 10_000, "health_ms": 2000,
        "failures_max": 2, "affinity_ms": 3000, "cool_down_ms": 1500, "keyed_max": 2, "keyed_idle_ms": 2000,
        "foresee": false, "draining": draining})
}

/// The runners, and their way to the replicas.
pub(crate) struct Runners {
    pub(crate) keepers: Vec<Keeper>,
    pub(crate) door: Proxy,
    logs: Vec<PathBuf>,
    _work: tempfile::TempDir,
}

/// Nothing stays of a seed that failed, either.
impl Drop for Runners {
    fn drop(&mut self) {
        self.keepers.iter().for_each(Keeper::kill);
        for pid in self.processes() {
            send(pid, "KILL");
        }
    }
}

impl Runners {
    /// They are down until they are let start.
    pub(crate) async fn new(replicas: Vec<SocketAddr>, dir: &Path) -> Self {
        let door = Proxy::start(replicas).await;
        let work = tempfile::tempdir().expect("a directory");
        let (server, work_dir) = (format!("http://{}", door.address), work.path().display().to_string());
        let own = settings([
            ("GREENROOM_API_KEY", KEY),
            ("GREENROOM_LOG_FORMAT", "text"),
            ("ENABLE_LOG_AGGREGATION", "false"),
        ]);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/harness/worker.py");
        let logs: Vec<_> = (0..RUNNERS).map(|n| dir.join(format!("workers-{n}.log"))).collect();
        let keepers = logs.iter().enumerate().map(|(n, log)| {
            let name = format!("{}-{n}", name(work.path()));
            let args = ["runner", "--server", &server, "--pool", POOL, "--name", &name, "--work-dir", &work_dir];
            let args = args.into_iter().map(str::to_owned).chain(["--capacity", CAPACITY, "--"].map(str::to_owned));
            let worker = [python(), "-I".to_owned(), "-S".to_owned(), program.display().to_string()];
            let args = args.chain(worker).chain([log.display().to_string()]).collect();
            let keeper = Keeper::new(name, args, own.clone());
            keeper.kill();
            keeper
        });
        Self { keepers: keepers.collect(), door, logs, _work: work }
    }

    pub(crate) fn start(&self) {
        self.keepers.iter().for_each(Keeper::let_start);
    }

    /// What the workers wrote down, in the order in which it happened.
    pub(crate) fn lines(&self, history: &History) -> Vec<Line> {
        let logs = self.logs.iter().filter_map(|log| std::fs::read_to_string(log).ok());
        let mut lines: Vec<Line> =
            logs.flat_map(|log| log.lines().map(|line| line_of(line, history)).collect::<Vec<_>>()).collect();
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// All that runs for one of them, but itself.
    fn processes(&self) -> Vec<u32> {
        self.keepers.iter().flat_map(|keeper| labelled(keeper.name())).collect()
    }
}

fn line_of(line: &str, history: &History) -> Line {
    let whole: Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |field: &str| whole[field].as_str().unwrap_or_default().to_owned();
    Line {
        at: history.of_wall(whole["at"].as_u64().expect("a time")),
        worker: text("worker"),
        runner: text("runner"),
        what: text("what"),
        lease: text("lease"),
        whole,
    }
}

/// The part of each key that is the pool's shard's, `shards` being how many there are.
pub(crate) fn shard(shards: u16) -> u16 {
    let pool = PoolName { tenant: Name::default_tenant(), pool: Name::strict(POOL).expect("a name") };
    shard_of_pool(&pool, shards).0
}

/// Gives the pool its rules; waits until some replica has taken them.
pub(crate) async fn define(rig: &Rig) {
    put(rig, false).await;
}

/// Waits until the pool has its spare workers; `false` where it has not in time.
pub(crate) async fn has_spare(rig: &Rig) -> bool {
    let url = format!("http://{}/v1/pools/{POOL}", rig.replicas[0].address);
    let client = Client::new(Duration::from_secs(7));
    let ready = async || {
        let answer = client.get(&url).bearer_auth(KEY).send().await.ok()?;
        answer.json::<Value>().await.ok()?["status"]["workers"]["ready"].as_u64()
    };
    within(BOUND, async || ready().await.is_some_and(|ready| ready >= SPARE as u64)).await.is_some()
}

async fn put(rig: &Rig, draining: bool) -> bool {
    ask_any(rig, Method::PUT, &format!("/v1/pools/{POOL}"), Some(rules(draining))).await.is_some()
}

/// Asks one replica after the other until one does it; `None` where none does in time.
async fn ask_any(rig: &Rig, method: Method, path: &str, body: Option<Value>) -> Option<()> {
    let (client, began) = (Client::new(Duration::from_secs(7)), Instant::now());
    for replica in rig.replicas.iter().cycle().take_while(|_| began.elapsed() < BOUND) {
        let request = client.request(method.clone(), format!("http://{}{path}", replica.address)).bearer_auth(KEY);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    None
}

/// Sends a signal to a worker that lives: one with a session first.
pub(crate) fn signal_worker(history: &History, turn: usize, signal: &str) {
    let pools = history.pools.all();
    let Some((_, state)) = pools.last() else { return };
    let mut workers: Vec<_> = state.lives().filter(|(_, worker)| worker.contains_key("pid")).collect();
    workers.sort_by_key(|(_, worker)| text(worker, "state") != "busy");
    let busy = workers.iter().filter(|(_, worker)| text(worker, "state") == "busy").count();
    let Some((id, worker)) = workers.get(turn % busy.max(1)) else { return };
    let Some(pid) = pid_of(worker) else { return };
    // It may be gone, and another process have its number.
    if is_of(pid, id) {
        history.harmed.add((history.now(), (*id).clone()));
        send(pid, signal);
    }
}

/// Lets those go on that were made to hang, and still do.
pub(crate) fn wake_workers(history: &History) {
    let pools = history.pools.all();
    let harmed = history.harmed.all();
    let workers =
        harmed.iter().flat_map(|(_, id)| pools.iter().filter_map(move |(_, state)| Some((id, state.workers.get(id)?))));
    let processes: BTreeSet<_> = workers.filter_map(|(id, worker)| Some((id, pid_of(worker)?))).collect();
    processes.into_iter().filter(|(id, pid)| is_of(*pid, id)).for_each(|(_, pid)| send(pid, "CONT"));
}

fn pid_of(worker: &Hash) -> Option<u32> {
    u32::try_from(number(worker, "pid")?).ok()
}

fn is_of(pid: u32, worker: &str) -> bool {
    variables(pid).contains(&format!("GREENROOM_WORKER={worker}"))
}

fn send(pid: u32, signal: &str) {
    // Best effort: it may just have gone.
    let _ = std::process::Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
}

/// What keeps the pool from being at rest in its size, everything being mended and nobody calling.
pub(crate) async fn unrest(rig: &Rig, history: &History) -> Vec<String> {
    let state = async || history.pools.all().last().map(|(_, state)| state.clone()).unwrap_or_default();
    let rested = within(BOUND, async || {
        let state = state().await;
        end_shipped(rig, &state).await;
        unrest_of(&state).is_empty()
    });
    if rested.await.is_some() { Vec::new() } else { unrest_of(&state().await) }
}

fn unrest_of(state: &State) -> Vec<String> {
    let mut unrest: Vec<String> = state.leases.iter().map(|(id, lease)| format!("{id}: {lease:?}")).collect();
    let is_ready = |worker: &Hash| text(worker, "state") == "ready";
    let busy = state.lives().filter(|(_, worker)| !is_ready(worker));
    unrest.extend(busy.map(|(id, worker)| format!("{id}: {worker:?}")));
    let ready = state.lives().filter(|(_, worker)| is_ready(worker)).count();
    if ready != SPARE {
        unrest.push(format!("{ready} workers are ready"));
    }
    unrest
}

/// A session that was found again before its pool had its rules back has the shipped lease, which is long: whoever
/// looks after the pool ends it.
async fn end_shipped(rig: &Rig, state: &State) {
    for (id, lease) in state.leases.iter().filter(|(_, lease)| number(lease, "lease_ms") == Some(SHIPPED_LEASE_MS)) {
        let body = json!({"token": number(lease, "token")});
        ask_any(rig, Method::POST, &format!("/v1/leases/{id}/release"), Some(body)).await;
    }
}

/// Drains the pool, ends its runners, and removes it; what of that does not come to pass.
pub(crate) async fn close(rig: &Rig) -> Vec<String> {
    let mut left = Vec::new();
    if !put(rig, true).await {
        left.push("the pool cannot be drained".to_owned());
    }
    rig.runners.keepers.iter().for_each(Keeper::ask_to_end);
    if within(BOUND, async || rig.runners.keepers.iter().all(Keeper::is_down)).await.is_none() {
        left.push("a runner does not end".to_owned());
    }
    if ask_any(rig, Method::DELETE, &format!("/v1/pools/{POOL}"), None).await.is_none() {
        left.push("the pool cannot be removed".to_owned());
    }
    let processes = rig.runners.processes();
    if !processes.is_empty() {
        left.push(format!("processes of workers: {processes:?}"));
    }
    left
}
