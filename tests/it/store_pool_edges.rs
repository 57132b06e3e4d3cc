//! Pools where it is tight: lines full of those who wait for one worker, silent hosts, what a fail-over forgot.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::pool::{Affinity, Lease, LeaseState, ObservedState, PoolSettings, Wish, WorkerState};
use greenroom::store::{LeaseAsked, Refusal};

use crate::support::pool_scene::{PoolScene, TestRunner, wish};
use crate::support::scene::refusal;

fn settings() -> PoolSettings {
    PoolSettings { foresee: false, ..PoolSettings::default() }
}

fn patient(session: Option<&str>) -> Wish {
    Wish { wait: Duration::from_mins(10), ..wish(session) }
}

impl PoolScene {
    async fn lease_now(&self, id: greenroom::id::LeaseId) -> Lease {
        self.scene.store.lease(id).await.expect("an answer").expect("a lease")
    }

    /// Its only worker, or the oldest.
    async fn first_worker(&self) -> greenroom::id::WorkerId {
        self.scene.store.page_of_workers(&self.pool, 0, 1).await.expect("workers")[0].id
    }
}

#[tokio::test]
async fn a_lease_that_needs_no_confirmation_outlives_its_workers_answer() {
    let (pool, mut runner) = PoolScene::with_workers(PoolSettings { confirm: false, ..settings() }, 1).await;
    let LeaseAsked::Held(lease) = pool.ask_as(pool.new_id(), &wish(None)).await.expect("an answer") else {
        panic!("it is held at once");
    };
    pool.round(&mut runner).await;
    pool.pass(&mut runner, Duration::from_secs(10)).await;
    assert_eq!(pool.lease_now(lease.id).await.state, LeaseState::Held);
    assert_eq!(pool.state(lease.worker.expect("a worker")).await.0, WorkerState::Busy);
    assert!(pool.release(&lease).await.expect("a release"));
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 1);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_pool_without_a_line_still_gives_its_workers() {
    let mut settings = settings();
    settings.numbers.queue_max = 0;
    let (pool, _) = PoolScene::with_workers(settings, 1).await;
    assert_eq!(pool.ask(&wish(None)).await.state, LeaseState::Offered);
    assert_eq!(refusal(pool.ask_as(pool.new_id(), &wish(None)).await), Refusal::TooMany);
    let at_once = Wish { wait: Duration::ZERO, ..wish(None) };
    assert!(matches!(pool.ask_as(pool.new_id(), &at_once).await.expect("an answer"), LeaseAsked::None));
}

