//! Workers, their jobs and their agents, and what an agent is that the server cannot see: deaf,
//! dead, told to end.

use livekit_protocol as proto;
use proto::participant_info::Kind;
use proto::{DisconnectReason, JobStatus};
use tokio::time::Instant;

use super::behaviour::WorkerBehaviour;
use super::happening::What;
use super::rooms::{Room, permission};
use super::world::{Event, World, new_id};

/// Names a worker of this stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(u32);

/// A registered worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) agent_name: String,
    behaviour: WorkerBehaviour,
    sid: String,
    jobs: usize,
}

/// An agent on its way into a room.
#[derive(Debug)]
pub(super) struct Joining {
    room: String,
    room_sid: String,
    worker: WorkerId,
    job: proto::Job,
    identity: String,
    behaviour: WorkerBehaviour,
}

/// What is true of an agent in a room, whatever the server shows.
#[expect(clippy::struct_excessive_bools, reason = "an agent may be any of these at once")]
#[derive(Debug)]
pub(super) struct AgentState {
    pub(super) worker: WorkerId,
    pub(super) job: proto::Job,
    pub(super) behaviour: WorkerBehaviour,
    pub(super) told_to_end: bool,
    pub(super) deaf: bool,
    pub(super) dead: bool,
    pub(super) busy: bool,
    linked_to: Option<String>,
}

impl AgentState {
    fn new(worker: WorkerId, job: proto::Job, behaviour: WorkerBehaviour) -> Self {
        Self { worker, job, behaviour, told_to_end: false, deaf: false, dead: false, busy: false, linked_to: None }
    }

    /// Whether it would answer a person who speaks.
    pub(super) fn is_working(&self) -> bool {
        !self.told_to_end && !self.deaf && !self.dead
    }
}

impl World {
    pub(super) fn add_worker(&mut self, agent_name: &str, behaviour: WorkerBehaviour) -> WorkerId {
        let is_new_name = self.workers.values().all(|worker| worker.agent_name != agent_name);
        if is_new_name {
            self.names_asked_at = None;
        }
        let id = WorkerId(self.workers.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let worker = Worker { agent_name: agent_name.to_owned(), behaviour, sid: new_id("AW"), jobs: 0 };
        self.workers.insert(id, worker);
        self.changed = true;
        id
    }

    /// Takes a worker out, and lets `end` happen to each of its agents.
    fn drop_worker(&mut self, id: WorkerId, mut end: impl FnMut(&mut Self, &str, &str)) -> bool {
        let known = self.workers.remove(&id).is_some();
        let mine: Vec<(String, String)> = self
            .rooms
            .iter()
            .flat_map(|(name, room)| room.participants.iter().map(move |one| (name, one)))
            .filter(|(_, one)| one.agent.as_ref().is_some_and(|agent| agent.worker == id))
            .map(|(name, one)| (name.clone(), one.info.sid.clone()))
            .collect();
        for (room, sid) in mine {
            end(self, &room, &sid);
        }
        self.changed = true;
        known
    }

    /// `kill -9` of a worker and its jobs.
    pub(super) fn kill_worker(&mut self, now: Instant, id: WorkerId) -> bool {
        self.drop_worker(id, |world, room, sid| world.die(now, room, sid))
    }

    /// A worker goes in good order: its agents leave.
    pub(super) fn remove_worker(&mut self, now: Instant, id: WorkerId) -> bool {
        self.drop_worker(id, |world, room, sid| {
            world.leave(now, room, sid);
        })
    }

    /// Adds a dispatch to a room that exists, and looks for a worker.
    pub(super) fn add_dispatch(
        &mut self,
        now: Instant,
        wanted: proto::CreateAgentDispatchRequest,
        lost: bool,
    ) -> proto::AgentDispatch {
        let dispatch = proto::AgentDispatch {
            id: new_id("AD"),
            agent_name: wanted.agent_name,
            room: wanted.room,
            metadata: wanted.metadata,
            state: Some(proto::AgentDispatchState { created_at: self.nanos(now), ..Default::default() }),
            restart_policy: wanted.restart_policy,
            deployment: wanted.deployment,
            attributes: wanted.attributes,
        };
        *self.created.entry((dispatch.room.clone(), dispatch.agent_name.clone())).or_default() += 1;
        self.changed = true;
        let listed_at = self.listed_at(now);
        let worker = self.pick_worker(&dispatch.agent_name);
        let Some(room) = self.rooms.get_mut(&dispatch.room) else { return dispatch };
        room.dispatches.push(dispatch.clone());
        let (id, agent, attributes) = (dispatch.id.clone(), dispatch.agent_name.clone(), dispatch.attributes.clone());
        if let Some(worker) = worker.filter(|_| !lost) {
            let room_sid = room.info.sid.clone();
            let at = now + self.timings.job_start;
            let event = Event::Launch { room_sid, dispatch: Box::new(dispatch.clone()), worker, listed_at };
            self.schedule(at, event);
        }
        self.note(now, &dispatch.room, What::Dispatched { id, agent, attributes });
        dispatch
    }

    /// When a job of a dispatch made now is listed. Asks for the workers' names if they are not known.
    fn listed_at(&mut self, now: Instant) -> Instant {
        let kept = self.timings.names_kept;
        let asked_at = *self.names_asked_at.get_or_insert(now);
        let asked_at = if now >= asked_at + kept { now } else { asked_at };
        self.names_asked_at = Some(asked_at);
        (now + self.timings.job_start).max(asked_at + self.timings.names_question)
    }

    fn pick_worker(&mut self, agent_name: &str) -> Option<WorkerId> {
        let (id, worker) = self
            .workers
            .iter_mut()
            .filter(|(_, worker)| worker.agent_name == agent_name && worker.jobs < worker.behaviour.capacity)
            .min_by_key(|(id, worker)| (worker.jobs, **id))?;
        if !worker.behaviour.rejects {
            worker.jobs += 1;
        }
        Some(*id)
    }

    /// A job of this agent is over: its worker has room for another.
    pub(super) fn job_over(&mut self, agent: &AgentState) {
        self.free_worker(agent.worker);
    }

    fn free_worker(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.jobs = worker.jobs.saturating_sub(1);
        }
    }

