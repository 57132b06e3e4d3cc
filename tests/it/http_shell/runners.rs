//! What runners tell over REST, and what is answered to those who come late.

use serde_json::{Value, json};

use super::harness::{KEY, Running, Setup, assert_problem, start};

fn report(number: u64, more: Value) -> Value {
    let mut body = json!({"pool": "py", "boot": "a", "report": number, "host": "h", "driver": "process",
        "capacity": 0, "workers": []});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn sync(running: &Running, body: &Value) -> reqwest::Response {
    running.bare("POST", "/v1/runners/one/sync").bearer_auth(KEY).json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_report_has_its_number_and_the_start_that_it_is_of() {
    let running = start(Setup::default()).await;
    for field in ["report", "boot"] {
        let mut body = report(1, json!({}));
        body.as_object_mut().expect("an object").remove(field);
        assert_problem(sync(&running, &body).await, 422, "invalid_request").await;
    }
    let answer: Value = sync(&running, &report(1, json!({}))).await.json().await.expect("an answer");
    assert_eq!(answer["health_seconds"], 30, "{answer}");
}

#[tokio::test]
async fn a_long_poll_ends_where_something_newer_was_told() {
    let running = start(Setup::default()).await;
    let first: Value = sync(&running, &report(4, json!({}))).await.json().await.expect("an answer");
    let known = json!({"revision": first["revision"], "store": first["store"], "wait_seconds": 30});
    let (poll, newer) = (report(5, known), report(6, json!({})));
    // Without the newer one it would be held back for a heartbeat, and then be well.
    let newer = async {
        loop {
            let heard = running.redis.run::<Vec<String>>(&["KEYS", "*:runner:default:py:one"]).await;
            if running.redis.run::<Option<String>>(&["HGET", &heard[0], "report"]).await.as_deref() == Some("5") {
                return sync(&running, &newer).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (polled, newer) = tokio::join!(sync(&running, &poll), newer);
    assert_eq!(newer.status(), 200);
    let problem = assert_problem(polled, 409, "stale_report").await;
    assert_eq!(problem["retryable"], true);
    assert_problem(sync(&running, &report(5, json!({}))).await, 409, "stale_report").await;
}
