//! What each method does to the state, who may call it, and how it refuses.

use std::sync::Arc;

use axum::http::StatusCode;
use livekit_protocol as proto;
use prost::Message;
use proto::DisconnectReason;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Shared;
use super::auth::Grants;
use super::method::Method;
use super::wire::{Format, ToJson};
use super::world::{Call, World};

const METADATA_BYTES_MAX: usize = 512 << 10;
const ATTRIBUTES_BYTES_MAX: usize = 64_000;
const ROOM_NAME_CHARS_MAX: usize = 256;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed(&'static str),
    NotAllowed,
    NoSuchRoom,
    NoSuchParticipant,
    NoSuchDispatch,
    /// Nobody serves the room: the answer takes its time.
    NoAnswer,
    Invalid(String),
    InvalidArgument {
        message: String,
        argument: &'static str,
    },
}

impl Refusal {
    pub(super) fn is_no_answer(&self) -> bool {
        *self == Self::NoAnswer
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Invalid(_) | Self::InvalidArgument { .. } => StatusCode::BAD_REQUEST,
            Self::NotAllowed => StatusCode::UNAUTHORIZED,
            Self::NoSuchRoom | Self::NoSuchParticipant | Self::NoSuchDispatch => StatusCode::NOT_FOUND,
            Self::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotAllowed => "unauthenticated",
            Self::NoSuchRoom | Self::NoSuchParticipant | Self::NoSuchDispatch => "not_found",
            Self::NoAnswer => "unavailable",
            Self::Invalid(_) | Self::InvalidArgument { .. } => "invalid_argument",
        }
    }

    pub(super) fn message(&self) -> String {
        let said = match self {
            Self::Malformed(message) => return (*message).to_owned(),
            Self::NotAllowed => return "permissions denied".to_owned(),
            Self::InvalidArgument { message, .. } => return message.clone(),
            Self::NoSuchRoom => "requested room does not exist",
            Self::NoSuchParticipant => "participant does not exist",
            Self::NoSuchDispatch => "dispatch ID not found",
            Self::NoAnswer => "no response from servers",
            Self::Invalid(message) => message,
        };
        format!("twirp error unknown: {said}")
    }

    pub(super) fn argument(&self) -> Option<&'static str> {
        match self {
            Self::InvalidArgument { argument, .. } => Some(argument),
            _ => None,
        }
    }
}

type Outcome<M> = Result<M, Refusal>;

/// The room that a request is about, for the record and the faults; empty where it names none.
pub(super) fn room_of(method: Method, format: Format, body: &[u8]) -> String {
    fn read<M: Message + Default + DeserializeOwned>(format: Format, body: &[u8]) -> M {
        format.read(body).unwrap_or_default()
    }
    match method {
        Method::CreateDispatch => read::<proto::CreateAgentDispatchRequest>(format, body).room,
        Method::ListDispatch => read::<proto::ListAgentDispatchRequest>(format, body).room,
        Method::DeleteDispatch => read::<proto::DeleteAgentDispatchRequest>(format, body).room,
        Method::CreateRoom => read::<proto::CreateRoomRequest>(format, body).name,
        Method::DeleteRoom => read::<proto::DeleteRoomRequest>(format, body).room,
        Method::ListRooms => read::<proto::ListRoomsRequest>(format, body).names.into_iter().next().unwrap_or_default(),
        Method::ListParticipants => read::<proto::ListParticipantsRequest>(format, body).room,
        Method::GetParticipant | Method::RemoveParticipant => read::<proto::RoomParticipantIdentity>(format, body).room,
        Method::UpdateRoomMetadata => read::<proto::UpdateRoomMetadataRequest>(format, body).room,
    }
}

