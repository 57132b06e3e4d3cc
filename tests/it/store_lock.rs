//! Locks over all replicas: one holder at a time, tokens that only grow, a stale holder refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenroom::lock::{LockError, Locks};
use greenroom::name::Name;
use greenroom::store::keys::shard_of_lock;
use greenroom::store::{Grant, Hints, Refusal, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, TestCaseError, TestRunner};
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
    let kept = store.renew_lock(&tenant, &name, ("ann", ann.token), LEASE).await.expect("it is hers");
    assert_eq!((kept.since_ms, kept.until_ms), (ann.since_ms, ann.until_ms + 3_000), "held since she took it");
    assert_eq!(store.lock_holder(&tenant, &name).await.expect("an answer"), Some(Grant { is_held: false, ..kept }));
    scene.pass(LEASE);
    assert_eq!(store.lock_holder(&tenant, &name).await.expect("an answer"), None, "its lease is over");
    assert_eq!(refusal(store.renew_lock(&tenant, &name, ("ann", ann.token), LEASE).await), Refusal::NotOwner);
    let bob = store.lock(&tenant, &name, "bob", LEASE).await.expect("an answer");
    assert!(bob.is_held && bob.token > ann.token);
    assert_eq!(refusal(store.unlock(&tenant, &name, "ann", ann.token).await), Refusal::NotOwner);
    assert!(store.unlock(&tenant, &name, "bob", bob.token).await.expect("it is his"));
    assert!(!store.unlock(&tenant, &name, "bob", bob.token).await.expect("nobody has it"));
    assert_eq!(store.lock_holder(&tenant, &name).await.expect("an answer"), None);
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
                turns.lock().expect("turns").insert(held.hold.token, owner);
                drop(alone);
                locks.release(&held.hold).await.expect("it is held");
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
    locks.renew(&held.hold, Duration::from_mins(10)).await.expect("it is held");
    locks.release(&held.hold).await.expect("it is held");
    let next = waiting.await.expect("no panic").expect("his turn");
    assert!(next.hold.token > held.hold.token);
    assert!(matches!(locks.renew(&held.hold, LEASE).await, Err(LockError::Lost)));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_leaves_lets_nobody_wait_on() {
    let redis = TestRedis::start().await;
    let (store, hints, leaving) = (redis.store().await, Hints::default(), CancellationToken::new());
    let locks = Locks::new(store, hints).until(leaving.clone());
    let (tenant, name) = names();
    locks.acquire(&tenant, &name, "ann", Duration::from_mins(10), Duration::ZERO).await.expect("it is free");
    let waits = locks.acquire(&tenant, &name, "bob", LEASE, Duration::from_mins(10));
    let (busy, ()) = tokio::join!(waits, async { leaving.cancel() });
    assert!(matches!(busy, Err(LockError::Busy { .. })), "{busy:?}");
}

/// What may happen to a lock; owners are numbers.
#[derive(Debug, Clone)]
enum Op {
    Acquire(u8, u16),
    /// By a token that is so many grants old.
    Renew(u8, usize, u16),
    Release(u8, usize),
    Pass(u16),
    /// The clock goes back, as after a fail-over.
    Back(u16),
    Floor(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (owner, ago, ms) = (0..3_u8, 0..3_usize, 1..4_000_u16);
    let op = prop_oneof![
        4 => (owner.clone(), ms.clone()).prop_map(|(owner, lease)| Op::Acquire(owner, lease)),
        3 => (owner.clone(), ago.clone(), ms.clone()).prop_map(|(owner, ago, lease)| Op::Renew(owner, ago, lease)),
        2 => (owner, ago).prop_map(|(owner, ago)| Op::Release(owner, ago)),
        3 => ms.clone().prop_map(Op::Pass),
        1 => ms.clone().prop_map(Op::Back),
        1 => ms.prop_map(Op::Floor),
    ];
    prop::collection::vec(op, 1..60)
}

/// The lock as it should be.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    floor: u64,
    /// Owner, since when and until when.
    held: Option<(u8, u64, u64)>,
    /// Every token that was ever given, with its owner.
    given: Vec<(u64, u8)>,
}

