//! Faults of Redis: an error of a script leaves every key byte for byte as it was.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod pools;

use std::num::NonZeroU32;
use std::time::Duration;

use greenroom::access::CallerId;
use greenroom::alert::{Counts, Judged, Rule};
use greenroom::breaker::{Forced, Outcome, Rules, Run};
use greenroom::dispatch::{NoticeKind, SessionState, TtlChange};
use greenroom::error_report::GroupBounds;
use greenroom::idempotency::Once;
use greenroom::name::Name;
use greenroom::store::keys::{Shard, shard_of_breaker, shard_of_lock, shard_of_tenant};
use greenroom::store::{Asked, Bounds, Commit, Record, Report, StoreError, Wanted};

use crate::store_alerts::agents;
use crate::store_errors::occurrence;
use crate::support::eventually;
use crate::support::redis::{TestRedis, on_cluster};
use crate::support::scene::{BELIEVED, CLAIM, JOIN_DEADLINE, Look, Scene, TERM, person};

/// One call of a script that changes something, in the state in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Create,
    CreateAnew,
    Reuse,
    ReusePlain,
    Verify,
    Commit,
    Fail,
    Renew,
    ObserveWell,
    ObserveRedispatch,
    ObserveEnd,
    End,
    Ended,
    Tombstone,
    Report,
    ReportClosed,
    Touch,
    Arm,
    Joined,
    Left,
    ReapProvider,
    ReapBeat,
    ReapStore,
    KeyCreate,
    KeyRevoke,
    KeyForget,
    Campaign,
    Resign,
    Begin,
    Lock,
    KeepLock,
    Unlock,
    Floor,
    Drain,
    TakeQuota,
    GiveQuota,
    Borrow,
    ReportError,
    ReportErrorAndForget,
    ForgetError,
    ForgetErrors,
    CountAlerts,
    JudgeAlerts,
    ClearAlerts,
    Snooze,
    Wake,
    BreakerMake,
    BreakerProbe,
    BreakerReport,
    BreakerForce,
    BreakerReset,
    BreakerForget,
}

const LIMIT: NonZeroU32 = NonZeroU32::new(5).expect("not nought");
const BREAKER_RULES: Rules = Rules {
    failures_max: 5,
    failure_percent: 0,
    slow_percent: 0,
    slow_ms: 1_000,
    calls_min: 1,
    window_ms: 10_000,
    open_ms: 30_000,
    open_ms_max: 30_000,
    probes_max: 3,
    probe_ms: 15_000,
    successes_min: 2,
};
const BOUNDS: Bounds = Bounds { per_tenant: Some(3), per_agent: Some(2) };

const ACTS: [Act; 52] = [
    Act::Create,
    Act::CreateAnew,
    Act::Reuse,
    Act::ReusePlain,
    Act::Verify,
    Act::Commit,
    Act::Fail,
    Act::Renew,
    Act::ObserveWell,
    Act::ObserveRedispatch,
    Act::ObserveEnd,
    Act::End,
    Act::Ended,
    Act::Tombstone,
    Act::Report,
    Act::ReportClosed,
    Act::Touch,
    Act::Arm,
    Act::Joined,
    Act::Left,
    Act::ReapProvider,
    Act::ReapBeat,
    Act::ReapStore,
    Act::KeyCreate,
    Act::KeyRevoke,
    Act::KeyForget,
    Act::Campaign,
    Act::Resign,
    Act::Begin,
    Act::Lock,
    Act::KeepLock,
    Act::Unlock,
    Act::Floor,
    Act::Drain,
    Act::TakeQuota,
    Act::GiveQuota,
    Act::Borrow,
    Act::ReportError,
    Act::ReportErrorAndForget,
    Act::ForgetError,
    Act::ForgetErrors,
    Act::CountAlerts,
    Act::JudgeAlerts,
    Act::ClearAlerts,
    Act::Snooze,
    Act::Wake,
    Act::BreakerMake,
    Act::BreakerProbe,
    Act::BreakerReport,
    Act::BreakerForce,
    Act::BreakerReset,
    Act::BreakerForget,
];