/// More wait for one worker than a script looks at, and the first who takes any stands behind them.
#[tokio::test]
async fn those_who_wait_for_one_worker_hide_nobody() {
    const BOUND: usize = 40;
    let mut settings = settings();
    (settings.numbers.sessions_max, settings.numbers.max) = (1_000, 1);
    let (pool, mut runner) = PoolScene::with_workers(settings.clone(), 1).await;
    let names: Vec<String> = (0..BOUND).map(|n| format!("session-{n}")).collect();
    for name in &names {
        let lease = pool.lease(&mut runner, Some(name)).await;
        pool.release(&lease).await.expect("a release");
        pool.round(&mut runner).await;
    }
    let holder = pool.lease(&mut runner, None).await;
    let mut line = Vec::new();
    for name in &names {
        line.push(pool.ask(&Wish { affinity: Affinity::Queue, ..patient(Some(name)) }).await.id);
        pool.scene.pass(Duration::from_millis(1));
    }
    let any = pool.ask(&patient(None)).await;
    assert_eq!(pool.status().await.waiting, 41);
    settings.numbers.max = 2;
    pool.define(&settings).await;
    pool.plan().await;
    pool.round(&mut runner).await;
    pool.round(&mut runner).await;
    let held = pool.held(any.id).await;
    assert_ne!(held.worker, holder.worker);
    pool.release(&held).await.expect("a release");
    pool.round(&mut runner).await;
    assert_eq!(pool.status().await.spare, 1, "nobody else takes that worker");
    // Their own worker serves them in their order.
    pool.release(&holder).await.expect("a release");
    pool.round(&mut runner).await;
    pool.round(&mut runner).await;
    let first = pool.held(line[0]).await;
    assert_eq!(first.worker, holder.worker);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_silent_host_hides_no_worker() {
    let mut many = settings();
    many.numbers.max = 45;
    let (pool, _silent) = PoolScene::with_workers(many, 40).await;
    pool.scene.pass(Duration::from_secs(16));
    let mut other = TestRunner::new("two", 1);
    let mut settings = pool.settings.clone();
    settings.numbers.spare = 41;
    pool.define(&settings).await;
    pool.sync(&mut other).await;
    pool.plan().await;
    pool.round(&mut other).await;
    assert_eq!(pool.status().await.spare, 41);
    let asked = pool.ask(&patient(None)).await;
    for _ in 0..100 {
        pool.confirm(asked.id).await;
        if let Some(worker) = pool.lease_now(asked.id).await.worker {
            assert_eq!(pool.worker(worker).await.runner, "two");
            return;
        }
    }
    panic!("its worker is never seen");
}

#[tokio::test]
async fn what_serves_nobody_is_made_up_for_and_goes_with_its_pool() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
    pool.scene.store.mark_worker(&pool.pool.tenant, workers[0].id, "cordon", None).await.expect("a mark");
    runner.tell(workers[1].id, |it| it.failures = 1);
    pool.sync(&mut runner).await;
    assert_eq!(pool.state(workers[1].id).await.0, WorkerState::Degraded);
    assert_eq!(pool.plan().await.starts, 2, "one is cordoned, one degraded");
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 2);
    pool.define(&PoolSettings { draining: true, ..pool.settings.clone() }).await;
    pool.settle(&mut runner).await;
    let left = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
    assert!(left.is_empty(), "{left:?}");
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn who_waits_gets_a_worker_in_the_call_that_brings_it_back() {
    let (pool, _) = PoolScene::with_workers(settings(), 1).await;
    let worker = pool.first_worker().await;
    let mark = async |mark| pool.scene.store.mark_worker(&pool.pool.tenant, worker, mark, None).await;
    mark("cordon").await.expect("a mark");
    let asked = pool.ask(&wish(None)).await;
    assert_eq!(asked.state, LeaseState::Waiting);
    assert_eq!(mark("uncordon").await.expect("a mark").state, WorkerState::Busy);
    assert_eq!(pool.lease_now(asked.id).await.state, LeaseState::Offered);
}

/// A master is lost with the last seconds of its writes: the worker counts as spare, and has a session.
#[tokio::test]
async fn a_worker_whose_session_was_forgotten_is_given_to_nobody_else() {
    for forgotten in ["the lease", "who asked"] {
        let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
        let mut before = pool.scene.dump().await;
        if forgotten == "the lease" {
            let worker = pool.first_worker().await;
            pool.scene.store.mark_worker(&pool.pool.tenant, worker, "cordon", None).await.expect("a mark");
        }
        let asked = pool.ask(&patient(Some("anna"))).await;
        if forgotten == "the lease" {
            before = pool.scene.dump().await;
            let worker = pool.first_worker().await;
            pool.scene.store.mark_worker(&pool.pool.tenant, worker, "uncordon", None).await.expect("a mark");
        }
        pool.round(&mut runner).await;
        let held = pool.held(asked.id).await;
        pool.scene.restore(&before).await;
        pool.sync(&mut runner).await;
        let worker = held.worker.expect("a worker");
        assert_eq!(pool.state(worker).await, (WorkerState::Busy, "adopted".to_owned()), "{forgotten}");
        assert_eq!(pool.ask(&patient(None)).await.state, LeaseState::Waiting);
        let again = pool.held(asked.id).await;
        assert_eq!((again.token, &again.session), (held.token, &held.session));
        let holder = (held.id, held.token.expect("a token"));
        pool.scene.store.renew_lease(&pool.pool.tenant, holder, None, None).await.expect("a renewal");
        pool.release(&held).await.expect("a release");
        assert_eq!(pool.state(worker).await.0, WorkerState::Resetting);
        pool.scene.check_keys().await;
    }
}

