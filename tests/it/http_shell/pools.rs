//! Sessions of a pool over REST, with a runner that the test plays.

use serde_json::{Value, json};

use super::harness::{Running, Setup, assert_problem, start};

/// A runner that does what it is told, all well; its sessions make five requests each, of which one fails.
#[derive(Default)]
struct Played {
    workers: Vec<Value>,
}

impl Played {
    /// Until nothing is left to do.
    async fn obey(&mut self, running: &Running) {
        loop {
            let report =
                json!({"pool": "py", "host": "h", "driver": "process", "capacity": 9, "workers": self.workers});
            let told = running.call("POST", "/v1/runners/node-1/sync").json(&report).send().await.unwrap();
            let told: Value = told.json().await.unwrap();
            self.workers.retain(|worker| worker["state"] != "gone");
            let mut did = false;
            for it in told["workers"].as_array().unwrap() {
                let state = match it["action"].as_str().unwrap() {
                    "assign" => "busy",
                    "reset" => "ready",
                    "stop" => "gone",
                    "run" if !self.workers.iter().any(|worker| worker["id"] == it["id"]) => "ready",
                    _ => continue,
                };
                let mut worker = json!({"id": it["id"], "state": state, "done": true, "memory_bytes": 1_000_000});
                if state != "gone" && it["action"] != "run" {
                    worker["instruction"] = it["instruction"].clone();
                }
                if let Some(assignment) = it["assignment"].as_object() {
                    (worker["lease"], worker["session"]) = (assignment["lease"].clone(), assignment["session"].clone());
                    worker["keyed"] = assignment.get("keyed").cloned().unwrap_or(json!(false));
                    (worker["requests"], worker["errors"]) = (json!(5), json!(1));
                }
                self.workers.retain(|known| known["id"] != it["id"]);
                self.workers.push(worker);
                did = true;
            }
            if !did {
                return;
            }
        }
    }
}

async fn get(running: &Running, path: &str) -> Value {
    running.call("GET", path).send().await.unwrap().json().await.unwrap()
}

async fn lease(running: &Running, body: Value) -> (u16, Value) {
    let answer = running.call("POST", "/v1/pools/py/leases").json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A pool of that many ready workers.
async fn pool_of(running: &Running, spare: u32) -> Played {
    let settings = json!({"spare": spare, "max": spare, "confirm": false, "foresee": false});
    assert_eq!(running.call("PUT", "/v1/pools/py").json(&settings).send().await.unwrap().status(), 201);
    let mut played = Played::default();
    played.obey(running).await;
    running.call("PUT", "/v1/pools/py").json(&settings).send().await.unwrap();
    played.obey(running).await;
    assert_eq!(get(running, "/v1/pools/py").await["status"]["spare"], spare);
    played
}

#[tokio::test]
async fn sessions_are_listed_looked_at_and_ended_by_name_and_by_key() {
    let running = start(Setup::default()).await;
    let mut played = pool_of(&running, 3).await;
    let (_, named) = lease(&running, json!({"session": "ann b"})).await;
    let (_, keyed) = lease(&running, json!({"key": "ann b"})).await;
    let (_, unnamed) = lease(&running, json!({})).await;
    played.obey(&running).await;
    assert_eq!(lease(&running, json!({"session": "ann b"})).await.0, 200, "it is there");

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&running, &format!("/v1/pools/py/sessions?limit=2{cursor}")).await;
        seen.extend(page["sessions"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let leases: Vec<_> = seen.iter().map(|session| session["lease"].clone()).collect();
    assert_eq!(leases, [&named, &keyed, &unnamed].map(|lease| lease["id"].clone()));
    let refused = running.call("GET", "/v1/pools/py/sessions?cursor=x").send().await.unwrap();
    assert_problem(refused, 400, "bad_cursor").await;

    let (by_name, by_key) = ("/v1/pools/py/sessions/ann%20b", "/v1/pools/py/sessions/ann%20b?kind=key");
    let one = get(&running, by_name).await;
    assert_eq!((&one["session"], &one["key"], &one["lease"]), (&json!("ann b"), &Value::Null, &named["id"]));
    assert_eq!((&one["state"], &one["worker"]), (&json!("held"), &named["worker"]));
    assert_eq!((&one["requests"], &one["errors"], &one["memory_bytes"]), (&json!(5), &json!(1), &json!(1_000_000)));
    assert_eq!((&one["health"], &one["consecutive_failures"]), (&json!("healthy"), &json!(0)));
    let other = get(&running, by_key).await;
    assert_eq!((&other["session"], &other["key"], &other["lease"]), (&Value::Null, &json!("ann b"), &keyed["id"]));
    for (path, status, code) in [
        ("/v1/pools/py/sessions/bert", 404, "session_not_found"),
        ("/v1/pools/py/sessions/bert?kind=key", 404, "session_not_found"),
        ("/v1/pools/none/sessions/ann", 404, "session_not_found"),
        ("/v1/pools/py/sessions/ann?kind=worker", 422, "invalid_request"),
    ] {
        assert_problem(running.call("GET", path).send().await.unwrap(), status, code).await;
    }

    for _ in 0..2 {
        assert_eq!(running.call("DELETE", by_name).send().await.unwrap().status(), 204);
    }
    assert_problem(running.call("GET", by_name).send().await.unwrap(), 404, "session_not_found").await;
    assert_eq!(get(&running, by_key).await["lease"], keyed["id"], "the key is another session");
    let renewal = running.call("POST", &format!("/v1/leases/{}/renew", named["id"].as_str().unwrap()));
    let renewal = renewal.json(&json!({"token": named["token"]})).send().await.unwrap();
    assert_problem(renewal, 409, "lease_lost").await;
    let worker = get(&running, &format!("/v1/workers/{}", named["worker"].as_str().unwrap())).await;
    assert_eq!((&worker["state"], &worker["reason"]), (&json!("resetting"), &json!("released")));
    // Who waits in line is ended, too.
    assert_eq!(running.call("DELETE", by_key).send().await.unwrap().status(), 204);
    assert_eq!(running.call("DELETE", "/v1/pools/none/sessions/ann").send().await.unwrap().status(), 204);
    assert_eq!(get(&running, "/v1/pools/py/sessions").await["sessions"].as_array().unwrap().len(), 1);
}
