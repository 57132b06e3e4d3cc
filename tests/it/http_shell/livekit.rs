//! Webhooks and tokens of LiveKit, behind their door.

use std::sync::{Arc, Mutex};

use greenroom::http::{LiveKitDoor, WebhookRefusal};
use serde_json::json;

use super::harness::{Setup, assert_problem, start};

const WEBHOOK: &str = "/api/livekit/webhook";

/// A door that signs nothing, and understands the word in `Authorization`.
fn door(seen: Arc<Mutex<Vec<u8>>>) -> LiveKitDoor {
    let receive = move |authorization: &str, body: &[u8]| {
        *seen.lock().expect("a lock") = body.to_vec();
        match authorization {
            "good" => Ok(None),
            "odd" => Err(WebhookRefusal::Unusable("no event".into())),
            _ => Err(WebhookRefusal::BadSignature("secret reason".into())),
        }
    };
    LiveKitDoor::new("wss://live.example", receive, |_| Err("no key".into()))
}

#[tokio::test]
async fn a_webhook_is_judged_by_its_signature_over_the_raw_bytes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let running = start(Setup { livekit: Some(door(seen.clone())), ..Setup::default() }).await;
    let raw = b"{ \"a\" : 1 }\xFF\n".to_vec();
    let send = |authorization: Option<&'static str>| {
        let request =
            running.bare("POST", WEBHOOK).header("content-type", "application/webhook+json").body(raw.clone());
        authorization.into_iter().fold(request, |request, value| request.header("authorization", value)).send()
    };
    assert_eq!(send(Some("good")).await.unwrap().status(), 200);
    assert_eq!(*seen.lock().unwrap(), raw);
    // Refusing what is signed would hold up its room.
    assert_eq!(send(Some("odd")).await.unwrap().status(), 200);
    for bad in [Some("forged"), None] {
        let problem = assert_problem(send(bad).await.unwrap(), 401, "bad_signature").await;
        assert!(!problem.to_string().contains("secret reason"));
    }
}

#[tokio::test]
async fn without_livekit_there_is_nothing_to_connect_to() {
    let running = start(Setup::default()).await;
    let connect = running.call("POST", "/v1/connect").json(&json!({"room": "lobby"})).send().await.unwrap();
    assert_problem(connect, 409, "livekit_not_configured").await;
    let webhook = running.bare("POST", WEBHOOK).header("authorization", "any").send().await.unwrap();
    assert_problem(webhook, 409, "livekit_not_configured").await;
}

#[tokio::test]
async fn a_token_that_cannot_be_made_is_our_failure_and_its_reason_stays_ours() {
    let running = start(Setup { livekit: Some(door(Arc::default())), ..Setup::default() }).await;
    let connect = running.call("POST", "/v1/connect").json(&json!({"room": "lobby"})).send().await.unwrap();
    let problem = assert_problem(connect, 500, "internal").await;
    assert!(!problem.to_string().contains("no key"));
}
