//! The tokens that are signed with the API secret: for our calls, for people's pages, and on webhooks.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use livekit_protocol::RoomConfiguration;
use livekit_token::{Claims, VideoGrants};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::provider::RoomTimeouts;

/// How far two machines' clocks may be apart. LiveKit itself allows 30 s only, so our tokens
/// are dated back by this.
const CLOCK_LEEWAY: Duration = Duration::from_mins(1);

/// How long a token for one call is valid: long enough for a clock that is behind by the leeway.
const CALL_LIFETIME: Duration = Duration::from_mins(5);

/// Why no token could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// LiveKit takes no join without a room and an identity.
    #[error("a join token needs a room and an identity")]
    Incomplete,
    /// Signing failed.
    #[error("the token could not be signed")]
    Unsigned,
}

/// The API key and secret, ready for signing and checking.
pub(super) struct Keys {
    api_key: String,
    signing: EncodingKey,
    checking: DecodingKey,
    expected: Validation,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

/// What a webhook's token says; everything else in it is of no interest here.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookClaims {
    /// Base64 of the body's SHA-256. A token for another use, a join say, has none.
    #[serde(default)]
    pub(super) sha256: String,
}

/// What a page's token says, as far as it is of interest here.
#[derive(Debug, Deserialize)]
struct PageClaims {
    #[serde(default)]
    video: PageGrant,
}