/// The same where it counts as one that starts: who waits for it to be ready would wait until it is overdue, and its
/// session would be nobody's.
#[tokio::test]
async fn a_worker_whose_start_and_session_were_forgotten_keeps_that() {
    let pool = PoolScene::open(settings()).await;
    let mut runner = TestRunner::new("one", 10);
    pool.sync(&mut runner).await;
    pool.plan().await;
    let before = pool.scene.dump().await;
    pool.settle(&mut runner).await;
    let held = pool.lease(&mut runner, Some("anna")).await;
    pool.scene.restore(&before).await;
    let worker = held.worker.expect("a worker");
    assert_eq!(pool.state(worker).await.0, WorkerState::Initializing);
    pool.sync(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Busy, "adopted".to_owned()));
    let holder = (held.id, held.token.expect("a token"));
    pool.scene.store.renew_lease(&pool.pool.tenant, holder, None, None).await.expect("a renewal");
    pool.release(&held).await.expect("a release");
    pool.settle(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Ready, "reset_proved".to_owned()));
    pool.scene.check_keys().await;
}

/// A call that was on its way is the first that a Redis hears that came back with nothing.
#[tokio::test]
async fn a_session_that_is_over_does_not_come_back_for_good_with_an_old_report() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let lease = pool.lease(&mut runner, None).await;
    let old = runner.runner.workers.clone();
    pool.release(&lease).await.expect("a release");
    pool.round(&mut runner).await;
    let new = std::mem::replace(&mut runner.runner.workers, old);
    pool.anew().await;
    pool.sync(&mut runner).await;
    assert_eq!(pool.lease_now(lease.id).await.state, LeaseState::Held, "it is all that is known");
    runner.runner.workers = new;
    pool.sync(&mut runner).await;
    let worker = lease.worker.expect("a worker");
    assert_eq!(pool.state(worker).await, (WorkerState::Terminating, "recycled".to_owned()));
    assert!(pool.scene.store.lease(lease.id).await.expect("an answer").is_none());
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_worker_that_failed_its_last_instruction_is_not_taken_in() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let lease = pool.lease(&mut runner, None).await;
    pool.release(&lease).await.expect("a release");
    let told = pool.sync(&mut runner).await;
    runner.tell(lease.worker.expect("a worker"), |it| {
        (it.state, it.instruction, it.done) = (ObservedState::Ready, Some(told[0].token), false);
        (it.lease, it.session) = (None, None);
    });
    pool.anew().await;
    assert!(pool.sync(&mut runner).await.is_empty(), "what it hears nothing of it stops");
    assert_eq!(pool.status().await.spare, 0);
}

#[tokio::test]
async fn a_session_that_asks_again_has_its_lease_for_as_long_as_it_asks() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, Some("anna")).await;
    pool.scene.pass(Duration::from_secs(50));
    let LeaseAsked::Held(again) = pool.ask_as(pool.new_id(), &wish(Some("anna"))).await.expect("an answer") else {
        panic!("it is held");
    };
    assert_eq!((again.id, again.until_ms), (first.id, Some(pool.scene.now() + 60_000)));
    let brief = Wish { lease: Some(Duration::from_secs(1)), ..wish(Some("anna")) };
    let LeaseAsked::Held(again) = pool.ask_as(pool.new_id(), &brief).await.expect("an answer") else {
        panic!("it is held");
    };
    assert_eq!(again.until_ms, Some(pool.scene.now() + 60_000), "it ends no sooner");
    // In line, who asks again waits for as long as it says; who may not wait does not.
    let waiting = pool.ask(&wish(Some("bert"))).await;
    pool.scene.pass(Duration::from_secs(11));
    assert_eq!(pool.ask(&wish(Some("bert"))).await.id, waiting.id);
    assert!(matches!(pool.confirm(waiting.id).await, LeaseAsked::Pending(_)));
    let at_once = Wish { wait: Duration::ZERO, ..wish(Some("bert")) };
    assert!(matches!(pool.ask_as(pool.new_id(), &at_once).await.expect("an answer"), LeaseAsked::None));
    assert_eq!(pool.status().await.waiting, 1, "its place is kept");
}

