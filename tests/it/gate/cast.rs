//! Who takes part in a schedule: replicas with their callers and reapers, agents that report, people, webhooks.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenroom::breaker::Rules;
use greenroom::clock::Clock;
use greenroom::dispatch::{
    Acquire, Acquired, Dispatches, NoticeKind, Place, RoomNotice, SessionState, Settings, TokenMint, Which,
};
use greenroom::lock::Locks;
use greenroom::name::Name;
use greenroom::pool::Pools;
use greenroom::provider::simulated::Simulated;
use greenroom::provider::{ATTRIBUTE_ID, ATTRIBUTE_TOKEN, Look, Person, Provider};
use greenroom::store::keys::Shard;
use greenroom::store::{Hints, Store, StoreOptions};
use greenroom::telemetry::Metrics;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, MARK};
use super::pools;
use super::users::RULES;

pub(super) const ROOM: &str = "lobby";
/// Longer than a schedule takes; rooms close a minute after it.
pub(super) const TTL: Duration = Duration::from_mins(2);

/// An answer that somebody was given, with the steps between which it was worked out.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) from_step: u64,
    pub(super) to_step: u64,
}

/// A replica, as the schedule has it.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) dispatches: Dispatches,
    pub(super) store: Store,
    pub(super) locks: Locks,
    pub(super) pools: Pools,
    pub(super) provider: Provider,
    world: Simulated,
    pub(super) book: Book,
}

/// What all write down, and what they go by.
#[derive(Clone, Default)]
pub(super) struct Book {
    pub(super) step: Arc<AtomicU64>,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
    /// No more faults happen.
    pub(super) calm: Arc<AtomicBool>,
    /// Whoever goes on for ever stops.
    pub(super) over: Arc<AtomicBool>,
    /// Whether the provider fails, call by call.
    pub(super) failing: Arc<AtomicBool>,
    /// The replicas' pools, as runners reach them.
    pub(super) replicas: Arc<Mutex<Vec<Pools>>>,
    /// Runners stop.
    pub(super) is_deserted: Arc<AtomicBool>,
    /// What somebody saw that must not be.
    pub(super) accusation: Arc<Mutex<Option<String>>>,
}

impl Book {
    /// No more faults: all do what they are told.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub(super) fn accuse(&self, text: String) {
        self.accusation.lock().expect("no panic").get_or_insert(text);
    }
}

pub(super) fn place() -> Place {
    Place {
        tenant: Name::default_tenant(),
        room: Name::room(ROOM).expect("a name"),
        agent: Name::strict("guide").expect("a name"),
    }
}

/// `opens`: whether the breakers of the provider open. Where they do not, they are asked and told all the same.
fn settings(opens: bool) -> Settings {
    let never = Rules { failures_max: 0, failure_percent: 0, slow_percent: 0, ..Rules::default() };
    Settings {
        ttl_seconds: TTL.as_secs().try_into().expect("seconds"),
        cleanup_interval: Duration::from_secs(5),
        liveness_window: Duration::from_secs(3),
        check_interval: Duration::from_secs(2),
        join_deadline: Duration::from_secs(4),
        join_deadline_with_job: Duration::from_secs(4),
        creation_backoff: Duration::from_millis(200),
        failure_hold: Duration::from_secs(1),
        slow_try_interval: Duration::from_secs(5),
        pause_part_min: 1.0,
        breaker: if opens { RULES } else { never },
        room_failures_max: if opens { RULES.failures_max } else { 0 },
        breaker_jitter_max: 0,
        ..Settings::default()
    }
}

impl Replica {
    pub(super) fn new(actor: usize, socket: &Path, desk: &Desk, world: &Simulated, book: &Book, opens: bool) -> Self {
        // Database 0 would not be selected.
        let number = actor + 1;
        let options = StoreOptions {
            url: format!("redis+unix://{}?db={number}", socket.display()).into(),
            command_timeout: Duration::from_secs(2),
            shards: 1,
            wait_replicas: 0,
            clock: Clock::Injected(Arc::new(AtomicU64::new(MARK))),
        };
        let store = Store::open(&options, 1).expect("a store");
        let provider = Provider::Simulated(world.behind(desk.gate(actor)));
        let (mint, work, metrics) = (TokenMint::new("secret"), TaskTracker::new(), Arc::new(Metrics::new()));
        let (hints, gated) = (Hints::default(), provider.clone());
        let dispatches = Dispatches::new(store.clone(), gated, settings(opens), mint, hints.clone(), work, metrics);
        let locks = Locks::new(store.clone(), hints.clone());
        let pools = Pools::new(store.clone(), hints, pools::settings(), pools::BELIEVED);
        Self { dispatches, store, locks, pools, provider, world: world.clone(), book: book.clone() }
    }

    pub(super) async fn ask(self, after: Duration, patience: Duration) -> bool {
        sleep(after).await;
        let from_step = self.book.step.load(Ordering::SeqCst);
        let request = Acquire {
            place: place(),
            metadata: String::new(),
            ttl_seconds: None,
            by_pool: false,
            patience,
            once: None,
        };
        match self.dispatches.acquire(request).await {
            Ok(Acquired::Created(found) | Acquired::Reused(found)) => {
                let to_step = self.book.step.load(Ordering::SeqCst);
                let told = Told { id: found.id.to_string(), from_step, to_step };
                self.book.told.lock().expect("no panic").push(told);
                true
            }
            Ok(Acquired::Pending(_)) | Err(_) => false,
        }
    }

