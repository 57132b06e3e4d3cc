//! The same for the scripts of pools, leases, workers and runners; and said twice, they change nothing more.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use greenroom::id::{LeaseId, WorkerId};
use greenroom::name::Name;
use greenroom::pool::{Lease, LeaseState, PoolSettings, SessionRef, WorkerState};
use greenroom::store::StoreError;

use crate::support::pool_scene::{HEARD, PoolScene, TestRunner, wish, wish_of_key};
use crate::support::redis::on_cluster;
use crate::support::scene::TERM;

/// One call of a script of pools, in the state in which it changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Define,
    DefineAnew,
    Delete,
    PlanStart,
    PlanDismiss,
    AskForSpare,
    AskForPlace,
    AskForKeyInstead,
    AskForKeyAgain,
    Confirm,
    ConfirmInLine,
    Renew,
    Keep,
    Release,
    ReleaseKeyed,
    GiveUp,
    Cordon,
    Recycle,
    SyncNew,
    SyncStarted,
    SyncTaken,
    SyncReset,
    SyncLost,
    SyncAdopts,
    SyncBusy,
    SyncReleased,
    SyncPart,
    Wait,
    ReapLease,
    ReapIdle,
    ReapRunner,
    ReapWaiting,
    ReapWorker,
}

const ACTS: [Act; 33] = [
    Act::Define,
    Act::DefineAnew,
    Act::Delete,
    Act::PlanStart,
    Act::PlanDismiss,
    Act::AskForSpare,
    Act::AskForPlace,
    Act::AskForKeyInstead,
    Act::AskForKeyAgain,
    Act::Confirm,
    Act::ConfirmInLine,
    Act::Renew,
    Act::Keep,
    Act::Release,
    Act::ReleaseKeyed,
    Act::GiveUp,
    Act::Cordon,
    Act::Recycle,
    Act::SyncNew,
    Act::SyncStarted,
    Act::SyncTaken,
    Act::SyncReset,
    Act::SyncLost,
    Act::SyncAdopts,
    Act::SyncBusy,
    Act::SyncReleased,
    Act::SyncPart,
    Act::Wait,
    Act::ReapLease,
    Act::ReapIdle,
    Act::ReapRunner,
    Act::ReapWaiting,
    Act::ReapWorker,
];

/// What an act needs.
struct Ready {
    runner: TestRunner,
    /// The lease that it concerns.
    lease: Option<Lease>,
    worker: WorkerId,
    /// For a new lease.
    id: LeaseId,
}

fn settings(spare: u32) -> PoolSettings {
    let mut settings = PoolSettings { foresee: false, ..PoolSettings::default() };
    (settings.numbers.spare, settings.numbers.cool_down_ms) = (spare, 0);
    (settings.numbers.keyed_max, settings.numbers.keyed_idle_ms) = (1, 60_000);
    settings
}

async fn open() -> PoolScene {
    PoolScene::open(settings(1)).await
}

async fn lease_of_key(pool: &PoolScene, runner: &mut TestRunner) -> Lease {
    let asked = pool.ask(&wish_of_key("anna")).await;
    pool.round(runner).await;
    pool.held(asked.id).await
}

impl Act {
    /// Whether it works while memory is short: what renews or frees must, or it would never heal. A runner that is not
    /// heard would lose its workers.
    fn works_when_memory_is_short(self) -> bool {
        !matches!(
            self,
            Self::Define
                | Self::DefineAnew
                | Self::PlanStart
                | Self::PlanDismiss
                | Self::AskForSpare
                | Self::AskForPlace
                | Self::AskForKeyInstead
                | Self::AskForKeyAgain
                | Self::Confirm
                | Self::ConfirmInLine
                | Self::Cordon
                | Self::Recycle
        )
    }

    /// Whether the answer tells what was changed by this call, so that it is another one when nothing is left to change.
    fn tells_the_change(self) -> bool {
        matches!(
            self,
            Self::DefineAnew
                | Self::Delete
                | Self::PlanStart
                | Self::PlanDismiss
                | Self::Release
                | Self::GiveUp
                | Self::ReapLease
                | Self::ReapIdle
                | Self::ReapRunner
                | Self::ReapWaiting
                | Self::ReapWorker
        )
    }

    /// Empties the store, and brings the pool where the act is due.
    async fn prepare(self, pool: &PoolScene) -> Ready {
        pool.anew().await;
        let mut runner = TestRunner::new("one", 20);
        pool.sync(&mut runner).await;
        pool.settle(&mut runner).await;
        let workers = pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers");
        let mut ready = Ready { runner, lease: None, worker: workers[0].id, id: pool.new_id() };
        self.bring_about(pool, &mut ready).await;
        ready
    }

