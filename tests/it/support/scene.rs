//! One place on a store whose time stands still: what the tests of the scripts play in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{FromRedisValue, RedisResult};
use greenroom::access::{ApiKey, NewKey, Scope, Scopes};
use greenroom::dispatch::{NoticeKind, Place, RoomNotice, SessionState};
use greenroom::id::{DispatchId, KeyId};
use greenroom::name::Name;
use greenroom::provider::Person;
use greenroom::store::keys::{PlaceKeys, Shard, shard_of_tenant};
use greenroom::store::{
    AcquireRules, Commit, Due, Judgement, Observation, ObserveRules, Record, Refusal, Store, StoreError, Verdict,
};

use super::redis::TestRedis;

/// When every scene begins, in milliseconds since 1970.
pub(crate) const BEGIN_MS: u64 = 1_750_000_000_000;
pub(crate) const CLAIM: Duration = Duration::from_secs(4);
pub(crate) const BELIEVED: Duration = Duration::from_secs(5);
pub(crate) const HOLD: Duration = Duration::from_secs(2);
pub(crate) const JOIN_DEADLINE: Duration = Duration::from_secs(10);
pub(crate) const TTL_SECONDS: u32 = 300;
pub(crate) const TERM: u64 = 1;

pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) place: Place,
    pub(crate) policy: &'static str,
    now_ms: Arc<AtomicU64>,
    pub(crate) redis: TestRedis,
}

/// What a look shows; by default no room at all.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a look shows or not")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub(crate) room: bool,
    pub(crate) agent: bool,
    pub(crate) job: bool,
    pub(crate) people: Vec<Person>,
    pub(crate) wanted: bool,
}

impl Look {
    pub(crate) fn empty_room() -> Self {
        Self { room: true, ..Self::default() }
    }

    pub(crate) fn agent_and(sids: &[&str]) -> Self {
        let people = sids.iter().map(|sid| person(sid, BEGIN_MS / 1000)).collect();
        Self { room: true, agent: true, job: true, people, wanted: false }
    }

    pub(crate) fn only(sids: &[&str]) -> Self {
        Self { agent: false, job: false, ..Self::agent_and(sids) }
    }

    pub(crate) fn wanted(self) -> Self {
        Self { wanted: true, ..self }
    }
}