    pub(super) fn launch(
        &mut self,
        now: Instant,
        room_sid: &str,
        dispatch: &proto::AgentDispatch,
        worker_id: WorkerId,
        listed_at: Instant,
    ) {
        let room = self.rooms.get(&dispatch.room).filter(|room| room.info.sid == room_sid);
        let (Some(room), Some(worker)) = (room, self.workers.get(&worker_id)) else {
            self.free_worker(worker_id);
            return;
        };
        let behaviour = worker.behaviour.clone();
        let nanos = self.nanos(now);
        let id = new_id("AJ");
        let identity = format!("{}-{id}", behaviour.identity_prefix);
        let state = proto::JobState {
            status: if behaviour.rejects { JobStatus::JsSuccess } else { JobStatus::JsRunning }.into(),
            started_at: nanos,
            updated_at: nanos,
            ended_at: if behaviour.rejects { nanos } else { 0 },
            participant_identity: if behaviour.rejects { String::new() } else { identity.clone() },
            worker_id: worker.sid.clone(),
            ..Default::default()
        };
        let job = proto::Job {
            id,
            dispatch_id: dispatch.id.clone(),
            room: Some(room.info.clone()),
            metadata: dispatch.metadata.clone(),
            agent_name: dispatch.agent_name.clone(),
            state: Some(state),
            deployment: dispatch.deployment.clone(),
            attributes: dispatch.attributes.clone(),
            ..Default::default()
        };
        if !behaviour.rejects {
            let at = now + behaviour.joins_after.unwrap_or(self.timings.agent_join);
            let (room, room_sid, job) = (dispatch.room.clone(), room_sid.to_owned(), job.clone());
            let joining = Joining { room, room_sid, worker: worker_id, job, identity, behaviour };
            self.schedule(at, Event::Join(Box::new(joining)));
        }
        if listed_at <= now {
            self.list_job(now, room_sid, job);
        } else {
            self.schedule(listed_at, Event::List { room_sid: room_sid.to_owned(), job: Box::new(job) });
        }
    }

    /// Shows a job in its dispatch. If that was deleted meanwhile, the job is ended only now: the
    /// server waits for the workers' answers first.
    pub(super) fn list_job(&mut self, now: Instant, room_sid: &str, job: proto::Job) {
        let name = job.room.as_ref().map(|room| room.name.clone()).unwrap_or_default();
        let Some(room) = self.rooms.get_mut(&name).filter(|room| room.info.sid == room_sid) else { return };
        let state = room.dispatch_mut(&job.dispatch_id).and_then(|dispatch| dispatch.state.as_mut());
        match state {
            Some(state) => state.jobs.push(job),
            None => self.end_job(now, &name, &job.id),
        }
    }

    pub(super) fn join_agent(&mut self, now: Instant, joining: Joining) {
        let Joining { room, room_sid, worker, job, identity, behaviour } = joining;
        let same_room = self.rooms.get(&room).is_some_and(|room| room.info.sid == room_sid);
        if self.cancelled_jobs.remove(&job.id) || !same_room || !self.workers.contains_key(&worker) {
            self.free_worker(worker);
            return;
        }
        let mut info = proto::ParticipantInfo {
            identity,
            permission: Some(permission(true)),
            kind: Kind::Agent.into(),
            ..behaviour.participant.clone()
        };
        for key in ["lk.agent.name", "lk.agent_name"] {
            info.attributes.insert(key.to_owned(), job.agent_name.clone());
        }
        let (ends_after, dies_after) = (behaviour.ends_after, behaviour.dies_after);
        let reports = behaviour.reports;
        let agent = AgentState::new(worker, job, behaviour);
        let sid = self.join(now, &room, info, Some(agent));
        if let Some(delay) = ends_after {
            self.schedule(now + delay, Event::Leave { room: room.clone(), sid: sid.clone() });
        }
        if let Some(delay) = dies_after {
            self.schedule(now + delay, Event::Die { room: room.clone(), sid: sid.clone() });
        }
        if reports {
            self.reporters.push((room, sid));
        }
    }

