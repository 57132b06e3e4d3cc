//! Reports of runners that come late, twice, or of an earlier start.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::name::Name;
use greenroom::pool::{PoolSettings, WorkerState};
use greenroom::store::Refusal;

use crate::support::pool_scene::{PoolScene, TestRunner};
use crate::support::scene::refusal;

fn settings() -> PoolSettings {
    PoolSettings { foresee: false, ..PoolSettings::default() }
}

/// The runner after it was started anew, with nothing.
fn started_again(runner: &TestRunner, boot: &str) -> TestRunner {
    let mut next = TestRunner::new(runner.runner.name.as_str(), runner.runner.capacity);
    (next.runner.boot, next.runner.report) = (Name::strict(boot).expect("a name"), 1);
    next
}

async fn changes_nothing(pool: &PoolScene, late: &TestRunner) {
    let before = pool.scene.dump().await;
    assert_eq!(refusal(pool.hear(late).await), Refusal::StaleReport);
    assert_eq!(pool.scene.dump().await, before);
}

#[tokio::test]
async fn a_late_report_changes_nothing() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    // It was sent when there were no workers yet, and waited somewhere.
    let mut late = TestRunner::new("one", 12);
    late.runner.report = runner.runner.report - 1;
    changes_nothing(&pool, &late).await;
    assert_eq!(pool.count(WorkerState::Ready).await, 2);
    // The same may be said again: a long poll looks several times.
    pool.hear(&runner).await.expect("instructions");
    pool.hear(&runner).await.expect("instructions");
    pool.sync(&mut runner).await;
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn an_earlier_start_of_a_runner_is_not_heard_once_the_next_has_begun() {
    let (pool, runner) = PoolScene::with_workers(settings(), 1).await;
    let mut runners = vec![runner];
    for boot in ["second", "third", "fourth"] {
        let mut next = started_again(&runners[0], boot);
        pool.sync(&mut next).await;
        pool.settle(&mut next).await;
        runners.push(next);
    }
    let newest = runners.pop().expect("a runner");
    assert_eq!(pool.count(WorkerState::Ready).await, 1);
    for mut earlier in runners {
        earlier.runner.report += 1_000;
        changes_nothing(&pool, &earlier).await;
    }
    pool.hear(&newest).await.expect("instructions");
}

#[tokio::test]
async fn after_an_empty_store_or_a_silence_the_first_report_counts() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    runner.runner.report = 100;
    pool.sync(&mut runner).await;
    pool.anew().await;
    runner.runner.report = 7;
    pool.sync(&mut runner).await;
    assert_eq!(pool.count(WorkerState::Ready).await, 1, "what it has is taken in");
    // Another of its name has begun, and is gone by now: the first may go on.
    let mut other = started_again(&runner, "second");
    pool.sync(&mut other).await;
    changes_nothing(&pool, &runner).await;
    for _ in 0..8 {
        pool.scene.pass(Duration::from_secs(4));
        pool.reap().await;
    }
    pool.sync(&mut runner).await;
}