/// Groups of failures that there may be.
const GROUPS: GroupBounds = GroupBounds { groups_max: 2, lifetime: Duration::from_hours(1) };

async fn report(scene: &Scene, message: &str) -> Result<(bool, u64), StoreError> {
    let tenant = &scene.place.tenant;
    scene.store.report_error(tenant, &occurrence(tenant, message), 1, message, GROUPS, None).await
}

async fn judge(scene: &Scene, call: &str, live: u64) -> Result<Vec<Judged>, StoreError> {
    scene.store.judge_alerts(TERM, call, &agents(live), Duration::ZERO).await
}

/// The breaker of the acts.
fn breaker(scene: &Scene) -> Asked<'_> {
    let (tenant, name) = (&scene.place.tenant, &scene.place.agent);
    Asked { tenant, name, rules: Wanted::These(&BREAKER_RULES), once: None }
}

/// Its keys.
fn breaker_keys(scene: &Scene) -> [String; 4] {
    let (tenant, name) = (&scene.place.tenant, &scene.place.agent);
    let shard = shard_of_breaker(tenant, name, scene.store.shards());
    [shard.breaker(tenant, name), shard.index_breakers(tenant), shard.events(), shard.shard()]
}

impl Act {
    /// Whether it works while memory is short: what renews or frees must, or it would never heal.
    fn works_when_memory_is_short(self) -> bool {
        !matches!(
            self,
            Self::Create
                | Self::CreateAnew
                | Self::Reuse
                | Self::Verify
                | Self::Commit
                | Self::Touch
                | Self::Arm
                | Self::Joined
                | Self::Left
                | Self::ReapBeat
                | Self::KeyCreate
                | Self::Floor
                | Self::Drain
                | Self::TakeQuota
                | Self::ReportError
                | Self::ReportErrorAndForget
                | Self::Snooze
                | Self::Wake
                | Self::BreakerMake
                | Self::BreakerProbe
        )
    }

