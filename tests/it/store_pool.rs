//! The scripts of pools, leases, workers and runners on a real Redis. Their faults are in `store_faults`.

use std::time::Duration;

use greenroom::pool::{
    Action, Affinity, Assignment, AssignmentParts, LeaseState, ObservedState, PoolSettings, Priority, ResetMode, Wish,
    WorkerState,
};
use greenroom::store::{LeaseAsked, Refusal};

use crate::support::pool_scene::{HEARD, PoolScene, TestRunner, wish};
use crate::support::scene::refusal;

fn settings() -> PoolSettings {
    PoolSettings { foresee: false, ..PoolSettings::default() }
}

#[tokio::test]
async fn a_session_gets_a_warm_worker_and_the_next_one_the_same_once_it_is_clean() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, Some("anna")).await;
    let worker = first.worker.expect("a worker");
    assert_eq!((first.state, &first.session), (LeaseState::Held, &wish(Some("anna")).session));
    assert_eq!(pool.state(worker).await, (WorkerState::Busy, "allocated".to_owned()));
    assert_eq!(pool.lease(&mut runner, Some("anna")).await.id, first.id, "the same session has the same lease");

    assert!(pool.release(&first).await.expect("a release"));
    assert!(!pool.release(&first).await.expect("a release"), "said twice, it is over");
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "released".to_owned()));
    let second = pool.ask(&wish(Some("bert"))).await;
    assert_eq!(second.state, LeaseState::Waiting, "it is not clean yet");
    pool.round(&mut runner).await;
    pool.round(&mut runner).await;
    let second = pool.held(second.id).await;
    assert_eq!(second.worker, Some(worker));
    assert!(second.token > first.token);
    let past: Vec<_> = pool.worker(worker).await.history.into_iter().map(|step| step.reason).collect();
    assert_eq!(past, ["allocated", "reset_proved", "released", "allocated", "started", "planned"]);
    let status = pool.status().await;
    assert_eq!((status.sessions_total, status.reused_total, status.resets_proved), (2, 1, 1));
    assert_eq!((status.leases, status.waiting, status.spare), (1, 0, 0));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_worker_that_turns_out_dead_is_replaced_by_the_next_in_the_same_call() {
    for fails in ["gone", "refused", "silent"] {
        let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
        let lease = pool.ask(&wish(None)).await;
        let first = lease.worker.expect("a worker");
        let told = pool.sync(&mut runner).await;
        let token = told.iter().find(|it| it.worker == first.to_string()).expect("an instruction").token;
        match fails {
            "gone" => runner.tell(first, |it| it.state = ObservedState::Gone),
            "refused" => runner.tell(first, |it| (it.instruction, it.done) = (Some(token), false)),
            _ => {
                pool.scene.pass(Duration::from_millis(2_001));
                pool.reap().await;
            }
        }
        pool.sync(&mut runner).await;
        pool.round(&mut runner).await;
        let held = pool.held(lease.id).await;
        assert_ne!(held.worker, Some(first), "{fails}");
        let (state, reason) = pool.state(first).await;
        let expected = match fails {
            "gone" => (WorkerState::Terminated, "crashed"),
            _ => (WorkerState::Terminated, "stopped"),
        };
        assert_eq!((state, reason.as_str()), expected, "{fails}");
        pool.scene.check_keys().await;
    }
}

