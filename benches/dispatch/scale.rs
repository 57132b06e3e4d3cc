//! The scripts alone, without a replica, among a few and among many live dispatches: what grows with their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use greenroom::clock::Clock;
use greenroom::dispatch::{Place, SessionState};
use greenroom::name::Name;
use greenroom::store::keys::Shard;
use greenroom::store::{AcquireRules, Commit, Store, Verdict};
use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::children::{self, AGENT, Redis};
use super::load::{Told, micros};
use super::table::{Row, Table};

const AT_ONCE: usize = 64;
/// How many of those that are due are claimed by a call, as the leader does it.
const DUE_MAX: usize = 100;
const LONG: Duration = Duration::from_hours(1);

fn place(room: usize) -> Place {
    Place {
        tenant: Name::default_tenant(),
        room: Name::room(format!("room-{room}")).expect("a name"),
        agent: Name::strict(AGENT).expect("a name"),
    }
}

fn rules() -> AcquireRules {
    AcquireRules {
        ttl_seconds: 300,
        return_policy: "reported",
        provider: "simulated",
        liveness_window: LONG,
        believed: LONG,
        join_deadline: LONG,
        claim: Duration::from_secs(4),
        age_seconds_max: None,
        ttl_bounds: None,
        may_create: true,
        id: None,
    }
}

/// A dispatch that was made and whose agent has reported.
async fn make(store: &Store, room: usize) {
    let place = place(room);
    let answer = store.acquire(&place, "", &rules(), None).await.expect("an answer");
    let (verdict, record) = answer.expect("one may be made");
    assert_eq!(verdict, Verdict::Create);
    let commit = Commit {
        id: record.dispatch.id,
        provider_id: "AD_of-a-bench",
        agent_token: record.dispatch.token,
        adopted: false,
        join_deadline: LONG,
        once: None,
    };
    let made = store.commit(&place, record.dispatch.token, &commit).await.expect("a commit").dispatch;
    store.report(&place, made.id, record.dispatch.token, SessionState::Open, LONG).await.expect("it is believed");
}

/// Does so many things, some at once.
async fn each<F: Future<Output = ()> + Send>(
    things: std::ops::Range<usize>,
    act: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Told {
    let (began, next, mut tasks) = (Instant::now(), Arc::new(AtomicUsize::new(things.start)), JoinSet::new());
    for _ in 0..AT_ONCE {
        let (next, act) = (Arc::clone(&next), act.clone());
        tasks.spawn(async move {
            let mut told = Told::new(Duration::ZERO);
            loop {
                let thing = next.fetch_add(1, Ordering::Relaxed);
                if thing >= things.end {
                    return told;
                }
                let asked = Instant::now();
                act(thing).await;
                told.latencies.record(micros(asked)).expect("in range");
            }
        });
    }
    let mut all = Told::new(Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        all.latencies.add(done.expect("no panic").latencies).expect("in range");
    }
    all.took = began.elapsed();
    all
}

/// The script of the reuse path alone, so many times at once.
pub(crate) async fn reuse_alone(at_once: usize, lasting: Duration) -> Row {
    let redis = Redis::start().await;
    let store = children::store(redis.url(), Clock::Redis).await;
    let making = store.clone();
    each(0..at_once, move |room| {
        let store = making.clone();
        async move { make(&store, room).await }
    })
    .await;
    let before = redis.cpu().await;
    let told = reuse_any(&store, at_once, at_once, lasting).await;
    Row::new(&told).redis_cpu(redis.cpu().await - before, told.count())
}

/// Asks for the dispatch of any of the rooms for so long.
async fn reuse_any(store: &Store, rooms: usize, at_once: usize, lasting: Duration) -> Told {
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..at_once {
        let store = store.clone();
        tasks.spawn(async move {
            let (mut told, rules) = (Told::new(Duration::ZERO), rules());
            while began.elapsed() < lasting {
                let place = place(rand::rng().random_range(0..rooms));
                let asked = Instant::now();
                // As the service asks. The first in a second moves the time to live, by the whole script.
                if store.reuse(&place, &rules).await.expect("an answer").is_none() {
                    let answer = store.acquire(&place, "", &rules, None).await.expect("an answer");
                    assert!(matches!(answer, Some((Verdict::Reused, _))), "it is one to reuse");
                }
                told.latencies.record(micros(asked)).expect("in range");
            }
            told
        });
    }
    let mut all = Told::new(lasting);
    while let Some(done) = tasks.join_next().await {
        all.latencies.add(done.expect("no panic").latencies).expect("in range");
    }
    all.took = began.elapsed();
    all
}

/// Claims of what is due, as many as there are or as there is time for; what counts is each that was due.
async fn claim_due(store: &Store, lasting: Duration) -> (Told, u64) {
    let (mut told, mut claimed, began) = (Told::new(Duration::ZERO), 0, Instant::now());
    let mut idle = 0;
    for shard in (0..store.shards()).cycle().map(Shard) {
        if began.elapsed() >= lasting || idle == store.shards() {
            break;
        }
        let asked = Instant::now();
        let due = store.reap_provider(shard, 1, DUE_MAX, LONG).await.expect("an answer").len();
        told.latencies.record(micros(asked)).expect("in range");
        claimed += u64::try_from(due).expect("a count");
        idle = if due == 0 { idle + 1 } else { 0 };
    }
    told.took = began.elapsed();
    (told, claimed)
}

/// Makes ever more dispatches, and measures at each of these numbers.
pub(crate) async fn grow(numbers: &[usize], lasting: Duration) {
    let redis = Redis::start().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let clock = Arc::new(AtomicU64::new(u64::try_from(now.as_millis()).expect("milliseconds")));
    let store = children::store(redis.url(), Clock::Injected(Arc::clone(&clock))).await;
    for shard in (0..store.shards()).map(Shard) {
        store.begin_term(shard, 1).await.expect("a term");
    }
    let (mut table, mut weights, mut made) = (Table::default(), Vec::new(), 0);
    let empty = redis.memory().await;
    for &number in numbers {
        let (before, making) = (redis.cpu().await, store.clone());
        let told = each(made..number, move |room| {
            let store = making.clone();
            async move { make(&store, room).await }
        })
        .await;
        let row = Row::new(&told).redis_cpu(redis.cpu().await - before, told.count());
        table.push(row.named(&format!("acquire, commit and report, up to {number} live")));
        made = number;

        let before = redis.cpu().await;
        let told = reuse_any(&store, number, AT_ONCE, lasting).await;
        let row = Row::new(&told).redis_cpu(redis.cpu().await - before, told.count());
        table.push(row.named(&format!("reuse of any of {number} live")));
        let events = redis.events(store.shards()).await;
        weights.push((number, redis.memory().await - empty - events));
    }
    // All of them are due in ten minutes.
    clock.fetch_add(600_000, Ordering::SeqCst);
    let before = redis.cpu().await;
    let (told, claimed) = claim_due(&store, lasting).await;
    let row = Row::new(&told).redis_cpu(redis.cpu().await - before, claimed);
    table.push(row.named(&format!("claim of {DUE_MAX} that are due, of {made} live (CPU for each of them)")));
    println!("\nThe scripts alone, {AT_ONCE} at once:\n");
    table.print();
    println!("\n| memory of Redis, without the history of events | bytes for each |\n|---|--:|");
    for (number, bytes) in weights {
        println!("| {number} live dispatches | {:.0} |", bytes / f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
    }
}