pub(crate) fn person(sid: &str, joined_at_seconds: u64) -> Person {
    Person { sid: sid.to_owned(), joined_at_seconds: joined_at_seconds.try_into().expect("a time") }
}

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Refusal {
    match answer {
        Err(StoreError::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

impl Scene {
    pub(crate) async fn open() -> Self {
        Self::on(TestRedis::start().await).await
    }

    pub(crate) async fn on(redis: TestRedis) -> Self {
        let now_ms = Arc::new(AtomicU64::new(BEGIN_MS));
        let store = redis.store_at(&now_ms).await;
        let place = Place {
            tenant: Name::default_tenant(),
            room: Name::room("lobby").expect("a name"),
            agent: Name::strict("guide").expect("a name"),
        };
        Self { store, place, policy: "reported", now_ms, redis }
    }

    /// The same scene, for another agent of the room.
    pub(crate) fn place_of(&self, agent: &str) -> Place {
        Place { agent: Name::strict(agent).expect("a name"), ..self.place.clone() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).expect("a time");
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set_time(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    pub(crate) fn restart_time(&self) {
        self.now_ms.store(BEGIN_MS, Ordering::SeqCst);
    }

    pub(crate) fn keys(&self) -> PlaceKeys {
        PlaceKeys::new(&self.place, self.store.shards())
    }

    /// The shard of what concerns the tenant as a whole.
    pub(crate) fn of_tenant(&self) -> Shard {
        shard_of_tenant(&self.place.tenant, self.store.shards())
    }

    /// An id of an API key in the shard of the place.
    pub(crate) fn key_id(&self) -> KeyId {
        format!("grk_{}_0198c5d0000070008000000000000000", self.keys().shard.0).parse().expect("an id")
    }

    /// Makes the key of that id.
    pub(crate) async fn create_key(&self, tenant: Option<&str>) -> Result<ApiKey, StoreError> {
        let tenant = tenant.map(|tenant| Name::tenant(tenant).expect("a name"));
        let (name, scopes) = (Name::room("web shop").expect("a name"), Scopes::of(&[Scope::Dispatch, Scope::Read]));
        let new = NewKey { name, scopes, tenant, expires_in_seconds: None, rate_limit_per_second: None };
        self.store.create_key(self.key_id(), "aGFzaA", &new, "settings").await
    }

    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.redis.run(words).await
    }

    pub(crate) fn acquire_rules(&self) -> AcquireRules {
        AcquireRules {
            ttl_seconds: TTL_SECONDS,
            return_policy: self.policy,
            provider: "simulated",
            liveness_window: Duration::from_secs(15),
            believed: BELIEVED,
            join_deadline: JOIN_DEADLINE,
            claim: CLAIM,
            age_seconds_max: None,
            ttl_bounds: None,
            may_create: true,
            id: None,
        }
    }

    pub(crate) fn observe_rules() -> ObserveRules {
        ObserveRules {
            believed: BELIEVED,
            join_deadline: JOIN_DEADLINE,
            join_deadline_with_job: Duration::from_mins(1),
            check_interval: Duration::from_secs(10),
            check_interval_max: Duration::from_mins(1),
            quick_tries: 5,
            slow_try_interval: Duration::from_secs(30),
            claim: CLAIM,
        }
    }

    pub(crate) async fn acquire(&self) -> (Verdict, Record) {
        self.acquire_by(&self.acquire_rules()).await
    }

    pub(crate) async fn acquire_by(&self, rules: &AcquireRules) -> (Verdict, Record) {
        let plain = self.store.reuse(&self.place, rules).await.expect("an answer");
        let answer = self.store.acquire(&self.place, "", rules, None).await.expect("an answer");
        let (verdict, record) = answer.expect("it may be made");
        if let Some(plain) = plain {
            assert_eq!((verdict, &record.dispatch), (Verdict::Reused, &plain.dispatch), "both scripts judge alike");
        }
        (verdict, record)
    }

    pub(crate) async fn commit(&self, record: &Record, provider_id: &str) -> Result<Record, StoreError> {
        let commit = Commit {
            id: record.dispatch.id,
            provider_id,
            agent_token: record.dispatch.token,
            adopted: false,
            join_deadline: JOIN_DEADLINE,
            once: None,
        };
        self.store.commit(&record.dispatch.place, record.dispatch.token, &commit).await
    }

    /// Asks for a dispatch and commits it.
    pub(crate) async fn make(&self, provider_id: &str) -> Record {
        let (verdict, record) = self.acquire().await;
        assert_eq!(verdict, Verdict::Create);
        self.commit(&record, provider_id).await.expect("a commit")
    }

    pub(crate) async fn fail(&self, token: u64, unsure: bool) -> Result<Record, StoreError> {
        self.store.fail(&self.place, token, ("timeout", ""), HOLD, unsure, Duration::from_secs(30)).await
    }

    pub(crate) async fn observe(&self, claimed: &Record, look: &Look) -> Result<(Judgement, Record), StoreError> {
        let seen = Observation {
            looked_at_ms: claimed.now_ms,
            took: Duration::ZERO,
            room_exists: look.room,
            agent_here: look.agent,
            job_listed: look.job,
            people: &look.people,
            wanted_id: look.wanted.then(|| self.store.new_id(&self.place)),
        };
        self.store.observe(&claimed.dispatch.place, claimed.dispatch.token, &seen, &Self::observe_rules()).await
    }

    /// What is due at the provider now, claimed.
    pub(crate) async fn due(&self) -> Vec<Due> {
        self.store.reap_provider(self.keys().shard, TERM, 100, CLAIM).await.expect("what is due")
    }

    /// Claims the place's check, which must be due.
    pub(crate) async fn claim_check(&self) -> Record {
        let due = self.due().await;
        let own = due.into_iter().find(|due| due.record.dispatch.place == self.place);
        own.expect("the check is due").record
    }

    /// A second later somebody looks.
    pub(crate) async fn look(&self, look: &Look) -> (Judgement, Record) {
        self.pass(Duration::from_secs(1));
        let claimed = self.claim_check().await;
        self.observe(&claimed, look).await.expect("a judgement")
    }

    pub(crate) async fn report(&self, id: DispatchId, token: u64, session: SessionState) -> Result<Record, StoreError> {
        self.store.report(&self.place, id, token, session, Duration::from_millis(4500)).await
    }

    pub(crate) async fn scan_beats(&self) -> u64 {
        self.store.reap_beat(self.keys().shard, TERM, 100, BELIEVED).await.expect("a scan").silent
    }

    /// A webhook that arrives `late` after what it tells of.
    pub(crate) async fn notice(&self, kind: NoticeKind, late: Duration) -> u64 {
        let happened_at = (self.now() / 1000).saturating_sub(late.as_secs());
        self.try_notice(kind, happened_at).await.expect("a notice is taken")
    }

    pub(crate) async fn try_notice(&self, kind: NoticeKind, happened_at: u64) -> Result<u64, StoreError> {
        let notice = RoomNotice {
            event_id: "EV_1".to_owned(),
            room: "lobby".to_owned(),
            created_at_seconds: happened_at.try_into().expect("a time"),
            kind,
        };
        self.store.notice(&self.place.tenant, &self.place.room, &notice, BELIEVED).await
    }

    pub(crate) async fn joined(&self, sid: &str) -> u64 {
        self.notice(NoticeKind::PersonJoined(person(sid, self.now() / 1000)), Duration::ZERO).await
    }

    pub(crate) async fn left(&self, sid: &str) -> u64 {
        self.notice(NoticeKind::PersonLeft(person(sid, self.now() / 1000)), Duration::ZERO).await
    }

    pub(crate) async fn field(&self, name: &str) -> Option<String> {
        self.run(&["HGET", &self.keys().dispatch(), name]).await
    }

    pub(crate) async fn field_ms(&self, name: &str) -> Option<u64> {
        self.field(name).await.map(|value| value.parse().expect("a time"))
    }

    /// When the place is due in a lane.
    pub(crate) async fn score(&self, lane: &str) -> Option<u64> {
        let score: Option<String> = self.run(&["ZSCORE", lane, &format!("dispatch:{}", self.keys().name())]).await;
        score.map(|score| score.parse().expect("a time"))
    }

    /// Every key with its content and its end, byte for byte.
    pub(crate) async fn dump(&self) -> BTreeMap<String, (Vec<u8>, i64)> {
        let mut dump = BTreeMap::new();
        for key in self.run::<Vec<String>>(&["KEYS", "*"]).await {
            let content = self.run(&["DUMP", &key]).await;
            dump.insert(key.clone(), (content, self.run(&["PEXPIRETIME", &key]).await));
        }
        dump
    }

    /// Brings everything back to what it was.
    pub(crate) async fn restore(&self, dump: &BTreeMap<String, (Vec<u8>, i64)>) {
        self.run::<()>(&["FLUSHALL"]).await;
        for (key, (content, ends_at)) in dump {
            let mut cmd = ::redis::cmd("RESTORE");
            cmd.arg(key).arg((*ends_at).max(0)).arg(content.as_slice()).arg("ABSTTL");
            self.redis.query::<()>(&cmd).await.expect("it is restored");
        }
    }

    /// Checks type and time to live of every key.
    pub(crate) async fn check_keys(&self) {
        for key in self.run::<Vec<String>>(&["KEYS", "*"]).await {
            let kind: String = self.run(&["TYPE", &key]).await;
            let ttl: i64 = self.run(&["TTL", &key]).await;
            let part = key.trim_start_matches("gr:").split(':').find(|part| !part.starts_with('{')).unwrap_or_default();
            let (expected, ttl_max) = match part {
                "id" if self.run::<String>(&["GET", &key]).await == "ended" => ("string", 3600),
                "assignment" | "id" | "metadata" => ("string", -1),
                "tombstone" => ("string", 3600),
                "left" => ("zset", 600),
                "habit" | "error" => ("hash", 604_800),
                "once" => ("hash", 86_400),
                "limit" => ("hash", 2),
                "index" if key.ends_with(":errors") => ("zset", 604_800),
                "session" if self.run::<u8>(&["HEXISTS", &key, "lease"]).await == 1 => ("hash", -1),
                "session" => ("hash", 300),
                "worker" if self.run::<String>(&["HGET", &key, "state"]).await == "terminated" => ("hash", 3_600),
                "runner" if key.ends_with(":workers") => ("zset", -1),
                "pool" if key.split(':').count() > 5 => ("zset", -1),
                "due" | "index" | "quota" => ("zset", -1),
                "alerts" => ("hash", 3_600),
                "events" => ("stream", -1),
                "apikey" if self.run::<u8>(&["HEXISTS", &key, "revoked_at"]).await == 1 => ("hash", 30 * 86_400),
                "apikey" if self.run::<u8>(&["HEXISTS", &key, "expires_at"]).await == 1 => ("hash", 4_000 * 86_400),
                "breaker" if self.is_held(&key).await => ("hash", -1),
                "breaker" => ("hash", 30 * 86_400),
                "lock" | "leader" => ("hash", 3_600 + 60),
                "alert" | "apikey" | "dispatch" | "draining" | "lease" | "people" | "pool" | "runner" | "schema"
                | "shard" | "worker" => ("hash", -1),
                _ => panic!("an unknown key: {key}"),
            };
            assert_eq!(kind, expected, "{key}");
            assert!(if ttl_max < 0 { ttl == -1 } else { (1..=ttl_max).contains(&ttl) }, "{key}: TTL {ttl} s");
        }
    }

    /// Whether somebody holds the breaker until it is let go.
    async fn is_held(&self, key: &str) -> bool {
        let held: Vec<u8> =
            vec![self.run(&["HEXISTS", key, "forced"]).await, self.run(&["HEXISTS", key, "forced_until"]).await];
        held == [1, 0]
    }

    /// Checks that nothing but the house's own is left without an end.
    pub(crate) async fn check_nothing_left(&self) {
        for key in self.run::<Vec<String>>(&["KEYS", "*"]).await {
            let own = ["shard", "leader", "schema", "events", "breakers"].iter().any(|own| key.ends_with(own));
            let ttl: i64 = self.run(&["TTL", &key]).await;
            assert!(own || ttl > 0, "{key} is left behind");
        }
    }

    /// Calls a script of `lua/` as the store does, with arguments of the test's own.
    pub(crate) async fn call<T: FromRedisValue>(&self, path: &str, keys: &[String], args: &[&str]) -> RedisResult<T> {
        let lua = |path: &str| {
            let path = format!("{}/lua/{path}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).expect("a script")
        };
        let body = lua(path);
        let shared = [lua("idempotency.lua"), lua("record.lua"), lua("dispatch/habit.lua"), lua("dispatch/shared.lua")];
        let flags =
            body.lines().find_map(|line| line.strip_prefix("-- Flags: ")).map(|flags| format!(" flags={flags}"));
        let flags = flags.unwrap_or_default();
        let source = format!("#!lua{flags}\n{}\n{}\n{body}", lua("prelude.lua"), shared.concat());
        let mut cmd = ::redis::cmd("EVAL");
        cmd.arg(source).arg(keys.len()).arg(keys).arg(args);
        self.redis.query(&cmd).await
    }
}