#[tokio::test]
async fn those_in_line_are_served_by_priority_and_age_and_not_for_ever() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, None).await;
    let mut line = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent] {
        pool.scene.pass(Duration::from_millis(10));
        line.push(pool.ask(&Wish { priority, wait: Duration::from_mins(10), ..wish(None) }).await.id);
    }
    let impatient = pool.ask(&Wish { priority: Priority::Urgent, wait: Duration::from_secs(1), ..wish(None) }).await;
    assert_eq!(pool.status().await.waiting, 5);
    pool.scene.pass(Duration::from_secs(2));
    pool.reap().await;
    assert!(matches!(pool.confirm(impatient.id).await, LeaseAsked::None), "its time in line is over");

    let mut holder = first;
    for expected in line.into_iter().rev() {
        pool.release(&holder).await.expect("a release");
        pool.round(&mut runner).await;
        pool.round(&mut runner).await;
        holder = pool.held(expected).await;
    }
    assert_eq!(pool.status().await.waiting, 0);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn who_waited_a_minute_comes_before_who_is_one_step_more_urgent() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, None).await;
    let patient = Wish { wait: Duration::from_mins(10), lease: None, ..wish(None) };
    let old = pool.ask(&patient).await;
    pool.pass(&mut runner, Duration::from_secs(59)).await;
    let urgent = pool.ask(&Wish { priority: Priority::High, ..patient.clone() }).await;
    pool.scene
        .store
        .renew_lease(&pool.pool.tenant, (first.id, first.token.expect("a token")), None, None)
        .await
        .expect("a renewal");
    pool.pass(&mut runner, Duration::from_secs(2)).await;
    let late = pool.ask(&Wish { priority: Priority::High, ..patient.clone() }).await;
    let mut order = Vec::new();
    let mut holder = first;
    for _ in 0..3 {
        pool.release(&holder).await.expect("a release");
        pool.round(&mut runner).await;
        pool.round(&mut runner).await;
        for id in [old.id, urgent.id, late.id] {
            if !order.contains(&id)
                && let LeaseAsked::Held(lease) = pool.confirm(id).await
            {
                holder = lease;
                order.push(id);
            }
        }
    }
    assert_eq!(order, [urgent.id, old.id, late.id]);
}

#[tokio::test]
async fn a_lease_that_nobody_renews_lapses_and_its_worker_is_reset() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    pool.reap().await;
    pool.pass(&mut runner, Duration::from_secs(20)).await;
    let lease = pool.lease(&mut runner, None).await;
    let (worker, token) = (lease.worker.expect("a worker"), lease.token.expect("a token"));
    pool.pass(&mut runner, Duration::from_secs(50)).await;
    let store = &pool.scene.store;
    let tenant = &pool.pool.tenant;
    let until = store.renew_lease(tenant, (lease.id, token), None, None).await.expect("a renewal");
    assert_eq!(until, pool.scene.now() + 60_000);
    assert_eq!(refusal(store.renew_lease(tenant, (lease.id, token + 1), None, None).await), Refusal::NotOwner);
    pool.pass(&mut runner, Duration::from_secs(55)).await;
    assert_eq!(pool.state(worker).await.0, WorkerState::Busy);
    pool.pass(&mut runner, Duration::from_secs(5)).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "lapsed".to_owned()));
    assert_eq!(refusal(store.renew_lease(tenant, (lease.id, token), None, None).await), Refusal::NotOwner);
    pool.round(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Ready, "reset_proved".to_owned()));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn nobody_who_left_keeps_a_worker() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let asked = pool.ask(&wish(None)).await;
    pool.round(&mut runner).await;
    // Its worker took it, and the caller does not come back.
    pool.scene.pass(Duration::from_millis(2_600));
    pool.sync(&mut runner).await;
    pool.reap().await;
    let worker = asked.worker.expect("a worker");
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "abandoned".to_owned()));
    assert!(matches!(pool.confirm(asked.id).await, LeaseAsked::None));
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 1);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_reset_short_of_proof_or_of_time_discards_the_worker() {
    for late in [false, true] {
        let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
        let lease = pool.lease(&mut runner, None).await;
        let worker = lease.worker.expect("a worker");
        pool.release(&lease).await.expect("a release");
        let told = pool.sync(&mut runner).await;
        assert_eq!(told[0].action, Action::Reset);
        if late {
            pool.scene.pass(Duration::from_millis(5_001));
            pool.sync(&mut runner).await;
            pool.reap().await;
        } else {
            let token = told[0].token;
            runner.tell(worker, |it| (it.state, it.instruction, it.done) = (ObservedState::Ready, Some(token), false));
            pool.sync(&mut runner).await;
        }
        let reason = if late { "reset_timeout" } else { "reset_failed" };
        assert_eq!(pool.state(worker).await, (WorkerState::Terminating, reason.to_owned()));
        pool.settle(&mut runner).await;
        let status = pool.status().await;
        assert_eq!((status.resets_failed, status.spare), (1, 1), "another one took its place");
        assert_eq!(pool.state(worker).await.0, WorkerState::Terminated);
    }
}

