//! Breakers around the calls of a LiveKit that fails: over three replicas, when hints arrive and when they are lost, and
//! while Redis is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use greenroom::breaker::{Breaker, Breakers, Forced, Guard, Guarded, JITTER_MAX, Outcome, Rules, Run, State};
use greenroom::name::Name;
use greenroom::provider::Provider;
use greenroom::provider::ProviderError;
use greenroom::provider::livekit::LiveKit;
use greenroom::store::{Asked, Hints, Report, Store, Wanted};
use greenroom::telemetry::Metrics;
use reqwest::Method as Verb;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::standin::{Fault, Kind, Method, Standin, Timings, WorkerBehaviour};
use crate::support::client::get;
use crate::support::eventually;
use crate::support::redis::{TestRedis, on_cluster};
use crate::support::replica::{AGENT, Plan, ROOM};

const NAME: &str = "livekit.look";
const RULES: Rules = Rules {
    failures_max: 5,
    failure_percent: 0,
    slow_percent: 0,
    slow_ms: 60_000,
    calls_min: 1,
    window_ms: 10_000,
    open_ms: 2_500,
    open_ms_max: 2_500,
    probes_max: 3,
    probe_ms: 1_500,
    successes_min: 2,
};

/// A guard as in a replica of its own.
struct Replica {
    guard: Guard,
    store: Store,
    metrics: Arc<Metrics>,
    _stop: DropGuard,
}

impl Replica {
    async fn start(redis: &TestRedis, rules: Rules, hears: bool) -> Self {
        let (store, hints, stop) = (redis.store().await, Hints::default(), CancellationToken::new());
        if hears {
            tokio::spawn(hints.clone().follow(store.clone(), stop.clone()));
        }
        let metrics = Arc::new(Metrics::new());
        let guard = Guard::new(NAME, rules, JITTER_MAX, store.clone(), Arc::clone(&metrics));
        tokio::spawn(guard.clone().keep(hints, stop.clone()));
        Self { guard, store, metrics, _stop: stop.drop_guard() }
    }

    async fn status(&self) -> Option<Breaker> {
        self.store.breaker(&Name::default_tenant(), self.guard.name()).await.ok().flatten()
    }

    async fn until_state(&self, state: State) -> Breaker {
        eventually("the breaker is in the state", async || self.status().await.filter(|it| it.state == state)).await
    }

    /// A call that ends so; an error where it was not made.
    async fn call(&self, failed: bool) -> Result<(), Duration> {
        let answer = async { if failed { Err(ProviderError::Timeout) } else { Ok(()) } };
        match self.guard.call(ProviderError::is_outage, answer).await {
            Err(Guarded::Refused(refused)) => Err(refused.retry_after),
            _ => Ok(()),
        }
    }
}

/// Three replicas, each with callers that never rest, and a LiveKit that they call.
struct Rush {
    _redis: TestRedis,
    replicas: Vec<Replica>,
    standin: Standin,
    over: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Rush {
    async fn start(rules: Rules, hears: bool) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let redis = TestRedis::start().await;
        let standin = Standin::start(Timings::fast()).await.expect("a stand-in");
        let (over, mut replicas, mut callers) = (Arc::new(AtomicBool::new(false)), Vec::new(), Vec::new());
        for _ in 0..3 {
            let replica = Replica::start(&redis, rules, hears).await;
            let secret = standin.api_secret().to_owned().into();
            let livekit = LiveKit::new(standin.url(), standin.api_key(), &secret, Duration::from_secs(5));
            let provider = Provider::LiveKit(livekit.expect("a client"));
            for _ in 0..4 {
                let (guard, provider, over) = (replica.guard.clone(), provider.clone(), Arc::clone(&over));
                callers.push(tokio::spawn(async move {
                    while !over.load(Ordering::SeqCst) {
                        let _ = guard.call(ProviderError::is_outage, provider.rooms()).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }));
            }
            replicas.push(replica);
        }
        Self { _redis: redis, replicas, standin, over, callers }
    }

    /// Waits until all replicas call.
    async fn until_busy(&self) {
        eventually("they call", async || (self.standin.count(Method::ListRooms) > 100).then_some(())).await;
    }

    /// When the calls came in, as milliseconds since that time of Redis's.
    fn calls_since(&self, at_ms: u64) -> Vec<i64> {
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
        let (now, now_ms) = (tokio::time::Instant::now(), i64::try_from(now_ms).expect("a time"));
        let since = |at: tokio::time::Instant| {
            let ago = i64::try_from(now.saturating_duration_since(at).as_millis()).expect("a time");
            now_ms - ago - i64::try_from(at_ms).expect("a time")
        };
        self.standin.view(|view| view.calls().iter().map(|call| since(call.at)).collect())
    }

    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.expect("no panic");
        }
    }
}

