//! Breakers over HTTP, as workers and administrators see them.

use serde_json::{Value, json};

use super::harness::{Running, Setup, assert_problem, start};

async fn post(running: &Running, path: &str, body: Value) -> Value {
    let response = running.post(&format!("/v1/breakers/{path}"), body.to_string()).await;
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.expect("JSON")
}

async fn get(running: &Running, name: &str) -> Value {
    let response = running.call("GET", &format!("/v1/breakers/{name}")).send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{name}");
    response.json().await.expect("JSON")
}

async fn report(running: &Running, permit: &Value, outcome: &str) -> Value {
    let body =
        json!({"outcome": outcome, "generation": permit["generation"], "permit": permit["permit"], "duration_ms": 20});
    post(running, "crm/report", body).await
}

#[tokio::test]
async fn a_caller_asks_for_each_call_and_reports_it() {
    let running = start(Setup::default()).await;
    let rules = json!({"rules": {"failures_max": 2, "open_ms": 600_000, "open_ms_max": 600_000}});
    let first = post(&running, "crm/permit", rules).await;
    assert_eq!((&first["allowed"], &first["state"]), (&true.into(), &"closed".into()));
    assert!(first["retry_after_ms"].is_null() && first["report_within_ms"].is_null());
    assert_eq!(report(&running, &first, "failure").await["counted"], true);
    let second = post(&running, "crm/permit", json!({})).await;
    let opened = report(&running, &second, "failure").await;
    assert_eq!((&opened["state"], &opened["counted"]), (&"open".into(), &true.into()));
    assert_eq!(report(&running, &second, "failure").await["counted"], false, "that generation is over");
    let refused = post(&running, "crm/permit", json!({})).await;
    assert_eq!((&refused["allowed"], &refused["permit"]), (&false.into(), &Value::Null));
    assert!(refused["retry_after_ms"].as_u64().is_some_and(|ms| (400_000..=600_000).contains(&ms)), "{refused}");

    let breaker = get(&running, "crm").await;
    assert_eq!((&breaker["reason"], &breaker["rules"]["failures_max"]), (&"failures".into(), &2.into()));
    assert_eq!(breaker["rules"]["probes_max"], 3, "what was left out is as shipped");
    assert_eq!(breaker["statistics"]["total"], json!({"calls": 2, "failures": 2, "slow": 0}));
    assert_eq!((&breaker["statistics"]["refused"], &breaker["degraded"]), (&1.into(), &false.into()));
    assert_eq!(breaker["history"].as_array().map(Vec::len), Some(1));
    let listed: Value = running.call("GET", "/v1/breakers").send().await.unwrap().json().await.unwrap();
    assert_eq!((&listed["breakers"][0], &listed["next_cursor"]), (&breaker, &Value::Null));
}

#[tokio::test]
async fn a_request_that_is_repeated_under_its_key_is_done_once() {
    let running = start(Setup::default()).await;
    let permit = post(&running, "crm/permit", json!({"rules": {"failures_max": 3}})).await;
    let body = json!({"outcome": "failure", "generation": permit["generation"], "permit": permit["permit"]});
    for _ in 0..5 {
        let request = running.call("POST", "/v1/breakers/crm/report").header("idempotency-key", "k").json(&body);
        assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap()["counted"], true);
    }
    let breaker = get(&running, "crm").await;
    assert_eq!((&breaker["state"], &breaker["statistics"]["failures_in_a_row"]), (&"closed".into(), &1.into()));
}

#[tokio::test]
async fn an_administrator_holds_a_breaker_and_resets_it() {
    let running = start(Setup::default()).await;
    post(&running, "crm/permit", json!({})).await;
    let held =
        post(&running, "crm/force", json!({"state": "open", "duration_seconds": 60, "reason": "maintenance"})).await;
    assert_eq!(
        (&held["forced"], &held["state"], &held["note"]),
        (&"open".into(), &"open".into(), &"maintenance".into())
    );
    assert!(held["forced_until"].is_string());
    assert_eq!(post(&running, "crm/permit", json!({})).await["allowed"], false);
    let free = post(&running, "crm/force", json!({"state": "auto"})).await;
    assert_eq!((&free["forced"], &free["state"]), (&Value::Null, &"half_open".into()));
    let probe = post(&running, "crm/permit", json!({})).await;
    assert_eq!((&probe["allowed"], &probe["report_within_ms"]), (&true.into(), &15_000.into()));
    let reset = running.post("/v1/breakers/crm/reset", "").await;
    let reset: Value = reset.json().await.unwrap();
    assert_eq!((&reset["state"], &reset["statistics"]["refused"]), (&"closed".into(), &0.into()));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let running = start(Setup::default()).await;
    let missing = running.call("GET", "/v1/breakers/none").send().await.unwrap();
    assert_problem(missing, 404, "breaker_not_found").await;
    let report = json!({"outcome": "failure", "generation": 1, "permit": "p"}).to_string();
    assert_problem(running.post("/v1/breakers/none/report", report).await, 404, "breaker_not_found").await;
    let force = json!({"state": "open"}).to_string();
    assert_problem(running.post("/v1/breakers/none/force", force).await, 404, "breaker_not_found").await;
    assert_problem(running.post("/v1/breakers/none/reset", "").await, 404, "breaker_not_found").await;
    assert_problem(running.call("GET", "/v1/breakers?cursor=x").send().await.unwrap(), 400, "bad_cursor").await;
    for (path, bad) in [
        ("crm/permit", json!({"rules": {"failures_max": 1_001}})),
        ("crm/permit", json!({"rules": {"probes_max": 0}})),
        ("crm/permit", json!({"rules": {"open_ms": 50_000}})),
        ("crm/permit", json!({"rules": {"colour": 1}})),
        ("crm/report", json!({"outcome": "maybe", "generation": 1, "permit": "p"})),
        ("crm/report", json!({"outcome": "failure", "generation": -1, "permit": "p"})),
        ("crm/force", json!({"state": "half_open"})),
        ("crm/force", json!({"state": "open", "duration_seconds": 0})),
        ("a b/permit", json!({})),
    ] {
        let refused = running.post(&format!("/v1/breakers/{path}").replace(' ', "%20"), bad.to_string()).await;
        assert_problem(refused, 422, "invalid_request").await;
    }
}