#[tokio::test]
async fn a_worn_worker_is_replaced_and_a_fresh_pool_reuses_none() {
    for mode in [ResetMode::Soft, ResetMode::Fresh] {
        let mut settings = PoolSettings { reset_mode: mode, ..settings() };
        settings.numbers.sessions_max = 2;
        let (pool, mut runner) = PoolScene::with_workers(settings, 1).await;
        let mut workers = Vec::new();
        for _ in 0..3 {
            let lease = pool.lease(&mut runner, None).await;
            workers.push(lease.worker.expect("a worker"));
            pool.release(&lease).await.expect("a release");
            pool.settle(&mut runner).await;
        }
        assert_eq!(workers[0] == workers[1], mode == ResetMode::Soft);
        assert_ne!(workers[1], workers[2]);
        pool.scene.check_keys().await;
    }
}

#[tokio::test]
async fn a_silent_runner_loses_its_workers_and_their_sessions() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    pool.reap().await;
    pool.pass(&mut runner, Duration::from_secs(30)).await;
    let lease = pool.lease(&mut runner, None).await;
    for _ in 0..4 {
        pool.scene.pass(Duration::from_secs(4));
        pool.reap().await;
    }
    assert_eq!(pool.state(lease.worker.expect("a worker")).await, (WorkerState::Terminated, "runner_lost".to_owned()));
    let status = pool.status().await;
    assert_eq!((status.leases, status.spare, status.runners), (0, 0, 0));
    // It was only away: it is told to stop what it has.
    let told = pool.sync(&mut runner).await;
    assert!(told.iter().all(|it| it.action == Action::Stop) && told.len() == 2, "{told:?}");
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 2);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn after_a_break_everybody_is_given_time() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    pool.reap().await;
    pool.pass(&mut runner, Duration::from_secs(30)).await;
    let lease = pool.lease(&mut runner, None).await;
    // Redis was away for longer than any lease.
    pool.scene.pass(Duration::from_mins(10));
    assert_eq!(pool.reap().await.leases, 0);
    pool.sync(&mut runner).await;
    let (id, token) = (lease.id, lease.token.expect("a token"));
    let renewed = pool.scene.store.renew_lease(&pool.pool.tenant, (id, token), None, None).await;
    assert_eq!(renewed.expect("a renewal"), pool.scene.now() + 60_000);
    pool.pass(&mut runner, Duration::from_secs(55)).await;
    assert_eq!(pool.state(lease.worker.expect("a worker")).await.0, WorkerState::Busy);
    // Who does not use that time loses its worker after all.
    pool.pass(&mut runner, Duration::from_secs(30)).await;
    let renewed = pool.scene.store.renew_lease(&pool.pool.tenant, (id, token), None, None).await;
    assert_eq!(refusal(renewed), Refusal::NotOwner);
}

