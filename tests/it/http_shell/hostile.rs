//! The table of hostile inputs, for every route that takes input: each is served, or refused with the right
//! problem; nothing is answered 5xx, and what is refused leaves Redis as it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::{Method, Response};
use serde_json::Value;

use super::harness::{Running, Setup, start};

const ID: &str = "dsp_1_0198c5d0000070008000000000000000";
/// As shipped, so that the bodies of the table are those that a real one gets.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A route that takes a body, a good body for it, and a field of it that is a name.
fn bodies() -> Vec<(String, Value, &'static str)> {
    use serde_json::json;
    let one = |rest: &str| format!("/v1/dispatches/{ID}{rest}");
    vec![
        ("/v1/dispatches".into(), json!({"room": "r", "agent": "a"}), "room"),
        ("/v1/dispatches".into(), json!({"room": "r", "agent": "a"}), "agent"),
        ("/v1/connect".into(), json!({"room": "r"}), "room"),
        ("/v1/connect".into(), json!({"room": "r", "identity": "i"}), "identity"),
        ("/v1/connect".into(), json!({"room": "r", "agent": "a"}), "agent"),
        ("/v1/locks/l/acquire".into(), json!({"owner": "o", "ttl_seconds": 5}), "owner"),
        ("/v1/locks/l/acquire".into(), json!({"owner": "o", "ttl_seconds": 5}), "ttl_seconds"),
        ("/v1/locks/l/renew".into(), json!({"owner": "nobody", "token": 5, "ttl_seconds": 5}), "owner"),
        ("/v1/locks/l/release".into(), json!({"owner": "nobody", "token": 5}), "owner"),
        ("/api/livekit/dispatch-agent".into(), json!({"roomName": "r"}), "roomName"),
        ("/api/v1/trigger".into(), json!({"client": "c", "agent": "a", "room": "r"}), "client"),
        ("/api/v1/trigger".into(), json!({"client": "c", "agent": "a", "room": "r"}), "room"),
        ("/v1/breakers/crm/report".into(), json!({"outcome": "failure", "generation": 1, "permit": "p"}), "permit"),
        ("/v1/breakers/crm/report".into(), json!({"outcome": "failure", "generation": 1, "permit": "p"}), "outcome"),
        ("/v1/breakers/crm/force".into(), json!({"state": "open", "reason": "r"}), "reason"),
        (one("/ttl"), json!({"ttl_seconds": 5}), "ttl_seconds"),
        (one("/alive"), json!({"state": "open"}), "state"),
        ("/v1/errors".into(), json!({"operation": "o", "message": "m"}), "operation"),
        ("/v1/errors".into(), json!({"operation": "o", "message": "m"}), "message"),
        ("/v1/errors".into(), json!({"operation": "o", "message": "m", "service": "s"}), "service"),
        ("/v1/errors".into(), json!({"operation": "o", "message": "m", "stack": "s"}), "stack"),
        ("/v1/errors".into(), json!({"operation": "o", "message": "m", "category": "network"}), "category"),
        ("/v1/alerts/agents_live/snooze".into(), json!({"seconds": 5}), "seconds"),
    ]
}

/// Texts that somebody will send as a name.
fn names() -> Vec<String> {
    let mut names: Vec<String> =
        ["", "a", "{}", "{17}", ":", "*", " ", "a b", "🦀", "e\u{301}", "..", "%00", "'\"`$(x)"]
            .map(str::to_owned)
            .to_vec();
    names.extend(
        ["a\0", "a\r\nSet-Cookie: x", "\u{1b}[2J", "\u{9b}31m", "\u{202e}", "\u{feff}", "\u{7f}"].map(str::to_owned),
    );
    names.extend([128, 129, 10_000].map(|length| "n".repeat(length)));
    names.extend([128, 129].map(|length| "🦀".repeat(length)));
    names
}

/// Every key with what it holds. Leaders and claims are nobody's here: nothing else writes.
async fn digest(running: &Running) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for key in running.redis.run::<Vec<String>>(&["KEYS", "*"]).await {
        let dump: Option<Vec<u8>> = running.redis.run(&["DUMP", &key]).await;
        all.insert(key, dump.unwrap_or_default());
    }
    all
}

