//! Random sequences of calls of pools against a small model: sessions, runners and the leader in any order, workers that
//! fail, die and lie silent, tokens that are stale.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use greenroom::id::{LeaseId, WorkerId};
use greenroom::pool::{Action, ObservedState, PoolSettings, ResetMode, Wish};
use greenroom::store::{LeaseAsked, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner as Tries};

mod ops;

use self::ops::{Op, op, pick};
use crate::support::pool_scene::{PoolScene, TestRunner, wish, wish_of_key};
use crate::support::pool_state::{State, is_keyed, is_spare, number, text};
use crate::support::redis::on_cluster;

/// What the model knows of a worker.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    token: u64,
    /// The token of its last lease.
    granted: u64,
    /// How many sessions it had when it last showed that nothing of them is left.
    clean: u64,
    is_gone: bool,
}

struct World<'a> {
    pool: &'a PoolScene,
    runners: [TestRunner; 2],
    /// Leases that were ever asked for, with the last token that was told.
    asked: Vec<(LeaseId, Option<u64>)>,
    workers: BTreeMap<String, Known>,
    state: State,
}

type Step = Result<(), TestCaseError>;

/// Refusals are part of the game; anything else is a failure of the store.
fn allowed<T>(answer: Result<T, StoreError>) -> Result<Option<T>, TestCaseError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Refused(_)) => Ok(None),
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

fn settings() -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, ..PoolSettings::default() };
    let numbers = &mut settings.numbers;
    (numbers.max, numbers.queue_max, numbers.sessions_max, numbers.cool_down_ms) = (4, 4, 3, 5_000);
    (numbers.keyed_max, numbers.keyed_idle_ms) = (2, 20_000);
    settings
}