    /// Empties the store, and brings the place where the act is due.
    async fn prepare(self, scene: &Scene) -> Record {
        scene.run::<()>(&["FLUSHALL"]).await;
        scene.restart_time();
        let (_, claimed) = scene.acquire().await;
        if self == Self::Create {
            scene.run::<()>(&["FLUSHALL"]).await;
            return claimed;
        }
        if matches!(self, Self::Commit | Self::Fail | Self::Renew) {
            return claimed;
        }
        if matches!(self, Self::KeyRevoke | Self::KeyForget) {
            scene.create_key(None).await.expect("a key");
        }
        if self == Self::KeyForget {
            scene.run::<u8>(&["DEL", &scene.keys().shard.api_key(scene.key_id())]).await;
        }
        if matches!(self, Self::KeyCreate | Self::KeyRevoke | Self::KeyForget) {
            return claimed;
        }
        if self.prepare_failures(scene).await {
            return claimed;
        }
        if self == Self::ReapStore {
            scene.fail(claimed.dispatch.token, false).await.expect("a failure");
            scene.pass(Duration::from_mins(1));
            return claimed;
        }
        let made = scene.commit(&claimed, "AD_1").await.expect("a commit");
        scene.store.campaign("a", CLAIM).await.expect("a campaign");
        scene.scan_beats().await;
        scene.look(&Look::agent_and(&["PA_1", "PA_2"])).await;
        match self {
            Self::CreateAnew => {
                scene.report(made.dispatch.id, made.dispatch.token, SessionState::Closed).await.expect("a report");
            }
            Self::Reuse | Self::ReusePlain => {
                scene.left("PA_2").await;
                scene.pass(Duration::from_secs(1));
            }
            Self::GiveQuota => {
                scene.store.take_quota(&scene.place, BOUNDS).await.expect("a place");
            }
            Self::KeepLock | Self::Unlock => {
                let place = &scene.place;
                scene.store.lock(&place.tenant, &place.agent, "ann", CLAIM).await.expect("a lock");
            }
            Self::BreakerProbe
            | Self::BreakerReport
            | Self::BreakerForce
            | Self::BreakerReset
            | Self::BreakerForget => {
                let (store, asked) = (&scene.store, breaker(scene));
                let made = store.breaker_permit(asked, "p", 9).await.expect("an answer");
                let failures = [Run { calls: 9, outcome: Outcome { failed: true, slow: false } }];
                let report = Report { generation: made.generation, runs: &failures, ..Report::default() };
                store.breaker_report(asked, &report).await.expect("an answer");
                scene.pass(Duration::from_secs(30));
                if self != Self::BreakerProbe {
                    store.breaker_permit(asked, "p", 9).await.expect("an answer");
                }
                if self == Self::BreakerForget {
                    scene.run::<u8>(&["DEL", &breaker_keys(scene)[0]]).await;
                }
            }
            Self::Verify => scene.pass(Duration::from_secs(20)),
            Self::ObserveWell | Self::ObserveRedispatch | Self::ReapProvider => {
                scene.pass(Duration::from_secs(10));
                if self != Self::ReapProvider {
                    return scene.claim_check().await;
                }
            }
            Self::ObserveEnd => {
                scene.left("PA_1").await;
                scene.left("PA_2").await;
                scene.pass(Duration::from_secs(301));
                return scene.claim_check().await;
            }
            Self::Ended => {
                scene.report(made.dispatch.id, made.dispatch.token, SessionState::Open).await.expect("a report");
                let (_, ending) =
                    scene.store.end(&scene.place, made.dispatch.id, "asked", CLAIM).await.expect("an end");
                return ending;
            }
            Self::ReapBeat => {
                scene.report(made.dispatch.id, made.dispatch.token, SessionState::Open).await.expect("a report");
                for _ in 0..4 {
                    scene.pass(Duration::from_secs(2));
                    scene.store.reap_beat(scene.keys().shard, TERM, 0, BELIEVED).await.expect("a scan");
                }
            }
            _ => {}
        }
        made
    }

    /// The same for what concerns failures and alerts, which need no dispatch; false where it is none of these.
    async fn prepare_failures(self, scene: &Scene) -> bool {
        let errors = [Self::ReportErrorAndForget, Self::ForgetError, Self::ForgetErrors];
        let alerts = [Self::CountAlerts, Self::JudgeAlerts, Self::ClearAlerts, Self::Snooze, Self::Wake];
        if errors.contains(&self) {
            for word in ["a", "b"] {
                report(scene, word).await.expect("it is counted");
            }
        }
        if self == Self::ForgetErrors {
            let tenant = &scene.place.tenant;
            let gone = scene.of_tenant().error(tenant, &occurrence(tenant, "a").id);
            scene.run::<u8>(&["DEL", &gone]).await;
        }
        if self == Self::ClearAlerts {
            judge(scene, "before", 30).await.expect("it is raised");
        }
        if self == Self::Wake {
            scene.store.snooze_alert(Rule::AgentsLive, Some(CLAIM), "settings", None).await.expect("it is snoozed");
        }
        self == Self::ReportError || errors.contains(&self) || alerts.contains(&self)
    }

