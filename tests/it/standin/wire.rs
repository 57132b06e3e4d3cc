//! The two ways to write a message: protobuf, and the server's JSON (`snake_case`, defaults written
//! out, 64-bit numbers as strings, enums as names).

use livekit_protocol as proto;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// How a request was written, and so how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Protobuf,
}

impl Format {
    /// The content type of an answer.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/protobuf",
        }
    }

    /// Reads a request. `Err` is the server's message for one that cannot be read.
    pub(super) fn read<M: Message + Default + DeserializeOwned>(self, body: &[u8]) -> Result<M, &'static str> {
        match self {
            Self::Protobuf => M::decode(body).map_err(|_| "the protobuf request could not be decoded"),
            Self::Json => read_json(body).ok_or("the json request could not be decoded"),
        }
    }

    /// Writes an answer.
    pub(super) fn write<M: Message + ToJson>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => message.to_json().to_string().into_bytes(),
        }
    }
}

fn read_json<M: DeserializeOwned>(body: &[u8]) -> Option<M> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    fields.retain(|name, value| !value.is_null() && !is_unknown_policy(name, value));
    serde_json::from_value(Value::Object(fields)).ok()
}

/// The server takes an unknown name of an enum in silence; the one enum in a request is this.
fn is_unknown_policy(name: &str, value: &Value) -> bool {
    matches!(name, "restart_policy" | "restartPolicy")
        && value.as_str().is_some_and(|text| proto::JobRestartPolicy::from_str_name(text).is_none())
}

/// A message in the server's JSON.
pub(super) trait ToJson {
    fn to_json(&self) -> Value;
}

fn each<M: ToJson>(messages: &[M]) -> Value {
    messages.iter().map(ToJson::to_json).collect()
}

impl ToJson for proto::Room {
    fn to_json(&self) -> Value {
        let codecs: Value =
            self.enabled_codecs.iter().map(|codec| json!({"mime": codec.mime, "fmtp_line": codec.fmtp_line})).collect();
        json!({
            "sid": self.sid, "name": self.name, "empty_timeout": self.empty_timeout,
            "departure_timeout": self.departure_timeout, "max_participants": self.max_participants,
            "creation_time": self.creation_time.to_string(), "creation_time_ms": self.creation_time_ms.to_string(),
            "turn_password": self.turn_password, "enabled_codecs": codecs, "metadata": self.metadata,
            "num_participants": self.num_participants, "num_publishers": self.num_publishers,
            "active_recording": self.active_recording, "version": null,
        })
    }
}

impl ToJson for proto::ParticipantInfo {
    fn to_json(&self) -> Value {
        let capabilities: Vec<_> = self.capabilities().map(|capability| capability.as_str_name()).collect();
        json!({
            "sid": self.sid, "identity": self.identity, "state": self.state().as_str_name(), "tracks": [],
            "metadata": self.metadata, "joined_at": self.joined_at.to_string(),
            "joined_at_ms": self.joined_at_ms.to_string(), "name": self.name, "version": self.version,
            "permission": self.permission.as_ref().map(permission_json), "region": self.region,
            "is_publisher": self.is_publisher, "kind": self.kind().as_str_name(), "attributes": self.attributes,
            "disconnect_reason": self.disconnect_reason().as_str_name(), "kind_details": [], "data_tracks": [],
            "client_protocol": self.client_protocol, "capabilities": capabilities,
        })
    }
}

#[expect(deprecated, reason = "the server still sends these fields")]
fn permission_json(permission: &proto::ParticipantPermission) -> Value {
    json!({
        "can_subscribe": permission.can_subscribe, "can_publish": permission.can_publish,
        "can_publish_data": permission.can_publish_data, "can_publish_sources": [],
        "hidden": permission.hidden, "recorder": permission.recorder,
        "can_update_metadata": permission.can_update_metadata, "agent": permission.agent,
        "can_subscribe_metrics": permission.can_subscribe_metrics,
        "can_manage_agent_session": permission.can_manage_agent_session,
    })
}

impl ToJson for proto::AgentDispatch {
    fn to_json(&self) -> Value {
        let state = self.state.as_ref().map(|state| {
            json!({
                "jobs": each(&state.jobs), "created_at": state.created_at.to_string(),
                "deleted_at": state.deleted_at.to_string(),
            })
        });
        json!({
            "id": self.id, "agent_name": self.agent_name, "room": self.room, "metadata": self.metadata,
            "state": state, "restart_policy": self.restart_policy().as_str_name(),
            "deployment": self.deployment, "attributes": self.attributes,
        })
    }
}

impl ToJson for proto::Job {
    fn to_json(&self) -> Value {
        let state = self.state.as_ref().map(|state| {
            json!({
                "status": state.status().as_str_name(), "error": state.error,
                "started_at": state.started_at.to_string(), "ended_at": state.ended_at.to_string(),
                "updated_at": state.updated_at.to_string(), "participant_identity": state.participant_identity,
                "worker_id": state.worker_id, "agent_id": state.agent_id,
            })
        });
        json!({
            "id": self.id, "dispatch_id": self.dispatch_id, "type": self.r#type().as_str_name(),
            "room": self.room.as_ref().map(ToJson::to_json), "namespace": "", "metadata": self.metadata,
            "agent_name": self.agent_name, "state": state, "enable_recording": self.enable_recording,
            "deployment": self.deployment, "attributes": self.attributes,
            "enable_redaction": self.enable_redaction,
        })
    }
}

impl ToJson for proto::ListAgentDispatchResponse {
    fn to_json(&self) -> Value {
        json!({"agent_dispatches": each(&self.agent_dispatches)})
    }
}

impl ToJson for proto::ListRoomsResponse {
    fn to_json(&self) -> Value {
        json!({"rooms": each(&self.rooms)})
    }
}

impl ToJson for proto::ListParticipantsResponse {
    fn to_json(&self) -> Value {
        json!({"participants": each(&self.participants)})
    }
}

impl ToJson for proto::DeleteRoomResponse {
    fn to_json(&self) -> Value {
        json!({})
    }
}

impl ToJson for proto::RemoveParticipantResponse {
    fn to_json(&self) -> Value {
        json!({})
    }
}