impl Model {
    fn holder(&self) -> Option<(u8, u64, u64)> {
        self.held.filter(|(_, _, until)| self.now < *until)
    }

    fn last_token(&self) -> u64 {
        self.given.last().map_or(0, |(token, _)| *token)
    }

    /// The token and who was given it, so many grants ago.
    fn given_ago(&self, ago: usize) -> u64 {
        self.given.iter().rev().nth(ago).map_or(1, |(token, _)| *token)
    }

    fn acquire(&mut self, owner: u8, lease: u64) -> Result<u64, u8> {
        let until = self.now + lease;
        match self.holder() {
            Some((holder, ..)) if holder != owner => return Err(holder),
            Some((_, since, _)) => self.held = Some((owner, since, until)),
            None => {
                let token = (self.last_token().max(self.floor) + 1).max(self.now);
                self.given.push((token, owner));
                self.held = Some((owner, self.now, until));
            }
        }
        Ok(self.last_token())
    }

    fn has(&self, owner: u8, token: u64) -> bool {
        self.held.is_some_and(|(holder, ..)| holder == owner) && token == self.last_token()
    }
}

async fn play(scene: &Scene, ops: &[Op]) -> Result<(), TestCaseError> {
    let ((tenant, name), store) = (names(), &scene.store);
    scene.run::<()>(&["FLUSHALL"]).await;
    scene.restart_time();
    let mut model = Model { now: scene.now(), ..Model::default() };
    let shard = shard_of_lock(&tenant, &name, store.shards());
    let lease = |ms: u16| Duration::from_millis(ms.into());
    for op in ops {
        match *op {
            Op::Acquire(owner, ms) => {
                let grant = store.lock(&tenant, &name, &owner.to_string(), lease(ms)).await.expect("an answer");
                let told = if grant.is_held { Ok(grant.token) } else { Err(grant.owner.parse().expect("a number")) };
                prop_assert_eq!(told, model.acquire(owner, ms.into()));
            }
            Op::Renew(owner, ago, ms) => {
                let token = model.given_ago(ago);
                let kept = store.renew_lock(&tenant, &name, (&owner.to_string(), token), lease(ms)).await;
                let may = model.holder().is_some() && model.has(owner, token);
                prop_assert_eq!(kept.is_ok(), may, "{:?}", kept);
                if let Some(held) = model.held.as_mut().filter(|_| may) {
                    held.2 = model.now + u64::from(ms);
                }
            }
            Op::Release(owner, ago) => {
                let token = model.given_ago(ago);
                let released = store.unlock(&tenant, &name, &owner.to_string(), token).await;
                let expected = match model.held {
                    None => Ok(false),
                    Some(_) if model.has(owner, token) => Ok(true),
                    Some(_) => Err(Refusal::NotOwner),
                };
                let told = released.map_err(|error| match error {
                    StoreError::Refused(refusal) => refusal,
                    other => panic!("{other}"),
                });
                prop_assert_eq!(told, expected);
                model.held = model.held.filter(|_| expected != Ok(true));
            }
            Op::Pass(ms) => scene.pass(lease(ms)),
            Op::Back(ms) => scene.set_time(scene.now() - u64::from(ms)),
            Op::Floor(above) => {
                let floor = model.last_token().max(model.now) + u64::from(above);
                store.raise_token_floor(shard, floor).await.expect("an answer");
                model.floor = model.floor.max(floor);
            }
        }
        model.now = scene.now();
        let seen = store.lock_holder(&tenant, &name).await.expect("an answer");
        let seen = seen.map(|grant| (grant.owner.parse().expect("a number"), grant.since_ms, grant.until_ms));
        prop_assert_eq!(seen, model.holder());
    }
    prop_assert!(model.given.is_sorted_by(|a, b| a.0 < b.0), "{:?}", model.given);
    Ok(())
}

#[test]
fn random_calls_keep_one_holder_and_growing_tokens() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scene = runtime.block_on(Scene::open());
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&ops(), |ops| runtime.block_on(play(&scene, &ops)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
