//! The domain on a real Redis and the simulated provider, without HTTP.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use greenroom::background::{self, BackgroundOptions};
use greenroom::dispatch::{
    Acquire, Acquired, Bound, Dispatch, DispatchError, Dispatches, NoticeKind, Place, RoomNotice, Settings, TokenMint,
    Which,
};
use greenroom::name::Name;
use greenroom::pool::{PoolSettings, Pools};
use greenroom::provider::simulated::{Simulated, SimulatedOptions};
use greenroom::provider::{Person, Provider};
use greenroom::store::{Bounds, Hints};
use greenroom::telemetry::Metrics;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::support::{eventually, redis::TestRedis};

struct Replica {
    dispatches: Dispatches,
    _stop: DropGuard,
}

async fn replica(redis: &TestRedis, simulated: &Simulated, settings: Settings) -> Replica {
    let store = redis.store().await;
    let (hints, stop) = (Hints::default(), CancellationToken::new());
    let provider = Provider::Simulated(simulated.clone());
    let mint = TokenMint::new("secret");
    let (work, metrics) = (TaskTracker::new(), Arc::new(Metrics::new()));
    let dispatches = Dispatches::new(store.clone(), provider, settings, mint, hints.clone(), work, metrics.clone());
    let pools = Pools::new(store.clone(), hints.clone(), PoolSettings::default(), Duration::from_secs(15));
    let works = (&dispatches, &pools);
    background::start(&store, works, &hints, &BackgroundOptions::default(), &metrics, &stop, &stop);
    Replica { dispatches, _stop: stop.drop_guard() }
}

fn place(room: &str) -> Place {
    Place {
        tenant: Name::default_tenant(),
        room: Name::room(room).expect("a name"),
        agent: Name::strict("guide").expect("a name"),
    }
}

fn ask(room: &str) -> Acquire {
    Acquire {
        place: place(room),
        metadata: String::new(),
        ttl_seconds: None,
        by_pool: false,
        patience: Duration::from_secs(10),
        once: None,
    }
}