    #[expect(clippy::too_many_lines, reason = "one row for each act")]
    async fn bring_about(self, pool: &PoolScene, ready: &mut Ready) {
        let runner = &mut ready.runner;
        let by = |seconds| Duration::from_secs(seconds);
        match self {
            Self::Define | Self::Cordon | Self::Recycle | Self::SyncNew | Self::AskForSpare => {}
            Self::DefineAnew => pool.scene.run::<()>(&["FLUSHALL"]).await,
            Self::Delete => {
                pool.define(&settings(0)).await;
                pool.settle(runner).await;
            }
            Self::PlanStart | Self::SyncStarted => {
                pool.define(&settings(2)).await;
                if self == Self::SyncStarted {
                    pool.plan().await;
                    let told = pool.sync(runner).await;
                    runner.obey(&told);
                }
            }
            Self::PlanDismiss => drop(pool.define(&settings(0)).await),
            Self::AskForPlace => drop(pool.lease(runner, Some("bert")).await),
            Self::ConfirmInLine | Self::GiveUp => {
                pool.lease(runner, Some("bert")).await;
                ready.lease = Some(pool.ask(&wish(Some("anna"))).await);
                if self == Self::ConfirmInLine {
                    pool.scene.pass(by(11));
                }
            }
            Self::Wait => drop(pool.ask(&wish(Some("anna"))).await),
            Self::Confirm | Self::SyncTaken | Self::SyncPart | Self::ReapWorker => {
                ready.lease = Some(pool.ask(&wish(Some("anna"))).await);
                let told = pool.sync(runner).await;
                runner.obey(&told);
                if self == Self::Confirm {
                    pool.sync(runner).await;
                } else if self == Self::ReapWorker {
                    pool.ask(&wish(Some("bert"))).await;
                    pool.scene.pass(by(3));
                }
            }
            Self::Renew
            | Self::Keep
            | Self::Release
            | Self::SyncReset
            | Self::SyncLost
            | Self::SyncAdopts
            | Self::SyncReleased => {
                let lease = pool.lease(runner, Some("anna")).await;
                pool.scene.pass(by(1));
                if self == Self::SyncReset {
                    pool.release(&lease).await.expect("a release");
                    let told = pool.sync(runner).await;
                    runner.obey(&told);
                }
                if matches!(self, Self::SyncReset | Self::SyncLost | Self::Release) {
                    pool.ask(&wish(Some("bert"))).await;
                }
                if self == Self::SyncReleased {
                    runner.tell(ready.worker, |it| it.released = true);
                } else if self == Self::SyncLost {
                    runner.runner.workers.clear();
                } else if self == Self::SyncAdopts {
                    pool.anew().await;
                    pool.ask(&wish(Some("bert"))).await;
                }
                ready.lease = Some(lease);
            }
            Self::SyncBusy => {
                let before = pool.scene.dump().await;
                ready.lease = Some(pool.lease(runner, Some("anna")).await);
                pool.scene.restore(&before).await;
            }
            Self::AskForKeyInstead | Self::AskForKeyAgain | Self::ReleaseKeyed => {
                let lease = lease_of_key(pool, runner).await;
                if self != Self::ReleaseKeyed {
                    pool.release(&lease).await.expect("a release");
                }
                ready.lease = (self == Self::ReleaseKeyed).then_some(lease);
            }
            Self::ReapLease | Self::ReapIdle | Self::ReapRunner => {
                pool.pass(runner, by(20)).await;
                if self == Self::ReapIdle {
                    let lease = lease_of_key(pool, runner).await;
                    pool.release(&lease).await.expect("a release");
                } else {
                    ready.lease = Some(pool.lease(runner, Some("anna")).await);
                }
                let patient = greenroom::pool::Wish { wait: by(600), ..wish(Some("bert")) };
                pool.ask(&patient).await;
                let silent = if self == Self::ReapRunner { 4 } else { 0 };
                for n in (1..=12).rev() {
                    pool.scene.pass(by(5));
                    if n > silent {
                        pool.sync(runner).await;
                    }
                    if n > 1 {
                        pool.reap().await;
                    }
                }
            }
            Self::ReapWaiting => {
                pool.lease(runner, Some("bert")).await;
                ready.lease = Some(pool.ask(&wish(Some("anna"))).await);
                pool.scene.pass(by(11));
            }
        }
    }

