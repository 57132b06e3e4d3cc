//! The server's webhooks: whether one is genuine, and what it says in our words.
//!
//! Only the fields needed are read. The generated types refuse a whole event for one enum name that they do not
//! know yet, and the server, once refused, drops it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::token::Keys;
use crate::dispatch::{NoticeKind, RoomNotice};
use crate::provider::Person;

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
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    event: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    created_at: Number,
    room: Option<Room>,
    participant: Option<Participant>,
}

#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    #[serde(default)]
    sid: String,
    #[serde(default)]
    joined_at: Number,
    #[serde(default)]
    kind: Kind,
}

/// A 64-bit number: a string in protobuf's JSON, where a plain number is allowed too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(i64),
    Text(String),
}

impl Default for Number {
    fn default() -> Self {
        Self::Plain(0)
    }
}

impl Number {
    fn get(&self, field: &'static str) -> Result<i64, WebhookError> {
        match self {
            Self::Plain(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| not_understood(format!("{field} is no number"))),
        }
    }
}

/// A participant's kind, which is left out for an ordinary person; by name or, in older encoders, by number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kind {
    Name(String),
    Number(i32),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Number(0)
    }
}

enum Who {
    Person,
    Agent,
    Machine,
}

impl Kind {
    fn who(&self) -> Who {
        match self {
            Self::Name(name) => match name.as_str() {
                "AGENT" => Who::Agent,
                "EGRESS" | "INGRESS" => Who::Machine,
                _ => Who::Person,
            },
            Self::Number(4) => Who::Agent,
            Self::Number(1 | 2) => Who::Machine,
            Self::Number(_) => Who::Person,
        }
    }
}

/// Checks and reads a webhook: its `Authorization` header and its body exactly as received.
pub(super) fn receive(keys: &Keys, authorization: &str, body: &[u8]) -> Result<Option<RoomNotice>, WebhookError> {
    let claims =
        keys.check(authorization).map_err(|error| WebhookError::NotGenuine { reason: reason(error.kind()) })?;
    if claims.sha256 != STANDARD.encode(Sha256::digest(body)) {
        return Err(WebhookError::NotGenuine { reason: "the body is not the one that was signed" });
    }
    let event: Message = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        not_understood(format!("{:?} error at {place}", error.classify()))
    })?;
    read(event)
}

fn read(event: Message) -> Result<Option<RoomNotice>, WebhookError> {
    let joined = match event.event.as_str() {
        "participant_joined" => true,
        // "aborted" stands for "left" where the participant was cut off before being really there.
        "participant_left" | "participant_connection_aborted" => false,
        "room_finished" => return notice(event, NoticeKind::RoomFinished).map(Some),
        _ => return Ok(None),
    };
    let participant = event.participant.as_ref().ok_or_else(|| missing("participant"))?;
    let kind = match participant.kind.who() {
        Who::Machine => return Ok(None),
        Who::Agent => NoticeKind::AgentChanged,
        Who::Person => {
            if participant.sid.is_empty() {
                return Err(missing("participant.sid"));
            }
            let joined_at_seconds = participant.joined_at.get("participant.joinedAt")?;
            let person = Person { sid: participant.sid.clone(), joined_at_seconds };
            if joined { NoticeKind::PersonJoined(person) } else { NoticeKind::PersonLeft(person) }
        }
    };
    notice(event, kind).map(Some)
}

fn notice(event: Message, kind: NoticeKind) -> Result<RoomNotice, WebhookError> {
    let created_at_seconds = event.created_at.get("createdAt")?;
    let room = event.room.map(|room| room.name).filter(|name| !name.is_empty()).ok_or_else(|| missing("room.name"))?;
    if event.id.is_empty() {
        return Err(missing("id"));
    }
    Ok(RoomNotice { event_id: event.id, room, created_at_seconds, kind })
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
