//! Reports of runners: that come late, twice, or of an earlier start; and what they say of sessions that are over.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::name::Name;
use greenroom::pool::{LeaseState, PoolSettings, WorkerState};
use greenroom::store::Refusal;

use crate::support::pool_scene::{PoolScene, TestRunner, wish};
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

#[tokio::test]
async fn a_session_that_its_worker_calls_over_ends_as_if_its_holder_had_given_it_back() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let lease = pool.lease(&mut runner, Some("anna")).await;
    let (worker, token) = (lease.worker.expect("a worker"), lease.token.expect("a token"));
    let next = pool.ask(&wish(Some("bert"))).await;
    // What is said of another session counts for nothing.
    let own = lease.id.to_string();
    runner.tell(worker, |it| (it.lease, it.released) = (Some(pool.new_id().to_string()), true));
    pool.sync(&mut runner).await;
    assert_eq!(pool.state(worker).await.0, WorkerState::Busy);
    runner.tell(worker, |it| it.lease = Some(own));
    let told = pool.sync(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "released".to_owned()));
    let renewed = pool.scene.store.renew_lease(&pool.pool.tenant, (lease.id, token), None, None).await;
    assert_eq!(refusal(renewed), Refusal::NotOwner);
    assert!(!pool.release(&lease).await.expect("a release"), "it is over");
    // The reset follows as usual, and then the next in line has the worker.
    runner.obey(&told);
    pool.sync(&mut runner).await;
    pool.round(&mut runner).await;
    assert_eq!(pool.held(next.id).await.worker, Some(worker));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_session_that_is_over_before_its_caller_has_it_is_told_to_the_caller_first() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let asked = pool.ask(&wish(None)).await;
    let worker = asked.worker.expect("a worker");
    let told = pool.sync(&mut runner).await;
    runner.obey(&told);
    runner.tell(worker, |it| it.released = true);
    pool.sync(&mut runner).await;
    let held = pool.held(asked.id).await;
    assert_eq!((held.state, pool.state(worker).await.0), (LeaseState::Held, WorkerState::Busy));
    pool.sync(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "released".to_owned()));
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 1);
}