impl World<'_> {
    fn note(&mut self, asked: Option<LeaseAsked>) {
        let Some(LeaseAsked::Held(lease) | LeaseAsked::Pending(lease)) = asked else { return };
        self.asked.retain(|(id, _)| *id != lease.id);
        self.asked.push((lease.id, lease.token));
    }

    /// What the runner tells counts as proof where it names the reset that the worker was told last.
    async fn sync(&mut self, runner: usize) -> Result<Vec<greenroom::pool::Instruction>, TestCaseError> {
        for report in &self.runners[runner].runner.workers {
            let Some(worker) = self.state.workers.get(&report.id) else { continue };
            let is_told = report.instruction.is_some() && report.instruction == number(worker, "token");
            if is_told && report.done && text(worker, "instruction") == "reset" {
                let known = self.workers.entry(report.id.clone()).or_default();
                known.clean = number(worker, "sessions").unwrap_or_default();
            }
        }
        let told = self.pool.sync(&mut self.runners[runner]).await;
        self.look().await?;
        Ok(told)
    }

    async fn apply(&mut self, op: &Op) -> Step {
        let (pool, store, tenant) = (self.pool, &self.pool.scene.store, &self.pool.pool.tenant);
        match *op {
            Op::Ask { session, keyed, waits, affinity, priority } => {
                let name = session.map(|session| format!("session-{session}"));
                let whose = if keyed { name.as_deref().map(wish_of_key) } else { Some(wish(name.as_deref())) };
                let wait = Duration::from_secs(if waits { 10 } else { 0 });
                let wish = Wish { wait, affinity, priority, ..whose.unwrap_or_else(|| wish(None)) };
                let id = pool.new_id();
                let asked = allowed(pool.ask_as(id, &wish).await)?;
                self.note(asked);
                self.look().await?;
                self.check_limit(id).await?;
            }
            Op::Confirm { lease } => {
                let Some((id, _)) = pick(&self.asked, lease) else { return Ok(()) };
                let asked = allowed(store.confirm_lease(&pool.pool, id, false, None).await)?;
                self.note(asked);
            }
            Op::Renew { lease, stale } => {
                let Some((id, Some(token))) = pick(&self.asked, lease) else { return Ok(()) };
                allowed(store.renew_lease(tenant, (id, token - u64::from(stale)), None, None).await)?;
            }
            Op::Release { lease, token } => {
                let Some((id, known)) = pick(&self.asked, lease) else { return Ok(()) };
                allowed(store.release_lease(tenant, (id, known.filter(|_| token)), None).await)?;
            }
            Op::Pass { ms } => pool.scene.pass(Duration::from_millis(ms)),
            Op::Obey { runner } => {
                let told = self.sync(runner).await?;
                if self.runners[runner].obey(&told) {
                    self.sync(runner).await?;
                }
            }
            Op::Hear { runner } => drop(self.sync(runner).await?),
            Op::Fail { runner } => {
                for told in self.sync(runner).await? {
                    let id: WorkerId = told.worker.parse().expect("an id");
                    let runner = &mut self.runners[runner];
                    if matches!(told.action, Action::Assign | Action::Reset | Action::Restart) {
                        runner.tell(id, |it| (it.instruction, it.done) = (Some(told.token), false));
                    }
                }
                self.sync(runner).await?;
            }
            Op::Die { runner, worker } => {
                let runner = &mut self.runners[runner];
                let Some(worker) = pick(&runner.runner.workers, worker) else { return Ok(()) };
                runner.tell(worker.id.parse().expect("an id"), |it| it.state = ObservedState::Gone);
            }
            Op::Sicken { runner, worker, failures } => {
                let runner = &mut self.runners[runner];
                let Some(worker) = pick(&runner.runner.workers, worker) else { return Ok(()) };
                runner.tell(worker.id.parse().expect("an id"), |it| it.failures = failures);
            }
            Op::Restart { runner } => self.runners[runner].runner.workers.clear(),
            Op::Leave { runner } => {
                let runner = &mut self.runners[runner].runner;
                runner.draining = !runner.draining;
            }
            Op::Plan => drop(allowed(store.plan_pool(&pool.pool, 0, false).await)?),
            Op::Mark { worker, mark } => {
                let ids: Vec<WorkerId> = self.state.lives().map(|(id, _)| id.parse().expect("an id")).collect();
                let Some(id) = pick(&ids, worker) else { return Ok(()) };
                allowed(store.mark_worker(tenant, id, mark, None).await)?;
            }
            Op::Reap => drop(pool.reap().await),
            Op::Define { spare, max, confirm, fresh, version, draining } => {
                let mut settings = settings();
                (settings.numbers.spare, settings.numbers.max) = (spare, max);
                (settings.confirm, settings.draining, settings.version) = (confirm, draining, version.to_string());
                settings.reset_mode = if fresh { ResetMode::Fresh } else { ResetMode::Soft };
                pool.define(&settings).await;
            }
        }
        self.look().await?;
        Ok(())
    }

    /// A new keyed session makes no more of them than there may be. (Where the limit was lowered, there may be more already.)
    async fn check_limit(&self, id: LeaseId) -> Step {
        let keyed: Vec<_> = self.state.leases.iter().filter(|(_, lease)| is_keyed(lease)).collect();
        if keyed.iter().any(|(known, _)| **known == id.to_string()) {
            let now = self.pool.scene.store.pool(&self.pool.pool).await.expect("an answer").expect("a pool");
            let (numbers, in_use) = (now.settings.numbers, keyed.len());
            let most = usize::try_from(numbers.keyed_max.min(numbers.max)).expect("a few");
            let was_rebound = keyed.iter().all(|(_, lease)| text(lease, "state") != "idle") && in_use > most;
            prop_assert!(in_use <= most || was_rebound, "{in_use} keyed sessions, of which {most} may be: {keyed:?}");
        }
        Ok(())
    }

    /// Leases that were held, and were neither given back nor could have lapsed or lost their worker.
    fn check_kept(&self, op: &Op, before: &State) -> Step {
        let is_quiet = matches!(
            op,
            Op::Ask { .. } | Op::Confirm { .. } | Op::Renew { .. } | Op::Plan | Op::Mark { .. } | Op::Define { .. }
        );
        let is_look = matches!(op, Op::Reap);
        self.state.check_kept(before, |_, lease, worker| {
            // Its key asked, and its worker is not well: it has another one.
            let is_rebound = matches!(op, Op::Ask { keyed: true, .. }) && text(worker, "health") == "unhealthy";
            is_rebound || !is_quiet && (!is_look || before.is_over(lease, worker, self.state.now))
        })
    }

    /// The invariants, after every call.
    async fn look(&mut self) -> Step {
        let before = std::mem::replace(&mut self.state, State::read(self.pool).await);
        self.state.check()?;
        self.state.check_service()?;
        self.state.check_order(&before)?;
        for (id, worker) in &self.state.workers {
            let known = self.workers.entry(id.clone()).or_default();
            let (token, sessions) = (number(worker, "token").unwrap_or_default(), number(worker, "sessions"));
            prop_assert!(token >= known.token, "token {token} after {}: {worker:?}", known.token);
            known.token = token;
            let (state, sessions) = (text(worker, "state"), sessions.unwrap_or_default());
            match state {
                "ready" | "degraded" => prop_assert_eq!(sessions, known.clean, "not clean: {:?}", worker),
                "busy" => prop_assert_eq!(sessions, known.clean + 1, "two sessions without a reset: {:?}", worker),
                _ => {}
            }
            if let Some(lease) = self.state.leases.get(text(worker, "lease")) {
                let granted = number(lease, "token").unwrap_or_default();
                let is_same =
                    before.leases.get(text(worker, "lease")).is_some_and(|it| it.get("token") == lease.get("token"));
                prop_assert!(granted > known.granted || is_same, "a token was given twice: {lease:?}");
                known.granted = granted;
            }
            prop_assert!(!known.is_gone || state == "terminated", "it came back: {worker:?}");
            known.is_gone = state == "terminated";
        }
        Ok(())
    }

    /// However it stands: with runners that do what they are told, sessions that end and a leader that looks, the pool
    /// comes back to its size, and nothing of any session is left.
    async fn wind_up(&mut self) -> Step {
        let pool = self.pool;
        pool.define(&settings()).await;
        for runner in &mut self.runners {
            runner.runner.draining = false;
            for worker in &mut runner.runner.workers {
                worker.failures = 0;
            }
        }
        let marked: Vec<String> = self.state.lives().map(|(id, _)| id.clone()).collect();
        for id in marked {
            let id = id.parse().expect("an id");
            allowed(pool.scene.store.mark_worker(&pool.pool.tenant, id, "uncordon", None).await)?;
        }
        self.look().await?;
        for _ in 0..60 {
            pool.scene.pass(Duration::from_secs(5));
            for runner in 0..2 {
                let told = self.sync(runner).await?;
                if self.runners[runner].obey(&told) {
                    self.sync(runner).await?;
                }
            }
            pool.reap().await;
            self.look().await?;
            pool.plan().await;
            self.look().await?;
            let is_calm = self.state.leases.is_empty() && self.state.lives().all(|(_, it)| is_spare(it));
            if is_calm && self.state.lives().count() == 2 {
                pool.scene.check_keys().await;
                return Ok(());
            }
        }
        let left: Vec<_> = self.state.lives().collect();
        Err(TestCaseError::fail(format!("it does not come to rest: {left:?}, {:?}", self.state.leases)))
    }
}