#[tokio::test]
async fn a_session_that_gave_up_in_line_is_still_known_to_its_worker() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, Some("anna")).await;
    pool.release(&first).await.expect("a release");
    pool.round(&mut runner).await;
    let other = pool.lease(&mut runner, None).await;
    let waiting = pool.ask(&wish(Some("anna"))).await;
    pool.scene.store.release_lease(&pool.pool.tenant, (waiting.id, None), None).await.expect("an answer");
    pool.release(&other).await.expect("a release");
    pool.round(&mut runner).await;
    pool.ask(&wish(Some("anna"))).await;
    assert_eq!(pool.status().await.affinity_hits, 1);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_name_is_one_leases_also_after_redis_forgot() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let old = pool.lease(&mut runner, Some("anna")).await;
    pool.anew().await;
    let new = pool.ask(&patient(Some("anna"))).await;
    pool.sync(&mut runner).await;
    assert_eq!(pool.lease_now(old.id).await.session, None, "another has its name by now");
    pool.release(&old).await.expect("a release");
    assert_eq!(pool.ask(&patient(Some("anna"))).await.id, new.id);
    pool.round(&mut runner).await;
    pool.round(&mut runner).await;
    assert_eq!(pool.held(new.id).await.session, wish(Some("anna")).session);
    pool.scene.check_keys().await;
}

/// A reply is lost, and the client sends the same again.
#[tokio::test]
async fn a_plan_that_comes_twice_starts_no_worker_twice() {
    let mut settings = settings();
    settings.numbers.spare = 4;
    let pool = PoolScene::open(settings).await;
    let plan = greenroom::store::scripts().find(|(path, _)| *path == "pool/plan.lua").expect("a script").1;
    let ids: Vec<String> = (0..4).map(|_| greenroom::id::WorkerId::new(pool.shard().0).to_string()).collect();
    let (key, now, ids) = (pool.shard().pool(&pool.pool), pool.scene.now().to_string(), ids.join(" "));
    for (name, there) in [("one", 2), ("two", 4)] {
        pool.sync(&mut TestRunner::new(name, 2)).await;
        let words = ["EVAL", plan, "1", &key, &now, "default:py", &ids, "0", "0", "[]", "0", "0"];
        let _: (u64, u64, u64, String, u64, u64, String) = pool.scene.run(&words).await;
        assert_eq!(pool.count(WorkerState::Initializing).await, there);
    }
    pool.scene.check_keys().await;
}

/// Whoever comes for its lease when its time is over has it, with time to use it, until somebody has ended it.
#[tokio::test]
async fn a_lease_whose_time_is_over_is_its_holders_until_it_is_ended() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let lease = pool.lease(&mut runner, Some("anna")).await;
    pool.scene.pass(Duration::from_mins(1));
    assert_eq!(pool.held(lease.id).await.until_ms, Some(pool.scene.now() + 60_000));
    pool.scene.pass(Duration::from_mins(1));
    let LeaseAsked::Held(again) = pool.ask_as(pool.new_id(), &wish(Some("anna"))).await.expect("an answer") else {
        panic!("it is held");
    };
    assert_eq!((again.id, again.until_ms), (lease.id, Some(pool.scene.now() + 60_000)));
}

/// A worker that never starts is overdue, and so holds up nobody's look at what else is.
#[tokio::test]
async fn a_start_that_takes_too_long_ends_and_the_next_one_waits() {
    let pool = PoolScene::open(settings()).await;
    let mut runner = TestRunner::new("one", 20);
    pool.sync(&mut runner).await;
    assert_eq!(pool.plan().await.starts, 2);
    pool.pass(&mut runner, Duration::from_mins(1)).await;
    assert_eq!((pool.status().await.starts_failed, pool.plan().await.reason.as_str()), (2, "backing_off"));
    let worker = pool.first_worker().await;
    assert_eq!(pool.state(worker).await, (WorkerState::Terminating, "start_timeout".to_owned()));
    pool.sync(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Terminated, "lost".to_owned()), "its runner never had it");
    pool.scene.pass(Duration::from_secs(2));
    pool.settle(&mut runner).await;
    assert_eq!((pool.status().await.spare, pool.status().await.starts_failed), (2, 0));
    pool.scene.check_keys().await;
}

