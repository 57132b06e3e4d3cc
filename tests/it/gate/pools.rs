//! Who takes part where a pool is played: sessions, runners with their workers, leaders, and somebody who marks workers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use greenroom::name::Name;
use greenroom::pool::{
    Action, Affinity, Instruction, Lease, Observed, ObservedState, PoolError, PoolName, PoolSettings, Pools, Priority,
    Runner, Wish, WorkerState,
};
use greenroom::store::keys::Shard;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::cast::{Book, Replica};
use crate::support::pool_scene::{TestRunner, wish};

/// How many workers wait for sessions.
pub(super) const SPARE: u32 = 2;
/// For how long a silent runner is believed.
pub(super) const BELIEVED: Duration = Duration::from_secs(10);
const SESSIONS: usize = 5;
const TURNS: usize = 2;

pub(super) fn pool() -> PoolName {
    PoolName { tenant: Name::default_tenant(), pool: Name::strict("py").expect("a name") }
}

pub(super) fn settings() -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, ..PoolSettings::default() };
    let numbers = &mut settings.numbers;
    (numbers.spare, numbers.max, numbers.starts_max, numbers.sessions_max) = (SPARE, 4, 2, 3);
    (numbers.lease_ms, numbers.assign_ms, numbers.reset_ms) = (3_000, 2_000, 2_500);
    (numbers.start_ms, numbers.stop_ms, numbers.cool_down_ms) = (8_000, 3_000, 2_000);
    settings
}

fn millis(rng: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..most))
}

impl Replica {
    /// A session after the other: each has a name or none, waits for as long as it may or hangs up, keeps its worker,
    /// gives it back or does not, and may go on when it is over, or with a token that is none of its own.
    async fn be_a_session(self, mut rng: StdRng) {
        let tenant = Name::default_tenant();
        for _ in 0..TURNS {
            sleep(millis(&mut rng, 2000)).await;
            let Some(lease) = self.take_a_worker(&mut rng).await else { continue };
            let (id, token) = (lease.id, lease.token.unwrap_or_default());
            if rng.random_bool(0.15) {
                let other = token - rng.random_range(1..3);
                let _ = self.pools.renew(&tenant, (id, other), None, None).await;
                let _ = self.pools.release(&tenant, (id, other), None).await;
            }
            sleep(millis(&mut rng, 2000)).await;
            for _ in 0..rng.random_range(0..3) {
                let _ = self.pools.renew(&tenant, (id, token), None, None).await;
                sleep(millis(&mut rng, 2500)).await;
            }
            if rng.random_bool(0.7) {
                let _ = self.pools.release(&tenant, (id, token), None).await;
            }
            if rng.random_bool(0.4) {
                sleep(millis(&mut rng, 3000)).await;
                let _ = self.pools.renew(&tenant, (id, token), None, None).await;
            }
        }
    }

    async fn take_a_worker(&self, rng: &mut StdRng) -> Option<Lease> {
        let session = [None, None, Some("anna"), Some("bert")][rng.random_range(0..4)];
        let affinity = [Affinity::Hint, Affinity::Hint, Affinity::Queue, Affinity::Fail][rng.random_range(0..4)];
        let priority = if rng.random_bool(0.2) { Priority::Urgent } else { Priority::Normal };
        let lease = rng.random_bool(0.5).then(|| Duration::from_millis(rng.random_range(1000..5000)));
        let wait = if rng.random_bool(0.2) { Duration::ZERO } else { millis(rng, 10_000) };
        let wish = Wish { wait, lease, affinity, priority, ..wish(session) };
        let patience = if rng.random_bool(0.2) { millis(rng, 2500) } else { Duration::from_mins(5) };
        let of = pool();
        timeout(patience, self.pools.lease(&of, &wish, None)).await.ok()?.ok()
    }