async fn play(pool: &PoolScene, ops: &[Op]) -> Step {
    pool.anew().await;
    let runners = [TestRunner::new("one", 3), TestRunner::new("two", 2)];
    let (asked, workers, state) = (Vec::new(), BTreeMap::new(), State::default());
    let mut world = World { pool, runners, asked, workers, state };
    // Two are ready, and the leader has looked for long enough.
    for _ in 0..4 {
        pool.plan().await;
        world.look().await?;
        world.apply(&Op::Obey { runner: 0 }).await?;
        pool.reap().await;
        pool.scene.pass(Duration::from_secs(5));
    }
    for op in ops {
        world.look().await?;
        let before = world.state.clone();
        world.apply(op).await?;
        world.check_kept(op, &before)?;
    }
    world.wind_up().await
}

/// `PROPTEST_CASES` sets how many sequences are tried.
#[test]
fn random_calls_of_pools_break_no_invariant() {
    // All of Redis is looked at by one script, which sees one master.
    if on_cluster() {
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let pool = runtime.block_on(PoolScene::open(settings()));
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 1000, ..Config::default() };
    let sequences = prop::collection::vec(op(), 1..50);
    let outcome = Tries::new(config).run(&sequences, |ops| runtime.block_on(play(&pool, &ops)));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
