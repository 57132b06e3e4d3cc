//! The server's webhooks: whether one is genuine, and what it says in our words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::message::{Integer, Participant, Room, Who};
use super::token::Keys;
use crate::dispatch::{NoticeKind, RoomNotice};

/// Why a webhook is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Not signed by the server for this body, or too old: answer 401.
    #[error("the webhook is not genuine: {reason}")]
    NotGenuine {
        /// For a developer; holds no token.
        reason: &'static str,
    },
    /// Genuine, and yet not understood: answer 400.
    #[error("the webhook is not understood: {detail}")]
    NotUnderstood {
        /// For a developer; holds nothing of the body but field names and positions.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "event")]
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default, rename = "createdAt")]
    created_at: Integer,
    room: Option<Room>,
    participant: Option<Participant>,
}

/// Checks and reads a webhook: its `Authorization` header and its body exactly as received.
pub(super) fn receive(keys: &Keys, authorization: &str, body: &[u8]) -> Result<Option<RoomNotice>, WebhookError> {
    let claims =
        keys.check(authorization).map_err(|error| WebhookError::NotGenuine { reason: reason(error.kind()) })?;
    if claims.sha256 != STANDARD.encode(Sha256::digest(body)) {
        return Err(WebhookError::NotGenuine { reason: "the body is not the one that was signed" });
    }
    let event: Event = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        not_understood(format!("{:?} error at {place}", error.classify()))
    })?;
    read(event)
}

fn read(mut event: Event) -> Result<Option<RoomNotice>, WebhookError> {
    let joined = match event.name.as_str() {
        "participant_joined" => true,
        // "aborted" stands for "left" where the participant was cut off before being really there.
        "participant_left" | "participant_connection_aborted" => false,
        "room_finished" => return notice(event, NoticeKind::RoomFinished).map(Some),
        _ => return Ok(None),
    };
    let participant = event.participant.take().ok_or_else(|| missing("participant"))?;
    let kind = match participant.who() {
        Who::Machine => return Ok(None),
        Who::Agent => NoticeKind::AgentChanged,
        Who::Person if participant.sid.is_empty() => return Err(missing("participant.sid")),
        Who::Person if joined => NoticeKind::PersonJoined(participant.person()),
        Who::Person => NoticeKind::PersonLeft(participant.person()),
    };
    notice(event, kind).map(Some)
}

fn notice(event: Event, kind: NoticeKind) -> Result<RoomNotice, WebhookError> {
    let room = event.room.map(|room| room.name).filter(|name| !name.is_empty()).ok_or_else(|| missing("room.name"))?;
    if event.id.is_empty() {
        return Err(missing("id"));
    }
    Ok(RoomNotice { event_id: event.id, room, created_at_seconds: event.created_at.0, kind })
}

fn missing(field: &str) -> WebhookError {
    not_understood(format!("{field} is missing"))
}

fn not_understood(detail: String) -> WebhookError {
    WebhookError::NotUnderstood { detail }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the signature is not made with our API secret",
        ErrorKind::ExpiredSignature => "it is too old",
        ErrorKind::ImmatureSignature => "it comes from the future: do the clocks agree?",
        ErrorKind::InvalidIssuer | ErrorKind::MissingRequiredClaim(_) => "it is not of our API key",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "it is signed with another algorithm",
        _ => "it has no usable token",
    }
}

#[cfg(test)]
mod tests;
