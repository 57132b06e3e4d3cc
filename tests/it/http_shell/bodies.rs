//! Bodies: what is not JSON, not what was asked for, or too much.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::harness::{BODY_BYTES_MAX, KEY, Running, Setup, assert_problem, exchange, start};

const PATH: &str = "/v1/dispatches";
const GOOD: &str = r#"{"room":"lobby","agent":"voice"}"#;

/// Whether the shell let the request through to the domain, whatever that said.
fn let_through(status: reqwest::StatusCode) -> bool {
    ![400, 401, 405, 413, 415, 422].contains(&status.as_u16())
}

#[tokio::test]
async fn a_good_body_reaches_the_domain() {
    let running = start(Setup::default()).await;
    assert!(let_through(running.post(PATH, GOOD).await.status()));
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let running = start(Setup::default()).await;
    for body in [
        "",
        " ",
        "{",
        "{\"room\":}",
        "room=lobby",
        "{\"room\":\"a\",\"agent\":\"b\"} x",
        "{\"room\":\"\\ud800\"}",
        "\u{feff}{}",
    ] {
        let problem = assert_problem(running.post(PATH, body.to_owned()).await, 400, "malformed_json").await;
        assert_eq!(problem["retryable"], false, "{body}");
    }
    let not_utf8 = b"{\"room\":\"\xFF\",\"agent\":\"voice\"}".to_vec();
    assert_problem(running.post(PATH, not_utf8).await, 400, "malformed_json").await;
}

#[tokio::test]
async fn what_makes_no_sense_is_invalid() {
    let running = start(Setup::default()).await;
    for (body, why) in [
        (r#"{"room":"a","agent":"b","color":1}"#, "unknown field `color`"),
        (r#"{"room":"a","room":"b","agent":"c"}"#, "duplicate field `room`"),
        (r#"{"room":1,"agent":"b"}"#, "a room's name"),
        (r#"{"room":"a"}"#, "missing field `agent`"),
        (r#"{"room":"a","agent":"b","ttl_seconds":1e400}"#, ""),
        (r#"{"room":"a","agent":"b","ttl_seconds":99999999999999999999999}"#, "ttl_seconds must be"),
        (r#"{"room":"a","agent":"b","ttl_seconds":1.5}"#, "expected ttl_seconds of 1 to 86400"),
        ("[]", ""),
        ("null", ""),
    ] {
        let response = running.post(PATH, body).await;
        // A number that no float holds is refused by the parser itself.
        let malformed = body.contains("1e400");
        let (status, code) = if malformed { (400, "malformed_json") } else { (422, "invalid_request") };
        let problem = assert_problem(response, status, code).await;
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    }
    // Fields are typed, so nothing is ever descended into.
    let deep = format!("{{\"room\":{}1{}}}", "[".repeat(400), "]".repeat(400));
    assert_problem(running.post(PATH, deep).await, 422, "invalid_request").await;
    let problem = running.post(PATH, format!("{{\"{}\":1}}", "x".repeat(900))).await;
    let problem = assert_problem(problem, 422, "invalid_request").await;
    assert!(problem["detail"].as_str().unwrap().chars().count() <= 301, "{problem}");
}

#[tokio::test]
async fn only_json_is_taken() {
    let running = start(Setup::default()).await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let request = running.call("POST", PATH).header("content-type", content_type).body(GOOD);
        assert_problem(request.send().await.unwrap(), 415, "unsupported_media_type").await;
    }
    assert_problem(running.call("POST", PATH).body(GOOD).send().await.unwrap(), 415, "unsupported_media_type").await;
    let with_charset = running.call("POST", PATH).header("content-type", "application/json; charset=utf-8").body(GOOD);
    assert!(let_through(with_charset.send().await.unwrap().status()));
}

fn body_of(bytes: usize) -> String {
    let frame = r#"{"room":"lobby","agent":"voice","metadata":""}"#;
    format!(r#"{{"room":"lobby","agent":"voice","metadata":"{}"}}"#, "m".repeat(bytes - frame.len()))
}

/// The answer to a body that announces no length and comes in chunks.
async fn chunked(running: &Running, body: &str) -> String {
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    for chunk in body.as_bytes().chunks(100) {
        let text = std::str::from_utf8(chunk).expect("ASCII");
        let _ = write!(request, "{:x}\r\n{text}\r\n", chunk.len());
    }
    request.push_str("0\r\n\r\n");
    exchange(running, request.as_bytes()).await
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_not_a_byte_more() {
    let running = start(Setup::default()).await;
    for (bytes, fits) in [(BODY_BYTES_MAX - 1, true), (BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
        let body = body_of(bytes);
        assert_eq!(body.len(), bytes);
        let in_chunks = chunked(&running, &body).await;
        let response = running.post(PATH, body).await;
        if fits {
            assert!(let_through(response.status()), "{bytes}: {}", response.status());
            assert!(!in_chunks.starts_with("HTTP/1.1 413"), "{bytes}: {in_chunks}");
        } else {
            assert_problem(response, 413, "body_too_large").await;
            assert!(in_chunks.starts_with("HTTP/1.1 413"), "{bytes}: {in_chunks}");
        }
    }
    let webhook = running.bare("POST", "/api/livekit/webhook").body(body_of(BODY_BYTES_MAX + 1));
    assert_problem(webhook.send().await.unwrap(), 413, "body_too_large").await;
}

#[tokio::test]
async fn the_kept_contracts_refuse_in_their_own_form() {
    let running = start(Setup::default()).await;
    let path = "/api/livekit/dispatch-agent";
    for (body, status) in [("{", 400), (r#"{"roomName":""}"#, 422), (r#"{"roomName":"a","x":1}"#, 422)] {
        let response = running.post(path, body).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (status, &"application/json".parse().unwrap())
        );
        let answer: Value = response.json().await.unwrap();
        assert_eq!((&answer["success"], answer.as_object().unwrap().len()), (&json!(false), 2), "{answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    let status = running.call("GET", "/api/livekit/agent-status").send().await.unwrap();
    assert_eq!((status.status().as_u16(), &status.json::<Value>().await.unwrap()["success"]), (422, &json!(false)));
}
