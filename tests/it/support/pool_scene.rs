//! A pool on a store whose time stands still, and runners that do what they are told, or not.

use std::time::Duration;

use greenroom::id::{LeaseId, WorkerId};
use greenroom::name::Name;
use greenroom::pool::{
    Action, Affinity, Assignment, Instruction, Lease, Observed, ObservedState, PoolName, PoolSettings, Priority,
    Runner, SessionRef, Wish, Worker, WorkerState,
};
use greenroom::store::keys::{Shard, shard_of_pool};
use greenroom::store::{Lapsed, LeaseAsked, StoreError};

use super::scene::{Scene, TERM};

/// How long a runner is believed.
pub(crate) const HEARD: Duration = Duration::from_secs(15);

pub(crate) struct PoolScene {
    pub(crate) scene: Scene,
    pub(crate) pool: PoolName,
    pub(crate) settings: PoolSettings,
}

/// A runner in the test's hands.
pub(crate) struct TestRunner {
    pub(crate) runner: Runner,
}

pub(crate) fn wish(session: Option<&str>) -> Wish {
    Wish {
        session: session.map(|session| SessionRef::Named(Name::room(session).expect("a name"))),
        lease: None,
        wait: Duration::from_secs(10),
        priority: Priority::Normal,
        affinity: Affinity::Hint,
        assignment: Assignment::default(),
    }
}

/// The same for a key.
pub(crate) fn wish_of_key(key: &str) -> Wish {
    Wish { session: Some(SessionRef::Keyed(Name::room(key).expect("a key"))), ..wish(None) }
}

impl TestRunner {
    pub(crate) fn new(name: &str, capacity: u32) -> Self {
        let strict = |text: &str| Name::strict(text).expect("a name");
        let (name, host, driver, boot) = (strict(name), strict("host"), strict("process"), strict("boot"));
        let (draining, report, since, workers) = (false, 0, None, Vec::new());
        Self { runner: Runner { name, host, driver, capacity, draining, boot, report, since, workers } }
    }

    fn observed(&mut self, id: &str) -> &mut Observed {
        let workers = &mut self.runner.workers;
        if let Some(at) = workers.iter().position(|worker| worker.id == id) {
            return &mut workers[at];
        }
        workers.push(Observed {
            id: id.to_owned(),
            state: ObservedState::Starting,
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
        });
        workers.last_mut().expect("a worker")
    }

    /// Changes what it tells of a worker.
    pub(crate) fn tell(&mut self, id: WorkerId, change: impl FnOnce(&mut Observed)) {
        change(self.observed(&id.to_string()));
    }

    /// Does what it was told, all well. Returns whether there was anything to do.
    pub(crate) fn obey(&mut self, instructions: &[Instruction]) -> bool {
        self.runner.workers.retain(|worker| worker.state != ObservedState::Gone);
        let mut did = false;
        for Instruction { worker, action, token, lease, session, .. } in instructions {
            let is_new = !self.runner.workers.iter().any(|known| known.id == *worker);
            if is_new && *action == Action::Stop {
                continue;
            }
            let it = self.observed(worker);
            let state = match action {
                Action::Run if it.state == ObservedState::Starting => ObservedState::Ready,
                Action::Run | Action::Keep => continue,
                Action::Assign => ObservedState::Busy,
                Action::Reset | Action::Restart => ObservedState::Ready,
                Action::Stop => ObservedState::Gone,
            };
            let is_busy = state == ObservedState::Busy;
            (it.state, it.done) = (state, true);
            it.instruction = (*action != Action::Run).then_some(*token);
            it.lease = lease.clone().filter(|_| is_busy);
            it.session = session.as_ref().filter(|_| is_busy).map(|session| session.encoded().into_owned());
            it.released = false;
            did = true;
        }
        did
    }
}

impl PoolScene {
    pub(crate) async fn open(settings: PoolSettings) -> Self {
        let scene = Scene::open().await;
        let pool = PoolName { tenant: Name::default_tenant(), pool: Name::strict("py").expect("a name") };
        let scene = Self { scene, pool, settings };
        scene.define(&scene.settings).await;
        scene
    }

    /// Gives the pool other settings.
    pub(crate) async fn define(&self, settings: &PoolSettings) -> bool {
        self.scene.store.define_pool(&self.pool, settings, false, 10, None).await.expect("a pool")
    }

    /// Empties the store, and makes the pool again.
    pub(crate) async fn anew(&self) {
        self.scene.run::<()>(&["FLUSHALL"]).await;
        self.scene.restart_time();
        self.define(&self.settings).await;
    }