    /// What a leader does for its pools, again and again.
    pub(super) async fn keep_the_pool(self, term: u64) {
        let begun = self.store.begin_term(Shard(0), term).await;
        while begun.is_ok() && !self.book.over.load(Ordering::SeqCst) {
            let _ = self.pools.plan(&pool(), false).await;
            let _ = self.store.reap_pools(Shard(0), term, 100).await;
            let _ = self.store.reap_leases(Shard(0), term, 100, BELIEVED).await;
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Says of workers what is to become of them.
    async fn mark_workers(self, mut rng: StdRng) {
        for _ in 0..4 {
            sleep(millis(&mut rng, 5000)).await;
            let Ok(mut page) = self.pools.workers(&pool(), None, 10).await else { continue };
            // Those that wait before those that come or go.
            page.workers.sort_by_key(|worker| worker.state != WorkerState::Ready);
            let mark = ["cordon", "uncordon", "drain", "recycle"][rng.random_range(0..4)];
            if let Some(worker) = page.workers.first() {
                let _ = self.pools.mark(&Name::default_tenant(), worker.id, mark, None).await;
            }
        }
    }

    /// Nobody is cordoned any longer.
    pub(super) async fn welcome_all(self) -> Result<(), PoolError> {
        for worker in self.pools.workers(&pool(), None, 10).await?.workers {
            // It may have gone meanwhile.
            let _ = self.pools.mark(&pool().tenant, worker.id, "uncordon", None).await;
        }
        Ok(())
    }

    /// The pool is to have no workers any longer.
    pub(super) async fn drain_the_pool(self) -> Result<(), PoolError> {
        let settings = PoolSettings { draining: true, ..settings() };
        self.pools.define(&pool(), &settings, None).await.map(drop)
    }
}

/// What was answered of what a runner told, for it to tell only what is new since.
#[derive(Default)]
struct Heard {
    since: Option<u64>,
    workers: BTreeMap<String, Observed>,
}

impl Heard {
    /// What is new in `all`; what is told and not answered is told again.
    fn news(&mut self, all: &Runner) -> Runner {
        let is_new = |worker: &&Observed| self.workers.get(&worker.id) != Some(worker);
        let workers: Vec<_> = all.workers.iter().filter(is_new).cloned().collect();
        for worker in &workers {
            self.workers.remove(&worker.id);
        }
        Runner { since: self.since, workers, ..all.clone() }
    }

    fn add(&mut self, told: Runner) {
        self.since = Some(told.report);
        let lives = told.workers.into_iter().filter(|worker| worker.state != ObservedState::Gone);
        self.workers.extend(lives.map(|worker| (worker.id.clone(), worker)));
    }
}

/// A runner of the schedule. It asks any replica, and another where that does not answer.
struct Crew {
    it: TestRunner,
    heard: Heard,
    /// The last answer, unless it is to hear everything again.
    known: Option<String>,
    /// Whom each of its workers serves, or served last and was not reset since: by the token of the assignment.
    served: BTreeMap<String, u64>,
    rng: StdRng,
    book: Book,
}

impl Crew {
    async fn run(mut self) {
        while !self.book.is_deserted.load(Ordering::SeqCst) {
            let pools = self.any_replica();
            let wait = Duration::from_millis(if self.book.is_calm() { 2000 } else { self.rng.random_range(0..3000) });
            let of = pool();
            self.it.runner.report += 1;
            if self.rng.random_bool(0.15) {
                self.heard = Heard::default();
            }
            let told = self.heard.news(&self.it.runner);
            let asked = timeout(Duration::from_secs(5), pools.sync(&of, &told, self.known.as_deref(), wait)).await;
            match asked {
                Ok(Ok(synced)) => {
                    self.it.runner.workers.retain(|worker| worker.state != ObservedState::Gone);
                    self.heard.add(told);
                    self.known = Some(synced.revision);
                    self.follow(&synced.instructions);
                }
                Ok(Err(PoolError::IncompleteReport | PoolError::StaleReport)) => self.heard = Heard::default(),
                _ => {}
            }
            let pause = self.have_trouble();
            sleep(pause).await;
        }
    }

    fn any_replica(&mut self) -> Pools {
        let replicas = self.book.replicas.lock().expect("no panic");
        replicas[self.rng.random_range(0..replicas.len())].clone()
    }

    /// Does what it is told, in time or not, or fails.
    fn follow(&mut self, instructions: &[Instruction]) {
        let told: Vec<_> = instructions.iter().filter(|told| self.is_news(told)).cloned().collect();
        for told in &told {
            if told.action == Action::Assign {
                self.note_session(told);
            }
        }
        if self.book.is_calm() {
            self.it.obey(&told);
            for told in told.iter().filter(|told| matches!(told.action, Action::Reset | Action::Restart)) {
                self.served.remove(&told.worker);
            }
            return;
        }
        for told in told {
            let fate = self.rng.random_range(0..100);
            match (told.action, fate) {
                // Not yet; it hears of it again.
                (_, 0..20) => self.known = None,
                (Action::Assign | Action::Reset | Action::Restart, 20..32) => {
                    self.change(&told, |it| (it.instruction, it.done) = (Some(told.token), false));
                }
                (_, 32..36) => self.change(&told, |it| it.state = ObservedState::Gone),
                (action, _) => {
                    self.it.obey(std::slice::from_ref(&told));
                    match action {
                        Action::Assign => drop(self.served.insert(told.worker, told.token)),
                        Action::Reset | Action::Restart => drop(self.served.remove(&told.worker)),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether that was not done, or tried, before.
    fn is_news(&self, told: &Instruction) -> bool {
        let known = self.it.runner.workers.iter().find(|worker| worker.id == told.worker);
        known.is_none_or(|worker| worker.instruction != Some(told.token))
    }

    /// What the worker itself sees: nobody comes before the one before has left and it was reset.
    fn note_session(&mut self, told: &Instruction) {
        if let Some(before) = self.served.get(&told.worker) {
            let text = format!("{} is told to take {:?}, and still has what {before} was", told.worker, told.lease);
            self.book.accuse(text);
        }
    }

    fn change(&mut self, told: &Instruction, change: impl FnOnce(&mut Observed)) {
        if let Ok(id) = told.worker.parse()
            && self.it.runner.workers.iter().any(|worker| worker.id == told.worker)
        {
            self.it.tell(id, change);
        }
    }

    /// What befalls it between two calls; returns how long it does nothing.
    fn have_trouble(&mut self) -> Duration {
        let (rng, runner) = (&mut self.rng, &mut self.it.runner);
        if self.book.is_calm() {
            runner.draining = false;
            runner.workers.iter_mut().for_each(|worker| worker.failures = 0);
            return Duration::from_millis(300);
        }
        for worker in &mut runner.workers {
            match rng.random_range(0..100) {
                0..2 => worker.state = ObservedState::Gone,
                2..5 => worker.failures = rng.random_range(1..4),
                5..40 => worker.failures = 0,
                _ => {}
            }
        }
        match rng.random_range(0..100) {
            // It is killed, with all that it had.
            0..2 => {
                runner.workers.clear();
                (self.heard, self.known) = (Heard::default(), None);
            }
            2..4 => runner.draining = !runner.draining,
            4..8 => return Duration::from_millis(rng.random_range(1000..15_000)),
            _ => {}
        }
        millis(rng, 500)
    }
}

/// The runners, who go on until they are told to stop, and a leader.
pub(super) fn open(replicas: &[Replica], rng: &mut StdRng) {
    let book = &replicas[0].book;
    *book.replicas.lock().expect("no panic") = replicas.iter().map(|replica| replica.pools.clone()).collect();
    book.calm.store(true, Ordering::SeqCst);
    for name in ["one", "two"] {
        let (it, dice, book) = (TestRunner::new(name, 4), StdRng::seed_from_u64(rng.random()), book.clone());
        tokio::spawn(Crew { it, heard: Heard::default(), known: None, served: BTreeMap::new(), rng: dice, book }.run());
    }
    let actor = rng.random_range(0..replicas.len());
    tokio::spawn(replicas[actor].clone().keep_the_pool(1));
}

/// Everybody else, at work; leaders go on until they are told to stop.
pub(super) fn set_out(replicas: &[Replica], rng: &mut StdRng) -> Vec<(usize, JoinHandle<()>)> {
    let mut handles = Vec::new();
    replicas[0].book.calm.store(false, Ordering::SeqCst);
    // Two that both believe to lead, now and then: the older one is refused.
    if rng.random_bool(0.5) {
        let actor = rng.random_range(0..replicas.len());
        tokio::spawn(replicas[actor].clone().keep_the_pool(2));
    }
    for _ in 0..SESSIONS {
        let (actor, dice) = (rng.random_range(0..replicas.len()), StdRng::seed_from_u64(rng.random()));
        handles.push((actor, tokio::spawn(replicas[actor].clone().be_a_session(dice))));
    }
    if rng.random_bool(0.5) {
        let (actor, dice) = (rng.random_range(0..replicas.len()), StdRng::seed_from_u64(rng.random()));
        handles.push((actor, tokio::spawn(replicas[actor].clone().mark_workers(dice))));
    }
    handles
}
