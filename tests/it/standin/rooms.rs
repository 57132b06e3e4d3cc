//! Rooms and who is in them: joining, leaving, counting, closing.

use std::collections::HashMap;

use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::participant_info::{Kind, State};
use tokio::time::Instant;

use super::happening::What;
use super::workers::AgentState;
use super::world::{Event, World, new_id};

/// A room that exists.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) info: proto::Room,
    pub(super) participants: Vec<Participant>,
    pub(super) dispatches: Vec<proto::AgentDispatch>,
    pub(super) created_at: Instant,
    /// Since when nobody who counts is inside, and whether somebody ever was.
    pub(super) empty_since: Option<Instant>,
    pub(super) had_people: bool,
    counted_at: Instant,
    count_is_stale: bool,
}

/// Someone in a room.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) info: proto::ParticipantInfo,
    /// What the server cannot see; `None` for a person.
    pub(super) agent: Option<AgentState>,
}

/// Someone who joins, with what their token says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    /// Identity; a second join with the same one ends the first.
    pub(crate) identity: String,
    /// Kind of participant.
    pub(crate) kind: Kind,
    /// Display name.
    pub(crate) name: String,
    /// Metadata.
    pub(crate) metadata: String,
    /// Attributes.
    pub(crate) attributes: HashMap<String, String>,
    /// What the token wants the room to be, if it is made by this join; `name` is ignored.
    pub(crate) room_config: proto::CreateRoomRequest,
}

impl Participant {
    /// Whether the room stays open for it: agents and recorders do not count.
    pub(super) fn holds_room(&self) -> bool {
        !matches!(self.info.kind(), Kind::Agent | Kind::Egress)
    }
}

impl Room {
    fn count(&self) -> u32 {
        u32::try_from(self.participants.iter().filter(|one| one.holds_room()).count()).unwrap_or(u32::MAX)
    }
}

impl World {
    /// The room, made if it is missing. What it is made with is taken from `wanted`.
    pub(super) fn ensure_room(&mut self, now: Instant, wanted: &proto::CreateRoomRequest) -> proto::Room {
        if self.rooms.contains_key(&wanted.name) {
            self.settle_count(now, &wanted.name);
            return self.rooms.get(&wanted.name).map(|room| room.info.clone()).unwrap_or_default();
        }
        let default_to = |value: u32, default: u32| if value == 0 { default } else { value };
        let wall = self.wall(now);
        let info = proto::Room {
            sid: new_id("RM"),
            name: wanted.name.clone(),
            empty_timeout: default_to(wanted.empty_timeout, self.timings.empty_timeout_default),
            departure_timeout: default_to(wanted.departure_timeout, self.timings.departure_timeout_default),
            max_participants: wanted.max_participants,
            creation_time: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            creation_time_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            turn_password: new_id("turn"),
            enabled_codecs: vec![proto::Codec { mime: "audio/PCMU".to_owned(), fmtp_line: String::new() }],
            metadata: wanted.metadata.clone(),
            ..Default::default()
        };
        let room = Room {
            info: info.clone(),
            participants: Vec::new(),
            dispatches: Vec::new(),
            created_at: now,
            empty_since: Some(now),
            had_people: false,
            counted_at: now,
            count_is_stale: false,
        };
        self.rooms.insert(wanted.name.clone(), room);
        self.changed = true;
        self.post(now, "room_started", info.clone(), None);
        self.expect_close(&wanted.name);
        if wanted.agents.is_empty() {
            // For workers without a name.
            self.add_dispatch(
                now,
                proto::CreateAgentDispatchRequest { room: wanted.name.clone(), ..Default::default() },
                false,
            );
        }
        for agent in &wanted.agents {
            let agent = agent.clone();
            self.add_dispatch(
                now,
                proto::CreateAgentDispatchRequest {
                    room: wanted.name.clone(),
                    agent_name: agent.agent_name,
                    metadata: agent.metadata,
                    restart_policy: agent.restart_policy,
                    deployment: agent.deployment,
                    attributes: agent.attributes,
                },
                false,
            );
        }
        info
    }

