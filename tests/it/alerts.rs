//! Alerts over several replicas: raised once, told everywhere, snoozed by whoever may.

use reqwest::Method as Verb;
use serde_json::{Value, json};

use crate::standin::{Fault, Method, WorkerBehaviour};
use crate::support::client::get;
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan};

const REPLICAS: usize = 3;

fn plan() -> Plan {
    let settings = [
        ("GREENROOM_ALERTS_INTERVAL_MS", "100"),
        ("GREENROOM_ALERTS_WINDOW_SECONDS", "3"),
        ("GREENROOM_ALERTS_CLEAR_AFTER_SECONDS", "1"),
        ("GREENROOM_ALERTS_AGENTS_LIVE_MAX", "1000"),
        ("GREENROOM_ALERTS_OPERATIONS_MIN", "20"),
        ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "10"),
    ];
    settings.into_iter().fold(Plan::default().replicas(REPLICAS), |plan, (name, value)| plan.set(name, value))
}

async fn alert(house: &House, rule: &str) -> Value {
    let answer = house.call(Verb::GET, &format!("/v1/alerts/{rule}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn until(house: &House, rule: &str, state: &str) -> Value {
    eventually(&format!("{rule} is {state}"), async || Some(alert(house, rule).await).filter(|it| it["state"] == state))
        .await
}

/// What was told of the rule, in its order.
async fn told(house: &House, rule: &str) -> Vec<String> {
    let events: Vec<(String, Vec<String>)> = house.redis.run(&["XRANGE", "gr:{0}:events", "-", "+"]).await;
    let of_rule = |fields: &Vec<String>| fields.chunks(2).any(|pair| pair == ["alert", rule]);
    let state = |fields: Vec<String>| fields.chunks(2).find(|pair| pair[0] == "state").map(|pair| pair[1].clone());
    events.into_iter().map(|(_, fields)| fields).filter(of_rule).filter_map(state).collect()
}

/// How many replicas say that the rule rings.
async fn ringing(house: &House, rule: &str) -> usize {
    let line = format!("greenroom_alerts{{rule=\"{rule}\"}} 1");
    let mut ringing = 0;
    for replica in 0..REPLICAS {
        let metrics = get(&house.url(replica, "/metrics")).await.expect("an answer").text().await.expect("a text");
        ringing += usize::from(metrics.lines().any(|have| have == line));
    }
    ringing
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_raised_once_over_all_replicas_and_cleared_when_it_was_calm() {
    let house = plan().start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.until_led().await;
    let calm = alert(&house, "operation_errors").await;
    assert_eq!((&calm["state"], &calm["threshold"], &calm["unit"]), (&json!("ok"), &json!(10.0), &json!("percent")));
    house.standin.faults().set(Method::CreateRoom, Fault::status(500));
    // Each replica sees a third of them, which is too few to tell.
    for n in 0..9 {
        house.ask(&format!("room-{n}")).await.is_refused("provider_unavailable");
    }
    let raised = until(&house, "operation_errors", "raised").await;
    assert!(raised["value"].as_f64().is_some_and(|value| value > 10.0) && raised["since"].is_string(), "{raised}");
    let failing = until(&house, "provider_failing", "raised").await;
    assert_eq!(failing["threshold"], json!(0.0), "{failing}");
    eventually("the leader tells", async || (ringing(&house, "provider_failing").await == 1).then_some(())).await;
    house.standin.faults().clear_all();
    let cleared = until(&house, "provider_failing", "ok").await;
    assert!(cleared["raised_at"].is_string() && cleared["cleared_at"].is_string(), "{cleared}");
    assert_eq!(told(&house, "provider_failing").await, ["raised", "cleared"]);
    until(&house, "operation_errors", "ok").await;
    assert_eq!(told(&house, "operation_errors").await, ["raised", "cleared"]);
    assert_eq!(ringing(&house, "provider_failing").await, 0);
    let all = house.call(Verb::GET, "/v1/alerts", None).await.body;
    assert_eq!(all["alerts"].as_array().map(Vec::len), Some(5), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_may_live_are_told_of_unless_that_is_snoozed() {
    let house = plan().set("GREENROOM_ALERTS_AGENTS_LIVE_MAX", "2").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.until_led().await;
    let path = "/v1/alerts/agents_live/snooze";
    let snoozed = house.call(Verb::POST, path, Some(json!({"seconds": 600}))).await;
    assert!(snoozed.status == 200 && snoozed.body["snoozed_until"].is_string(), "{snoozed:?}");
    for n in 0..3 {
        house.acquire(&format!("room-{n}")).await;
    }
    let raised = until(&house, "agents_live", "raised").await;
    assert_eq!((&raised["value"], &raised["threshold"]), (&json!(3.0), &json!(2.0)));
    assert_eq!((told(&house, "agents_live").await, ringing(&house, "agents_live").await), (vec!["snoozed".into()], 0));
    let woken = house.call(Verb::DELETE, path, None).await;
    assert!(woken.status == 200 && woken.body["snoozed_until"].is_null(), "{woken:?}");
    eventually("it is told", async || (told(&house, "agents_live").await.len() == 3).then_some(())).await;
    assert_eq!(told(&house, "agents_live").await, ["snoozed", "woken", "raised"]);
    house
        .call(Verb::POST, "/v1/alerts/agents_dead/snooze", Some(json!({"seconds": 1})))
        .await
        .has_problem(404, "alert_not_found");
    // Another leader goes on with what was told.
    let first = house.until_led().await;
    let mut house = house;
    house.stop(first).await;
    house.until_led().await;
    until(&house, "agents_live", "raised").await;
    assert_eq!(told(&house, "agents_live").await.len(), 3);
}
