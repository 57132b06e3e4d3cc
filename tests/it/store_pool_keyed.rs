//! Keyed sessions: a worker is kept for a key between its uses, and given up by time, for another key, or for its health.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::pool::{Lease, LeaseState, ObservedState, PoolSettings, Pools, SessionRef, Wish, WorkerState};
use greenroom::store::{Hints, LeaseAsked, Refusal};

use crate::support::pool_scene::{HEARD, PoolScene, TestRunner, wish, wish_of_key};
use crate::support::scene::refusal;

fn settings(keyed_max: u32) -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, ..PoolSettings::default() };
    settings.numbers.keyed_max = keyed_max;
    settings
}

/// The key's session, in use.
async fn lease(pool: &PoolScene, runner: &mut TestRunner, key: &str) -> Lease {
    let asked = pool.ask(&wish_of_key(key)).await;
    if asked.state == LeaseState::Held {
        return asked;
    }
    pool.settle(runner).await;
    pool.held(asked.id).await
}

async fn renewal(pool: &PoolScene, lease: &Lease) -> Result<u64, greenroom::store::StoreError> {
    let it = (lease.id, lease.token.expect("a token"));
    pool.scene.store.renew_lease(&pool.pool.tenant, it, None, None).await
}

async fn state_of(pool: &PoolScene, lease: &Lease) -> Option<LeaseState> {
    pool.scene.store.lease(lease.id).await.expect("an answer").map(|lease| lease.state)
}

async fn counts(pool: &PoolScene) -> (u64, u64) {
    let status = pool.status().await;
    (status.keyed, status.idle)
}