/// Checks an answer; a refusal must be a document of ours, and must have changed nothing.
async fn judged(running: &Running, before: &BTreeMap<String, Vec<u8>>, response: Response, what: &str) -> u16 {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("ASCII").to_owned());
    let text = response.text().await.expect("a body");
    assert!(status < 500, "{what}: {status} {text}");
    if status == 201 {
        assert_ne!(&digest(running).await, before, "{what} made something, and the digest shows nothing of it");
    }
    if status >= 400 {
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        let is_document = kind.as_deref() == Some("application/problem+json");
        let told = if is_document { &body["detail"] } else { &body["message"] };
        // What a program, an end user and a developer need is there, whatever was refused.
        let has_words = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
        let suggestions =
            body["suggestions"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(has_words));
        let is_whole = body["retryable"].is_boolean() && has_words(&body["user_message"]) && has_words(&body["code"]);
        assert!(!is_document || (is_whole && suggestions), "{what}: {text}");
        assert!(told.as_str().is_some_and(|told| !told.is_empty() && told.chars().count() <= 301), "{what}: {text}");
        assert_eq!(&digest(running).await, before, "{what} was refused ({status}), and yet changed something");
    }
    status
}

async fn serving() -> Running {
    let mut setup = Setup::default();
    setup.settings.body_bytes_max = BODY_BYTES_MAX;
    start(setup).await
}

/// Sends a body, and judges the answer.
async fn sent(running: &Running, path: &str, body: impl Into<reqwest::Body>, what: &str) -> u16 {
    let before = digest(running).await;
    let request = running.call("POST", path).header("content-type", "application/json").body(body);
    let answer = request.send().await.unwrap_or_else(|error| panic!("{path}, {what}: {error}"));
    judged(running, &before, answer, &format!("{path}, {what}")).await
}

#[tokio::test]
async fn every_field_takes_a_good_name_or_refuses_it() {
    let running = serving().await;
    for (path, good, field) in bodies() {
        for name in names() {
            let mut body = good.clone();
            body[field] = name.clone().into();
            let shown: String = name.chars().take(20).collect();
            let status = sent(&running, &path, body.to_string(), &format!("{field} {shown:?}")).await;
            assert!([200, 201, 204, 401, 404, 409, 422].contains(&status), "{path}, {field} {shown:?}: {status}");
        }
    }
}

