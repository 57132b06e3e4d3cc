//! What becomes of workers that fail, and of those that had better be others: each kind, and many at once.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::id::WorkerId;
use greenroom::pool::{ObservedState, PoolSettings, WorkerState};
use serde_json::json;

use crate::support::pool_scene::{PoolScene, TestRunner, wish};

const PROBE: &str = "
local told = {}
for i, case in ipairs(cjson.decode(ARGV[1])) do
  local what, why = recovery(case.kind, case)
  told[i] = what .. ' ' .. why
end
return told";

/// What a decision depends on.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: &'static str,
    leased: bool,
    failures: u32,
    flaps: u32,
    flaps_max: u32,
    /// As many come or go as may at once.
    is_full: bool,
    starts_failed: u32,
    backing_off: bool,
}

impl Case {
    /// What is to be done, by the kind of failure.
    fn expected(self) -> String {
        let (kind, leased) = (self.kind, self.leased);
        let may_replace = !self.is_full && !self.backing_off;
        // What is of use is not given away while nothing takes its place.
        let may_replace_good = may_replace && self.starts_failed == 0;
        let (what, why) = match kind {
            "start_failed" | "start_timeout" => ("retry", kind),
            "crashed" | "lost" | "runner_lost" | "stop_timeout" | "assign_failed" | "assign_timeout"
            | "reset_failed" | "reset_timeout" => ("remove", kind),
            "unhealthy" if leased => (if self.failures >= 3 && may_replace_good { "replace" } else { "wait" }, kind),
            "unhealthy" => (if self.failures >= 3 && may_replace { "replace" } else { "degrade" }, kind),
            "well" if self.flaps_max == 0 || self.flaps < self.flaps_max => ("recover", "recovered"),
            "well" if leased => (if may_replace_good { "replace" } else { "wait" }, "flapping"),
            "well" => (if may_replace { "replace" } else { "degrade" }, "flapping"),
            _ => (if may_replace_good && !leased { "replace" } else { "wait" }, kind),
        };
        format!("{what} {why}")
    }
}

fn cases() -> Vec<Case> {
    let kinds = [
        ["start_failed", "start_timeout", "crashed", "lost", "runner_lost", "stop_timeout", "assign_failed", "well"],
        ["assign_timeout", "reset_failed", "reset_timeout", "unhealthy", "memory_high", "recycled", "rolled_over", "x"],
    ];
    let mut cases = Vec::new();
    for (kind, n) in kinds.concat().into_iter().flat_map(|kind| (0..512_u32).map(move |n| (kind, n))) {
        let bit = |place: u32| n >> place & 1 == 1;
        let (failures, flaps, flaps_max) = (n & 3, n >> 2 & 3, if bit(4) { 2 } else { 0 });
        let (is_full, starts_failed, backing_off) = (bit(5), u32::from(bit(6)), bit(7));
        let leased = bit(8);
        cases.push(Case { kind, leased, failures, flaps, flaps_max, is_full, starts_failed, backing_off });
    }
    cases
}

#[tokio::test]
async fn each_kind_of_failure_has_its_remedy_in_every_context() {
    let pool = PoolScene::open(settings()).await;
    let cases = cases();
    let told = cases.iter().map(|case| {
        json!({"kind": case.kind, "leased": case.leased, "failures": case.failures, "failures_max": 3,
            "flaps": case.flaps, "flaps_max": case.flaps_max, "moving": if case.is_full { 2 } else { 1 },
            "moving_max": 2, "starts_failed": case.starts_failed, "backing_off": case.backing_off})
    });
    let told = told.collect::<serde_json::Value>().to_string();
    let script = format!("{}{PROBE}", include_str!("../../lua/pool/recovery.lua"));
    let answers: Vec<String> = pool.scene.run(&["EVAL", &script, "0", &told]).await;
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.into_iter().zip(answers) {
        assert_eq!(answer, case.expected(), "{case:?}");
    }
}

