//! What a test can see: also what the real server hides.

use livekit_protocol as proto;
use proto::participant_info::State;

use super::method::Method;
use super::rooms::is_person;
use super::workers::WorkerId;
use super::world::{Call, World};

/// A look at the state, at one moment.
#[derive(Debug)]
pub(crate) struct View<'a>(pub(super) &'a World);

/// An agent that is in a room, or that the server believes to be.
#[expect(clippy::struct_excessive_bools, reason = "an agent may be any of these at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Identity in the room.
    pub(crate) identity: String,
    /// Session id in the room.
    pub(crate) sid: String,
    /// The worker's agent name.
    pub(crate) name: String,
    /// The dispatch that it serves.
    pub(crate) dispatch_id: String,
    /// The worker that it belongs to.
    pub(crate) worker: WorkerId,
    /// Whether `participant_joined` was sent for it.
    pub(crate) active: bool,
    /// Whether its session has ended while it stays in the room.
    pub(crate) deaf: bool,
    /// Whether its process is gone.
    pub(crate) dead: bool,
    /// Whether it was told to end.
    pub(crate) told_to_end: bool,
}

impl Agent {
    /// Whether it would answer a person who speaks.
    pub(crate) fn is_working(&self) -> bool {
        !self.deaf && !self.dead && !self.told_to_end
    }
}

impl View<'_> {
    /// The names of the rooms that exist.
    pub(crate) fn rooms(&self) -> Vec<String> {
        self.0.rooms.keys().cloned().collect()
    }

    /// The room as the server shows it.
    pub(crate) fn room(&self, room: &str) -> Option<proto::Room> {
        self.0.rooms.get(room).map(|room| room.info.clone())
    }

    /// The dispatches that exist for an agent in a room, with the jobs that are listed.
    pub(crate) fn dispatches(&self, room: &str, agent: &str) -> Vec<proto::AgentDispatch> {
        let all = self.0.rooms.get(room).map(|room| room.dispatches.as_slice()).unwrap_or_default();
        all.iter().filter(|dispatch| dispatch.agent_name == agent).cloned().collect()
    }

    /// How many dispatches were ever created for an agent in rooms of this name.
    pub(crate) fn created(&self, room: &str, agent: &str) -> usize {
        self.0.created.get(&(room.to_owned(), agent.to_owned())).copied().unwrap_or_default()
    }

    /// How many working agents of this name were ever in the room at once.
    pub(crate) fn overlaps(&self, room: &str, agent: &str) -> usize {
        self.0.overlaps.get(&(room.to_owned(), agent.to_owned())).copied().unwrap_or_default()
    }

    /// The agents in a room.
    pub(crate) fn agents_in(&self, room: &str) -> Vec<Agent> {
        let all = self.0.rooms.get(room).map(|room| room.participants.as_slice()).unwrap_or_default();
        let agents = all.iter().filter_map(|one| Some((&one.info, one.agent.as_ref()?)));
        agents
            .map(|(info, agent)| Agent {
                identity: info.identity.clone(),
                sid: info.sid.clone(),
                name: agent.job.agent_name.clone(),
                dispatch_id: agent.job.dispatch_id.clone(),
                worker: agent.worker,
                active: info.state() == State::Active,
                deaf: agent.deaf,
                dead: agent.dead,
                told_to_end: agent.told_to_end,
            })
            .collect()
    }

    /// The working agents of this name in a room.
    pub(crate) fn working_in(&self, room: &str, agent: &str) -> Vec<Agent> {
        let mut agents = self.agents_in(room);
        agents.retain(|one| one.name == agent && one.is_working());
        agents
    }

    /// Everyone in a room who is not an agent, recorder or ingress.
    pub(crate) fn people_in(&self, room: &str) -> Vec<proto::ParticipantInfo> {
        let all = self.0.rooms.get(room).map(|room| room.participants.as_slice()).unwrap_or_default();
        all.iter().map(|one| &one.info).filter(|info| is_person(info.kind())).cloned().collect()
    }

    /// Every call so far, in order.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.0.calls
    }

    /// How often a method was called.
    pub(crate) fn count(&self, method: Method) -> usize {
        self.0.calls.iter().filter(|call| call.method == method).count()
    }

    /// How often a method was called about one room.
    pub(crate) fn count_in(&self, method: Method, room: &str) -> usize {
        self.0.calls.iter().filter(|call| call.method == method && call.room == room).count()
    }
}