#[tokio::test]
async fn an_empty_store_takes_in_what_runs() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let lease = pool.lease(&mut runner, Some("anna")).await;
    pool.scene.run::<String>(&["FLUSHALL"]).await;
    pool.scene.store.create_schema().await.expect("a schema");
    pool.scene.store.define_pool(&pool.pool, &pool.settings, false, 10, None).await.expect("a pool");
    let told = pool.sync(&mut runner).await;
    let actions: Vec<_> = told.iter().map(|it| it.action).collect();
    assert!(actions.contains(&Action::Keep) && actions.contains(&Action::Run) && told.len() == 2, "{actions:?}");
    let again = pool.held(lease.id).await;
    assert_eq!((again.worker, again.token, &again.session), (lease.worker, lease.token, &lease.session));
    let renewed = (lease.id, lease.token.expect("a token"));
    pool.scene.store.renew_lease(&pool.pool.tenant, renewed, None, None).await.expect("a renewal");
    pool.release(&lease).await.expect("a release");
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 2);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_session_comes_back_to_its_worker() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 3).await;
    let first = pool.lease(&mut runner, Some("anna")).await;
    pool.release(&first).await.expect("a release");
    pool.settle(&mut runner).await;
    pool.scene.pass(Duration::from_secs(5));
    pool.sync(&mut runner).await;
    let again = pool.lease(&mut runner, Some("anna")).await;
    assert_eq!(again.worker, first.worker);
    pool.release(&again).await.expect("a release");
    pool.settle(&mut runner).await;
    // Its worker serves somebody else now.
    let others = [pool.lease(&mut runner, None).await, pool.lease(&mut runner, None).await];
    let taken = others.iter().find(|it| it.worker == first.worker).is_some();
    let third = pool.lease(&mut runner, None).await;
    assert!(taken || third.worker == first.worker);
    let strict = |affinity| Wish { affinity, ..wish(Some("anna")) };
    assert_eq!(refusal(pool.ask_as(pool.new_id(), &strict(Affinity::Fail)).await), Refusal::NotOwner);
    let queued = pool.ask(&Wish { wait: Duration::from_mins(1), ..strict(Affinity::Queue) }).await;
    let [one, other] = others;
    for lease in [one, other, third] {
        let is_own = lease.worker == first.worker;
        pool.release(&lease).await.expect("a release");
        pool.settle(&mut runner).await;
        let mine = pool.confirm(queued.id).await;
        if is_own {
            assert!(matches!(mine, LeaseAsked::Held(lease) if lease.worker == first.worker));
            break;
        }
        assert!(matches!(mine, LeaseAsked::Pending(_)), "another worker is none of its own");
    }
    let status = pool.status().await;
    assert_eq!((status.affinity_hits, status.affinity_misses), (1, 1));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn the_assignment_is_told_to_the_runner_once_and_kept_nowhere_after() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let environment = [("KEY".to_owned(), "a-secret".to_owned())].into();
    let parts = AssignmentParts { environment, metadata: "hello".to_owned() };
    let lease = pool.ask(&Wish { assignment: Assignment::new(&parts), ..wish(None) }).await;
    let told = pool.sync(&mut runner).await;
    assert_eq!(told[0].assignment.parts().environment, parts.environment);
    assert_eq!(told[0].lease, Some(lease.id.to_string()));
    runner.obey(&told);
    let told = pool.sync(&mut runner).await;
    assert!(told[0].action == Action::Keep && told[0].assignment.parts().environment.is_empty());
    let held = pool.held(lease.id).await;
    pool.release(&held).await.expect("a release");
    let left: Vec<String> = pool.scene.run(&["KEYS", "*assignment*"]).await;
    assert_eq!(left, Vec::<String>::new());
    assert!(!format!("{told:?}").contains("a-secret"));
}

#[tokio::test]
async fn a_pool_grows_with_those_who_wait_and_shrinks_when_it_is_calm() {
    let mut settings = settings();
    (settings.numbers.spare, settings.numbers.max, settings.numbers.starts_max) = (2, 6, 10);
    let pool = PoolScene::open(settings).await;
    let mut runner = TestRunner::new("one", 20);
    pool.sync(&mut runner).await;
    assert_eq!(pool.plan().await.starts, 2);
    pool.settle(&mut runner).await;
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(pool.ask(&Wish { wait: Duration::from_mins(10), ..wish(None) }).await.id);
    }
    let plan = pool.plan().await;
    assert_eq!((plan.wanted, plan.there, plan.starts, plan.reason.as_str()), (6, 2, 4, "max"));
    pool.settle(&mut runner).await;
    assert_eq!(pool.count(WorkerState::Busy).await, 6);
    assert_eq!(pool.status().await.waiting, 2);
    for id in leases {
        if let LeaseAsked::Held(lease) = pool.confirm(id).await {
            pool.release(&lease).await.expect("a release");
        }
        pool.settle(&mut runner).await;
    }
    assert_eq!(pool.plan().await.reason, "cooling_down");
    pool.pass(&mut runner, Duration::from_secs(61)).await;
    pool.settle(&mut runner).await;
    let status = pool.status().await;
    assert_eq!((status.spare, pool.plan().await.there), (2, 2));
    assert!(status.plans.iter().any(|plan| plan.goes > 0), "{:?}", status.plans);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn starts_that_fail_are_tried_again_later_each_time() {
    let pool = PoolScene::open(settings()).await;
    let mut runner = TestRunner::new("one", 20);
    pool.sync(&mut runner).await;
    assert_eq!(pool.plan().await.starts, 2);
    for worker in pool.sync(&mut runner).await {
        runner.tell(worker.worker.parse().expect("an id"), |it| it.state = ObservedState::Gone);
    }
    pool.sync(&mut runner).await;
    assert_eq!((pool.plan().await.starts, pool.status().await.starts_failed), (0, 2));
    assert_eq!(pool.plan().await.reason, "backing_off");
    pool.scene.pass(Duration::from_secs(2));
    assert_eq!(pool.plan().await.starts, 2);
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.starts_failed, 0);
}