fn settings() -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, ..PoolSettings::default() };
    settings.numbers.max = 20;
    settings
}

async fn workers(pool: &PoolScene) -> Vec<WorkerId> {
    let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 50).await.expect("workers");
    workers.into_iter().filter(|it| it.state != WorkerState::Terminated).map(|it| it.id).collect()
}

fn all_fail(runner: &mut TestRunner, workers: &[WorkerId], failures: u32) {
    for id in workers {
        runner.tell(*id, |it| it.failures = failures);
    }
}

#[tokio::test]
async fn a_check_that_fails_everywhere_does_not_take_the_whole_pool_at_once() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 6).await;
    let lease = pool.lease(&mut runner, None).await;
    let first = workers(&pool).await;
    all_fail(&mut runner, &first, 3);
    pool.sync(&mut runner).await;
    assert_eq!(pool.count(WorkerState::Terminating).await, 2, "a third of six");
    // The others stay: those that serve nobody as degraded, however often it is looked.
    for _ in 0..3 {
        pool.sync(&mut runner).await;
        pool.plan().await;
    }
    assert_eq!(pool.count(WorkerState::Terminating).await, 2);
    let leased = pool.worker(lease.worker.expect("a worker")).await;
    assert!(matches!(leased.state, WorkerState::Busy | WorkerState::Terminating), "{leased:?}");
    assert_eq!(pool.count(WorkerState::Ready).await, 0);
    // They go in turn, as others take their place.
    pool.settle(&mut runner).await;
    for _ in 0..10 {
        pool.pass(&mut runner, Duration::from_secs(5)).await;
        pool.settle(&mut runner).await;
        assert!(pool.count(WorkerState::Terminating).await <= 4);
    }
    let last = workers(&pool).await;
    assert!(last.iter().all(|id| !first.contains(id)), "{first:?}, then {last:?}");
    assert!(pool.status().await.spare >= 5);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn sessions_on_workers_that_fail_their_checks_end_in_turn() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 3).await;
    for _ in 0..3 {
        pool.lease(&mut runner, None).await;
    }
    let all = workers(&pool).await;
    all_fail(&mut runner, &all, 9);
    pool.sync(&mut runner).await;
    pool.sync(&mut runner).await;
    assert_eq!((pool.count(WorkerState::Busy).await, pool.status().await.leases), (2, 2), "one of three at once");
    all_fail(&mut runner, &all, 0);
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.leases, 2, "well again, they go on");
}

#[tokio::test]
async fn a_worker_that_recovers_again_and_again_is_replaced() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let worker = workers(&pool).await[0];
    let mut flap = async |pass: u64| {
        for failures in [1, 0] {
            pool.pass(&mut runner, Duration::from_secs(pass)).await;
            runner.tell(worker, |it| it.failures = failures);
            pool.sync(&mut runner).await;
        }
        pool.state(worker).await
    };
    let ready = (WorkerState::Ready, "recovered".to_owned());
    for _ in 0..3 {
        assert_eq!(flap(10).await, ready);
    }
    // Ten minutes later that is forgotten.
    for _ in 0..3 {
        assert_eq!(flap(301).await, ready);
    }
    for _ in 0..2 {
        assert_eq!(flap(10).await, ready);
    }
    assert_eq!(flap(10).await, (WorkerState::Terminating, "flapping".to_owned()));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn what_dies_is_made_up_for_at_once_however_many() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 6).await;
    for id in workers(&pool).await {
        runner.tell(id, |it| it.state = ObservedState::Gone);
    }
    pool.sync(&mut runner).await;
    assert_eq!(workers(&pool).await, []);
    assert_eq!(pool.plan().await.starts, 6);
}

