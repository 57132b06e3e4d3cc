//! A stand-in for a LiveKit server: a real HTTP server on loopback that behaves as livekit-server
//! 1.13.5 was recorded to behave (`tests/fixtures/livekit`), quirks included, with people, workers
//! and agents to move about, faults to order, and more to see than the real one shows.
//!
//! ```text
//!  calls ─► http ─► calls ─┐                      ┌─► webhooks ─► the receiver
//!  tests ─► Standin ───────┼─► Shared::with ──────┤
//!  time ──► driver ────────┘   one lock: World    └─► reports ──► greenroom
//! ```
//!
//! [`world::World`] is plain state and lets the time pass whenever it is looked at; everything that
//! waits or sends is outside of it. All durations are in [`Timings`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livekit_protocol as proto;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::contract::assert_none_aside;

mod auth;
mod behaviour;
mod calls;
mod faults;
mod happening;
mod http;
mod method;
mod reports;
mod rooms;
mod timings;
mod view;
mod webhooks;
mod wire;
mod workers;
mod world;

pub(crate) use behaviour::WorkerBehaviour;
pub(crate) use faults::{Fault, Faults};
pub(crate) use happening::{Happening, What};
pub(crate) use method::Method;
pub(crate) use proto::participant_info::Kind;
pub(crate) use rooms::Person;
pub(crate) use timings::Timings;
pub(crate) use view::{Agent, View};
pub(crate) use webhooks::{Delivery, Mischief};
pub(crate) use workers::WorkerId;
pub(crate) use world::Call;
use world::World;

/// What the parts of a running stand-in share.
#[derive(Debug)]
struct Shared {
    key: String,
    secret: String,
    timings: Timings,
    missing_room: Duration,
    world: Mutex<World>,
    faults: Faults,
    courier: webhooks::Courier,
    client: reqwest::Client,
    /// Counts changes, for those who wait for one.
    version: watch::Sender<u64>,
    /// Something is due earlier than it was.
    earlier: Notify,
    stop: CancellationToken,
}

impl Shared {
    /// Lets the time pass, does `act`, and sends out what follows from it.
    fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut World, Instant) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let due_before = world.next_due();
        let now = Instant::now();
        world.advance(now);
        let result = act(&mut world, now);
        self.courier.post(self, std::mem::take(&mut world.outbox));
        for (room, sid) in std::mem::take(&mut world.reporters) {
            tokio::spawn(reports::report(self.clone(), room, sid));
        }
        let is_earlier = match (world.next_due(), due_before) {
            (Some(after), Some(before)) => after < before,
            (after, _) => after.is_some(),
        };
        let changed = std::mem::take(&mut world.changed);
        drop(world);
        if is_earlier {
            self.earlier.notify_one();
        }
        if changed {
            self.announce();
        }
        result
    }

    /// Wakes those who wait for a change.
    fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Lets things happen when they are due, also while nobody asks.
    async fn drive(self: Arc<Self>) {
        loop {
            let due = self.with(|world, _| world.next_due());
            let until_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until_due => {}
                () = self.earlier.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }
}

/// A condition that did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the kind within {0:?}")]
pub(crate) struct TimedOut(Duration);

/// A running stand-in. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Standin {
    shared: Arc<Shared>,
    url: String,
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if !std::thread::panicking() {
            assert_none_aside();
        }
    }
}

impl Standin {
    /// Starts a server without rooms and workers on a free port of loopback.
    pub(crate) async fn start(timings: Timings) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            key: "devkey".to_owned(),
            secret: "a-secret-of-a-test-server-that-is-long-enough".to_owned(),
            missing_room: timings.missing_room,
            world: Mutex::new(World::new(timings.clone())),
            timings,
            faults: Faults::default(),
            courier: webhooks::Courier::default(),
            client: reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?,
            version: watch::Sender::new(0),
            earlier: Notify::new(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(http::serve(shared.clone(), listener));
        tokio::spawn(shared.clone().drive());
        Ok(Self { shared, url })
    }

    /// Where it listens: `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The key that signs tokens and webhooks.
    pub(crate) fn api_key(&self) -> &str {
        &self.shared.key
    }

    /// That key's secret.
    pub(crate) fn api_secret(&self) -> &str {
        &self.shared.secret
    }

    /// Sends webhooks to `url` from now on.
    pub(crate) fn set_webhook(&self, url: &str) {
        self.shared.courier.set_url(Some(url.to_owned()));
    }

    /// What is done to webhooks from now on. What was held back goes out.
    pub(crate) fn set_mischief(&self, mischief: Mischief) {
        self.shared.courier.set_mischief(&self.shared, mischief);
    }

