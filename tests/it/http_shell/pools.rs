//! Sessions and numbers of a pool over REST, with a runner that the test plays.

use serde_json::{Value, json};

use super::harness::{KEY, Running, Setup, assert_problem, start};

/// A runner that does what it is told, all well; its sessions make five requests each, of which one fails.
#[derive(Default)]
struct Played {
    workers: Vec<Value>,
    report: u64,
}

impl Played {
    /// Until nothing is left to do.
    async fn obey(&mut self, running: &Running) {
        loop {
            self.report += 1;
            let report = json!({"pool": "py", "boot": "first", "report": self.report, "host": "h", "driver": "process",
                "capacity": 9, "workers": self.workers});
            let told = running.call("POST", "/v1/runners/node-1/sync").json(&report).send().await.expect("an answer");
            let told: Value = told.json().await.expect("an answer");
            self.workers.retain(|worker| worker["state"] != "gone");
            let mut did = false;
            for it in told["workers"].as_array().expect("an answer") {
                let is_here = self.workers.iter().any(|worker| worker["id"] == it["id"]);
                let state = match it["action"].as_str().expect("an answer") {
                    "assign" => "busy",
                    "reset" => "ready",
                    "stop" if is_here => "gone",
                    "run" if !is_here => "ready",
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
    running.call("GET", path).send().await.expect("an answer").json().await.expect("an answer")
}

async fn lease(running: &Running, body: Value) -> (u16, Value) {
    let answer = running.call("POST", "/v1/pools/py/leases").json(&body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("an answer"))
}

/// A pool of that many ready workers.
async fn pool_of(running: &Running, spare: u32) -> Played {
    let settings = json!({"spare": spare, "max": spare, "confirm": false, "foresee": false});
    assert_eq!(running.call("PUT", "/v1/pools/py").json(&settings).send().await.expect("an answer").status(), 201);
    let mut played = Played::default();
    played.obey(running).await;
    running.call("PUT", "/v1/pools/py").json(&settings).send().await.expect("an answer");
    played.obey(running).await;
    assert_eq!(get(running, "/v1/pools/py").await["status"]["spare"], spare);
    played
}

async fn renew(running: &Running, lease: &Value) -> reqwest::Response {
    let path = format!("/v1/leases/{}/renew", lease["id"].as_str().expect("an id"));
    running.call("POST", &path).json(&json!({"token": lease["token"]})).send().await.expect("an answer")
}

#[tokio::test]
async fn a_lease_that_redis_has_lost_is_not_told_as_over_before_its_runner_has_told() {
    let running = start(Setup::default()).await;
    let mut played = pool_of(&running, 1).await;
    let (_, lost) = lease(&running, json!({"session": "ann"})).await;
    played.obey(&running).await;
    running.redis.run::<String>(&["FLUSHALL"]).await;
    assert_problem(renew(&running, &lost).await, 503, "store_unavailable").await;
    played.obey(&running).await;
    assert_eq!(renew(&running, &lost).await.status(), 200);
    let path = format!("/v1/leases/{}/release", lost["id"].as_str().expect("an id"));
    let released = running.call("POST", &path).json(&json!({"token": lost["token"]})).send().await;
    assert_eq!(released.expect("an answer").status(), 204);
    let settings = json!({"spare": 1, "max": 1, "confirm": false, "foresee": false});
    running.call("PUT", "/v1/pools/py").json(&settings).send().await.expect("an answer");
    played.obey(&running).await;
    // One of the new store is over where it is not known.
    let (_, next) = lease(&running, json!({})).await;
    let path = format!("/v1/leases/{}/release", next["id"].as_str().expect("an id"));
    running.call("POST", &path).json(&json!({"token": next["token"]})).send().await.expect("an answer");
    assert_problem(renew(&running, &next).await, 409, "lease_lost").await;
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
        seen.extend(page["sessions"].as_array().expect("an answer").clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let leases: Vec<_> = seen.iter().map(|session| session["lease"].clone()).collect();
    assert_eq!(leases, [&named, &keyed, &unnamed].map(|lease| lease["id"].clone()));
    let refused = running.call("GET", "/v1/pools/py/sessions?cursor=x").send().await.expect("an answer");
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
        assert_problem(running.call("GET", path).send().await.expect("an answer"), status, code).await;
    }

    for _ in 0..2 {
        assert_eq!(running.call("DELETE", by_name).send().await.expect("an answer").status(), 204);
    }
    assert_problem(running.call("GET", by_name).send().await.expect("an answer"), 404, "session_not_found").await;
    assert_eq!(get(&running, by_key).await["lease"], keyed["id"], "the key is another session");
    assert_problem(renew(&running, &named).await, 409, "lease_lost").await;
    let worker = get(&running, &format!("/v1/workers/{}", named["worker"].as_str().expect("an answer"))).await;
    assert_eq!((&worker["state"], &worker["reason"]), (&json!("resetting"), &json!("released")));
    // Who waits in line is ended, too.
    assert_eq!(running.call("DELETE", by_key).send().await.expect("an answer").status(), 204);
    assert_eq!(running.call("DELETE", "/v1/pools/none/sessions/ann").send().await.expect("an answer").status(), 204);
    assert_eq!(get(&running, "/v1/pools/py/sessions").await["sessions"].as_array().expect("an answer").len(), 1);
}

#[tokio::test]
async fn a_pool_tells_how_it_does_and_all_pools_at_the_address_of_before() {
    let running = start(Setup::default()).await;
    let mut played = pool_of(&running, 2).await;
    for round in 0..3 {
        let (status, it) = lease(&running, json!({"session": "ann"})).await;
        assert_eq!(status, 201, "{round}: {it}");
        played.obey(&running).await;
        let path = format!("/v1/leases/{}/release", it["id"].as_str().expect("an answer"));
        let release = running.call("POST", &path).json(&json!({"token": it["token"]}));
        assert_eq!(release.send().await.expect("an answer").status(), 204);
        played.obey(&running).await;
    }
    let (_, keyed) = lease(&running, json!({"key": "bert"})).await;
    played.obey(&running).await;
    let path = format!("/v1/leases/{}/release", keyed["id"].as_str().expect("an answer"));
    running.call("POST", &path).json(&json!({"token": keyed["token"]})).send().await.expect("an answer");

    let stats = get(&running, "/v1/pools/py/stats").await;
    let told = |field: &str| stats[field].clone();
    assert_eq!([told("workers_total"), told("workers_with_sessions"), told("spare")], [2, 1, 1].map(|n| json!(n)));
    assert_eq!([told("leased"), told("waiting"), told("keyed"), told("idle")], [1, 0, 1, 1].map(|n| json!(n)));
    assert_eq!((told("sessions_total"), told("reused_total"), told("reuse_rate")), (json!(4), json!(2), json!(0.5)));
    assert_eq!([told("resets_proved"), told("resets_failed")], [json!(3), json!(0)]);
    assert_eq!(
        (told("reset_success_rate"), told("affinity_hits"), told("affinity_misses")),
        (json!(1.0), json!(2), json!(0))
    );
    assert_eq!((&stats["waits"]["served"], &stats["waits"]["waited"]), (&json!(4), &json!(0)));
    let session = &stats["sessions"][0];
    assert_eq!((&session["key"], &session["state"], &session["requests"]), (&json!("bert"), &json!("idle"), &json!(5)));

    let all = get(&running, "/api/v1/containers/pool/stats").await;
    assert_eq!((&all["success"], &all["truncated"]), (&json!(true), &json!(false)));
    let (mut one, mut same) = (stats.clone(), all["pools"][0].clone());
    for it in [&mut one, &mut same] {
        it["sessions"][0]["idle_seconds"].take();
    }
    assert_eq!((one, all["pools"].as_array().expect("an answer").len()), (same, 1));
    assert_problem(running.call("GET", "/v1/pools/none/stats").send().await.expect("an answer"), 404, "pool_not_found")
        .await;
    let refused =
        running.bare("GET", "/api/v1/containers/pool/stats").bearer_auth("nonsense").send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.expect("an answer")["success"], json!(false));

    // Another tenant has pools of its own.
    let key = json!({"name": "k", "scopes": ["pool"], "tenant": "acme"});
    let made = running.bare("POST", "/v1/keys").bearer_auth(KEY).json(&key).send().await.expect("an answer");
    let acme = made.json::<Value>().await.expect("an answer")["secret"].as_str().expect("an answer").to_owned();
    let theirs =
        async |method: &str, path: &str| running.bare(method, path).bearer_auth(&acme).send().await.expect("an answer");
    let all: Value = theirs("GET", "/api/v1/containers/pool/stats").await.json().await.expect("an answer");
    assert_eq!(all["pools"], json!([]));
    assert_eq!(theirs("GET", "/v1/pools/py/sessions/bert?kind=key").await.status(), 404);
    assert_eq!(theirs("DELETE", "/v1/pools/py/sessions/bert?kind=key").await.status(), 204);
    assert_eq!(get(&running, "/v1/pools/py/sessions/bert?kind=key").await["lease"], keyed["id"]);
}

#[tokio::test]
async fn a_pool_that_nobody_uses_is_removed_with_all_its_keys() {
    let running = start(Setup::default()).await;
    let mut played = pool_of(&running, 2).await;
    let (_, it) = lease(&running, json!({"session": "ann"})).await;
    played.obey(&running).await;
    let delete = async || running.call("DELETE", "/v1/pools/py").send().await.expect("an answer");
    assert_problem(delete().await, 409, "pool_in_use").await;
    let drained = json!({"draining": true, "foresee": false});
    running.call("PUT", "/v1/pools/py").json(&drained).send().await.expect("an answer");
    played.obey(&running).await;
    assert_problem(delete().await, 409, "pool_in_use").await;
    assert_eq!(get(&running, "/v1/pools/py/sessions/ann").await["lease"], it["id"], "what is refused changes nothing");
    running.call("DELETE", "/v1/pools/py/sessions/ann").send().await.expect("an answer");
    for _ in 0..2 {
        played.obey(&running).await;
        running.call("PUT", "/v1/pools/py").json(&drained).send().await.expect("an answer");
    }
    assert_eq!(delete().await.status(), 204);
    assert_problem(delete().await, 404, "pool_not_found").await;
    assert_problem(running.call("GET", "/v1/pools/py").send().await.expect("an answer"), 404, "pool_not_found").await;
    assert_eq!(get(&running, "/v1/pools").await["pools"], json!([]));
    for key in running.redis.run::<Vec<String>>(&["KEYS", "*"]).await {
        // What is remembered of the session and of workers that are gone ends by itself.
        let (ttl, kind): (i64, String) =
            (running.redis.run(&["TTL", &key]).await, running.redis.run(&["TYPE", &key]).await);
        let is_house = ["schema", "leader", "events", "shard", "limit", "apikey"].iter().any(|part| key.contains(part));
        assert!(ttl > 0 || is_house, "{key}, {kind}, is left for ever");
    }
    // A runner that is still there makes it again, as it is shipped.
    played.obey(&running).await;
    assert_eq!(get(&running, "/v1/pools/py").await["settings"]["draining"], json!(false));
}