#[tokio::test]
async fn marks_take_a_worker_out_and_bring_it_back() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let lease = pool.lease(&mut runner, None).await;
    let busy = lease.worker.expect("a worker");
    let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
    let idle = workers.iter().find(|worker| worker.id != busy).expect("another").id;
    let mark = async |id, mark| pool.scene.store.mark_worker(&pool.pool.tenant, id, mark, None).await;
    assert!(mark(idle, "cordon").await.expect("a worker").cordoned);
    assert_eq!(pool.status().await.spare, 0);
    assert!(!mark(idle, "uncordon").await.expect("a worker").cordoned);
    assert_eq!(pool.status().await.spare, 1);
    assert_eq!(mark(busy, "drain").await.expect("a worker").state, WorkerState::Busy, "its session goes on");
    assert_eq!(mark(idle, "recycle").await.expect("a worker").state, WorkerState::Terminating);
    pool.release(&lease).await.expect("a release");
    assert_eq!(pool.state(busy).await.0, WorkerState::Terminating);
    pool.settle(&mut runner).await;
    assert_eq!(refusal(mark(idle, "cordon").await), Refusal::NotFound, "it is gone");
    assert_eq!(pool.status().await.spare, 2);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn an_unhealthy_worker_degrades_recovers_and_is_removed() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let worker = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers")[0].id;
    for (failures, state) in [
        (1, WorkerState::Degraded),
        (2, WorkerState::Degraded),
        (0, WorkerState::Ready),
        (1, WorkerState::Degraded),
        (3, WorkerState::Terminating),
    ] {
        runner.tell(worker, |it| it.failures = failures);
        pool.sync(&mut runner).await;
        assert_eq!(pool.state(worker).await.0, state, "{failures} failures");
        assert_eq!(pool.status().await.spare, u64::from(state == WorkerState::Ready));
    }
    pool.settle(&mut runner).await;
    assert_eq!(pool.status().await.spare, 1);
}

#[tokio::test]
async fn a_new_version_replaces_spare_workers_first_and_leased_ones_at_their_end() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let lease = pool.lease(&mut runner, None).await;
    let mut settings = pool.settings.clone();
    settings.version = "2".to_owned();
    pool.scene.store.define_pool(&pool.pool, &settings, false, 10, None).await.expect("a pool");
    pool.settle(&mut runner).await;
    let versions = async || {
        let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
        let mut versions: Vec<_> = workers.into_iter().map(|it| (it.state.as_str(), it.version)).collect();
        versions.sort();
        versions
    };
    let version = |text: &str| text.to_owned();
    assert_eq!(versions().await, [("busy", version("1")), ("ready", version("2")), ("ready", version("2"))]);
    pool.release(&lease).await.expect("a release");
    pool.settle(&mut runner).await;
    assert!(versions().await.iter().all(|(_, it)| it == "2"));
}

#[tokio::test]
async fn a_stale_leader_changes_nothing() {
    let (pool, _) = PoolScene::with_workers(settings(), 1).await;
    let shard = greenroom::store::keys::shard_of_pool(&pool.pool, pool.scene.store.shards());
    pool.scene.store.begin_term(shard, 7).await.expect("a term");
    assert_eq!(refusal(pool.scene.store.reap_pools(shard, 6, 10).await), Refusal::StaleTerm);
    assert_eq!(refusal(pool.scene.store.reap_leases(shard, 6, 10, HEARD).await), Refusal::StaleTerm);
}