/// Lua sees a function only below its definition, and complains no sooner than it gets there.
#[test]
fn no_script_calls_a_function_that_is_defined_further_down() {
    for (path, source) in greenroom::store::scripts() {
        let code = source.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
        let code = code.collect::<Vec<_>>().join("\n");
        for (at, _) in code.match_indices("\nlocal function ") {
            let name = code[at + 16..].split('(').next().expect("a name");
            let is_call = |(used, _): &(usize, &str)| {
                !code[..*used].ends_with(|c: char| c.is_alphanumeric() || "_.:".contains(c))
            };
            let early = code[..at].match_indices(&format!("{name}(")).find(is_call);
            assert!(early.is_none(), "{path}: {name} is called before it is defined");
        }
    }
}

#[tokio::test]
async fn marks_of_what_is_gone_are_taken_away() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let busy = pool.lease(&mut runner, None).await.worker.expect("a worker");
    let (due_pool, due_lease) = (pool.shard().due_pool(), pool.shard().due_lease());
    for n in 0..100 {
        pool.scene.run::<u8>(&["ZADD", &due_pool, "1", &format!("worker:w{n}")]).await;
        pool.scene.run::<u8>(&["ZADD", &due_pool, "1", &format!("lease:l{n}")]).await;
    }
    pool.scene.run::<u8>(&["ZADD", &due_pool, "1", &format!("worker:{busy}")]).await;
    pool.scene.run::<u8>(&["ZADD", &due_lease, "1", "lease:l1"]).await;
    for _ in 0..4 {
        pool.reap().await;
        pool.pass(&mut runner, Duration::from_secs(5)).await;
    }
    let left: u64 = pool.scene.run(&["ZCARD", &due_pool]).await;
    let leases: Vec<String> = pool.scene.run(&["ZRANGE", &due_lease, "0", "-1"]).await;
    assert_eq!((left, leases.contains(&"lease:l1".to_owned())), (0, false));
    assert_eq!(pool.state(busy).await.0, WorkerState::Busy);
}

#[tokio::test]
async fn no_room_is_said_only_where_no_runner_has_any() {
    let mut many = settings();
    (many.numbers.spare, many.numbers.max, many.numbers.starts_max) = (30, 100, 100);
    for (capacity, looks) in [
        (20, vec![(16, "starting"), (4, "no_room"), (0, "no_room")]),
        (16, vec![(16, "no_room")]),
        (40, vec![(16, "starting"), (14, "spare")]),
    ] {
        let pool = PoolScene::open(many.clone()).await;
        pool.sync(&mut TestRunner::new("one", capacity)).await;
        for (starts, reason) in looks {
            let plan = pool.plan().await;
            assert_eq!((plan.starts, plan.reason.as_str()), (starts, reason), "{capacity}");
        }
    }
}

#[tokio::test]
async fn waits_are_counted_for_five_minutes_and_then_anew() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let began = pool.scene.now();
    let first = pool.lease(&mut runner, None).await;
    let (second, third) = (pool.ask(&patient(None)).await, pool.ask(&patient(None)).await);
    for (lease, waits) in [(first, 1_000), (pool.lease_now(second.id).await, 3_000)] {
        pool.scene.pass(Duration::from_millis(waits));
        pool.release(&pool.lease_now(lease.id).await).await.expect("a release");
        pool.round(&mut runner).await;
        pool.round(&mut runner).await;
        pool.confirm(second.id).await;
    }
    pool.confirm(third.id).await;
    let waits = pool.status().await.waits;
    assert_eq!((waits.since_ms, waits.served, waits.waited), (Some(began), 3, 2));
    assert_eq!((waits.mean_ms(), waits.max_ms), (2_500, 4_000));
    pool.release(&pool.lease_now(third.id).await).await.expect("a release");
    pool.pass(&mut runner, Duration::from_mins(5)).await;
    pool.settle(&mut runner).await;
    pool.lease(&mut runner, None).await;
    let waits = pool.status().await.waits;
    assert_eq!((waits.since_ms, waits.served, waits.waited, waits.mean_ms()), (Some(pool.scene.now()), 1, 0, 0));
}