/// Reads the request, checks the grant and does what it says. `lost`: no worker is to get the job.
pub(super) fn perform(
    shared: &Arc<Shared>,
    method: Method,
    format: Format,
    grants: &Grants,
    body: &[u8],
    lost: bool,
) -> Outcome<Vec<u8>> {
    let call = Handling { shared, format, grants, body };
    match method {
        Method::CreateDispatch => call.run(|request, world, now| create_dispatch(world, now, request, lost)),
        Method::ListDispatch => call.run(list_dispatch),
        Method::DeleteDispatch => call.run(delete_dispatch),
        Method::CreateRoom => call.run(create_room),
        Method::DeleteRoom => call.run(delete_room),
        Method::ListRooms => call.run(|request, world, now| Ok(list_rooms(request, world, now))),
        Method::ListParticipants => call.run(|request, world, _| Ok(list_participants(request, world))),
        Method::GetParticipant => call.run(get_participant),
        Method::RemoveParticipant => call.run(remove_participant),
        Method::UpdateRoomMetadata => call.run(update_metadata),
    }
}

struct Handling<'a> {
    shared: &'a Arc<Shared>,
    format: Format,
    grants: &'a Grants,
    body: &'a [u8],
}

impl Handling<'_> {
    fn run<Q, A>(&self, act: impl FnOnce(&Q, &mut World, Instant) -> Outcome<A>) -> Outcome<Vec<u8>>
    where
        Q: Message + Default + DeserializeOwned + Guarded,
        A: Message + ToJson,
    {
        let request: Q = self.format.read(self.body).map_err(Refusal::Malformed)?;
        if !request.is_allowed(self.grants) {
            return Err(Refusal::NotAllowed);
        }
        let answer = self.shared.with(|world, now| act(&request, world, now))?;
        Ok(self.format.write(&answer))
    }
}

/// A request for which a grant is needed.
trait Guarded {
    fn is_allowed(&self, grants: &Grants) -> bool;
}

macro_rules! needs_admin_of_its_room {
    ($($request:ty),*) => {
        $(impl Guarded for $request {
            fn is_allowed(&self, grants: &Grants) -> bool {
                grants.may_administer(&self.room)
            }
        })*
    };
}
needs_admin_of_its_room!(
    proto::CreateAgentDispatchRequest,
    proto::ListAgentDispatchRequest,
    proto::DeleteAgentDispatchRequest,
    proto::ListParticipantsRequest,
    proto::RoomParticipantIdentity,
    proto::UpdateRoomMetadataRequest
);

impl Guarded for proto::CreateRoomRequest {
    fn is_allowed(&self, grants: &Grants) -> bool {
        grants.may_create_rooms()
    }
}

impl Guarded for proto::DeleteRoomRequest {
    fn is_allowed(&self, grants: &Grants) -> bool {
        grants.may_create_rooms()
    }
}

impl Guarded for proto::ListRoomsRequest {
    fn is_allowed(&self, grants: &Grants) -> bool {
        grants.may_list_rooms()
    }
}

fn create_dispatch(
    world: &mut World,
    now: Instant,
    request: &proto::CreateAgentDispatchRequest,
    lost: bool,
) -> Outcome<proto::AgentDispatch> {
    if request.metadata.len() > METADATA_BYTES_MAX {
        return Err(Refusal::Invalid("metadata size exceeds limits".to_owned()));
    }
    let attribute_bytes: usize = request.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if attribute_bytes > ATTRIBUTES_BYTES_MAX {
        return Err(Refusal::Invalid("attribute size exceeds limits".to_owned()));
    }
    world.ensure_room(now, &proto::CreateRoomRequest { name: request.room.clone(), ..Default::default() });
    Ok(world.add_dispatch(now, request.clone(), lost))
}

fn list_dispatch(
    request: &proto::ListAgentDispatchRequest,
    world: &mut World,
    _now: Instant,
) -> Outcome<proto::ListAgentDispatchResponse> {
    let room = world.rooms.get(&request.room).ok_or(Refusal::NoAnswer)?;
    let wanted =
        |dispatch: &&proto::AgentDispatch| request.dispatch_id.is_empty() || dispatch.id == request.dispatch_id;
    let agent_dispatches = room.dispatches.iter().filter(wanted).cloned().collect();
    Ok(proto::ListAgentDispatchResponse { agent_dispatches })
}

