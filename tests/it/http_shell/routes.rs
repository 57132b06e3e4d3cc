//! Routes, keys, ids of requests, metrics.

use serde_json::{Value, json};

use super::harness::{KEY, Setup, assert_problem, start};

const ID: &str = "dsp_17_0198c5d0000070008000000000000000";

/// Every route that needs the key: method, path, whether its failures are those of a kept contract.
fn guarded() -> Vec<(&'static str, String, bool)> {
    let one = |rest: &str| format!("/v1/dispatches/{ID}{rest}");
    vec![
        ("POST", "/v1/dispatches".into(), false),
        ("GET", "/v1/dispatches".into(), false),
        ("DELETE", "/v1/dispatches?room=a".into(), false),
        ("GET", one(""), false),
        ("DELETE", one(""), false),
        ("POST", one("/activity"), false),
        ("POST", one("/ttl"), false),
        ("POST", "/v1/connect".into(), false),
        ("GET", "/v1/rooms/lobby/explain".into(), false),
        ("POST", "/api/livekit/dispatch-agent".into(), true),
        ("POST", "/api/v1/trigger".into(), true),
        ("GET", "/api/livekit/agent-status?roomName=a".into(), true),
    ]
}

#[tokio::test]
async fn a_guarded_route_needs_the_key() {
    let running = start(Setup::default()).await;
    for (method, path, kept) in guarded() {
        for key in [None, Some("wrong"), Some(""), Some("test-key2")] {
            let mut request = running.bare(method, &path);
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"greenroom\"", "{method} {path}");
            if kept {
                assert_eq!(response.status(), 401);
                let body: Value = response.json().await.unwrap();
                assert_eq!(body, json!({"success": false, "message": "the API key is missing or wrong"}));
            } else {
                assert_problem(response, 401, "unauthorized").await;
            }
        }
        let let_in = running.call(method, &path).send().await.unwrap();
        assert_ne!(let_in.status(), 401, "{method} {path}");
    }
}

#[tokio::test]
async fn open_routes_need_no_key() {
    let running = start(Setup::default()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(running.bare("GET", path).send().await.unwrap().status(), 200, "{path}");
        assert_eq!(running.bare("HEAD", path).send().await.unwrap().status(), 200, "{path}");
    }
    // The agent's own token counts here, not the key.
    let alive = format!("/v1/dispatches/{ID}/alive");
    let response = running.bare("POST", &alive).json(&json!({"state": "open"})).send().await.unwrap();
    assert_problem(response, 401, "bad_token").await;
}

#[tokio::test]
async fn what_is_no_route_is_said_to_be_none() {
    let running = start(Setup::default()).await;
    for path in ["/", "/v1", "/v1/dispatches/", "/v2/dispatches", "/healthz/", "//healthz"] {
        assert_problem(running.call("GET", path).send().await.unwrap(), 404, "route_not_found").await;
    }
    assert_problem(running.bare("GET", "/nothing").send().await.unwrap(), 404, "route_not_found").await;
    for path in ["/v1/dispatches/x", "/v1/dispatches/dsp_017_0198c5d0000070008000000000000000", "/v1/dispatches/%00"] {
        assert_problem(running.call("GET", path).send().await.unwrap(), 404, "dispatch_not_found").await;
    }
    assert_problem(running.call("GET", "/v1/dispatches/%FF").send().await.unwrap(), 400, "malformed_request").await;
}

#[tokio::test]
async fn another_method_is_told_which_ones_there_are() {
    let running = start(Setup::default()).await;
    for (method, path, allowed) in [
        ("PUT", "/v1/dispatches", "DELETE,GET,HEAD,POST"),
        ("POST", "/v1/dispatches/x", "DELETE,GET,HEAD"),
        ("GET", "/v1/connect", "POST"),
        ("BREW", "/healthz", "GET,HEAD"),
    ] {
        let response = running.call(method, path).send().await.unwrap();
        let allow = response.headers()["allow"].to_str().unwrap().to_owned();
        let mut methods: Vec<_> = allow.split(',').collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{method} {path}");
        assert_problem(response, 405, "method_not_allowed").await;
    }
    let kept = running.call("DELETE", "/api/livekit/agent-status").send().await.unwrap();
    assert_eq!(kept.status(), 405);
    assert_eq!(kept.json::<Value>().await.unwrap()["success"], false);
}

#[tokio::test]
async fn every_answer_has_the_request_id() {
    let running = start(Setup::default()).await;
    for (method, path) in [("GET", "/healthz"), ("GET", "/nothing"), ("PUT", "/healthz"), ("GET", "/v1/dispatches")] {
        let given = running.bare(method, path).header("x-request-id", "Req_1.a-b").send().await.unwrap();
        assert_eq!(given.headers()["x-request-id"], "Req_1.a-b", "{method} {path}");
        let made = running.bare(method, path).header("x-request-id", "no {good} id").send().await.unwrap();
        assert_eq!(made.headers()["x-request-id"].len(), 36, "{method} {path}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_room() {
    let running = start(Setup::default()).await;
    running.call("GET", "/v1/rooms/canary-room/explain").send().await.unwrap();
    running.bare("GET", "/canary-path").send().await.unwrap();
    running.bare("GET", "/v1/dispatches?room=canary-room").send().await.unwrap();
    let response = running.bare("GET", "/metrics").send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    let text = response.text().await.unwrap();
    for series in [
        "{route=\"/v1/rooms/{room}/explain\",method=\"GET\",status=\"",
        "{route=\"unknown\",method=\"GET\",status=\"4xx\"} 1",
        "{route=\"/v1/dispatches\",method=\"GET\",status=\"4xx\"} 1",
    ] {
        assert!(
            text.contains(&format!("greenroom_http_request_duration_seconds_count{series}")),
            "{series} in\n{text}"
        );
    }
    assert!(text.contains("greenroom_http_requests_in_flight 1\n"), "the scrape itself:\n{text}");
    assert!(!text.contains("canary") && !text.contains(KEY));
}