#[tokio::test]
async fn every_field_refuses_what_is_no_text_and_what_is_not_its_own() {
    let running = serving().await;
    let numbers = ["0", "-1", "1.5", "86401", "18446744073709551616", "-9223372036854775809", "1e300", "-0"];
    let others = ["null", "true", "[]", "{}", "[\"a\"]", "{\"$gt\":\"\"}"];
    for (path, good, field) in bodies() {
        let ours = good.to_string();
        for value in numbers.iter().chain(&others) {
            let mut body = good.clone();
            body[field] = serde_json::from_str(value).unwrap();
            let status = sent(&running, &path, body.to_string(), &format!("{field}: {value}")).await;
            // Null is a field that is not there, or cancels a time to live.
            let fine = *value == "null" && status < 422;
            assert!(fine || status == 401 || status == 422, "{path}, {field}: {value}: {status}");
        }
        for (body, what) in [
            (ours.replacen('{', "{\"color\":1,", 1), "an unknown field"),
            (ours.replacen('{', &format!("{{\"{field}\":\"x\","), 1), "a doubled field"),
            (ours.replacen('{', "{\"__proto__\":{},", 1), "a field of JavaScript's"),
            ("[]".to_owned(), "a list"),
            ("\"x\"".to_owned(), "a text"),
            ("7".to_owned(), "a number"),
        ] {
            let status = sent(&running, &path, body, what).await;
            assert!(status == 422 || status == 401, "{path}, {what}: {status}");
        }
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_too_deep_or_too_large_are_refused_everywhere() {
    let running = serving().await;
    for (path, good, field) in bodies() {
        for depth in [127, 129, 100_000] {
            let deep = format!("{{\"{field}\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
            let status = sent(&running, &path, deep, &format!("depth {depth}")).await;
            assert!([400, 401, 422].contains(&status), "{path}, depth {depth}: {status}");
        }
        let mut not_utf8 = good.to_string().into_bytes();
        not_utf8.insert(2, 0xFF);
        for (body, what) in [
            (not_utf8, "invalid UTF-8"),
            (b"\0".to_vec(), "NUL"),
            (b"{".to_vec(), "half an object"),
            (b"".to_vec(), "nothing"),
            (format!("{{\"{field}\":1e99999}}").into_bytes(), "a number that nothing holds"),
            (format!("{{\"{field}\":\"\\ud800\"}}").into_bytes(), "half a character"),
        ] {
            let status = sent(&running, &path, body, what).await;
            assert!([400, 401, 422].contains(&status), "{path}, {what}: {status}");
        }
        // Space before the object: the size alone decides.
        for (bytes, fits) in
            [(BODY_BYTES_MAX - 1, true), (BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false), (2 << 20, false)]
        {
            let body = format!("{}{good}", " ".repeat(bytes - good.to_string().len()));
            let status = sent(&running, &path, body, &format!("{bytes} bytes")).await;
            assert_eq!(status != 413, fits, "{path}, {bytes} bytes: {status}");
        }
    }
}

#[tokio::test]
async fn compressed_bodies_are_refused_with_a_reason() {
    let running = serving().await;
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a\x2c\x28\x50\xb2\x52\x50\x02\x00";
    let mut paths: Vec<_> = bodies().into_iter().map(|(path, ..)| path).collect();
    paths.push("/api/livekit/webhook".to_owned());
    for path in paths.iter().filter(|path| !path.ends_with("/alive")) {
        for encoding in ["gzip", "br", "identity, gzip"] {
            let request = running.call("POST", path).header("content-type", "application/json");
            let answer = request.header("content-encoding", encoding).body(gzip.to_vec()).send().await.unwrap();
            assert_eq!(answer.status(), 415, "{path}, {encoding}");
            let text = answer.text().await.unwrap();
            assert!(text.contains("uncompressed"), "{path}: {text}");
        }
        let request = running.call("POST", path).header("content-type", "application/json");
        let plain = request.header("content-encoding", "identity").body("{}").send().await.unwrap();
        assert_ne!(plain.status(), 415, "{path}");
    }
}

/// Everything that stands for a parameter in paths and queries.
fn encoded() -> Vec<String> {
    let percent = |name: String| {
        let mut encoded = String::new();
        for byte in name.bytes() {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    };
    let mut all: Vec<String> = names().into_iter().map(percent).collect();
    all.extend(
        ["%FF", "%C3", "%ED%A0%80", "%", "%2", "%zz", "%00", "+", "a&room=b", "a;b", "..%2f..", "%25%30%30"]
            .map(str::to_owned),
    );
    all
}

#[tokio::test]
async fn every_path_and_query_takes_a_good_name_or_refuses_it() {
    let running = serving().await;
    let ways = [
        ("GET", "/v1/dispatches?room=", ""),
        ("GET", "/v1/dispatches?agent=", ""),
        ("GET", "/v1/dispatches?state=", ""),
        ("GET", "/v1/dispatches?limit=", ""),
        ("GET", "/v1/dispatches?cursor=", ""),
        ("GET", "/v1/dispatches?color=", ""),
        ("DELETE", "/v1/dispatches?room=", ""),
        ("DELETE", "/v1/dispatches?room=r&agent=", ""),
        ("GET", "/v1/dispatches/", ""),
        ("DELETE", "/v1/dispatches/", ""),
        ("GET", "/v1/rooms/", "/explain"),
        ("GET", "/api/livekit/agent-status?roomName=", ""),
        ("GET", "/v1/errors?category=", ""),
        ("GET", "/v1/errors?severity=", ""),
        ("GET", "/v1/errors?operation=", ""),
        ("GET", "/v1/errors?cursor=", ""),
        ("GET", "/v1/errors?limit=", ""),
        ("GET", "/v1/errors/", ""),
        ("DELETE", "/v1/errors/", ""),
        ("GET", "/v1/alerts/", ""),
        ("DELETE", "/v1/alerts/", "/snooze"),
        ("GET", "/v1/agents/", ""),
        ("POST", "/v1/agents/", "/drain"),
        ("POST", "/v1/agents/", "/undrain"),
        ("GET", "/v1/locks/", ""),
        ("POST", "/v1/locks/", "/release"),
    ];
    for (method, start, end) in ways {
        for value in encoded() {
            let uri = format!("{start}{value}{end}");
            let before = digest(&running).await;
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = running.call(method.as_str(), &uri).send().await.unwrap();
            let shown: String = uri.chars().take(80).collect();
            judged(&running, &before, answer, &format!("{method} {shown}")).await;
            if !end.ends_with("drain") {
                assert_eq!(digest(&running).await, before, "{method} {shown}: there was nothing to change");
            }
        }
    }
}