/// How long after the opening the last call started, in milliseconds.
async fn last_call_after_the_opening(hears: bool) -> i64 {
    let rush = Rush::start(RULES, hears).await;
    rush.until_busy().await;
    // Another replica meets the failures; these three have to hear of it.
    let (store, tenant, name) = (&rush.replicas[0].store, Name::default_tenant(), rush.replicas[0].guard.name());
    let failures = [Run { calls: 5, outcome: Outcome { failed: true, slow: false } }];
    let generation = rush.replicas[0].until_state(State::Closed).await.generation;
    let report = Report { generation, runs: &failures, ..Report::default() };
    let asked = Asked { tenant: &tenant, name, rules: Wanted::Own, once: None };
    store.breaker_report(asked, &report).await.expect("an answer");
    let open = rush.replicas[0].until_state(State::Open).await;
    assert_eq!(open.reason, "failures");
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    let late: Vec<_> = rush.calls_since(open.since_ms).into_iter().filter(|ms| *ms > 0).collect();
    rush.end().await;
    late.into_iter().max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_starts_after_the_opening_is_known_where_hints_arrive() {
    let late_ms = last_call_after_the_opening(true).await;
    eprintln!("the last call came in {late_ms} ms after the opening, where hints arrive");
    // 50 ms are promised; a busy machine may stall for longer.
    assert!(late_ms < 800, "{late_ms} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_starts_a_second_after_the_opening_where_hints_are_lost() {
    let late_ms = last_call_after_the_opening(false).await;
    eprintln!("the last call came in {late_ms} ms after the opening, where hints are lost");
    // A second is promised; a busy machine may stall for longer.
    assert!(late_ms < 3_000, "{late_ms} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_the_probes_are_as_many_as_may_over_all_replicas_and_then_it_closes() {
    let rush = Rush::start(RULES, true).await;
    rush.until_busy().await;
    rush.standin.faults().set(Method::ListRooms, Fault::status(503));
    rush.replicas[0].until_state(State::Open).await;
    // LiveKit is well again, and slow: all probes are under way at once.
    rush.standin.faults().set(Method::ListRooms, Fault::slow(Duration::from_millis(700)));
    let mended = Instant::now();
    let half_open = rush.replicas[0].until_state(State::HalfOpen).await;
    let closed = rush.replicas[0].until_state(State::Closed).await;
    eprintln!("closed {:?} after LiveKit was well", mended.elapsed());
    // Well below ten times the time that it stays open: of the thirty seconds that are promised, it is two and a half.
    assert!(mended.elapsed() < Duration::from_secs(15));
    assert_eq!(closed.reason, "recovered");
    let lasted = i64::try_from(closed.since_ms - half_open.since_ms).expect("a time");
    let probes = rush.calls_since(half_open.since_ms).into_iter().filter(|ms| (-2..lasted - 5).contains(ms)).count();
    rush.end().await;
    // Once two of them have succeeded it closes; until the second is told, the first makes room for a fourth.
    assert!((3..=4).contains(&probes), "{probes} probes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_replica_is_gone_lapses_and_another_takes_its_place() {
    let redis = TestRedis::start().await;
    let rules = Rules { probes_max: 1, successes_min: 1, open_ms: 100, open_ms_max: 100, probe_ms: 3_000, ..RULES };
    let one = Replica::start(&redis, rules, true).await;
    while one.call(true).await.is_ok() {}
    eventually("it has waited long enough", async || {
        // The call is dropped amid its work: nobody reports it.
        let hangs = one.guard.call(ProviderError::is_outage, std::future::pending::<Result<(), ProviderError>>());
        let cut = tokio::time::timeout(Duration::from_millis(100), hangs).await;
        cut.is_err().then_some(())
    })
    .await;
    assert_eq!(one.until_state(State::HalfOpen).await.probes_until_ms.len(), 1);
    let two = Replica::start(&redis, rules, true).await;
    assert!(two.call(false).await.is_err(), "the only place is taken");
    eventually("the place is free again", async || two.call(false).await.ok()).await;
    assert_eq!(two.until_state(State::Closed).await.reason, "recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_successes_are_reported_in_batches_and_before_the_failure_that_follows_them() {
    let redis = TestRedis::start().await;
    // Nobody keeps this one: what is reported is reported by the calls themselves.
    let store = redis.store().await;
    let guard = Guard::new(NAME, RULES, JITTER_MAX, store.clone(), Arc::new(Metrics::new()));
    let replica = Replica { guard, store, metrics: Arc::default(), _stop: CancellationToken::new().drop_guard() };
    for _ in 0..2 {
        for _ in 0..4 {
            replica.call(true).await.expect("it is closed");
        }
        let before = replica.status().await.expect("a breaker");
        replica.call(false).await.expect("it is closed");
        let after = replica.status().await.expect("a breaker");
        assert_eq!((before.streak, before.total), (after.streak, after.total), "a success is not reported by itself");
    }
    replica.call(true).await.expect("it is closed");
    let status = replica.status().await.expect("a breaker");
    assert_eq!((status.total.calls, status.total.failures, status.streak), (11, 9, 1));

    let kept = Replica::start(&redis, RULES, true).await;
    kept.call(false).await.expect("it is closed");
    eventually("a single success is reported soon", async || {
        kept.status().await.filter(|status| status.total.calls == 12)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_each_replica_has_a_breaker_of_its_own_and_tells_of_it_afterwards() {
    let mut redis = TestRedis::start().await;
    let replica = Replica::start(&redis, RULES, true).await;
    replica.call(false).await.expect("it is closed");
    let breakers = Breakers::new(replica.store.clone(), vec![replica.guard.clone()]);
    let (tenant, name) = (Name::default_tenant(), replica.guard.name().clone());
    assert!(!breakers.get(&tenant, &name).await.expect("a breaker").degraded);
    redis.run::<()>(&["SAVE"]).await;
    redis.kill();
    let mut made = 0;
    while replica.call(true).await.is_ok() {
        made += 1;
        assert!(made < 50, "it does not open");
    }
    // The one that found Redis gone is told of it later only.
    assert!((5..=6).contains(&made), "{made}");
    let alone = breakers.get(&tenant, &name).await.expect("what the replica has");
    assert!(alone.degraded && alone.state == State::Open, "{alone:?}");
    assert!(replica.metrics.encode().expect("text").contains("greenroom_breaker_degraded{breaker=\"livekit.look\"} 1"));

    for server in redis.servers_mut() {
        server.start_again().await;
    }
    if on_cluster() {
        redis.until_cluster_serves().await;
    }
    let shared = eventually("it is shared again", async || {
        breakers.get(&tenant, &name).await.ok().filter(|it| !it.degraded && it.state == State::Open)
    })
    .await;
    assert_eq!(shared.reason, "failures", "what was counted meanwhile counts");
    eventually("it closes", async || replica.call(false).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_state_holds_on_every_replica() {
    let redis = TestRedis::start().await;
    let (one, two) = (Replica::start(&redis, RULES, true).await, Replica::start(&redis, RULES, true).await);
    let breakers = Breakers::new(one.store.clone(), vec![one.guard.clone()]);
    let (tenant, name) = (Name::default_tenant(), one.guard.name());
    for replica in [&one, &two] {
        replica.call(false).await.expect("it is closed");
    }
    let force = async |forced| breakers.force(&tenant, name, forced, (None, "a test"), None).await.expect("a breaker");
    force(Some(Forced::Open)).await;
    for replica in [&one, &two] {
        eventually("no call is made", async || replica.call(false).await.err()).await;
    }
    let fallback = two.guard.call_or(|_: &String| true, async { Ok("called") }, |_| Ok("instead")).await;
    assert_eq!(fallback, Ok("instead"));
    force(Some(Forced::Disabled)).await;
    for replica in [&one, &two] {
        eventually("calls are made", async || replica.call(true).await.ok()).await;
    }
    for _ in 0..20 {
        one.call(true).await.expect("it lets all through");
        two.call(true).await.expect("it lets all through");
    }
    assert!(one.status().await.expect("a breaker").streak >= 40, "and counts them");
    force(None).await;
    breakers.reset(&tenant, name, None).await.expect("a breaker");
    assert_eq!(one.status().await.expect("a breaker").total.calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_livekit_is_away_callers_hear_it_at_once_and_nobody_loses_an_agent() {
    let plan = Plan::default().replicas(3).set("GREENROOM_BREAKER_OPEN_MS", "1500").set("AGENT_TTL_SECONDS", "4");
    let house = plan.set("GREENROOM_BREAKER_OPEN_MS_MAX", "1500").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    let id = house.acquire(ROOM).await.id;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_served(ROOM).await;
    for method in Method::ALL {
        house.standin.faults().set(method, Fault::unreachable());
    }
    let look = async || house.call(Verb::GET, "/v1/breakers/livekit.look", None).await.body;
    eventually("the breaker opens", async || {
        house.ask(ROOM).await;
        (look().await["state"] == "open").then_some(())
    })
    .await;
    let called = house.standin.count(Method::ListRooms);
    let began = Instant::now();
    let mut refused = 0;
    // Longer than the window in which it counts as alive, and the time to live.
    while began.elapsed() < Duration::from_secs(6) {
        let answer = house.ask("another").await;
        answer.is_refused("provider_unavailable");
        refused += usize::from(answer.retry_after.is_some());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let probes = house.standin.count(Method::ListRooms) - called;
    eprintln!("{refused} callers were refused, {probes} looks were let through as probes");
    assert!(refused > 0 && probes <= 40, "{probes} looks while the breaker was open");
    let kept = house.dispatch(ROOM).await.expect("it is not reaped");
    assert_eq!(kept["id"], id.as_str());
    house.standin.faults().clear_all();
    let mended = Instant::now();
    eventually("the breaker closes", async || (look().await["state"] == "closed").then_some(())).await;
    eprintln!("closed {:?} after LiveKit was well", mended.elapsed());
    eventually("callers are served", async || (house.ask(ROOM).await.status < 300).then_some(())).await;
    assert_eq!(house.dispatch(ROOM).await.expect("a dispatch")["id"], id.as_str());
    assert_eq!(house.standin.created(ROOM, AGENT), 1, "its agent was not replaced");
    house.agrees(ROOM).await;
    eventually("every replica tells so in its metrics", async || {
        let metrics = get(&house.url(0, "/metrics")).await.ok()?.text().await.ok()?;
        metrics.contains("greenroom_breaker_state{breaker=\"livekit.look\",state=\"closed\"} 1").then_some(())
    })
    .await;
    let force = json!({"state": "open", "reason": "maintenance"});
    let forced = house.call(Verb::POST, "/v1/breakers/livekit.rooms/force", Some(force)).await;
    assert_eq!((forced.status, &forced.body["note"]), (200, &"maintenance".into()));
    eventually("rooms are not made", async || (house.ask("third").await.status == 503).then_some(())).await;
}