    /// What it answers, as text.
    async fn act(self, pool: &PoolScene, ready: &Ready) -> Result<String, StoreError> {
        fn told(answer: impl Debug) -> String {
            format!("{answer:?}")
        }
        let (store, shard, tenant) = (&pool.scene.store, pool.shard(), &pool.pool.tenant);
        let lease = ready.lease.as_ref();
        let id = lease.map_or(ready.id, |lease| lease.id);
        let token = lease.and_then(|lease| lease.token);
        match self {
            Self::Define => store.define_pool(&pool.pool, &settings(3), false, 10, None).await.map(told),
            Self::Delete => store.delete_pool(&pool.pool).await.map(told),
            Self::DefineAnew => store.define_pool(&pool.pool, &settings(1), false, 10, None).await.map(told),
            Self::PlanStart | Self::PlanDismiss => store.plan_pool(&pool.pool, 0, false).await.map(told),
            Self::AskForSpare | Self::AskForPlace => pool.ask_as(ready.id, &wish(Some("anna"))).await.map(told),
            Self::AskForKeyInstead => pool.ask_as(ready.id, &wish_of_key("bert")).await.map(told),
            Self::AskForKeyAgain => pool.ask_as(ready.id, &wish_of_key("anna")).await.map(told),
            Self::Confirm | Self::ConfirmInLine => store.confirm_lease(&pool.pool, id, false, None).await.map(told),
            Self::Renew => store.renew_lease(tenant, (id, token.unwrap_or_default()), None, None).await.map(told),
            Self::Keep => {
                let session = SessionRef::Named(Name::room("anna").expect("a name"));
                store.lease_of_session(&pool.pool, &session, Some(Duration::from_mins(10))).await.map(told)
            }
            Self::Release | Self::ReleaseKeyed => store.release_lease(tenant, (id, token), None).await.map(told),
            Self::GiveUp => store.release_lease(tenant, (id, None), None).await.map(told),
            Self::Cordon => store.mark_worker(tenant, ready.worker, "cordon", None).await.map(told),
            Self::Recycle => store.mark_worker(tenant, ready.worker, "recycle", None).await.map(told),
            Self::SyncNew => {
                let another = TestRunner::new("two", 5);
                store.sync_runner(&pool.pool, &another.runner, None, HEARD).await.map(told)
            }
            Self::SyncStarted
            | Self::SyncTaken
            | Self::SyncReset
            | Self::SyncLost
            | Self::SyncAdopts
            | Self::SyncBusy
            | Self::SyncReleased => store.sync_runner(&pool.pool, &ready.runner.runner, None, HEARD).await.map(told),
            Self::SyncPart => {
                let mut runner = ready.runner.runner.clone();
                (runner.since, runner.report) = (Some(runner.report), runner.report + 1);
                store.sync_runner(&pool.pool, &runner, Some(0), HEARD).await.map(told)
            }
            Self::Wait => {
                let mut runner = ready.runner.runner.clone();
                runner.report += 1;
                store.await_orders(&pool.pool, &runner, runner.report - 1, None, HEARD).await.map(told)
            }
            Self::ReapLease | Self::ReapIdle | Self::ReapRunner => {
                store.reap_leases(shard, TERM, 100, HEARD).await.map(told)
            }
            Self::ReapWaiting | Self::ReapWorker => store.reap_pools(shard, TERM, 100).await.map(told),
        }
    }
}

#[tokio::test]
async fn each_act_of_pools_changes_what_it_says_also_after_a_flush_of_the_scripts() {
    let pool = open().await;
    for act in ACTS {
        let ready = act.prepare(&pool).await;
        let before = pool.scene.dump().await;
        pool.scene.run::<()>(&["SCRIPT", "FLUSH"]).await;
        act.act(&pool, &ready).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_ne!(pool.scene.dump().await, before, "{act:?} has nothing to do: the test proves nothing");
        pool.scene.check_keys().await;
        let state = pool.scene.store.worker(ready.worker).await.expect("an answer").map(|worker| worker.state);
        let expected = match act {
            Act::DefineAnew => None,
            Act::PlanDismiss | Act::Recycle | Act::ReapWorker => Some(WorkerState::Terminating),
            Act::Delete | Act::SyncLost | Act::ReapRunner => Some(WorkerState::Terminated),
            Act::Release | Act::SyncReleased | Act::ReapLease | Act::ReapIdle | Act::AskForKeyInstead => {
                Some(WorkerState::Resetting)
            }
            Act::Define | Act::PlanStart | Act::Cordon | Act::SyncNew | Act::SyncStarted => Some(WorkerState::Ready),
            _ => Some(WorkerState::Busy),
        };
        assert_eq!(state, expected, "{act:?}");
    }
}

