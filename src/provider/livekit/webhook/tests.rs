//! Webhooks as they were recorded, and as they should not be.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::provider::Person;

const SECRET: &str = "secret";

// As a server of version 1.13.5 sent them, without what is not read.
const PERSON_LEFT: &str = r#"{"event":"participant_left","room":{"sid":"RM_QpYtgFkBNrob","name":"happy-1","emptyTimeout":400,
    "creationTime":"1795246001","enabledCodecs":[{"mime":"audio/PCMU"}]},"participant":{"sid":"PA_yfswruccDcJE",
    "identity":"user1","state":"DISCONNECTED","joinedAt":"1795246007","joinedAtMs":"1795246007352","version":3,
    "attributes":{"k":"v"},"disconnectReason":"CLIENT_INITIATED","capabilities":["CAP_PACKET_TRAILER"]},
    "id":"EV_7GcBy73Qj3MU","createdAt":"1795246013"}"#;
const AGENT_ABORTED: &str = r#"{"event":"participant_connection_aborted","room":{"name":"leave-session"},"participant":
    {"sid":"PA_MGuKxXRYb3LL","identity":"agent-AJ_ya248Qutq9mn","state":"DISCONNECTED","joinedAt":"1795246893",
    "kind":"AGENT","disconnectReason":"PARTICIPANT_REMOVED"},"id":"EV_p5LUQnW4kyeS","createdAt":"1795246893"}"#;

fn keys() -> Keys {
    Keys::new("devkey", &SECRET.into())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time")
}

fn claims(body: &str) -> Value {
    let sha256 = STANDARD.encode(Sha256::digest(body));
    json!({"iss": "devkey", "nbf": now(), "iat": now(), "exp": now() + 300, "sha256": sha256})
}

fn signed(claims: &Value) -> String {
    sign(Algorithm::HS256, claims, SECRET)
}

fn sign(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("a token")
}

fn take(body: &str) -> Result<Option<RoomNotice>, WebhookError> {
    receive(&keys(), &signed(&claims(body)), body.as_bytes())
}

fn kind(body: &Value) -> Option<NoticeKind> {
    take(&body.to_string()).expect("a webhook").map(|notice| notice.kind)
}

fn event(event: &str, participant: &Value) -> Value {
    json!({"event": event, "id": "EV_1", "createdAt": "5", "room": {"name": "r1"}, "participant": participant})
}