    pub(crate) fn shard(&self) -> Shard {
        shard_of_pool(&self.pool, self.scene.store.shards())
    }

    /// A pool of that many workers, all ready, on one runner.
    pub(crate) async fn with_workers(mut settings: PoolSettings, workers: u32) -> (Self, TestRunner) {
        settings.numbers.spare = workers;
        settings.numbers.starts_max = workers.max(1);
        let scene = Self::open(settings).await;
        let mut runner = TestRunner::new("one", workers + 10);
        scene.sync(&mut runner).await;
        scene.settle(&mut runner).await;
        assert_eq!(scene.count(WorkerState::Ready).await, u64::from(workers));
        (scene, runner)
    }

    pub(crate) async fn plan(&self) -> greenroom::pool::Plan {
        let planned = self.scene.store.plan_pool(&self.pool, 0, false).await.expect("a plan");
        planned.expect("a pool").plan
    }

    pub(crate) async fn sync(&self, runner: &mut TestRunner) -> Vec<Instruction> {
        runner.runner.report += 1;
        let told = self.hear(runner).await.expect("instructions");
        runner.runner.workers.retain(|worker| worker.state != ObservedState::Gone);
        told
    }

    /// What it told last, once more.
    pub(crate) async fn hear(&self, runner: &TestRunner) -> Result<Vec<Instruction>, StoreError> {
        Ok(self.scene.store.sync_runner(&self.pool, &runner.runner, None, HEARD).await?.instructions)
    }

    /// One round: what was told is done, and told back.
    pub(crate) async fn round(&self, runner: &mut TestRunner) -> bool {
        let told = self.sync(runner).await;
        let did = runner.obey(&told);
        if did {
            self.sync(runner).await;
        }
        did
    }

    /// Until nothing is to be done.
    pub(crate) async fn settle(&self, runner: &mut TestRunner) {
        for _ in 0..20 {
            self.plan().await;
            if !self.round(runner).await {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub(crate) fn new_id(&self) -> LeaseId {
        LeaseId::new(self.shard().0)
    }

    pub(crate) async fn ask_as(&self, id: LeaseId, wish: &Wish) -> Result<LeaseAsked, StoreError> {
        self.scene.store.ask_for_worker(&self.pool, id, wish, None).await
    }

    /// Asks, and is in line or offered a worker.
    pub(crate) async fn ask(&self, wish: &Wish) -> Lease {
        match self.ask_as(self.new_id(), wish).await.expect("an answer") {
            LeaseAsked::Held(lease) | LeaseAsked::Pending(lease) => lease,
            LeaseAsked::None => panic!("no worker"),
        }
    }

    pub(crate) async fn confirm(&self, id: LeaseId) -> LeaseAsked {
        self.scene.store.confirm_lease(&self.pool, id, false, None).await.expect("an answer")
    }

    /// The lease, which its session has by now.
    pub(crate) async fn held(&self, id: LeaseId) -> Lease {
        match self.confirm(id).await {
            LeaseAsked::Held(lease) => lease,
            other => panic!("not held: {other:?}"),
        }
    }

    /// A session gets a worker.
    pub(crate) async fn lease(&self, runner: &mut TestRunner, session: Option<&str>) -> Lease {
        let asked = self.ask(&wish(session)).await;
        self.round(runner).await;
        self.held(asked.id).await
    }

    pub(crate) async fn release(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.scene.store.release_lease(&self.pool.tenant, (lease.id, lease.token), None).await
    }

    pub(crate) async fn worker(&self, id: WorkerId) -> Worker {
        self.scene.store.worker(id).await.expect("an answer").expect("a worker")
    }

    pub(crate) async fn state(&self, id: WorkerId) -> (WorkerState, String) {
        let worker = self.worker(id).await;
        (worker.state, worker.reason)
    }

    pub(crate) async fn status(&self) -> greenroom::pool::PoolStatus {
        self.scene.store.pool(&self.pool).await.expect("an answer").expect("a pool").status
    }

    pub(crate) async fn count(&self, state: WorkerState) -> u64 {
        let status = self.status().await;
        status.workers.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count)
    }

    /// The leader's looks at what is due.
    pub(crate) async fn reap(&self) -> Lapsed {
        let shard = self.shard();
        self.scene.store.reap_pools(shard, TERM, 100).await.expect("a look");
        self.scene.store.reap_leases(shard, TERM, 100, HEARD).await.expect("a look")
    }

    /// Time passes, with everybody looking all the while.
    pub(crate) async fn pass(&self, runner: &mut TestRunner, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(5));
            self.scene.pass(step);
            left -= step;
            self.sync(runner).await;
            self.reap().await;
        }
    }
}
