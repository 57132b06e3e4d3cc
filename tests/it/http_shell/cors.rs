//! Pages of other origins: who may call, and what a browser is told.

use reqwest::Response;
use reqwest::header::HeaderMap;

use super::harness::{KEY, Running, Setup, start};

const OURS: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example";

async fn serving(origins: &[&str]) -> Running {
    let mut setup = Setup::default();
    setup.settings.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    start(setup).await
}

async fn preflight(running: &Running, path: &str, origin: &str) -> Response {
    let request = running.bare("OPTIONS", path).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let request = request.header("access-control-request-headers", "authorization,content-type,idempotency-key");
    request.send().await.expect("an answer")
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    headers.get("access-control-allow-origin").map(|value| value.to_str().expect("ASCII"))
}

fn of_cors(headers: &HeaderMap) -> usize {
    headers.keys().filter(|name| name.as_str().starts_with("access-control-")).count()
}

#[tokio::test]
async fn without_origins_there_are_no_cors_headers() {
    let running = serving(&[]).await;
    let answer = preflight(&running, "/v1/connect", OURS).await;
    assert_eq!((answer.status().as_u16(), of_cors(answer.headers())), (401, 0));
    let answer = running.call("GET", "/v1/dispatches").header("origin", OURS).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), of_cors(answer.headers())), (200, 0));
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_call_and_no_other() {
    let running = serving(&["https://first.example", OURS]).await;
    for path in ["/v1/connect", "/v1/dispatches", "/api/livekit/dispatch-agent", "/api/livekit/agent-status"] {
        let answer = preflight(&running, path, OURS).await;
        assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (200, Some(OURS)), "{path}");
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-methods"], "GET,POST,PUT,DELETE");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization,content-type,idempotency-key,x-request-timeout-ms,x-request-id"
        );
        assert!(headers["vary"].to_str().unwrap().to_ascii_lowercase().contains("origin"));
        for origin in [OTHER, "https://app.example.com.evil.example", "http://app.example.com", "null"] {
            let answer = preflight(&running, path, origin).await;
            assert_eq!(allowed(answer.headers()), None, "{path} of {origin}");
            assert!(answer.headers()["vary"].to_str().unwrap().to_ascii_lowercase().contains("origin"));
        }
    }
    // A page may read its refusals, and what comes with them.
    for key in [KEY, "wrong"] {
        let call = running.bare("GET", "/v1/dispatches").bearer_auth(key).header("origin", OURS);
        let answer = call.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), allowed(answer.headers())),
            (if key == KEY { 200 } else { 401 }, Some(OURS))
        );
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
        assert_eq!(exposed, "x-request-id,retry-after,ratelimit,ratelimit-policy");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
}

#[tokio::test]
async fn a_star_is_every_origin_and_never_with_credentials() {
    let running = serving(&["*"]).await;
    for answer in [
        preflight(&running, "/v1/connect", OTHER).await,
        running.call("GET", "/v1/dispatches").header("origin", OTHER).send().await.unwrap(),
    ] {
        assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (200, Some("*")));
        assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    }
}

#[tokio::test]
async fn operation_is_for_no_page() {
    let running = serving(&["*"]).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(preflight(&running, path, OURS).await.status(), 405, "{path}");
        let answer = running.bare("GET", path).header("origin", OURS).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), of_cors(answer.headers())), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn answers_are_neither_stored_nor_guessed_at() {
    let running = serving(&[]).await;
    for (method, path) in [("GET", "/v1/dispatches"), ("GET", "/nothing"), ("PUT", "/healthz"), ("GET", "/metrics")] {
        let answer = running.call(method, path).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store", "{method} {path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{method} {path}");
    }
}
