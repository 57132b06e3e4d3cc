//! Names of rooms, wherever they come in.

use std::fmt::Write as _;

use reqwest::StatusCode;
use serde_json::json;

use super::harness::{Running, Setup, start};

/// A name, and whether it is one.
fn table() -> Vec<(String, bool)> {
    vec![
        (String::new(), false),
        ("a".into(), true),
        ("a".repeat(128), true),
        ("a".repeat(129), false),
        ("é".repeat(128), true),
        ("🦀".repeat(128), true),
        ("🦀".repeat(129), false),
        ("stand-up ☕ 東京".into(), true),
        ("{}".into(), true),
        ("gr:{17}:*".into(), true),
        ("a/b".into(), true),
        ("%2F%00".into(), true),
        ("\"quoted\\\"".into(), true),
        ("a\nb".into(), false),
        ("a\r\nX-Evil: 1".into(), false),
        ("a\0".into(), false),
        ("\u{1b}[31m".into(), false),
        ("a\u{202E}b".into(), false),
        ("a\u{2028}b".into(), false),
    ]
}

/// The status of every way that a name comes in by.
async fn statuses(running: &Running, name: &str) -> Vec<(&'static str, StatusCode)> {
    let created = running.call("POST", "/v1/dispatches").json(&json!({"room": name, "agent": "voice"}));
    let connect = running.call("POST", "/api/livekit/dispatch-agent").json(&json!({"roomName": name}));
    let listed = running.call("GET", "/v1/dispatches").query(&[("room", name)]);
    let ended = running.call("DELETE", "/v1/dispatches").query(&[("room", name)]);
    let status = running.call("GET", "/api/livekit/agent-status").query(&[("roomName", name)]);
    let mut all = Vec::new();
    for (way, request) in [("create", created), ("page", connect), ("list", listed), ("end", ended), ("status", status)]
    {
        all.push((way, request.send().await.expect("an answer").status()));
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        let _ = write!(encoded, "%{byte:02X}");
    }
    let explained = running.call("GET", &format!("/v1/rooms/{encoded}/explain"));
    all.push(("explain", explained.send().await.expect("an answer").status()));
    all
}

#[tokio::test]
async fn every_way_in_takes_the_same_names() {
    let running = start(Setup::default()).await;
    for (name, good) in table() {
        for (way, status) in statuses(&running, &name).await {
            assert_eq!(status != 422, good, "{way} of {name:?}: {status}");
            assert_ne!(status, 400, "{way} of {name:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_utf8_is_malformed() {
    let running = start(Setup::default()).await;
    for (method, path) in [
        ("GET", "/v1/rooms/%FF/explain"),
        ("GET", "/v1/dispatches?room=%FF"),
        ("DELETE", "/v1/dispatches?room=%C3"),
        ("GET", "/api/livekit/agent-status?roomName=%ED%A0%80"),
    ] {
        assert_eq!(running.call(method, path).send().await.unwrap().status(), 400, "{method} {path}");
    }
}
