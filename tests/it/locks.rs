//! Locks over all replicas: one holder at a time, tokens that only grow, a stale holder refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenroom::lock::{LockError, Locks};
use greenroom::name::Name;
use greenroom::store::{Hints, Refusal};
use tokio_util::sync::CancellationToken;

use crate::support::redis::TestRedis;
use crate::support::scene::{Scene, refusal};

const LEASE: Duration = Duration::from_secs(5);
const OUR: &str = "ours";

fn names() -> (Name, Name) {
    (Name::default_tenant(), Name::strict(OUR).expect("a name"))
}

#[tokio::test]
async fn a_lock_has_one_holder_until_its_lease_is_over() {
    let scene = Scene::open().await;
    let ((tenant, name), store) = (names(), &scene.store);
    let ann = store.lock(&tenant, &name, "ann", LEASE).await.expect("an answer");
    assert!(ann.is_held);
    let again = store.lock(&tenant, &name, "ann", LEASE).await.expect("an answer");
    assert_eq!((again.is_held, again.token), (true, ann.token), "said twice, it is one grant");
    scene.pass(Duration::from_secs(3));
    let bob = store.lock(&tenant, &name, "bob", LEASE).await.expect("an answer");
    assert_eq!((bob.is_held, bob.owner.as_str(), bob.left), (false, "ann", Duration::from_secs(2)));
    store.renew_lock(&tenant, &name, ("ann", ann.token), LEASE).await.expect("it is hers");
    scene.pass(LEASE);
    assert_eq!(refusal(store.renew_lock(&tenant, &name, ("ann", ann.token), LEASE).await), Refusal::NotOwner);
    let bob = store.lock(&tenant, &name, "bob", LEASE).await.expect("an answer");
    assert!(bob.is_held && bob.token > ann.token);
    assert_eq!(refusal(store.unlock(&tenant, &name, "ann", ann.token).await), Refusal::NotOwner);
    assert!(store.unlock(&tenant, &name, "bob", bob.token).await.expect("it is his"));
    assert!(!store.unlock(&tenant, &name, "bob", bob.token).await.expect("nobody has it"));
    let carl = store.lock(&tenant, &name, "carl", LEASE).await.expect("an answer");
    assert!(carl.is_held && carl.token > bob.token, "in the same millisecond, too");
    scene.check_keys().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_owners_take_turns_and_tokens_only_grow() {
    let redis = TestRedis::start().await;
    let turns: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let inside = Arc::new(tokio::sync::Mutex::new(()));
    let stop = CancellationToken::new();
    let mut tasks = Vec::new();
    for owner in 0..8_usize {
        // Each as in a replica of its own.
        let (store, hints) = (redis.store().await, Hints::default());
        tokio::spawn(hints.clone().follow(store.clone(), stop.clone()));
        let (locks, turns, inside) = (Locks::new(store, hints), Arc::clone(&turns), Arc::clone(&inside));
        tasks.push(tokio::spawn(async move {
            let (tenant, name) = names();
            for turn in 0..10 {
                let wait = Duration::from_mins(1);
                // One that dies with the lock in its hands is followed when its lease is over.
                let dies = turn == 5 && owner < 3;
                let lease = if dies { Duration::from_millis(150) } else { Duration::from_secs(20) };
                let held = locks.acquire(&tenant, &name, &format!("{owner}.{turn}"), lease, wait).await;
                let held = held.expect("its turn comes");
                if dies {
                    continue;
                }
                let alone = inside.try_lock().expect("nobody else is in");
                tokio::task::yield_now().await;
                turns.lock().expect("turns").insert(held.token, owner);
                drop(alone);
                locks.release(&held).await.expect("it is held");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(turns.lock().expect("turns").len(), 80 - 3, "each token was given once");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_who_has_it_and_is_woken_by_the_release() {
    let redis = TestRedis::start().await;
    let (store, hints, stop) = (redis.store().await, Hints::default(), CancellationToken::new());
    tokio::spawn(hints.clone().follow(store.clone(), stop.clone()));
    let locks = Locks::new(store, hints);
    let (tenant, name) = names();
    let held = locks.acquire(&tenant, &name, "ann", LEASE, Duration::ZERO).await.expect("it is free");
    let busy = locks.acquire(&tenant, &name, "bob", LEASE, Duration::from_millis(50)).await;
    assert!(matches!(&busy, Err(LockError::Busy { owner, .. }) if owner == "ann"), "{busy:?}");
    let waiting = tokio::spawn({
        let (locks, tenant, name) = (locks.clone(), tenant.clone(), name.clone());
        async move { locks.acquire(&tenant, &name, "bob", LEASE, Duration::from_secs(30)).await }
    });
    locks.renew(&held, Duration::from_mins(10)).await.expect("it is held");
    locks.release(&held).await.expect("it is held");
    let next = waiting.await.expect("no panic").expect("his turn");
    assert!(next.token > held.token);
    assert!(matches!(locks.renew(&held, LEASE).await, Err(LockError::Lost)));
    stop.cancel();
}