    async fn act(self, scene: &Scene, record: &Record) -> Result<(), StoreError> {
        let (store, place, shard) = (&scene.store, &scene.place, scene.keys().shard);
        let (id, token) = (record.dispatch.id, record.dispatch.token);
        let happened_at = scene.now() / 1000;
        match self {
            Self::Create | Self::CreateAnew | Self::Reuse | Self::Verify => {
                store.acquire(place, "metadata", &scene.acquire_rules(), None).await.map(drop)
            }
            Self::ReusePlain => store.reuse(place, &scene.acquire_rules()).await.map(drop),
            Self::Commit => {
                let id = store.new_id(place);
                let commit = Commit {
                    id,
                    provider_id: "AD_1",
                    agent_token: 1,
                    adopted: true,
                    join_deadline: JOIN_DEADLINE,
                    once: None,
                };
                store.commit(place, token, &commit).await.map(drop)
            }
            Self::Fail => scene.fail(token, false).await.map(drop),
            Self::Renew => store.renew(place, token, 2 * CLAIM).await,
            Self::ObserveWell => scene.observe(record, &Look::agent_and(&["PA_2", "PA_3"])).await.map(drop),
            Self::ObserveRedispatch => scene.observe(record, &Look::only(&["PA_3"])).await.map(drop),
            Self::ObserveEnd => scene.observe(record, &Look::empty_room()).await.map(drop),
            Self::End => store.end(place, id, "asked", CLAIM).await.map(drop),
            Self::Ended => store.ended(place, token).await,
            Self::Tombstone => store.tombstone(place, "AD_2").await.map(drop),
            Self::Report => scene.report(id, token, SessionState::Open).await.map(drop),
            Self::ReportClosed => scene.report(id, token, SessionState::Closed).await.map(drop),
            Self::Touch => store.touch(place, id, None).await.map(drop),
            Self::Arm => store.change_ttl(place, id, TtlChange::Arm(9), None).await.map(drop),
            Self::Joined => {
                scene.try_notice(NoticeKind::PersonJoined(person("PA_3", happened_at)), happened_at).await.map(drop)
            }
            Self::Left => {
                scene.try_notice(NoticeKind::PersonLeft(person("PA_2", happened_at)), happened_at).await.map(drop)
            }
            Self::ReapProvider => store.reap_provider(shard, TERM, 10, CLAIM).await.map(drop),
            Self::ReapBeat => store.reap_beat(shard, TERM, 10, BELIEVED).await.map(drop),
            Self::ReapStore => store.reap_store(shard, TERM, 10).await.map(drop),
            Self::KeyCreate => scene.create_key(Some("acme")).await.map(drop),
            Self::KeyRevoke => store.revoke_key(scene.key_id(), "settings").await.map(drop),
            Self::KeyForget => store.page_of_keys(shard, None, None, 10).await.map(drop),
            Self::Campaign => store.campaign("a", 2 * CLAIM).await.map(drop),
            Self::Resign => store.resign("a").await,
            Self::Begin => store.begin_term(shard, TERM + 1).await,
            Self::Lock => store.lock(&place.tenant, &place.agent, "ann", CLAIM).await.map(drop),
            Self::KeepLock => {
                let token = lock_token(scene).await?;
                store.renew_lock(&place.tenant, &place.agent, ("ann", token), 2 * CLAIM).await.map(drop)
            }
            Self::Unlock => {
                let token = lock_token(scene).await?;
                store.unlock(&place.tenant, &place.agent, "ann", token).await.map(drop)
            }
            Self::Floor => store.raise_token_floor(shard, u64::from(u32::MAX) << 12).await.map(drop),
            Self::Drain => store.drain_agent(&place.tenant, &place.agent, true, None).await.map(drop),
            Self::TakeQuota => store.take_quota(place, BOUNDS).await.map(drop),
            Self::GiveQuota => store.give_quota(place, scene.now()).await.map(drop),
            Self::ReportError | Self::ReportErrorAndForget => report(scene, "c").await.map(drop),
            Self::ForgetError => store.forget_error(&place.tenant, &occurrence(&place.tenant, "a").id).await,
            Self::ForgetErrors => store.page_of_errors(&place.tenant, None, 10).await.map(drop),
            Self::CountAlerts => {
                let new = Counts { operations: 3, ..Counts::default() };
                store.count_for_alerts("a", 1, &new, Duration::from_mins(5)).await.map(drop)
            }
            Self::JudgeAlerts => judge(scene, "now", 30).await.map(drop),
            Self::ClearAlerts => judge(scene, "now", 0).await.map(drop),
            Self::Snooze => store.snooze_alert(Rule::AgentsLive, Some(CLAIM), "settings", None).await,
            Self::Wake => store.snooze_alert(Rule::AgentsLive, None, "settings", None).await,
            Self::Borrow => store.borrow_limit(&CallerId::Settings, LIMIT, 1).await.map(drop),
            Self::BreakerMake | Self::BreakerProbe => store.breaker_permit(breaker(scene), "q", 9).await.map(drop),
            Self::BreakerReport => {
                let now = store.breaker(&place.tenant, &place.agent).await?;
                let failed = [Run { calls: 1, outcome: Outcome { failed: true, slow: false } }];
                let generation = now.map(|now| now.generation).unwrap_or_default();
                let report = Report { generation, permit: Some("p"), runs: &failed, ..Report::default() };
                store.breaker_report(breaker(scene), &report).await.map(drop)
            }
            Self::BreakerForce => store.force_breaker(breaker(scene), Some(Forced::Open), None, "why").await.map(drop),
            Self::BreakerReset => store.reset_breaker(breaker(scene)).await.map(drop),
            Self::BreakerForget => {
                let shard = shard_of_breaker(&place.tenant, &place.agent, store.shards());
                store.page_of_breakers(shard, &place.tenant, None, 10).await.map(drop)
            }
        }
    }
}