    /// Links sessions to the person who just became active, or the session that did to one who is there.
    pub(super) fn link_agents(&mut self, now: Instant, room_name: &str, sid: &str) {
        let Some(room) = self.rooms.get_mut(room_name) else { return };
        let is_person = |kind| matches!(kind, Kind::Standard | Kind::Sip | Kind::Connector | Kind::Bridge);
        let Some(person) = room.participants.iter().find(|one| is_person(one.info.kind())) else {
            return self.start_listening(now, room_name, sid);
        };
        let identity = person.info.identity.clone();
        for one in &mut room.participants {
            if let Some(agent) = &mut one.agent {
                agent.linked_to.get_or_insert_with(|| identity.clone());
            }
        }
        self.start_listening(now, room_name, sid);
    }

    fn start_listening(&mut self, now: Instant, room: &str, sid: &str) {
        let is_session = self
            .find(room, |one| one.info.sid == sid)
            .and_then(|one| one.agent.as_ref())
            .is_some_and(|agent| agent.behaviour.session);
        if is_session {
            let at = now + self.timings.activation;
            self.schedule(at, Event::Listen { room: room.to_owned(), sid: sid.to_owned() });
        }
    }

    pub(super) fn listen(&mut self, room: &str, sid: &str) {
        if let Some(one) = self.find_mut(room, |one| one.info.sid == sid) {
            one.info.attributes.insert("lk.agent.state".to_owned(), "listening".to_owned());
            one.info.version += 1;
        }
    }

    /// The person is gone: sessions that were linked to it close, and their agents stay.
    pub(super) fn deafen_agents(&mut self, now: Instant, room_name: &str, identity: &str) {
        let Some(room) = self.rooms.get_mut(room_name) else { return };
        let mut deaf = Vec::new();
        for one in &mut room.participants {
            let Some(agent) = &mut one.agent else { continue };
            if agent.behaviour.close_on_disconnect && agent.linked_to.as_deref() == Some(identity) {
                agent.deaf = true;
                deaf.push(one.info.sid.clone());
            }
        }
        for sid in deaf {
            self.note(now, room_name, What::AgentStopped { sid, why: "deaf" });
        }
    }

    /// Deletes a dispatch and tells its agents to end. `None` if there is none of this id.
    pub(super) fn delete_dispatch(&mut self, now: Instant, room_name: &str, id: &str) -> Option<proto::AgentDispatch> {
        let room = self.rooms.get_mut(room_name)?;
        let index = room.dispatches.iter().position(|dispatch| dispatch.id == id)?;
        let dispatch = room.dispatches.remove(index);
        self.changed = true;
        self.note(now, room_name, What::Deleted { id: id.to_owned() });
        for job in dispatch.state.iter().flat_map(|state| &state.jobs) {
            self.end_job(now, room_name, &job.id);
        }
        Some(dispatch)
    }

    fn end_job(&mut self, now: Instant, room: &str, job_id: &str) {
        let (leave, removal) = (self.timings.agent_leave, self.timings.agent_removal);
        let is_it = |agent: &AgentState| agent.job.id == job_id;
        let Some(one) = self.find_mut(room, |one| one.agent.as_ref().is_some_and(is_it)) else {
            self.cancelled_jobs.insert(job_id.to_owned());
            return;
        };
        let (room, sid) = (room.to_owned(), one.info.sid.clone());
        let Some(agent) = &mut one.agent else { return };
        agent.told_to_end = true;
        let stays = agent.dead || agent.behaviour.stubborn;
        self.changed = true;
        self.note(now, &room, What::AgentStopped { sid: sid.clone(), why: "told to end" });
        if stays {
            let reason = DisconnectReason::ParticipantRemoved;
            self.schedule(now + removal, Event::Remove { room, sid, reason });
        } else {
            self.schedule(now + leave, Event::Leave { room, sid });
        }
    }

    /// Remembers how many agents of each name work in the room at once.
    pub(super) fn note_overlaps(&mut self, room_name: &str) {
        let Some(room) = self.rooms.get(room_name) else { return };
        let working: Vec<&AgentState> =
            room.participants.iter().filter_map(|one| one.agent.as_ref()).filter(|agent| agent.is_working()).collect();
        for agent in &working {
            let name = &agent.job.agent_name;
            let count = working.iter().filter(|other| other.job.agent_name == *name).count();
            let most = self.overlaps.entry((room_name.to_owned(), name.clone())).or_default();
            *most = count.max(*most);
        }
    }
}

impl Room {
    fn dispatch_mut(&mut self, id: &str) -> Option<&mut proto::AgentDispatch> {
        self.dispatches.iter_mut().find(|dispatch| dispatch.id == id)
    }
}
