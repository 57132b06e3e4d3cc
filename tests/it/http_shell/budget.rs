//! What a caller still waits for: the answer comes in time, and what was begun goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Setup, assert_problem, start};
use crate::support::{eventually, process::assert_within};

const BUDGET: &str = "x-request-timeout-ms";
/// Far above the budgets of these tests, and below what would be waited without them.
const CEILING: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_outlasts_the_callers_budget_is_pending_and_goes_on() {
    let slow = Duration::from_secs(3);
    let running = start(Setup { provider_delay: slow, ..Setup::default() }).await;
    let body = json!({"room": "lobby", "agent": "guide"});
    let began = Instant::now();
    let pending = running.call("POST", "/v1/dispatches").header(BUDGET, "600").json(&body).send().await.unwrap();
    assert_eq!(pending.status(), 202);
    assert_within(began, CEILING, "the answer");
    let pending: Value = pending.json().await.unwrap();
    assert_eq!(pending["state"], "creating");
    let made = eventually("it was made all the same", async || {
        let path = format!("/v1/dispatches/{}", pending["id"].as_str().unwrap());
        let now: Value = running.call("GET", &path).send().await.ok()?.json().await.ok()?;
        (now["state"] != "creating").then_some(now)
    })
    .await;
    assert_eq!((&made["id"], &made["reason"]), (&pending["id"], &json!("created")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_lock_ends_with_the_callers_budget() {
    let running = start(Setup::default()).await;
    let ask = async |owner: &str| {
        let body = json!({"owner": owner, "ttl_seconds": 600, "wait_seconds": 30});
        let request = running.call("POST", "/v1/locks/nightly/acquire").header(BUDGET, "600");
        request.json(&body).send().await.unwrap()
    };
    assert_eq!(ask("ann").await.status(), 200);
    let began = Instant::now();
    assert_problem(ask("bob").await, 409, "lock_held").await;
    assert_within(began, CEILING, "the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_over_is_a_timeout_and_a_longer_one_than_the_routes_changes_nothing() {
    // A command of Redis may take 2 s: that is not waited for.
    for (route_ms, budget) in [(10_000, "100"), (400, "600000")] {
        let mut setup = Setup::default();
        setup.settings.request_timeout = Duration::from_millis(route_ms);
        let running = start(setup).await;
        let get = || running.call("GET", "/v1/agents/guide").header(BUDGET, budget);
        running.redis.servers()[0].signal("STOP");
        assert_problem(get().send().await.unwrap(), 503, "timeout").await;
        running.redis.servers()[0].signal("CONT");
    }
}

#[tokio::test]
async fn a_budget_that_makes_no_sense_is_refused_on_every_route() {
    let running = start(Setup::default()).await;
    for (method, path) in [("GET", "/healthz"), ("GET", "/v1/dispatches"), ("POST", "/v1/dispatches"), ("GET", "/x")] {
        for bad in ["0", "-1", "2s", "1.5", "600001", "99999999999999999999"] {
            let refused = running.call(method, path).header(BUDGET, bad).send().await.unwrap();
            assert_problem(refused, 400, "malformed_request").await;
        }
    }
}
