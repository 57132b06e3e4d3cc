//! Requests of pools under an `Idempotency-Key`: done once, answered alike, whatever happened in between.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::time::Duration;

use greenroom::id::LeaseId;
use greenroom::idempotency::Once;
use greenroom::pool::{Lease, LeaseState, PoolSettings, WorkerState};
use greenroom::store::{LeaseAsked, Refusal, StoreError};

use crate::support::pool_scene::{PoolScene, wish, wish_of_key};
use crate::support::scene::refusal;

fn request(route: &str, body: &str) -> Once {
    Once::new("ann", route, "py", "k", body.as_bytes())
}

/// The same request, sent again.
fn again(once: &Once) -> Once {
    Once { attempt: format!("{}-again", once.attempt), ..once.clone() }
}

fn settings() -> PoolSettings {
    PoolSettings { foresee: false, ..PoolSettings::default() }
}

async fn ask(pool: &PoolScene, id: LeaseId, once: &Once) -> Result<LeaseAsked, StoreError> {
    pool.scene.store.ask_for_worker(&pool.pool, id, &wish(None), Some(once)).await
}

fn lease_of(asked: Result<LeaseAsked, StoreError>) -> Lease {
    match asked.expect("an answer") {
        LeaseAsked::Held(lease) | LeaseAsked::Pending(lease) => lease,
        LeaseAsked::None => panic!("no lease"),
    }
}

/// Refused, and nothing is changed by that.
async fn is_refused<T: std::fmt::Debug>(
    pool: &PoolScene,
    act: impl AsyncFnOnce() -> Result<T, StoreError>,
    expected: Refusal,
) {
    let before = pool.scene.dump().await;
    assert_eq!(refusal(act().await), expected);
    assert_eq!(pool.scene.dump().await, before);
}

#[tokio::test]
async fn a_session_has_one_worker_however_often_it_is_asked_for() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let (once, other) = (request("lease", "a"), request("lease", "b"));
    let asked = lease_of(ask(&pool, pool.new_id(), &once).await);
    assert_eq!(asked.state, LeaseState::Offered);
    is_refused(&pool, async || ask(&pool, pool.new_id(), &again(&once)).await, Refusal::UnderWay).await;
    is_refused(&pool, async || ask(&pool, pool.new_id(), &other).await, Refusal::KeyReused).await;
    pool.round(&mut runner).await;
    let confirm = async |once: &Once| pool.scene.store.confirm_lease(&pool.pool, asked.id, false, Some(once)).await;
    is_refused(&pool, async || confirm(&again(&once)).await, Refusal::UnderWay).await;
    let held = lease_of(confirm(&once).await);
    assert_eq!(held.state, LeaseState::Held);
    for _ in 0..2 {
        pool.scene.pass(Duration::from_secs(1));
        let before = pool.scene.dump().await;
        assert_eq!(lease_of(ask(&pool, pool.new_id(), &again(&once)).await).id, held.id);
        assert_eq!(lease_of(confirm(&again(&once)).await).token, held.token);
        assert_eq!(pool.scene.dump().await, before);
    }
    is_refused(&pool, async || ask(&pool, pool.new_id(), &other).await, Refusal::KeyReused).await;
    is_refused(&pool, async || confirm(&other).await, Refusal::KeyReused).await;
    // Also when it is over: a repetition gets no second worker.
    pool.release(&held).await.expect("a release");
    assert_eq!(lease_of(ask(&pool, pool.new_id(), &again(&once)).await).id, held.id);
    assert_eq!(pool.count(WorkerState::Busy).await, 0);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn who_got_a_key_first_and_who_found_it_are_told_so_again() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 2).await;
    let (first, second) =
        (request("lease", "first"), Once { record: "another".to_owned(), ..request("lease", "second") });
    let ask = async |once: &Once| {
        lease_of(pool.scene.store.ask_for_worker(&pool.pool, pool.new_id(), &wish_of_key("anna"), Some(once)).await)
    };
    let (asked, joined) = (ask(&first).await, ask(&second).await);
    let confirm = async |once: &Once, reused| {
        lease_of(pool.scene.store.confirm_lease(&pool.pool, asked.id, reused, Some(once)).await)
    };
    assert_eq!((asked.id, asked.reused, joined.reused), (joined.id, false, true));
    pool.round(&mut runner).await;
    assert!(!confirm(&first, asked.reused).await.reused && confirm(&second, joined.reused).await.reused);
    for _ in 0..2 {
        assert!(!ask(&again(&first)).await.reused && ask(&again(&second)).await.reused);
        pool.release(&lease_of(Ok(pool.confirm(asked.id).await))).await.expect("a release");
    }
    let found = Once { record: "a third".to_owned(), ..request("lease", "third") };
    assert!(ask(&found).await.reused);
    let before = pool.scene.dump().await;
    let told = ask(&again(&found)).await;
    assert_eq!((told.id, told.reused, told.state), (asked.id, true, LeaseState::Held));
    assert_eq!(pool.scene.dump().await, before);
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn one_whose_replica_was_lost_in_line_may_be_asked_for_again() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let first = pool.lease(&mut runner, None).await;
    let once = request("lease", "a");
    let lost = lease_of(ask(&pool, pool.new_id(), &once).await);
    assert_eq!(lost.state, LeaseState::Waiting);
    pool.scene.pass(Duration::from_secs(3));
    let second = lease_of(ask(&pool, pool.new_id(), &again(&once)).await);
    assert_ne!(second.id, lost.id);
    // Nobody asks for the first any more: its time in line ends.
    pool.pass(&mut runner, Duration::from_secs(8)).await;
    assert!(pool.scene.store.lease(lost.id).await.expect("an answer").is_none());
    pool.release(&first).await.expect("a release");
    pool.settle(&mut runner).await;
    // What is refused is not remembered: the same key may ask later.
    let mut none = settings();
    (none.draining, none.numbers.queue_max) = (true, 0);
    pool.define(&none).await;
    let other = request("draining", "a");
    is_refused(&pool, async || ask(&pool, pool.new_id(), &other).await, Refusal::Ending).await;
    pool.define(&settings()).await;
    assert!(ask(&pool, pool.new_id(), &again(&other)).await.is_ok());
}

