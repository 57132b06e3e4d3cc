//! Alerts over three processes: raised once, whoever leads; cleared once; what is snoozed at one is snoozed at all.

use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::standin::{Fault, Method};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Replica;
use crate::support::stage::{KEY, Stage, ask, client};

const RULE: &str = "operation_errors";

async fn stage() -> Stage {
    let mut stage = Stage::start().await;
    for (name, value) in [
        ("GREENROOM_ALERTS_INTERVAL_MS", "100"),
        ("GREENROOM_ALERTS_WINDOW_SECONDS", "6"),
        ("GREENROOM_ALERTS_CLEAR_AFTER_SECONDS", "1"),
        ("GREENROOM_ALERTS_OPERATIONS_MIN", "10"),
        ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "10"),
        ("GREENROOM_DISPATCH_FAILURE_HOLD_MS", "1000"),
        ("GREENROOM_BREAKER_OPEN_MS", "300"),
        ("GREENROOM_BREAKER_OPEN_MS_MAX", "300"),
        ("GREENROOM_DISPATCH_CLAIM_MS", "1000"),
        ("GREENROOM_LEADER_LEASE_MS", "1500"),
        ("GREENROOM_LEADER_RENEW_MS", "300"),
    ] {
        stage.set(name, value);
    }
    stage
}

/// Three replicas, and somebody who calls them.
struct Three {
    stage: Stage,
    replicas: Vec<Replica>,
    client: Client,
}

impl Three {
    async fn start() -> Self {
        let stage = stage().await;
        let replicas = vec![stage.replica().await, stage.replica().await, stage.replica().await];
        Self { stage, replicas, client: client() }
    }

    async fn call(&self, replica: &Replica, verb: Verb, end: &str, body: Option<Value>) -> Option<Value> {
        let request = self.client.request(verb, replica.url(&format!("/v1/alerts/{RULE}{end}"))).bearer_auth(KEY);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        request.send().await.ok().filter(|answer| answer.status() == 200)?.json().await.ok()
    }

    /// Every replica that there is tells that of the rule.
    async fn all_tell(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        for replica in &self.replicas {
            eventually(what, async || self.call(replica, Verb::GET, "", None).await.filter(|told| is_so(told))).await;
        }
    }

    /// From now on callers of each replica are refused, until the answer is dropped.
    fn fail(&self) -> DropGuard {
        self.stage.livekit.faults().set(Method::CreateRoom, Fault::status(500));
        let over = CancellationToken::new();
        for (n, replica) in self.replicas.iter().enumerate() {
            let (client, url, over) = (self.client.clone(), replica.url("/v1/dispatches"), over.clone());
            tokio::spawn(over.run_until_cancelled_owned(async move {
                for turn in 0.. {
                    let _ = ask(&client, &url, &format!("room-{n}-{turn}")).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
        over.drop_guard()
    }

    /// What was told of the rule, in its order.
    async fn told(&self) -> Vec<String> {
        let events: Vec<(String, Vec<String>)> = self.stage.redis.run(&["XRANGE", "gr:{0}:events", "-", "+"]).await;
        let of_rule = |fields: &Vec<String>| fields.chunks(2).any(|pair| pair == ["alert", RULE]);
        let state = |fields: Vec<String>| fields.chunks(2).find(|pair| pair[0] == "state").map(|pair| pair[1].clone());
        events.into_iter().map(|(_, fields)| fields).filter(of_rule).filter_map(state).collect()
    }

    async fn leader(&self) -> usize {
        eventually("somebody leads", async || {
            for (n, replica) in self.replicas.iter().enumerate() {
                if replica.leads().await == Some(true) {
                    return Some(n);
                }
            }
            None
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_three_processes_is_raised_once_and_cleared_once_whoever_leads() {
    let mut three = Three::start().await;
    let failing = three.fail();
    three.all_tell("every replica tells that it is raised", |told| told["state"] == "raised").await;
    assert_eq!(three.told().await, ["raised"]);
    let leader = three.leader().await;
    three.replicas.remove(leader).process.kill();
    // The next leader goes on with what was told.
    three.leader().await;
    three.all_tell("it is still raised", |told| told["state"] == "raised").await;
    assert_eq!(three.told().await, ["raised"]);
    drop(failing);
    three.stage.livekit.faults().clear_all();
    three.all_tell("every replica tells that it is over", |told| told["state"] == "ok").await;
    assert_eq!(three.told().await, ["raised", "cleared"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_snoozed_at_one_process_is_snoozed_at_all() {
    let three = Three::start().await;
    let snoozed = three.call(&three.replicas[1], Verb::POST, "/snooze", Some(json!({"seconds": 600}))).await;
    assert!(snoozed.is_some_and(|told| told["snoozed_until"].is_string()));
    three.all_tell("every replica tells that it is snoozed", |told| told["snoozed_until"].is_string()).await;
    let _failing = three.fail();
    three.all_tell("every replica tells that it holds", |told| told["state"] == "raised").await;
    assert_eq!(three.told().await, ["snoozed"], "nobody is woken");
    three.call(&three.replicas[2], Verb::DELETE, "/snooze", None).await.expect("it is taken back");
    three.all_tell("every replica tells that nothing is snoozed", |told| told["snoozed_until"].is_null()).await;
    eventually("it is told", async || (three.told().await.len() == 3).then_some(())).await;
    assert_eq!(three.told().await, ["snoozed", "woken", "raised"]);
}