/// The token of the lock that is held.
async fn lock_token(scene: &Scene) -> Result<u64, StoreError> {
    let held = scene.store.lock_holder(&scene.place.tenant, &scene.place.agent).await?;
    Ok(held.map_or(1, |held| held.token))
}

#[tokio::test]
async fn each_act_changes_something_also_after_a_flush_of_the_scripts() {
    let scene = Scene::open().await;
    for act in ACTS {
        let record = act.prepare(&scene).await;
        let before = scene.dump().await;
        scene.run::<()>(&["SCRIPT", "FLUSH"]).await;
        act.act(&scene, &record).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_ne!(scene.dump().await, before, "{act:?} has nothing to do: the test proves nothing");
        scene.check_keys().await;
    }
}

#[tokio::test]
async fn a_key_of_another_type_stops_a_script_before_it_writes() {
    let scene = Scene::open().await;
    let keys = scene.keys();
    let acme = Name::tenant("acme").expect("a name");
    let (tenant, of_tenant) = (&scene.place.tenant, shard_of_tenant(&scene.place.tenant, scene.store.shards()));
    let more = [
        keys.metadata(),
        keys.left(),
        keys.tombstone("AD_1"),
        Shard(0).leader(),
        keys.shard.api_key(scene.key_id()),
        keys.shard.index_api_keys(None),
        keys.shard.index_api_keys(Some(&acme)),
        of_tenant.draining(tenant),
        shard_of_lock(tenant, &scene.place.agent, scene.store.shards()).lock(tenant, &scene.place.agent),
        of_tenant.quota(tenant),
        of_tenant.quota_of_agent(tenant, &scene.place.agent),
        of_tenant.limit(&CallerId::Settings),
        of_tenant.error(tenant, &occurrence(tenant, "a").id),
        of_tenant.error(tenant, &occurrence(tenant, "c").id),
        of_tenant.index_errors(tenant),
        Shard(0).alert(Rule::AgentsLive),
        Shard(0).alert_counts(),
        Shard(0).events(),
        Shard(0).shard(),
    ];
    let more = more.into_iter().chain(breaker_keys(&scene)).collect::<Vec<_>>();
    let mut refused = 0;
    for act in ACTS {
        let mut refused_here = 0;
        for key in keys.all().iter().chain(&more) {
            let record = act.prepare(&scene).await;
            scene.run::<u8>(&["DEL", key]).await;
            scene.run::<u64>(&["LPUSH", key, "nonsense"]).await;
            let before = scene.dump().await;
            match act.act(&scene, &record).await {
                // It does not touch the key, or it sets it whatever it was.
                Ok(()) => {}
                Err(StoreError::Nonsense { detail }) if detail.contains("WRONGTYPE") => {
                    assert_eq!(scene.dump().await, before, "{act:?} left a half of its work, with a wrong {key}");
                    refused_here += 1;
                }
                Err(StoreError::Refused(_)) => assert_eq!(scene.dump().await, before, "{act:?}, {key}"),
                Err(error) => panic!("{act:?}, {key}: {error}"),
            }
        }
        assert!(refused_here > 0, "{act:?} takes any type");
        refused += refused_here;
    }
    assert!(refused > 150, "{refused}");
}

