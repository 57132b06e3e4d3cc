//! Reports of runners: that come late, twice, or of an earlier start; and what they say of sessions that are over.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::id::WorkerId;
use greenroom::name::Name;
use greenroom::pool::{Action, LeaseState, PoolSettings, WorkerState};
use greenroom::store::{Heard, Refusal};

use crate::support::pool_scene::{HEARD, PoolScene, TestRunner, wish};
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

/// Tells only of these, in addition to what was told last; hears what is new since `known`.
async fn tell_part(pool: &PoolScene, runner: &mut TestRunner, of: &[WorkerId], known: u64) -> Heard {
    let mut part = runner.runner.clone();
    part.workers.retain(|worker| of.iter().any(|id| id.to_string() == worker.id));
    part.since = Some(part.report);
    part.report += 1;
    let heard = pool.scene.store.sync_runner(&pool.pool, &part, Some(known), HEARD).await.expect("it is heard");
    runner.runner.report = part.report;
    heard
}

/// What is new since `known` for a runner that has nothing to tell.
async fn wait(pool: &PoolScene, runner: &TestRunner, known: Option<u64>) -> Heard {
    let (store, since) = (&pool.scene.store, runner.runner.report);
    store.await_orders(&pool.pool, &runner.runner, since, known, HEARD).await.expect("it is heard")
}

fn orders(heard: &Heard) -> Vec<(String, Action)> {
    heard.instructions.iter().map(|told| (told.worker.clone(), told.action)).collect()
}

#[tokio::test]
async fn who_is_told_what_is_new_is_told_no_more_and_who_tells_it_loses_nothing() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 3).await;
    let all = wait(&pool, &runner, None).await;
    assert!(all.complete && all.instructions.len() == 3, "{all:?}");
    let asked = pool.ask(&wish(Some("anna"))).await;
    let worker = asked.worker.expect("a worker");
    let news = wait(&pool, &runner, Some(all.told)).await;
    assert_eq!((news.complete, orders(&news)), (false, vec![(worker.to_string(), Action::Assign)]));
    assert!(news.told > all.told);
    assert_eq!(orders(&wait(&pool, &runner, Some(news.told)).await), []);
    runner.obey(&news.instructions);
    let heard = tell_part(&pool, &mut runner, &[worker], news.told).await;
    assert_eq!((heard.complete, orders(&heard)), (false, vec![]), "that it was done is no news");
    pool.held(asked.id).await;
    assert_eq!((pool.count(WorkerState::Busy).await, pool.count(WorkerState::Ready).await), (1, 2));
    // Who shows what was never said hears everything.
    assert!(wait(&pool, &runner, Some(news.told + 1_000_000)).await.complete);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn of_a_worker_that_is_gone_its_runner_hears_by_hearing_of_all_the_others() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
    let (stays, goes) = (workers[0].id, workers[1].id);
    pool.scene.store.mark_worker(&pool.pool.tenant, goes, "recycle", None).await.expect("a worker");
    let news = wait(&pool, &runner, Some(0)).await;
    // It does not go, and is given up.
    pool.pass(&mut runner, Duration::from_mins(1)).await;
    assert_eq!(pool.state(goes).await.0, WorkerState::Terminated);
    let all = wait(&pool, &runner, Some(news.told)).await;
    assert!(all.complete, "{all:?}");
    assert_eq!(orders(&all), [(stays.to_string(), Action::Run)]);
    // What it tells of the one that is gone meanwhile is answered by a stop.
    let told = tell_part(&pool, &mut runner, &[goes], all.told).await;
    assert_eq!((told.complete, orders(&told)), (false, vec![(goes.to_string(), Action::Stop)]));
}

#[tokio::test]
async fn a_part_of_what_was_not_heard_is_refused_and_changes_nothing() {
    let (pool, runner) = PoolScene::with_workers(settings(), 1).await;
    let refuse = async |part: &TestRunner, known: Refusal| {
        let (store, before) = (&pool.scene.store, pool.scene.dump().await);
        let since = part.runner.since.expect("a number");
        assert_eq!(refusal(store.sync_runner(&pool.pool, &part.runner, None, HEARD).await), known);
        assert_eq!(refusal(store.await_orders(&pool.pool, &part.runner, since, None, HEARD).await), known);
        assert_eq!(pool.scene.dump().await, before);
    };
    let last = runner.runner.report;
    let mut part = TestRunner::new("one", 12);
    (part.runner.since, part.runner.report) = (Some(last + 1), last + 2);
    refuse(&part, Refusal::Incomplete).await;
    (part.runner.since, part.runner.report) = (Some(last - 1), last - 1);
    refuse(&part, Refusal::StaleReport).await;
    part = started_again(&runner, "second");
    part.runner.since = Some(1);
    refuse(&part, Refusal::Incomplete).await;
    pool.anew().await;
    part = runner;
    (part.runner.since, part.runner.report) = (Some(last), last + 1);
    refuse(&part, Refusal::Incomplete).await;
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