#[tokio::test]
async fn a_worker_with_too_much_memory_is_shown_and_replaced_after_its_session() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let worker = workers(&pool).await[0];
    let mut has = async |mib: u64| {
        runner.tell(worker, |it| it.memory_bytes = Some(mib << 20));
        pool.sync(&mut runner).await;
        pool.worker(worker).await.memory_high
    };
    assert!(!has(500).await && has(501).await);
    assert_eq!(pool.plan().await.goes, 0, "it has served nobody");
    let lease = pool.lease(&mut runner, None).await;
    pool.release(&lease).await.expect("a release");
    assert_eq!(pool.state(worker).await, (WorkerState::Terminating, "released".to_owned()));

    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let worker = workers(&pool).await[0];
    let lease = pool.lease(&mut runner, None).await;
    pool.release(&lease).await.expect("a release");
    pool.settle(&mut runner).await;
    runner.tell(worker, |it| it.memory_bytes = Some(1 << 40));
    pool.sync(&mut runner).await;
    pool.plan().await;
    assert_eq!(pool.state(worker).await, (WorkerState::Terminating, "memory_high".to_owned()));
}

#[tokio::test]
async fn a_version_that_does_not_start_takes_no_more_workers_than_were_replaced_first() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 6).await;
    pool.define(&PoolSettings { version: "2".to_owned(), ..pool.settings.clone() }).await;
    let plan = pool.plan().await;
    assert_eq!((plan.goes, pool.plan().await.goes), (2, 0), "a third at once");
    for _ in 0..30 {
        // Whatever is started dies.
        for told in pool.sync(&mut runner).await {
            let id: WorkerId = told.worker.parse().expect("an id");
            let state = pool.worker(id).await.state;
            if matches!(state, WorkerState::Initializing | WorkerState::Terminating) {
                runner.tell(id, |it| it.state = ObservedState::Gone);
            }
        }
        pool.pass(&mut runner, Duration::from_secs(20)).await;
        pool.plan().await;
    }
    assert_eq!(pool.status().await.spare, 4);
    // Mended, it takes the place of the others, a few at a time.
    for _ in 0..20 {
        pool.pass(&mut runner, Duration::from_secs(30)).await;
        pool.settle(&mut runner).await;
    }
    let left = pool.scene.store.page_of_workers(&pool.pool, 0, 50).await.expect("workers");
    assert!(left.iter().all(|it| it.version == "2") && pool.status().await.spare == 6, "{left:?}");
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_worn_worker_that_cannot_be_spared_serves_on_and_goes_when_it_can() {
    let mut settings = settings();
    settings.numbers.sessions_max = 1;
    let (pool, mut runner) = PoolScene::with_workers(settings, 3).await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(pool.lease(&mut runner, None).await);
    }
    for lease in &leases {
        pool.release(lease).await.expect("a release");
    }
    let count = async |state| pool.count(state).await;
    assert_eq!((count(WorkerState::Terminating).await, count(WorkerState::Resetting).await), (1, 2));
    let next = pool.ask(&wish(None)).await;
    pool.round(&mut runner).await;
    pool.round(&mut runner).await;
    assert!(leases.iter().any(|it| it.worker == next.worker) || pool.held(next.id).await.worker.is_some());
    for _ in 0..4 {
        pool.pass(&mut runner, Duration::from_secs(5)).await;
        pool.settle(&mut runner).await;
    }
    let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 50).await.expect("workers");
    let worn = workers.iter().filter(|it| it.state == WorkerState::Ready && it.sessions > 0).count();
    assert_eq!((worn, pool.status().await.spare), (0, 3));
}

#[tokio::test]
async fn starts_that_failed_are_past_once_as_many_have_started_as_there_should_be() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let mut more = pool.settings.clone();
    more.numbers.spare = 2;
    pool.define(&more).await;
    pool.plan().await;
    let started = workers(&pool).await.pop().expect("a worker");
    runner.tell(started, |it| it.state = ObservedState::Gone);
    pool.sync(&mut runner).await;
    pool.plan().await;
    assert_eq!(pool.status().await.starts_failed, 1, "it is needed still");
    pool.define(&pool.settings).await;
    pool.plan().await;
    assert_eq!(pool.status().await.starts_failed, 0);
}