    /// A person joins; the room is made if it is missing. Gives the session id.
    pub(super) fn join_person(&mut self, now: Instant, room: &str, person: Person) -> String {
        let wanted = proto::CreateRoomRequest { name: room.to_owned(), ..person.room_config };
        self.ensure_room(now, &wanted);
        let info = proto::ParticipantInfo {
            identity: person.identity,
            metadata: person.metadata,
            name: person.name,
            attributes: person.attributes,
            permission: Some(permission(person.kind == Kind::Agent)),
            kind: person.kind.into(),
            ..Default::default()
        };
        self.join(now, room, info, None)
    }

    /// Puts a participant into a room that exists, as `JOINED`. Gives the session id.
    pub(super) fn join(
        &mut self,
        now: Instant,
        room_name: &str,
        info: proto::ParticipantInfo,
        agent: Option<AgentState>,
    ) -> String {
        let wall = self.wall(now);
        let sid = new_id("PA");
        let info = proto::ParticipantInfo {
            sid: sid.clone(),
            state: State::Joined.into(),
            joined_at: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            joined_at_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            version: 1,
            client_protocol: 2,
            capabilities: vec![
                proto::client_info::Capability::CapPacketTrailer.into(),
                proto::client_info::Capability::CapCompressionDeflateRaw.into(),
            ],
            ..info
        };
        let double = self.find(room_name, |one| one.info.identity == info.identity).map(|one| one.info.sid.clone());
        if let Some(double) = double {
            self.remove(now, room_name, &double, DisconnectReason::DuplicateIdentity);
        }
        self.settle_count(now, room_name);
        let Some(room) = self.rooms.get_mut(room_name) else { return sid };
        let participant = Participant { info, agent };
        if participant.holds_room() {
            room.empty_since = None;
            room.had_people = true;
        }
        let came = match &participant.agent {
            Some(agent) => Some(What::AgentCame {
                sid: sid.clone(),
                agent: agent.job.agent_name.clone(),
                dispatch: agent.job.dispatch_id.clone(),
            }),
            None => is_person(participant.info.kind()).then(|| What::PersonCame { sid: sid.clone() }),
        };
        room.participants.push(participant);
        self.changed = true;
        if let Some(came) = came {
            self.note(now, room_name, came);
        }
        self.count_changed(now, room_name);
        self.note_overlaps(room_name);
        let activation = self.timings.activation;
        self.schedule(now + activation, Event::Activate { room: room_name.to_owned(), sid: sid.clone() });
        sid
    }

    /// `JOINED` becomes `ACTIVE`, and the webhook goes out.
    pub(super) fn activate(&mut self, now: Instant, room_name: &str, sid: &str) {
        self.settle_count(now, room_name);
        let Some(participant) = self.find_mut(room_name, |one| one.info.sid == sid) else { return };
        participant.info.set_state(State::Active);
        participant.info.version += 1;
        let info = participant.info.clone();
        let Some(room) = self.rooms.get(room_name).map(|room| room.info.clone()) else { return };
        self.post(now, "participant_joined", room, Some(info));
        self.link_agents(now, room_name, sid);
    }

    /// A participant goes by itself. `false` if it is not there.
    pub(super) fn leave(&mut self, now: Instant, room: &str, sid: &str) -> bool {
        self.remove(now, room, sid, DisconnectReason::ClientInitiated)
    }

    /// A participant's process is gone and the server has not noticed.
    pub(super) fn die(&mut self, now: Instant, room: &str, sid: &str) {
        let timeout = self.timings.connection_timeout;
        let Some(participant) = self.find_mut(room, |one| one.info.sid == sid) else { return };
        if let Some(agent) = &mut participant.agent {
            agent.dead = true;
            self.note(now, room, What::AgentStopped { sid: sid.to_owned(), why: "dead" });
        }
        self.changed = true;
        let event =
            Event::Remove { room: room.to_owned(), sid: sid.to_owned(), reason: DisconnectReason::ConnectionTimeout };
        self.schedule(now + timeout, event);
    }

    /// Takes a participant out of its room. `false` if it is not there.
    pub(super) fn remove(&mut self, now: Instant, room_name: &str, sid: &str, reason: DisconnectReason) -> bool {
        self.settle_count(now, room_name);
        let Some(room) = self.rooms.get_mut(room_name) else { return false };
        let Some(index) = room.participants.iter().position(|one| one.info.sid == sid) else { return false };
        let gone = room.participants.remove(index);
        if gone.holds_room() && room.count() == 0 {
            room.empty_since = Some(now);
        }
        self.changed = true;
        self.count_changed(now, room_name);
        self.say_left(now, room_name, &gone, reason);
        self.expect_close(room_name);
        self.note(now, room_name, What::Went { sid: sid.to_owned() });
        self.deafen_agents(now, room_name, &gone.info.identity);
        true
    }

