//! Tokens: which are taken, what they allow, and how the refusals read. As at the real server, a
//! refused token is echoed whole in the answer.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

/// How far `exp` and `nbf` may be off, in seconds.
const LEEWAY_SECONDS: f64 = 30.0;

/// The `video` claim's fields that matter here, with the type that the server wants.
const GRANT_FLAGS: [&str; 7] =
    ["roomCreate", "roomList", "roomRecord", "roomAdmin", "roomJoin", "canPublish", "canSubscribe"];

/// What a caller may do. Without a token: nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants(Map<String, Value>);

impl Grants {
    /// Whether the caller may create and delete rooms.
    pub(super) fn may_create_rooms(&self) -> bool {
        self.flag("roomCreate")
    }

    /// Whether the caller may list rooms.
    pub(super) fn may_list_rooms(&self) -> bool {
        self.flag("roomList")
    }

    /// Whether the caller may administer `room`.
    pub(super) fn may_administer(&self, room: &str) -> bool {
        self.flag("roomAdmin") && self.0.get("room").and_then(Value::as_str) == Some(room)
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Checks a token. `Err` is the text of the 401.
pub(super) fn check(token: &str, key: &str, secret: &str) -> Result<Grants, String> {
    let unreadable = || "invalid authorization token".to_owned();
    let (signed, signature) = token.rsplit_once('.').ok_or_else(unreadable)?;
    let (header, claims) = signed.split_once('.').ok_or_else(unreadable)?;
    let header = decode_part(header).ok_or_else(unreadable)?;
    let claims = decode_part(claims).ok_or_else(unreadable)?;

    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    if issuer != key {
        return Err(format!("invalid API key: {issuer}"));
    }
    let refused = |why: &str| Err(format!("invalid token: {token}, error: {why}"));
    if let Some(why) = wrong_type(&claims) {
        return refused(&format!("token is malformed: could not JSON decode claim: {why}"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    if algorithm != "HS256" {
        return refused(&format!("token signature is invalid: signing method {algorithm} is invalid"));
    }
    let decoding_key = DecodingKey::from_secret(secret.as_bytes());
    if !crypto::verify(signature, signed.as_bytes(), &decoding_key, Algorithm::HS256).unwrap_or_default() {
        return refused("token signature is invalid: signature is invalid");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().floor();
    if claims.get("exp").and_then(Value::as_f64).is_some_and(|exp| now > exp + LEEWAY_SECONDS) {
        return refused("token has invalid claims: token is expired");
    }
    if claims.get("nbf").and_then(Value::as_f64).is_some_and(|nbf| now < nbf - LEEWAY_SECONDS) {
        return refused("token has invalid claims: token is not valid yet");
    }
    Ok(Grants(claims.get("video").and_then(Value::as_object).cloned().unwrap_or_default()))
}

fn decode_part(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn wrong_type(claims: &Map<String, Value>) -> Option<String> {
    let video = claims.get("video")?.as_object()?;
    let complaint = |value: &Value, name: &str, wanted: &str| {
        let found = match value {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Null => return None,
        };
        (found != wanted).then(|| {
            format!("json: cannot unmarshal {found} into Go struct field Claims.video.{name} of type {wanted}")
        })
    };
    GRANT_FLAGS
        .into_iter()
        .find_map(|name| complaint(video.get(name)?, name, "bool"))
        .or_else(|| complaint(video.get("room")?, "room", "string"))
}