fn delete_dispatch(
    request: &proto::DeleteAgentDispatchRequest,
    world: &mut World,
    now: Instant,
) -> Outcome<proto::AgentDispatch> {
    if !world.rooms.contains_key(&request.room) {
        return Err(Refusal::NoAnswer);
    }
    world.delete_dispatch(now, &request.room, &request.dispatch_id).ok_or(Refusal::NoSuchDispatch)
}

fn create_room(request: &proto::CreateRoomRequest, world: &mut World, now: Instant) -> Outcome<proto::Room> {
    if request.name.chars().count() > ROOM_NAME_CHARS_MAX {
        let text = format!("room name length exceeds limits: max length {ROOM_NAME_CHARS_MAX}");
        return Err(Refusal::Invalid(text));
    }
    if request.metadata.len() > METADATA_BYTES_MAX {
        let argument = "metadata size exceeds limits";
        return Err(Refusal::InvalidArgument { message: format!("{argument} {METADATA_BYTES_MAX}"), argument });
    }
    Ok(world.ensure_room(now, request))
}

fn delete_room(
    request: &proto::DeleteRoomRequest,
    world: &mut World,
    now: Instant,
) -> Outcome<proto::DeleteRoomResponse> {
    if world.close_room(now, &request.room, DisconnectReason::RoomDeleted) {
        return Ok(proto::DeleteRoomResponse {});
    }
    Err(Refusal::NoSuchRoom)
}

fn list_rooms(request: &proto::ListRoomsRequest, world: &mut World, now: Instant) -> proto::ListRoomsResponse {
    let all = || world.rooms.keys().cloned().collect();
    let names: Vec<String> = if request.names.is_empty() { all() } else { request.names.clone() };
    let mut rooms = Vec::new();
    for name in &names {
        world.settle_count(now, name);
        rooms.extend(world.rooms.get(name).map(|room| room.info.clone()));
    }
    proto::ListRoomsResponse { rooms }
}

fn list_participants(request: &proto::ListParticipantsRequest, world: &World) -> proto::ListParticipantsResponse {
    let all = world.rooms.get(&request.room).map(|room| room.participants.as_slice()).unwrap_or_default();
    proto::ListParticipantsResponse { participants: all.iter().map(|one| one.info.clone()).collect() }
}

fn get_participant(
    request: &proto::RoomParticipantIdentity,
    world: &mut World,
    _now: Instant,
) -> Outcome<proto::ParticipantInfo> {
    let found = world.find(&request.room, |one| one.info.identity == request.identity);
    found.map(|one| one.info.clone()).ok_or(Refusal::NoSuchParticipant)
}

fn remove_participant(
    request: &proto::RoomParticipantIdentity,
    world: &mut World,
    now: Instant,
) -> Outcome<proto::RemoveParticipantResponse> {
    let found = world.find(&request.room, |one| one.info.identity == request.identity);
    let sid = found.map(|one| one.info.sid.clone()).ok_or(Refusal::NoSuchParticipant)?;
    world.remove(now, &request.room, &sid, DisconnectReason::ParticipantRemoved);
    Ok(proto::RemoveParticipantResponse {})
}

fn update_metadata(
    request: &proto::UpdateRoomMetadataRequest,
    world: &mut World,
    now: Instant,
) -> Outcome<proto::Room> {
    world.settle_count(now, &request.room);
    let room = world.rooms.get_mut(&request.room).ok_or(Refusal::NoSuchRoom)?;
    room.info.metadata.clone_from(&request.metadata);
    Ok(room.info.clone())
}

impl World {
    /// Remembers that a call came in.
    pub(super) fn note_call(&mut self, now: Instant, method: Method, room: &str) {
        self.calls.push(Call { method, room: room.to_owned(), at: now });
        self.changed = true;
    }
}