    /// Does what is due, again and again.
    pub(super) async fn reap(self, term: u64, every: Duration) {
        let settings = self.dispatches.settings();
        let begun = self.store.begin_term(Shard(0), term).await;
        while begun.is_ok() && !self.book.over.load(Ordering::SeqCst) {
            let due = self.store.reap_provider(Shard(0), term, 8, settings.claim).await;
            for due in due.unwrap_or_default() {
                let worker = self.dispatches.clone();
                self.dispatches.work().spawn(async move { Box::pin(worker.attend_to(due)).await });
            }
            let _ = self.store.reap_beat(Shard(0), term, 8, settings.heartbeat_believed).await;
            let _ = self.store.reap_store(Shard(0), term, 8).await;
            sleep(every).await;
        }
    }

    /// The agents of the room report, some of them that they have closed.
    async fn report(self, mut rng: StdRng) {
        for _ in 0..5 {
            sleep(Duration::from_millis(1200)).await;
            let look = look(&self.world).await;
            for found in look.dispatches.iter().flatten() {
                let here = look.agents.iter().any(|agent| found.job_identities.contains(&agent.identity));
                let id = found.attributes.get(ATTRIBUTE_ID).and_then(|id| id.parse().ok());
                if let (true, Some(id), Some(token)) = (here, id, found.attributes.get(ATTRIBUTE_TOKEN)) {
                    let session = if rng.random_bool(0.15) { SessionState::Closed } else { SessionState::Open };
                    let _ = self.dispatches.report(id, token, session).await;
                }
            }
        }
    }

    /// Somebody comes and goes; of the webhooks some are lost, doubled, or late.
    async fn visit(self, mut rng: StdRng, after: Duration) {
        sleep(after).await;
        let Ok(sid) = self.world.person_joins(ROOM) else { return };
        let person = Person { sid, joined_at_seconds: 0 };
        self.tell(&mut rng, NoticeKind::PersonJoined(person.clone())).await;
        sleep(Duration::from_millis(rng.random_range(500..4000))).await;
        self.world.person_leaves(ROOM, &person.sid);
        self.tell(&mut rng, NoticeKind::PersonLeft(person)).await;
    }

    async fn tell(&self, rng: &mut StdRng, kind: NoticeKind) {
        let created_at_seconds = i64::try_from(super::schedule::BEGIN_MS / 1000).expect("a time");
        let notice = RoomNotice { event_id: "EV_x".to_owned(), room: ROOM.to_owned(), created_at_seconds, kind };
        for _ in 0..rng.random_range(0..3) {
            let _ = self.dispatches.notice(notice.clone()).await;
        }
    }

    pub(super) async fn end(self, after: Duration) -> bool {
        sleep(after).await;
        self.dispatches.end(&Name::default_tenant(), Which::Place(place())).await.is_ok()
    }

    async fn reconcile(self, after: Duration) {
        sleep(after).await;
        let _ = self.dispatches.reconcile(true).await;
    }

    async fn touch(self, after: Duration) {
        sleep(after).await;
        let _ = self.dispatches.touch(&Name::default_tenant(), Which::Place(place()), None).await;
    }
}

/// The room as it is, past every gate.
pub(super) async fn look(world: &Simulated) -> Look {
    Provider::Simulated(world.clone()).look(ROOM, place().agent.as_str(), true).await.expect("no fault without a gate")
}

/// Everybody of the schedule, at work. Who finishes is told by the handles, with the replica that each is of.
pub(super) fn set_out(replicas: &[Replica], rng: &mut StdRng) -> Vec<(usize, JoinHandle<()>)> {
    let mut handles = Vec::new();
    let mut go = |actor: usize, task: JoinHandle<()>| handles.push((actor, task));
    let after = |rng: &mut StdRng, most: u64| Duration::from_millis(rng.random_range(0..most));
    for (actor, replica) in replicas.iter().enumerate() {
        for most in [500, 8000].into_iter().take(rng.random_range(1..=2)) {
            let ask = replica.clone().ask(after(rng, most), Duration::from_secs(20));
            go(
                actor,
                tokio::spawn(async move {
                    ask.await;
                }),
            );
        }
    }
    let pick = |rng: &mut StdRng| rng.random_range(0..replicas.len());
    // Two that both believe to lead, now and then: the older one is refused where it comes later.
    for term in 1..=rng.random_range(1..=2_u64) {
        let actor = pick(rng);
        go(actor, tokio::spawn(replicas[actor].clone().reap(term, Duration::from_secs(1))));
    }
    if rng.random_bool(0.6) {
        let (actor, own) = (pick(rng), StdRng::seed_from_u64(rng.random()));
        go(actor, tokio::spawn(replicas[actor].clone().report(own)));
    }
    if rng.random_bool(0.5) {
        let (actor, own, after) = (pick(rng), StdRng::seed_from_u64(rng.random()), after(rng, 3000));
        go(actor, tokio::spawn(replicas[actor].clone().visit(own, after)));
    }
    if rng.random_bool(0.5) {
        let (actor, end) = (pick(rng), after(rng, 6000));
        let end = replicas[actor].clone().end(end);
        go(
            actor,
            tokio::spawn(async move {
                end.await;
            }),
        );
    }
    if rng.random_bool(0.3) {
        let (actor, after) = (pick(rng), after(rng, 5000));
        go(actor, tokio::spawn(replicas[actor].clone().reconcile(after)));
    }
    if rng.random_bool(0.2) {
        let (actor, after) = (pick(rng), after(rng, 4000));
        go(actor, tokio::spawn(replicas[actor].clone().touch(after)));
    }
    handles
}
