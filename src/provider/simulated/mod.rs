//! A simulation of LiveKit within the process: for `greenroom dev`, for tests and for the benches.
//!
//! It keeps to what a real server was seen to do, as far as this service can tell the difference: dispatches are
//! not deduplicated, agents do not hold a room open, a dispatch goes with its room. Nobody joins as a person
//! unless told to. Time is Tokio's, so tests may pause it.
//!
//! Nothing happens by itself: whatever is due happens at the next call, or while [`Simulated::run`] runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::gate::{Fate, Gate};
use self::world::World;
use super::{Look, ProviderDispatch, ProviderError, RoomTimeouts};
use crate::dispatch::RoomNotice;

pub mod gate;
mod world;

#[cfg(test)]
mod tests;

/// How often [`Simulated::run`] looks for what is due.
const TICK: Duration = Duration::from_millis(20);

/// How a [`Simulated`] behaves.
#[derive(Debug, Clone)]
pub struct SimulatedOptions {
    /// How long an agent takes from its dispatch to being in the room.
    pub join_delay: Duration,
    /// How long each call takes.
    pub call_delay: Duration,
    /// How many rooms, dispatches and people there may be, all together; beyond it, calls that add one
    /// answer [`ProviderError::Unavailable`].
    pub entries_max: usize,
    /// What its clock shows when it is made.
    pub began_at: SystemTime,
}

impl Default for SimulatedOptions {
    fn default() -> Self {
        Self {
            join_delay: Duration::from_millis(300),
            call_delay: Duration::ZERO,
            entries_max: 2_000_000,
            began_at: SystemTime::now(),
        }
    }
}

/// A simulated LiveKit. Clones share everything but the gate.
#[derive(Debug, Clone)]
pub struct Simulated {
    inner: Arc<Inner>,
    gate: Gate,
}

#[derive(Debug)]
struct Inner {
    call_delay: Duration,
    world: Mutex<World>,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new(&SimulatedOptions::default())
    }
}

impl Simulated {
    /// An empty server.
    pub fn new(options: &SimulatedOptions) -> Self {
        let world = World::new(options.join_delay, options.entries_max, options.began_at);
        let inner = Inner { call_delay: options.call_delay, world: Mutex::new(world) };
        Self { inner: Arc::new(inner), gate: Gate::default() }
    }

    /// The same server, whose calls go through the gate.
    #[must_use]
    pub fn behind(&self, gate: Gate) -> Self {
        Self { gate, ..self.clone() }
    }

    /// Sends every notice there, as a real server would send webhooks, in place of any earlier receiver.
    /// A notice that finds the channel full is lost. Something must call [`Self::run`] for them to be in time.
    pub fn subscribe(&self, notices: mpsc::Sender<RoomNotice>) {
        self.world().subscribe(notices);
    }

    /// Lets happen what is due, in time; never returns.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            drop(self.world());
        }
    }

    /// A person joins; the room is made if there is none. Returns the person's session id.
    /// Fails only when the simulation is full.
    pub fn person_joins(&self, room: &str) -> Result<String, ProviderError> {
        self.world().person_joins(room)
    }

    /// A person leaves; `false` if there is no such person in the room.
    pub fn person_leaves(&self, room: &str, sid: &str) -> bool {
        self.world().person_leaves(room, sid)
    }

    /// Closes a room and all that is in it; `false` if there is none.
    pub fn close_room(&self, room: &str) -> bool {
        self.world().close_room(room)
    }

    /// Whether there are workers. The agent of a dispatch made while there are none never comes, even
    /// when there are some later: that is how LiveKit has it. There are, at first.
    pub fn set_workers(&self, available: bool) {
        self.world().set_workers(available);
    }

    /// How many dispatches were ever made, whatever became of them.
    pub fn dispatches_made(&self) -> u64 {
        self.world().dispatches_made()
    }

    pub(super) async fn ensure_room(&self, room: &str, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        let room = room.to_owned();
        self.call("ensure_room", move |world| world.ensure_room(&room, timeouts)).await
    }

    pub(super) async fn look(&self, room: &str, with_dispatches: bool) -> Result<Look, ProviderError> {
        let room = room.to_owned();
        self.call("look", move |world| Ok(world.look(&room, with_dispatches))).await
    }

    pub(super) async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        self.call("rooms", |world| Ok(world.rooms())).await
    }

    pub(super) async fn create(
        &self,
        room: &str,
        agent: &str,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        let (room, agent, metadata) = (room.to_owned(), agent.to_owned(), metadata.to_owned());
        self.call("create", move |world| world.create(&room, &agent, &metadata, attributes)).await
    }

    pub(super) async fn delete(&self, room: &str, provider_id: &str) -> Result<(), ProviderError> {
        let (room, id) = (room.to_owned(), provider_id.to_owned());
        self.call("delete", move |world| {
            world.delete(&room, &id);
            Ok(())
        })
        .await
    }

    pub(super) async fn remove_agent(&self, room: &str, identity: &str) -> Result<(), ProviderError> {
        let (room, identity) = (room.to_owned(), identity.to_owned());
        self.call("remove_agent", move |world| {
            world.remove_agent(&room, &identity);
            Ok(())
        })
        .await
    }

    async fn call<T: 'static>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut World) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        if !self.inner.call_delay.is_zero() {
            tokio::time::sleep(self.inner.call_delay).await;
        }
        match self.gate.pass(name).await {
            Fate::Answered => act(&mut self.world()),
            Fate::Unheard => act(&mut self.world()).and(Err(ProviderError::Timeout)),
            Fate::Late(signal) => {
                let this = self.clone();
                tokio::spawn(async move { signal.await.is_ok_and(|()| act(&mut this.world()).is_ok()) });
                Err(ProviderError::Timeout)
            }
        }
    }

    /// The state, with everything done that is due by now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.inner.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(Instant::now());
        world
    }
}