#[tokio::test]
async fn renewals_and_releases_are_told_as_they_were_the_first_time() {
    let (pool, mut runner) = PoolScene::with_workers(settings(), 1).await;
    let lease = pool.lease(&mut runner, None).await;
    let (store, tenant) = (&pool.scene.store, &pool.pool.tenant);
    let (id, token) = (lease.id, lease.token.expect("a token"));
    let longer = Duration::from_mins(2);
    let renew = async |once: &Once| store.renew_lease(tenant, (id, token), Some(longer), Some(once)).await;
    let once = request("renew", "a");
    let until = renew(&once).await.expect("a renewal");
    pool.scene.pass(Duration::from_secs(30));
    assert_eq!(renew(&again(&once)).await.expect("the same"), until);
    let now = store.lease(id).await.expect("an answer").expect("a lease").until_ms;
    assert_eq!(now, Some(until), "it was renewed once");
    is_refused(&pool, async || renew(&request("renew", "b")).await, Refusal::KeyReused).await;

    let release = async |once: &Once| store.release_lease(tenant, (id, Some(token)), Some(once)).await;
    let once = request("release", "a");
    assert!(release(&once).await.expect("a release"));
    let after = pool.scene.dump().await;
    assert!(release(&again(&once)).await.expect("the same"), "it was there when it was given back");
    assert_eq!(pool.scene.dump().await, after);
    is_refused(&pool, async || release(&request("release", "b")).await, Refusal::KeyReused).await;
    assert_eq!(renew(&again(&request("renew", "a"))).await.expect("told from memory"), until);
    // One that was refused is not remembered as done.
    let once = request("late", "a");
    is_refused(&pool, async || renew(&once).await, Refusal::NotOwner).await;
    pool.scene.check_keys().await;
}

#[tokio::test]
async fn marks_and_definitions_are_made_once() {
    let (pool, _) = PoolScene::with_workers(settings(), 1).await;
    let (store, tenant) = (&pool.scene.store, &pool.pool.tenant);
    let worker = store.page_of_workers(&pool.pool, 0, 1).await.expect("workers")[0].id;
    let once = request("mark", "");
    assert!(store.mark_worker(tenant, worker, "cordon", Some(&once)).await.expect("a worker").cordoned);
    store.mark_worker(tenant, worker, "uncordon", None).await.expect("a worker");
    let told = store.mark_worker(tenant, worker, "cordon", Some(&again(&once))).await.expect("the same");
    assert!(told.cordoned && !pool.worker(worker).await.cordoned, "it was done once, and told twice");
    let other = request("mark", "b");
    is_refused(&pool, async || store.mark_worker(tenant, worker, "cordon", Some(&other)).await, Refusal::KeyReused)
        .await;

    pool.scene.run::<()>(&["FLUSHALL"]).await;
    let once = request("define", "a");
    let define = async |settings: &PoolSettings, once: &Once| {
        store.define_pool(&pool.pool, settings, false, 10, Some(once)).await
    };
    assert!(define(&settings(), &once).await.expect("a pool"));
    let mut changed = settings();
    changed.numbers.spare = 7;
    pool.define(&changed).await;
    assert!(define(&settings(), &again(&once)).await.expect("the same"));
    let pool_now = store.pool(&pool.pool).await.expect("an answer").expect("a pool");
    assert_eq!(pool_now.settings.numbers.spare, 7);
    is_refused(&pool, async || define(&changed, &request("define", "b")).await, Refusal::KeyReused).await;
    pool.scene.check_keys().await;
}