#[tokio::test]
async fn each_act_of_pools_said_twice_changes_nothing_more() {
    let pool = open().await;
    for act in ACTS {
        let ready = act.prepare(&pool).await;
        let first = act.act(&pool, &ready).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        let after = pool.scene.dump().await;
        for _ in 0..2 {
            let again = act.act(&pool, &ready).await.unwrap_or_else(|error| panic!("{act:?} again: {error}"));
            assert!(again == first || act.tells_the_change(), "{act:?}: {first}, then {again}");
            assert_eq!(pool.scene.dump().await, after, "{act:?}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_type_stops_a_script_of_pools_before_it_writes() {
    let pool = open().await;
    let mut refused = 0;
    for act in ACTS {
        let ready = act.prepare(&pool).await;
        let begin = pool.scene.dump().await;
        act.act(&pool, &ready).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        let end = pool.scene.dump().await;
        let keys: BTreeSet<&String> = begin.keys().chain(end.keys()).collect();
        pool.scene.restore(&begin).await;
        let mut refused_here = 0;
        for key in keys {
            pool.scene.run::<u8>(&["DEL", key]).await;
            pool.scene.run::<u64>(&["LPUSH", key, "nonsense"]).await;
            let before = pool.scene.dump().await;
            match act.act(&pool, &ready).await {
                // It does not touch the key, or it sets it whatever it was.
                Ok(_) => {}
                Err(StoreError::Nonsense { detail }) if detail.contains("WRONGTYPE") => {
                    assert_eq!(pool.scene.dump().await, before, "{act:?} left a half of its work, with a wrong {key}");
                    refused_here += 1;
                }
                Err(StoreError::Refused(_)) => assert_eq!(pool.scene.dump().await, before, "{act:?}, {key}"),
                Err(error) => panic!("{act:?}, {key}: {error}"),
            }
            pool.scene.restore(&begin).await;
        }
        assert!(refused_here > 0, "{act:?} takes any type");
        refused += refused_here;
    }
    assert!(refused > 200, "{refused}");
}

async fn refused_whole(pool: &PoolScene, act: Act, fault: &[&str], heal: &[&str], works: bool) {
    let ready = act.prepare(pool).await;
    let before = pool.scene.dump().await;
    pool.scene.run::<()>(fault).await;
    let answer = act.act(pool, &ready).await;
    pool.scene.run::<()>(heal).await;
    if works {
        answer.unwrap_or_else(|error| panic!("{act:?} after {fault:?}: {error}"));
        return;
    }
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{act:?} after {fault:?}: {answer:?}");
    assert_eq!(pool.scene.dump().await, before, "{act:?} after {fault:?}");
    act.act(pool, &ready).await.unwrap_or_else(|error| panic!("{act:?} when it is healed: {error}"));
}

#[tokio::test]
async fn short_memory_stops_no_heartbeat_and_nothing_that_gives_a_worker_back() {
    let pool = open().await;
    for act in ACTS {
        let (fault, heal) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
        refused_whole(&pool, act, &fault, &heal, act.works_when_memory_is_short()).await;
    }
}

#[tokio::test]
async fn no_script_of_pools_writes_to_a_replica_or_a_master_without_replicas() {
    if on_cluster() {
        return;
    }
    let pool = open().await;
    for act in ACTS {
        let (fault, heal) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
        refused_whole(&pool, act, &fault, &heal, false).await;
        let (fault, heal) =
            (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]);
        refused_whole(&pool, act, &fault, &heal, false).await;
    }
}

/// What is shown needs no write, so it is shown while Redis takes none.
#[tokio::test]
async fn pools_are_shown_while_redis_takes_no_writes() {
    let pool = open().await;
    let ready = Act::Renew.prepare(&pool).await;
    let held = ready.lease.expect("a lease");
    for fault in [["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "min-replicas-to-write", "1"]] {
        pool.scene.run::<()>(&fault).await;
        assert_eq!(pool.status().await.leases, 1);
        assert_eq!(pool.worker(ready.worker).await.state, WorkerState::Busy);
        let lease = pool.scene.store.lease(held.id).await.expect("an answer").expect("a lease");
        assert_eq!(lease.state, LeaseState::Held);
        assert_eq!(pool.scene.store.page_of_workers(&pool.pool, 0, 10).await.expect("workers").len(), 1);
        pool.scene.run::<()>(&["CONFIG", "SET", fault[2], "0"]).await;
    }
}