async fn refused_whole(scene: &Scene, act: Act, fault: &[&str], heal: &[&str], works: bool) {
    let record = act.prepare(scene).await;
    let before = scene.dump().await;
    scene.run::<()>(fault).await;
    let answer = act.act(scene, &record).await;
    scene.run::<()>(heal).await;
    if works {
        answer.unwrap_or_else(|error| panic!("{act:?} after {fault:?}: {error}"));
        return;
    }
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{act:?} after {fault:?}: {answer:?}");
    assert_eq!(scene.dump().await, before, "{act:?} after {fault:?}");
    act.act(scene, &record).await.unwrap_or_else(|error| panic!("{act:?} when it is healed: {error}"));
}

#[tokio::test]
async fn short_memory_stops_what_makes_and_nothing_that_renews_or_frees() {
    let scene = Scene::open().await;
    for act in ACTS {
        let (fault, heal) = (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]);
        refused_whole(&scene, act, &fault, &heal, act.works_when_memory_is_short()).await;
    }
}

#[tokio::test]
async fn a_replica_and_a_master_without_replicas_take_no_writes() {
    if on_cluster() {
        // There, `REPLICAOF` is refused; who is a replica says where the master is.
        return;
    }
    let scene = Scene::open().await;
    for act in ACTS {
        let (fault, heal) = (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]);
        refused_whole(&scene, act, &fault, &heal, false).await;
        let (fault, heal) =
            (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]);
        refused_whole(&scene, act, &fault, &heal, false).await;
    }
}

/// What is shown needs no write, so it is shown while Redis takes none.
async fn reads_are_served(scene: &Scene, made: &Record) {
    let (store, id) = (&scene.store, made.dispatch.id);
    let found = store.dispatch(&scene.place).await.expect("a dispatch is shown");
    assert_eq!(found.map(|dispatch| dispatch.id), Some(id));
    let page = store.page(scene.keys().shard, &scene.place.tenant, None, None, 10).await.expect("a page is shown");
    assert_eq!(page.len(), 1);
    let once = Once::new("a", "dispatches", "lobby", "key", b"");
    assert!(store.touched_before(id, &once).await.expect("an answer").is_none());
    assert!(store.find_key(scene.key_id()).await.expect("an answer").is_none());
    store.create_schema().await.expect("a replica is ready for reads");
}

#[tokio::test]
async fn reads_are_served_while_redis_takes_no_writes() {
    let scene = Scene::open().await;
    let made = scene.make("AD_1").await;
    scene.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    reads_are_served(&scene, &made).await;
    scene.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    scene.run::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    reads_are_served(&scene, &made).await;
}

#[tokio::test]
async fn a_full_disk_stops_writes_and_no_reads_and_heals_by_itself() {
    if on_cluster() {
        return;
    }
    let scene = Scene::on(TestRedis::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]).await).await;
    let made = scene.make("AD_1").await;
    let touch = async || {
        scene.pass(Duration::from_secs(1));
        scene.store.touch(&scene.place, made.dispatch.id, None).await
    };
    scene.redis.servers()[0].fill_disk(true);
    eventually("writes are refused", async || match touch().await {
        Ok(_) => None,
        Err(StoreError::Unavailable { detail }) => {
            assert!(detail.contains("MISCONF"), "{detail}");
            Some(())
        }
        Err(error) => panic!("{error}"),
    })
    .await;
    reads_are_served(&scene, &made).await;
    scene.redis.servers()[0].fill_disk(false);
    eventually("writes are taken again", async || touch().await.ok()).await;
}