    /// Every try of a webhook so far.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.shared.courier.deliveries()
    }

    /// Faults to order.
    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Someone joins; the room is made if it is missing. Gives the session id.
    pub(crate) fn person_joins(&self, room: &str, identity: &str, kind: Kind) -> String {
        self.person_joins_with(room, Person { identity: identity.to_owned(), kind, ..Person::default() })
    }

    /// The same with a name, attributes, or a wish for the room.
    pub(crate) fn person_joins_with(&self, room: &str, person: Person) -> String {
        self.shared.with(|world, now| world.join_person(now, room, person))
    }

    /// Someone leaves. `false` if they are not there.
    pub(crate) fn person_leaves(&self, room: &str, sid: &str) -> bool {
        self.shared.with(|world, now| world.leave(now, room, sid))
    }

    /// Someone's network is gone: the server notices later.
    pub(crate) fn person_vanishes(&self, room: &str, sid: &str) {
        self.shared.with(|world, now| world.die(now, room, sid));
    }

    /// Registers a worker.
    pub(crate) fn add_worker(&self, agent_name: &str, behaviour: WorkerBehaviour) -> WorkerId {
        self.shared.with(|world, _| world.add_worker(agent_name, behaviour))
    }

    /// `kill -9` of a worker and its agents. `false` if it is gone already.
    pub(crate) fn kill_worker(&self, worker: WorkerId) -> bool {
        self.shared.with(|world, now| world.kill_worker(now, worker))
    }

    /// Ends a worker in good order: its agents leave. `false` if it is gone already.
    pub(crate) fn remove_worker(&self, worker: WorkerId) -> bool {
        self.shared.with(|world, now| world.remove_worker(now, worker))
    }

    /// `kill -9` of one agent.
    pub(crate) fn kill_agent(&self, room: &str, sid: &str) {
        self.shared.with(|world, now| world.die(now, room, sid));
    }

    /// Whether an agent is amid something, which it reports as `busy`.
    pub(crate) fn set_busy(&self, room: &str, sid: &str, busy: bool) {
        self.shared.with(|world, _| {
            let agent = world.find_mut(room, |one| one.info.sid == sid).and_then(|one| one.agent.as_mut());
            if let Some(agent) = agent {
                agent.busy = busy;
                world.changed = true;
            }
        });
    }

    /// Looks at the state as it is now.
    pub(crate) fn view<R>(&self, look: impl FnOnce(&View<'_>) -> R) -> R {
        self.shared.with(|world, _| look(&View(world)))
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.view(|view| view.calls().to_vec())
    }

    /// All that came to pass in the rooms so far, in order.
    pub(crate) fn log(&self) -> Vec<Happening> {
        self.shared.with(|world, _| world.log.clone())
    }

    /// How often a method was called.
    pub(crate) fn count(&self, method: Method) -> usize {
        self.view(|view| view.count(method))
    }

    /// How often a method was called about one room.
    pub(crate) fn count_in(&self, method: Method, room: &str) -> usize {
        self.view(|view| view.count_in(method, room))
    }

    /// The dispatches that exist now for an agent in a room.
    pub(crate) fn dispatches(&self, room: &str, agent: &str) -> Vec<proto::AgentDispatch> {
        self.view(|view| view.dispatches(room, agent))
    }

    /// How many were ever created.
    pub(crate) fn created(&self, room: &str, agent: &str) -> usize {
        self.view(|view| view.created(room, agent))
    }

    /// The agents in a room.
    pub(crate) fn agents_in(&self, room: &str) -> Vec<Agent> {
        self.view(|view| view.agents_in(room))
    }

    /// The most working agents of one name that were ever in a room at once.
    pub(crate) fn overlaps(&self, room: &str, agent: &str) -> usize {
        self.view(|view| view.overlaps(room, agent))
    }

    /// Waits until `condition` holds of the state; looks again after each change.
    pub(crate) async fn wait_until(
        &self,
        condition: impl Fn(&View<'_>) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        let mut changes = self.shared.version.subscribe();
        let wait = async { while !self.view(&condition) && changes.changed().await.is_ok() {} };
        tokio::time::timeout(timeout, wait).await.map_err(|_| TimedOut(timeout))
    }

    /// Waits until `condition` holds of the webhooks sent so far.
    pub(crate) async fn wait_for_webhooks(
        &self,
        condition: impl Fn(&[Delivery]) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        let mut changes = self.shared.version.subscribe();
        let wait = async { while !condition(&self.deliveries()) && changes.changed().await.is_ok() {} };
        tokio::time::timeout(timeout, wait).await.map_err(|_| TimedOut(timeout))
    }
}