/// What somebody may who takes part in a room.
fn joining(room: &str) -> VideoGrants {
    VideoGrants {
        room_join: true,
        room: room.to_owned(),
        can_publish: Some(true),
        can_subscribe: Some(true),
        can_publish_data: Some(true),
        ..VideoGrants::default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageGrant {
    room_join: bool,
    room: String,
}

impl Keys {
    pub(super) fn new(api_key: &str, api_secret: &SecretString) -> Self {
        let secret = api_secret.expose_secret().as_bytes();
        let mut expected = Validation::new(Algorithm::HS256);
        expected.leeway = CLOCK_LEEWAY.as_secs();
        expected.validate_nbf = true;
        expected.validate_aud = false;
        expected.set_issuer(&[api_key]);
        expected.set_required_spec_claims(&["exp", "iss"]);
        Self {
            api_key: api_key.to_owned(),
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            expected,
        }
    }

    /// A token for one call.
    pub(super) fn for_call(&self, video: VideoGrants) -> Result<SecretString, TokenError> {
        self.sign(Claims { video, ..Claims::default() }, CALL_LIFETIME)
    }

    /// A token with which a page joins a room, and makes it, with both time-outs, if it is the first.
    pub(super) fn for_join(
        &self,
        room: &str,
        identity: &str,
        name: Option<&str>,
        metadata: Option<&str>,
        timeouts: RoomTimeouts,
        lifetime: Duration,
    ) -> Result<SecretString, TokenError> {
        if room.is_empty() || identity.is_empty() {
            return Err(TokenError::Incomplete);
        }
        let room_config = RoomConfiguration {
            empty_timeout: timeouts.empty_timeout_seconds,
            departure_timeout: timeouts.departure_timeout_seconds,
            ..RoomConfiguration::default()
        };
        let claims = Claims {
            sub: identity.to_owned(),
            name: name.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            video: joining(room),
            room_config: Some(room_config),
            ..Claims::default()
        };
        self.sign(claims, lifetime)
    }

    /// A token with which an agent joins a room, and counts as one: nobody takes it for a person.
    pub(super) fn for_agent(&self, room: &str, identity: &str, lifetime: Duration) -> Result<SecretString, TokenError> {
        if room.is_empty() || identity.is_empty() {
            return Err(TokenError::Incomplete);
        }
        let claims =
            Claims { sub: identity.to_owned(), kind: "agent".to_owned(), video: joining(room), ..Claims::default() };
        self.sign(claims, lifetime)
    }

    /// Checks signature (HS256 and nothing else), issuer and age.
    pub(super) fn check(&self, token: &str) -> Result<WebhookClaims, jsonwebtoken::errors::Error> {
        jsonwebtoken::decode(token, &self.checking, &self.expected).map(|token| token.claims)
    }

    /// The room that the token lets its holder join, if we signed it and it counts now.
    pub(super) fn room_of_page(&self, token: &str) -> Option<String> {
        let claims = jsonwebtoken::decode::<PageClaims>(token, &self.checking, &self.expected).ok()?.claims;
        Some(claims.video).filter(|video| video.room_join && !video.room.is_empty()).map(|video| video.room)
    }

    fn sign(&self, claims: Claims, lifetime: Duration) -> Result<SecretString, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            iss: self.api_key.clone(),
            nbf: whole_seconds(now.saturating_sub(CLOCK_LEEWAY)),
            exp: whole_seconds(now.saturating_add(lifetime)),
            ..claims
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .map(SecretString::from)
            .map_err(|_| TokenError::Unsigned)
    }
}

fn whole_seconds(time: Duration) -> usize {
    usize::try_from(time.as_secs()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use livekit_token::TokenVerifier;

    use super::*;

    const TIMEOUTS: RoomTimeouts = RoomTimeouts { empty_timeout_seconds: 400, departure_timeout_seconds: 500 };

    fn keys() -> Keys {
        Keys::new("devkey", &"secret".into())
    }

    #[test]
    fn the_official_verifier_takes_our_tokens() {
        let token =
            keys().for_join("r1", "ann", Some("Ann"), Some("{}"), TIMEOUTS, Duration::from_mins(1)).expect("a token");
        let claims =
            TokenVerifier::with_api_key("devkey", "secret").verify(token.expose_secret()).expect("a valid token");
        assert_eq!(claims.sub, "ann");
        assert_eq!(claims.name, "Ann");
        assert_eq!(claims.metadata, "{}");
        assert!(claims.video.room_join && claims.video.can_publish() && claims.video.can_subscribe());
        assert!(!claims.video.room_admin && !claims.video.room_create && !claims.video.room_list);
        assert_eq!(claims.video.room, "r1");
        let config = claims.room_config.expect("a room configuration");
        assert_eq!((config.empty_timeout, config.departure_timeout), (400, 500));
        assert!(config.agents.is_empty());
        assert_eq!(claims.exp - claims.nbf, 120);
    }

    #[test]
    fn the_room_configuration_is_spelt_as_the_server_reads_it() {
        let token = keys().for_join("r1", "ann", None, None, TIMEOUTS, Duration::from_mins(1)).expect("a token");
        let claims: serde_json::Value =
            jsonwebtoken::dangerous::insecure_decode(token.expose_secret()).expect("a token").claims;
        assert_eq!(claims["roomConfig"], serde_json::json!({"emptyTimeout": 400, "departureTimeout": 500}));
        assert_eq!(claims["video"]["roomJoin"], true);
    }

    #[test]
    fn a_join_needs_a_room_and_an_identity() {
        for (room, identity) in [("", "ann"), ("r1", "")] {
            let answer = keys().for_join(room, identity, None, None, TIMEOUTS, Duration::from_mins(1));
            assert_eq!(answer.map(|_| ()), Err(TokenError::Incomplete));
        }
    }

    /// A token with these claims over the usual ones, signed so.
    fn signed(algorithm: Algorithm, secret: &str, own: &serde_json::Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let mut claims = serde_json::json!({
            "iss": "devkey", "nbf": now - 10, "exp": now + 600, "sub": "ann", "video": {"roomJoin": true, "room": "r1"},
        });
        for (claim, value) in own.as_object().expect("claims") {
            claims[claim] = value.clone();
        }
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token")
    }

    #[test]
    fn a_page_is_let_in_by_a_join_token_of_ours_alone() {
        use serde_json::json;

        let room = |token: &str| keys().room_of_page(token);
        let hs256 = |own: serde_json::Value| signed(Algorithm::HS256, "secret", &own);
        assert_eq!(room(&hs256(json!({}))), Some("r1".to_owned()));
        let ours = keys().for_join("r1", "ann", None, None, TIMEOUTS, Duration::from_mins(1)).expect("a token");
        assert_eq!(room(ours.expose_secret()), Some("r1".to_owned()));

        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        for bad in [
            json!({"iss": "otherkey"}),
            json!({"iss": null}),
            json!({"exp": now - 120}),
            json!({"exp": null}),
            json!({"nbf": now + 120}),
            json!({"video": {"roomJoin": false, "room": "r1"}}),
            json!({"video": {"roomJoin": true}}),
            json!({"video": {"roomJoin": true, "room": ""}}),
            json!({"video": {"roomAdmin": true, "room": "r1"}}),
            json!({"video": null}),
        ] {
            assert_eq!(room(&hs256(bad.clone())), None, "{bad}");
        }
        for other in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(room(&signed(other, "secret", &json!({}))), None, "{other:?}");
        }
        for secret in ["other", ""] {
            assert_eq!(room(&signed(Algorithm::HS256, secret, &json!({}))), None, "{secret:?}");
        }
        let good = hs256(json!({}));
        let (_, rest) = good.split_once('.').expect("three parts");
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{rest}");
        let (unsigned, _) = none.rsplit_once('.').expect("three parts");
        for bad in [none.as_str(), &format!("{unsigned}."), &good[..good.len() - 2], "", "x", "a.b.c"] {
            assert_eq!(room(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", Keys::new("devkey", &"hush-hush".into())), r#"Keys { api_key: "devkey", .. }"#);
    }
}
