//! A probe of a breaker whose process is killed: its permit lapses, another is let through, and the breaker closes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::standin::{Fault, Method};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::process::Replica;
use crate::support::stage::{KEY, Stage, ask, client};

const LOOK: &str = "livekit.look";

async fn stage() -> Stage {
    let mut stage = Stage::start().await;
    for (name, value) in [
        ("GREENROOM_REDIS_SHARDS", "1"),
        ("GREENROOM_BREAKER_FAILURES_MAX", "2"),
        ("GREENROOM_BREAKER_OPEN_MS", "300"),
        ("GREENROOM_BREAKER_OPEN_MS_MAX", "300"),
        ("GREENROOM_BREAKER_PROBES_MAX", "1"),
        ("GREENROOM_BREAKER_SUCCESSES_MIN", "1"),
        ("GREENROOM_BREAKER_PROBE_MS", "6000"),
        // A permit lasts as long as its call may take: long enough to kill who holds it.
        ("GREENROOM_LIVEKIT_CALL_TIMEOUT_MS", "6000"),
        ("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "10"),
        ("GREENROOM_DISPATCH_FAILURE_HOLD_MS", "1000"),
    ] {
        stage.set(name, value);
    }
    stage
}

async fn fields(stage: &Stage) -> HashMap<String, String> {
    stage.redis.run(&["HGETALL", &format!("gr:{{0}}:breaker:default:{LOOK}")]).await
}

/// The permit of the only probe, with its deadline.
async fn permit(stage: &Stage) -> Option<(String, u64)> {
    let fields = fields(stage).await;
    let (permit, until) = fields.iter().find(|(field, _)| field.starts_with("probe:"))?;
    Some((permit.clone(), until.parse().ok()?))
}

/// Somebody asks again and again, and never waits for the answer.
async fn press(client: &Client, replica: &Replica) {
    let (client, url) = (client.clone(), replica.url("/v1/dispatches"));
    tokio::spawn(async move {
        let _ = ask(&client, &url, "lobby").await;
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_process_is_killed_lapses_and_another_replica_closes_the_breaker() {
    let stage = stage().await;
    let (mut one, other) = (stage.replica().await, stage.replica().await);
    let client = client();
    // The other one knows of nothing until it goes on.
    other.process.signal("STOP");
    stage.livekit.faults().set(Method::ListRooms, Fault::status(503));
    eventually("the breaker opens", async || {
        press(&client, &one).await;
        fields(&stage).await.get("state").filter(|state| *state == "open").cloned()
    })
    .await;
    stage.livekit.faults().set(Method::ListRooms, Fault::slow(Duration::from_mins(1)));
    let (held, until_ms) = eventually("it probes", async || {
        press(&client, &one).await;
        permit(&stage).await
    })
    .await;
    one.process.kill();
    stage.livekit.faults().clear_all();
    assert_eq!(permit(&stage).await, Some((held, until_ms)), "nobody gives the permit back");
    let generation = fields(&stage).await.remove("generation");
    other.process.signal("CONT");
    let closed = eventually("the breaker closes", async || {
        press(&client, &other).await;
        let answer = client.get(other.url(&format!("/v1/breakers/{LOOK}"))).bearer_auth(KEY).send().await.ok()?;
        let told: Value = answer.json().await.ok()?;
        if told["state"] != "closed" {
            assert_eq!(told["generation"].to_string(), *generation.as_ref().expect("a generation"), "{told}");
        }
        (told["state"] == "closed").then_some(told)
    })
    .await;
    assert_eq!(closed["reason"], "recovered", "{closed}");
    let closed_at: u64 = fields(&stage).await["since"].parse().expect("a time");
    assert!(closed_at >= until_ms, "nobody else was let through before the permit lapsed: {closed_at} < {until_ms}");
    let url = other.url("/v1/dispatches");
    eventually("callers are served", async || {
        ask(&client, &url, "lobby").await.ok().filter(|answer| answer.status < 300)
    })
    .await;
}