fn unpack(acquired: Acquired) -> (Dispatch, bool) {
    match acquired {
        Acquired::Created(dispatch) => (dispatch, false),
        Acquired::Reused(dispatch) => (dispatch, true),
        Acquired::Pending(dispatch) => panic!("still pending: {dispatch:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_three_replicas_get_one_dispatch() {
    let redis = TestRedis::start().await;
    let options = SimulatedOptions { call_delay: Duration::from_millis(20), ..SimulatedOptions::default() };
    let simulated = Simulated::new(&options);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(replica(&redis, &simulated, Settings::default()).await);
    }
    let calls: Vec<_> = (0..300)
        .map(|n: usize| {
            let dispatches = replicas[n % 3].dispatches.clone();
            tokio::spawn(async move { dispatches.acquire(ask("lobby")).await })
        })
        .collect();
    let mut ids = HashSet::new();
    let mut created = 0;
    for call in calls {
        let (dispatch, reused) = unpack(call.await.expect("no panic").expect("an answer"));
        ids.insert(dispatch.id);
        created += usize::from(!reused);
    }
    assert_eq!((ids.len(), created), (1, 1));
    assert_eq!(simulated.dispatches_made(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_nobody_enters_is_cleaned_up() {
    let redis = TestRedis::start().await;
    let simulated = Simulated::new(&SimulatedOptions::default());
    let replica = replica(&redis, &simulated, Settings { ttl_seconds: 1, ..Settings::default() }).await;
    let (dispatch, reused) = unpack(replica.dispatches.acquire(ask("lobby")).await.expect("an answer"));
    assert!(!reused);
    let tenant = Name::default_tenant();
    eventually("the dispatch is forgotten", async || {
        replica.dispatches.get(&tenant, Which::Id(dispatch.id)).await.is_err().then_some(())
    })
    .await;
    let look = Provider::Simulated(simulated).look("lobby", "concierge", true).await.expect("a look");
    assert_eq!(look.dispatches.unwrap_or_default(), vec![]);
    // What is left is remembered for an hour at most, or is the house's own.
    let keys: Vec<String> = redis.run(&["KEYS", "gr:*"]).await;
    for key in keys {
        let ttl: i64 = redis.run(&["TTL", &key]).await;
        let own = ["shard", "leader", "schema", "events"].iter().any(|own| key.ends_with(own));
        let own = own || key.contains("}:breaker:") || key.ends_with(":breakers");
        assert!(own || (1..=3600).contains(&ttl), "{key} is left behind with a TTL of {ttl} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_pass_after_its_end_is_removed_and_given_to_nobody() {
    let redis = TestRedis::start().await;
    let simulated = Simulated::new(&SimulatedOptions::default());
    let replica = replica(&redis, &simulated, Settings::default()).await;
    let (dispatch, _) = unpack(replica.dispatches.acquire(ask("lobby")).await.expect("an answer"));
    let provider = Provider::Simulated(simulated);
    let look = provider.look("lobby", "guide", true).await.expect("a look");
    let made = look.dispatches.and_then(|all| all.into_iter().next()).expect("a dispatch");
    replica.dispatches.end(&Name::default_tenant(), Which::Id(dispatch.id)).await.expect("the end");
    // The provider was asked for it twice, and is late.
    provider.create("lobby", "guide", "", made.attributes).await.expect("a dispatch");
    replica.dispatches.reconcile(true).await.expect("a look at all rooms");
    let look = provider.look("lobby", "guide", true).await.expect("a look");
    assert_eq!(look.dispatches.unwrap_or_default(), vec![]);
    let (next, reused) = unpack(replica.dispatches.acquire(ask("lobby")).await.expect("an answer"));
    assert!(!reused && next.id != dispatch.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_replica_took_of_a_bound_is_given_back_when_the_bound_is_reached() {
    let redis = TestRedis::start().await;
    let simulated = Simulated::new(&SimulatedOptions::default());
    let settings =
        Settings { live_per_agent_max: 1, creation_budget: Duration::from_millis(500), ..Settings::default() };
    let replica = replica(&redis, &simulated, settings).await;
    // It took the place, and never asked for its dispatch.
    let bounds = Bounds { per_tenant: None, per_agent: Some(1) };
    redis.store().await.take_quota(&place("ghost"), bounds).await.expect("an answer");
    let refused = replica.dispatches.acquire(ask("lobby")).await;
    assert!(matches!(refused, Err(DispatchError::TooMany { bound: Bound::Agent, .. })), "{refused:?}");
    let made = eventually("there is room", async || replica.dispatches.acquire(ask("lobby")).await.ok()).await;
    assert!(!unpack(made).1);
    // One that lives is not taken for lost.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let refused = replica.dispatches.acquire(ask("other")).await;
    assert!(matches!(refused, Err(DispatchError::TooMany { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_the_provider_reaches_its_tenants_room_alone() {
    let redis = TestRedis::start().await;
    let simulated = Simulated::new(&SimulatedOptions::default());
    // Nobody looks at the provider here: what is known of people comes from notices.
    let (hints, metrics, provider) = (Hints::default(), Arc::new(Metrics::new()), Provider::Simulated(simulated));
    let (store, mint) = (redis.store().await, TokenMint::new("secret"));
    let dispatches = Dispatches::new(store, provider, Settings::default(), mint, hints, TaskTracker::new(), metrics);
    let acme = Name::tenant("acme").expect("a name");
    let theirs = Place { tenant: acme.clone(), ..place("lobby") };
    for place in [place("lobby"), theirs.clone()] {
        let asked = Acquire { place, ..ask("lobby") };
        assert!(!unpack(dispatches.acquire(asked).await.expect("an answer")).1, "two tenants, two dispatches");
    }
    let (seconds, _): (i64, i64) = redis.run(&["TIME"]).await;
    for (room, at) in [("acme::lobby", seconds), ("default::lobby", seconds + 1), ("other::lobby", seconds + 2)] {
        let person = Person { sid: format!("PA_{at}"), joined_at_seconds: at };
        let notice = RoomNotice {
            event_id: format!("EV_{at}"),
            room: room.to_owned(),
            created_at_seconds: at,
            kind: NoticeKind::PersonJoined(person),
        };
        dispatches.notice(notice).await.expect("taken");
    }
    let people = async |place: Place| {
        let tenant = place.tenant.clone();
        dispatches.get(&tenant, Which::Place(place)).await.expect("a dispatch").participant_count
    };
    assert_eq!((people(theirs).await, people(place("lobby")).await), (1, 0));
}