    fn say_left(&mut self, now: Instant, room_name: &str, gone: &Participant, reason: DisconnectReason) {
        if let Some(agent) = &gone.agent {
            self.job_over(agent);
        }
        let Some(room) = self.rooms.get(room_name).map(|room| room.info.clone()) else { return };
        let mut info = gone.info.clone();
        let event = match info.state() {
            State::Active => "participant_left",
            _ => "participant_connection_aborted",
        };
        info.set_state(State::Disconnected);
        info.set_disconnect_reason(reason);
        info.version += 1;
        self.post(now, event, room, Some(info));
    }

    /// Closes a room: everyone out, dispatches forgotten. `false` if it does not exist.
    pub(super) fn close_room(&mut self, now: Instant, name: &str, reason: DisconnectReason) -> bool {
        let Some(room) = self.rooms.get_mut(name) else { return false };
        for gone in std::mem::take(&mut room.participants) {
            self.say_left(now, name, &gone, reason);
            self.note(now, name, What::Went { sid: gone.info.sid.clone() });
        }
        self.note(now, name, What::Closed);
        if let Some(room) = self.rooms.remove(name) {
            self.post(now, "room_finished", room.info, None);
        }
        self.changed = true;
        true
    }

    fn expect_close(&mut self, name: &str) {
        let Some(room) = self.rooms.get(name) else { return };
        let Some((since, timeout)) = room.closes_after() else { return };
        let room_sid = room.info.sid.clone();
        if let Some(at) = self.look_after(since, timeout) {
            self.schedule(at, Event::CheckRoom { room: name.to_owned(), room_sid });
        }
    }

    /// Closes the room if it is still the same, and has been empty for long enough.
    pub(super) fn check_room(&mut self, now: Instant, name: &str, room_sid: &str) {
        let Some(room) = self.rooms.get(name).filter(|room| room.info.sid == room_sid) else { return };
        let Some((since, timeout)) = room.closes_after() else { return };
        if self.room_seconds(now) >= self.room_seconds(since) + u128::from(timeout) {
            self.close_room(now, name, DisconnectReason::RoomClosed);
        }
    }

    /// Brings `num_participants` up to date where its refresh is due.
    pub(super) fn settle_count(&mut self, now: Instant, name: &str) {
        let refresh = self.timings.count_refresh;
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.count_is_stale && now >= room.counted_at + refresh {
            room.info.num_participants = room.count();
            room.counted_at += refresh;
            room.count_is_stale = false;
        }
    }

    fn count_changed(&mut self, now: Instant, name: &str) {
        let refresh = self.timings.count_refresh;
        let Some(room) = self.rooms.get_mut(name) else { return };
        if room.count() == room.info.num_participants {
            return;
        }
        if now >= room.counted_at + refresh {
            room.info.num_participants = room.count();
            room.counted_at = now;
        } else {
            room.count_is_stale = true;
        }
    }

    pub(super) fn find(&self, room: &str, wanted: impl Fn(&Participant) -> bool) -> Option<&Participant> {
        self.rooms.get(room)?.participants.iter().find(|one| wanted(one))
    }

    pub(super) fn find_mut(&mut self, room: &str, wanted: impl Fn(&Participant) -> bool) -> Option<&mut Participant> {
        self.rooms.get_mut(room)?.participants.iter_mut().find(|one| wanted(one))
    }
}

impl Room {
    /// Since when the room is empty, and after how many seconds that closes it.
    fn closes_after(&self) -> Option<(Instant, u32)> {
        let since = self.empty_since?;
        Some(if self.had_people {
            (since, self.info.departure_timeout)
        } else {
            (self.created_at, self.info.empty_timeout)
        })
    }
}

/// Whether such a participant is a person.
pub(super) fn is_person(kind: Kind) -> bool {
    !matches!(kind, Kind::Agent | Kind::Egress | Kind::Ingress)
}

#[expect(deprecated, reason = "the server still sends these fields")]
pub(super) fn permission(agent: bool) -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: agent,
        agent,
        ..Default::default()
    }
}