#[tokio::test]
async fn a_key_keeps_its_worker_between_two_uses() {
    let (pool, mut runner) = PoolScene::with_workers(settings(3), 2).await;
    let first = lease(&pool, &mut runner, "anna").await;
    let worker = first.worker.expect("a worker");
    assert_eq!((first.reused, first.session.as_ref().is_some_and(SessionRef::is_keyed)), (false, true));
    assert_eq!(counts(&pool).await, (1, 0));
    for _ in 0..2 {
        assert!(pool.release(&first).await.expect("a release"));
        assert_eq!(state_of(&pool, &first).await, Some(LeaseState::Idle));
        assert_eq!((counts(&pool).await, pool.status().await.leases), ((1, 1), 1));
    }
    pool.settle(&mut runner).await;
    assert_eq!(pool.state(worker).await, (WorkerState::Busy, "allocated".to_owned()), "it is not reset");
    assert_eq!(refusal(renewal(&pool, &first).await), Refusal::NotOwner, "nobody has it");
    let stranger = pool.scene.store.release_lease(&pool.pool.tenant, (first.id, None), None).await;
    assert_eq!(refusal(stranger), Refusal::NotOwner);
    // Another key, and a session that is named alike, get other workers.
    let named = pool.lease(&mut runner, Some("anna")).await;
    let other = lease(&pool, &mut runner, "bert").await;
    assert!(named.worker != first.worker && other.worker != first.worker && named.worker != other.worker);

    pool.scene.pass(Duration::from_secs(100));
    pool.sync(&mut runner).await;
    let longer = Wish { lease: Some(Duration::from_secs(90)), ..wish_of_key("anna") };
    let LeaseAsked::Held(again) = pool.ask_as(pool.new_id(), &longer).await.expect("an answer") else {
        panic!("it has its worker");
    };
    assert_eq!((again.id, again.worker, again.token), (first.id, first.worker, first.token));
    assert_eq!((again.reused, again.until_ms), (true, Some(pool.scene.now() + 90_000)));
    assert!(renewal(&pool, &again).await.is_ok());
    let status = pool.status().await;
    assert_eq!((status.keyed, status.idle, status.keyed_reused, status.sessions_total), (2, 0, 1, 3));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn a_key_that_nobody_uses_for_long_gives_its_worker_back() {
    let (pool, mut runner) = PoolScene::with_workers(settings(3), 1).await;
    pool.pass(&mut runner, Duration::from_secs(30)).await;
    let held = lease(&pool, &mut runner, "anna").await;
    // Its holder is gone: the lease lapses, and the worker still waits for the key.
    pool.pass(&mut runner, Duration::from_mins(1)).await;
    assert_eq!(state_of(&pool, &held).await, Some(LeaseState::Idle));
    pool.pass(&mut runner, Duration::from_secs(595)).await;
    assert_eq!(state_of(&pool, &held).await, Some(LeaseState::Idle));
    pool.pass(&mut runner, Duration::from_secs(5)).await;
    assert_eq!(state_of(&pool, &held).await, None);
    let worker = held.worker.expect("a worker");
    assert_eq!(pool.state(worker).await, (WorkerState::Resetting, "idle".to_owned()));
    assert!(!pool.release(&held).await.expect("an answer"), "it is over");
    let remembered: Vec<String> = pool.scene.run(&["KEYS", "gr:*:session:*"]).await;
    assert_eq!(remembered, Vec::<String>::new(), "a worker that was reset is no better for it than another");
    pool.settle(&mut runner).await;
    assert_eq!((pool.state(worker).await.0, counts(&pool).await), (WorkerState::Ready, (0, 0)));
    let anew = lease(&pool, &mut runner, "anna").await;
    assert!(anew.id != held.id && !anew.reused);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn at_the_limit_the_key_that_was_used_longest_ago_makes_room() {
    let (pool, mut runner) = PoolScene::with_workers(settings(2), 3).await;
    let (anna, bert) = (lease(&pool, &mut runner, "anna").await, lease(&pool, &mut runner, "bert").await);
    let before = pool.scene.dump().await;
    assert_eq!(refusal(pool.ask_as(pool.new_id(), &wish_of_key("carl")).await), Refusal::InUse);
    assert_eq!(pool.scene.dump().await, before, "who is refused changes nothing");
    for (lease, key) in [(&anna, "anna"), (&bert, "bert")] {
        pool.release(lease).await.expect("a release");
        pool.scene.pass(Duration::from_secs(1));
        pool.ask(&wish_of_key(key)).await;
    }
    pool.release(&bert).await.expect("a release");
    pool.scene.pass(Duration::from_secs(1));
    pool.release(&anna).await.expect("a release");
    pool.sync(&mut runner).await;
    let carl = lease(&pool, &mut runner, "carl").await;
    assert_eq!((state_of(&pool, &anna).await, state_of(&pool, &bert).await), (Some(LeaseState::Idle), None));
    let history = pool.worker(bert.worker.expect("a worker")).await.history;
    assert!(history.iter().any(|step| step.reason == "evicted"), "{history:?}");
    // A late holder does nothing to whoever has the worker by now.
    assert_eq!(refusal(renewal(&pool, &bert).await), Refusal::NotOwner);
    assert!(!pool.release(&bert).await.expect("an answer"));
    assert_eq!((state_of(&pool, &carl).await, pool.status().await.keyed_evicted), (Some(LeaseState::Held), 1));
    assert_eq!(counts(&pool).await, (2, 1));
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn there_are_never_more_keys_than_workers() {
    let mut few = settings(3);
    (few.numbers.spare, few.numbers.max) = (1, 1);
    let pool = PoolScene::open(few).await;
    let mut runner = TestRunner::new("one", 5);
    pool.sync(&mut runner).await;
    pool.settle(&mut runner).await;
    let anna = lease(&pool, &mut runner, "anna").await;
    assert_eq!(refusal(pool.ask_as(pool.new_id(), &wish_of_key("bert")).await), Refusal::InUse);
    pool.release(&anna).await.expect("a release");
    let bert = lease(&pool, &mut runner, "bert").await;
    assert_eq!((bert.worker, state_of(&pool, &anna).await), (anna.worker, None));
}

#[tokio::test]
async fn a_key_gets_another_worker_where_its_own_is_lost_or_not_well() {
    for (fails, in_use) in [("sick", false), ("sick", true), ("gone", false)] {
        let (pool, mut runner) = PoolScene::with_workers(settings(1), 2).await;
        let first = lease(&pool, &mut runner, "anna").await;
        let worker = first.worker.expect("a worker");
        if !in_use {
            pool.release(&first).await.expect("a release");
        }
        runner.tell(worker, |it| match fails {
            "sick" => it.failures = 1,
            _ => it.state = ObservedState::Gone,
        });
        pool.sync(&mut runner).await;
        let again = lease(&pool, &mut runner, "anna").await;
        assert!(again.id != first.id && again.worker != first.worker && !again.reused, "{fails}: {again:?}");
        let reasons: Vec<_> = pool.worker(worker).await.history.into_iter().map(|step| step.reason).collect();
        let expected = if fails == "sick" { "unhealthy" } else { "crashed" };
        assert!(reasons.iter().any(|reason| reason == expected), "{fails}: {reasons:?}");
        assert_eq!(refusal(renewal(&pool, &first).await), Refusal::NotOwner, "{fails}");
        assert!(!pool.release(&first).await.expect("an answer"), "{fails}");
        let status = pool.status().await;
        assert_eq!((status.keyed, status.keyed_rebound), (1, u64::from(fails == "sick")), "{fails}");
        pool.scene.check_keys().await;
    }
}

#[tokio::test]
async fn what_is_to_go_is_kept_for_no_key() {
    for why in ["drained pool", "drained worker", "another version"] {
        for idle_before in [false, true] {
            let (pool, mut runner) = PoolScene::with_workers(settings(3), 1).await;
            let held = lease(&pool, &mut runner, "anna").await;
            if idle_before {
                pool.release(&held).await.expect("a release");
            }
            let mut changed = pool.settings.clone();
            match why {
                "drained pool" => changed.draining = true,
                "another version" => changed.version = "2".to_owned(),
                _ => {
                    let (store, tenant) = (&pool.scene.store, &pool.pool.tenant);
                    store.mark_worker(tenant, held.worker.expect("a worker"), "drain", None).await.expect("a worker");
                }
            }
            pool.define(&changed).await;
            pool.plan().await;
            // One of another version goes on where it is, until somebody has used it again.
            let stays = idle_before && why == "another version";
            assert_eq!(state_of(&pool, &held).await.is_some(), !idle_before || stays, "{why}, {idle_before}");
            if stays {
                pool.ask(&wish_of_key("anna")).await;
            }
            pool.release(&held).await.expect("a release");
            assert_eq!((state_of(&pool, &held).await, counts(&pool).await), (None, (0, 0)), "{why}, {idle_before}");
            pool.scene.check_keys().await;
        }
    }
}

#[tokio::test]
async fn a_key_is_known_again_to_a_store_that_forgot_it() {
    let (pool, mut runner) = PoolScene::with_workers(settings(3), 1).await;
    let held = lease(&pool, &mut runner, "anna").await;
    pool.release(&held).await.expect("a release");
    pool.anew().await;
    pool.sync(&mut runner).await;
    assert_eq!((state_of(&pool, &held).await, counts(&pool).await), (Some(LeaseState::Held), (1, 0)));
    let again = pool.ask(&wish_of_key("anna")).await;
    assert_eq!((again.id, again.worker, again.token), (held.id, held.worker, held.token));
    assert_ne!(pool.ask(&wish(Some("anna"))).await.id, held.id, "the name is another session");
    pool.release(&again).await.expect("a release");
    assert_eq!(counts(&pool).await, (1, 1));
    pool.scene.check_keys().await;
}

/// There is no line for a key: whoever may wait asks again, and is told at the end of its wait.
#[tokio::test]
async fn who_may_wait_for_a_key_in_use_gets_a_worker_once_it_is_idle() {
    let (pool, mut runner) = PoolScene::with_workers(settings(1), 2).await;
    let anna = lease(&pool, &mut runner, "anna").await;
    let service = Pools::new(pool.scene.store.clone(), Hints::default(), pool.settings.clone(), HEARD);
    let waits = |wait| Wish { wait, ..wish_of_key("bert") };
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        let refused = service.lease(&pool.pool, &waits(wait), None).await;
        assert!(matches!(refused, Err(greenroom::pool::PoolError::KeysInUse)), "{refused:?}");
    }
    let (name, wish) = (pool.pool.clone(), waits(Duration::from_secs(30)));
    let asking = tokio::spawn(async move { service.lease(&name, &wish, None).await });
    pool.release(&anna).await.expect("a release");
    let bert = crate::support::eventually("it has its worker", async || {
        pool.round(&mut runner).await;
        asking.is_finished().then_some(())
    });
    bert.await;
    let bert = asking.await.expect("no panic").expect("a lease");
    assert_eq!((bert.state, bert.reused, state_of(&pool, &anna).await), (LeaseState::Held, false, None));
}