fn why_not_genuine(token: &str) -> &'static str {
    match receive(&keys(), token, PERSON_LEFT.as_bytes()) {
        Err(WebhookError::NotGenuine { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_recorded_event_of_a_person() {
    let person = Person { sid: "PA_yfswruccDcJE".to_owned(), joined_at_seconds: 1_795_246_007 };
    let expected = RoomNotice {
        event_id: "EV_7GcBy73Qj3MU".to_owned(),
        room: "happy-1".to_owned(),
        created_at_seconds: 1_795_246_013,
        kind: NoticeKind::PersonLeft(person),
    };
    assert_eq!(take(PERSON_LEFT), Ok(Some(expected)));
}

#[test]
fn a_recorded_event_of_an_agent() {
    let notice = take(AGENT_ABORTED).expect("a webhook").expect("a notice");
    assert_eq!((notice.room.as_str(), notice.kind), ("leave-session", NoticeKind::AgentChanged));
}

#[test]
fn who_is_a_person() {
    let person = Person { sid: "PA_1".to_owned(), joined_at_seconds: 7 };
    for kind_of in [json!("STANDARD"), json!("SIP"), json!("CONNECTOR"), json!("HOLOGRAM"), json!(0), json!(77)] {
        let participant = json!({"sid": "PA_1", "joinedAt": "7", "kind": kind_of});
        let joined = kind(&event("participant_joined", &participant));
        assert_eq!(joined, Some(NoticeKind::PersonJoined(person.clone())));
        for gone in ["participant_left", "participant_connection_aborted"] {
            assert_eq!(kind(&event(gone, &participant)), Some(NoticeKind::PersonLeft(person.clone())));
        }
    }
    for kind_of in [json!("EGRESS"), json!("INGRESS"), json!(1), json!(2)] {
        assert_eq!(kind(&event("participant_joined", &json!({"sid": "PA_1", "kind": kind_of}))), None);
    }
    for kind_of in [json!("AGENT"), json!(4)] {
        let joined = kind(&event("participant_joined", &json!({"sid": "PA_1", "kind": kind_of})));
        assert_eq!(joined, Some(NoticeKind::AgentChanged));
    }
}

#[test]
fn what_is_new_to_us_does_no_harm() {
    let participant = json!({"sid": "PA_1", "joinedAt": 7, "state": "LEVITATING", "disconnectReason": "BORED",
        "capabilities": ["CAP_OF_2030"], "permission": {"canSing": true}, "new": [{}]});
    let mut body = event("participant_joined", &participant);
    body["newField"] = json!({"a": [1, 2]});
    body["createdAt"] = json!(5);
    assert!(matches!(kind(&body), Some(NoticeKind::PersonJoined(Person { joined_at_seconds: 7, .. }))));
    assert_eq!(kind(&json!({"event": "participant_levitated", "id": "EV_1", "createdAt": 1})), None);
}

#[test]
fn other_events() {
    assert_eq!(
        kind(&json!({"event": "room_finished", "id": "EV_1", "room": {"name": "r1"}})),
        Some(NoticeKind::RoomFinished)
    );
    for name in ["room_started", "track_published", "track_unpublished", "egress_started", ""] {
        assert_eq!(kind(&json!({"event": name, "room": {"name": "r1"}})), None);
    }
}

#[test]
fn what_lacks_something_is_not_understood() {
    let person = json!({"sid": "PA_1", "joinedAt": "7"});
    let whole = event("participant_left", &person);
    for (pointer, value) in [
        ("/id", json!("")),
        ("/room/name", json!("")),
        ("/room", Value::Null),
        ("/participant", Value::Null),
        ("/participant/sid", json!("")),
        ("/participant/joinedAt", json!("soon")),
        ("/createdAt", json!("soon")),
        ("/room", json!([])),
    ] {
        let mut body = whole.clone();
        *body.pointer_mut(pointer).expect("a field") = value;
        let answer = take(&body.to_string());
        assert!(matches!(answer, Err(WebhookError::NotUnderstood { .. })), "{pointer}: {answer:?}");
    }
    for body in ["", "null", "[]", "{", "hush-hush"] {
        let Err(error @ WebhookError::NotUnderstood { .. }) = take(body) else { panic!("{body}") };
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn only_the_very_body_that_was_signed_is_taken() {
    let token = signed(&claims(PERSON_LEFT));
    let changed = PERSON_LEFT.replace("happy-1", "happy-2");
    let same_json = PERSON_LEFT.replace('\n', " ");
    for body in [changed.as_str(), same_json.as_str(), ""] {
        let answer = receive(&keys(), &token, body.as_bytes());
        let reason = "the body is not the one that was signed";
        assert_eq!(answer, Err(WebhookError::NotGenuine { reason }));
    }
}

#[test]
fn only_our_own_signature_is_taken() {
    let claims = claims(PERSON_LEFT);
    assert!(why_not_genuine(&sign(Algorithm::HS256, &claims, "other")).contains("secret"));
    assert!(why_not_genuine(&sign(Algorithm::HS256, &claims, "")).contains("secret"));
    assert!(why_not_genuine(&sign(Algorithm::HS384, &claims, SECRET)).contains("algorithm"));
    assert!(why_not_genuine(&sign(Algorithm::HS512, &claims, SECRET)).contains("algorithm"));
    let encode = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "HS256"] {
        let header = encode(&json!({"alg": algorithm, "typ": "JWT"}));
        why_not_genuine(&format!("{header}.{}.", encode(&claims)));
    }
    for nonsense in ["", "Bearer", "a.b.c", "..", "\0", &"a".repeat(100_000)] {
        why_not_genuine(nonsense);
    }
}

#[test]
fn a_token_for_another_use_is_not_taken() {
    let mut other = claims(PERSON_LEFT);
    other.as_object_mut().expect("an object").remove("sha256");
    assert!(why_not_genuine(&signed(&other)).contains("body"));
    for (claim, value) in [("iss", json!("otherkey")), ("iss", Value::Null), ("exp", Value::Null)] {
        let mut other = claims(PERSON_LEFT);
        other[claim] = value;
        why_not_genuine(&signed(&other));
        other.as_object_mut().expect("an object").remove(claim);
        why_not_genuine(&signed(&other));
    }
}

#[test]
fn only_a_fresh_token_is_taken() {
    let at = |claim: &str, time: i64| {
        let mut claims = claims(PERSON_LEFT);
        claims[claim] = json!(time);
        signed(&claims)
    };
    assert!(why_not_genuine(&at("exp", now() - 62)).contains("old"));
    assert!(why_not_genuine(&at("nbf", now() + 64)).contains("future"));
    for leeway in [at("exp", now() - 50), at("nbf", now() + 50)] {
        assert!(receive(&keys(), &leeway, PERSON_LEFT.as_bytes()).is_ok());
    }
}

#[test]
fn every_recorded_webhook_is_understood() {
    let mut counts = [0; 4];
    for recording in [
        include_str!("../../../../tests/fixtures/livekit/happy_path.json"),
        include_str!("../../../../tests/fixtures/livekit/agent_leaves.json"),
        include_str!("../../../../tests/fixtures/livekit/room_departure_people.json"),
    ] {
        let steps: Vec<Value> = serde_json::from_str(recording).expect("a recording");
        for step in steps.iter().filter(|step| step["kind"] == "webhook") {
            match kind(&step["body"]) {
                Some(NoticeKind::PersonJoined(person) | NoticeKind::PersonLeft(person)) => {
                    assert!(person.sid.starts_with("PA_") && person.joined_at_seconds > 1_700_000_000);
                    counts[0] += 1;
                }
                Some(NoticeKind::AgentChanged) => counts[1] += 1,
                Some(NoticeKind::RoomFinished) => counts[2] += 1,
                None => counts[3] += 1,
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
