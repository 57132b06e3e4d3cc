//! A master that Sentinels replace: killed, or hanging and coming back.

use std::time::{Duration, Instant};

use greenroom::dispatch::Place;
use greenroom::name::Name;
use greenroom::store::{AcquireRules, Store, StoreOptions, Verdict};

use crate::standin::{Kind, WorkerBehaviour};
use crate::support::redis::{TestRedis, command};
use crate::support::replica::{AGENT, House, Plan, ROOM};
use crate::support::{PATIENCE_WITH_SENTINELS, eventually, eventually_within};

/// Replicas on Sentinels, with a room that is served.
async fn house() -> House {
    let house = Plan::default().on(TestRedis::with_sentinels().await).start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived().reporting());
    house.acquire(ROOM).await;
    house.standin.person_joins(ROOM, "ann", Kind::Standard);
    house.until_people(ROOM, 1).await;
    house.until_served(ROOM).await;
    // What was acknowledged before the fault shall be with the replica: what is not, may be lost.
    house.redis.servers()[0].query(&command(&["WAIT", "1", "5000"])).await.expect("an answer");
    house
}

/// After the fault: served again, by the same agent, and nothing was made twice.
async fn check_after(house: &House, began: Instant) {
    house.until_all_serve(ROOM).await;
    eprintln!("all replicas serve again after {:?}", began.elapsed());
    house.until_served(ROOM).await;
    assert_eq!(house.standin.created(ROOM, AGENT), 1, "the agent was made twice");
    house.agrees(ROOM).await;
    house.acquire("another").await;
    house.agrees("another").await;
    house.until_led().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_is_followed_to_its_replica() {
    let mut house = house().await;
    let began = Instant::now();
    house.redis.servers_mut()[0].kill();
    check_after(&house, began).await;
    assert_eq!(house.redis.servers()[1].info("role").await.as_deref(), Some("master"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_hung_and_comes_back_is_not_written_to() {
    let house = house().await;
    let began = Instant::now();
    house.redis.servers()[0].signal("STOP");
    check_after(&house, began).await;
    let (old, new) = (&house.redis.servers()[0], &house.redis.servers()[1]);
    old.signal("CONT");
    // For some seconds it believes that it is a master, which is what this test is about.
    let mut believed = 0;
    for n in 0.. {
        let is_master = old.info("role").await.as_deref() == Some("master");
        if !is_master || n == 40 {
            break;
        }
        believed += 1;
        let room = format!("room-{n}");
        house.acquire(&room).await;
        let keys = new.query(&command(&["KEYS", &format!("gr:*:dispatch:*:{room}:*")])).await.expect("keys");
        assert_eq!(keys.as_sequence().map(<[_]>::len), Some(1), "{room} was written to the old master");
    }
    assert!(believed > 0, "the old master knew at once: the test proves nothing");
    eventually("the old master is a replica", async || old.info("role").await.filter(|role| role == "slave")).await;
    house.agrees(ROOM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_grow_over_a_change_of_the_master() {
    let mut redis = TestRedis::with_sentinels().await;
    let options = StoreOptions { command_timeout: Duration::from_millis(500), ..redis.options() };
    let store = Store::connect(&options).await.expect("a store");
    let place = Place {
        tenant: Name::default_tenant(),
        room: Name::room(ROOM).expect("a name"),
        agent: Name::strict(AGENT).expect("a name"),
    };
    let claim = Duration::from_millis(1);
    let rules = AcquireRules {
        id: None,
        ttl_seconds: 60,
        return_policy: "reported",
        provider: "simulated",
        liveness_window: Duration::from_secs(15),
        believed: Duration::from_secs(5),
        join_deadline: Duration::from_secs(10),
        // It is over at once, so that every call is a new grant.
        claim,
        age_seconds_max: None,
        ttl_bounds: None,
        may_create: true,
    };
    let mut tokens: Vec<u64> = Vec::new();
    let mut terms: Vec<u64> = Vec::new();
    let (mut killed, mut after) = (None, 0);
    while after < 20 {
        if tokens.len() == 50 && killed.is_none() {
            redis.servers_mut()[0].kill();
            killed = Some(Instant::now());
        }
        assert!(killed.is_none_or(|at: Instant| at.elapsed() < crate::support::PATIENCE), "no new master");
        // Each is granted to somebody else, for the shortest time.
        let granted = store.acquire(&place, "", &rules, None).await;
        let campaign = store.campaign(&format!("replica-{}", tokens.len()), claim).await;
        if let Ok(Some((Verdict::Create, record))) = granted {
            tokens.push(record.dispatch.token);
            after += u32::from(killed.is_some());
        }
        terms.extend(campaign.ok().filter(|campaign| campaign.leads).map(|campaign| campaign.term));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "a token was granted twice: {tokens:?}");
    assert!(terms.is_sorted_by(|a, b| a < b), "a term was granted twice: {terms:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_no_replica_confirms_counts_as_unknown() {
    let mut redis = TestRedis::with_sentinels().await;
    let options = StoreOptions { wait_replicas: 1, command_timeout: Duration::from_millis(600), ..redis.options() };
    let store = Store::connect(&options).await.expect("a store");
    let lease = Duration::from_secs(5);
    assert!(store.campaign("a", lease).await.expect("a confirmed grant").leads);
    redis.servers_mut()[1].kill();
    let alone = store.campaign("a", lease).await;
    assert!(alone.is_err(), "{alone:?}");
    // What is no grant goes on.
    store.ping().await.expect("an answer");
    redis.servers_mut()[1].start_again().await;
    let confirms = async || store.campaign("a", lease).await.ok();
    eventually_within(PATIENCE_WITH_SENTINELS, "the replica confirms again", confirms).await;
}
