//! Pools with everything real: replicas behind a balancer, runners, Python workers that keep all they are told, and callers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::runner_desk::{ask, bad, echo};
use crate::support::yard::{Caller, POOL, Yard};
use crate::support::{eventually, size_of_test};

/// What a session had: from when on it knew to when it began to give back, on one clock.
#[derive(Debug, Clone)]
struct Had {
    worker: String,
    token: u64,
    from: Instant,
    to: Instant,
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_sessions_find_nothing_of_each_other_and_most_are_on_workers_that_served_before() {
    let mut yard = Yard::start(1, json!({"spare": 2, "max": 2})).await;
    yard.add_runner(&echo(), 4);
    yard.until_ready(2).await;
    let caller = Caller::of(&yard);
    for session in 0..10 {
        let wish = json!({"wait_seconds": 20, "metadata": format!("metadata-of-{session}"),
            "environment": {"SECRET": format!("secret-of-{session}")}});
        let (status, lease) = caller.lease(wish).await.expect("an answer");
        assert_eq!(status, 201, "{lease}");
        let endpoint = lease["endpoint"].as_str().expect("an address");
        for earlier in 0..session {
            for phrase in
                [format!("phrase-{earlier}-"), format!("secret-of-{earlier}"), format!("metadata-of-{earlier}")]
            {
                let known = ask(endpoint, &format!("/recall?phrase={phrase}"), None).await;
                assert_eq!(known["known_by"], json!([]), "{phrase} in session {session}");
            }
        }
        let phrase = format!("phrase-{session}-");
        ask(endpoint, "/say", Some(json!({"text": phrase}))).await;
        let known = ask(endpoint, &format!("/recall?phrase={phrase}"), None).await;
        assert!(known["known_by"].as_array().is_some_and(|items| items.len() >= 6), "it keeps everything: {known}");
        assert_eq!(caller.release(&lease).await, Some(204));
    }
    let status = yard.until_ready(2).await;
    let count = |field: &str| status[field].as_u64().expect("a number");
    assert_eq!((count("sessions_total"), count("resets_proved"), count("resets_failed")), (10, 10, 0));
    assert!(count("reused_total") >= 8, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_its_worker_calls_over_is_over_and_the_worker_serves_the_next() {
    let mut yard = Yard::start(1, json!({"spare": 1, "max": 1})).await;
    yard.add_runner(&echo(), 2);
    yard.until_ready(1).await;
    let caller = Caller::of(&yard);
    let mut workers = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let (status, lease) = caller.lease(json!({"wait_seconds": 20, "ttl_seconds": 600})).await.expect("an answer");
        assert_eq!(status, 201, "{lease}");
        ask(lease["endpoint"].as_str().expect("an address"), "/leave", Some(json!({}))).await;
        let path = format!("/v1/leases/{}", lease["id"].as_str().expect("an id"));
        eventually("it is over", async || (yard.get(&path).await?["code"] == "lease_not_found").then_some(())).await;
        assert_eq!(caller.release(&lease).await, Some(204), "it was given back already");
        workers.insert(lease["worker"].to_string());
    }
    assert_eq!(workers.len(), 1);
    assert_eq!(yard.until_ready(1).await["resets_proved"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_finds_its_worker_as_it_left_it_and_who_comes_after_it_finds_nothing() {
    let mut yard = Yard::start(1, json!({"spare": 1, "max": 1, "keyed_max": 3})).await;
    yard.add_runner(&echo(), 4);
    yard.until_ready(1).await;
    let caller = Caller::of(&yard);
    let both = caller.lease(json!({"key": "anna", "session": "anna"})).await.expect("an answer");
    assert_eq!((both.0, &both.1["code"]), (422, &json!("invalid_request")));
    let (status, first) = caller.lease(json!({"key": "anna", "wait_seconds": 20})).await.expect("an answer");
    assert_eq!((status, &first["reused"], &first["key"]), (201, &json!(false), &json!("anna")), "{first}");
    let endpoint = first["endpoint"].as_str().expect("an address");
    ask(endpoint, "/say", Some(json!({"text": "phrase-of-anna"}))).await;
    let (status, refused) = caller.lease(json!({"key": "bert"})).await.expect("an answer");
    assert_eq!((status, &refused["code"]), (429, &json!("keys_in_use")), "{refused}");
    let known = async || {
        let known = ask(endpoint, "/recall?phrase=phrase-of-anna", None).await;
        known["known_by"].as_array().map(Vec::len)
    };
    for _ in 0..2 {
        assert_eq!(caller.release(&first).await, Some(204));
        let path = format!("/v1/leases/{}", first["id"].as_str().expect("an id"));
        assert_eq!(yard.get(&path).await.expect("a lease")["state"], "idle");
        let (status, again) = caller.lease(json!({"key": "anna"})).await.expect("an answer");
        assert_eq!((status, &again["reused"]), (200, &json!(true)), "{again}");
        assert_eq!((&again["id"], &again["token"]), (&first["id"], &first["token"]));
        assert!(known().await > Some(0), "it is as it was");
    }
    // Redis forgets; the runner does not.
    yard.redis.run::<String>(&["FLUSHALL"]).await;
    let path = format!("/v1/leases/{}", first["id"].as_str().expect("an id"));
    eventually("the lease is known again", async || yard.get(&path).await?.get("token").cloned()).await;
    let (status, again) = caller.lease(json!({"key": "anna"})).await.expect("an answer");
    assert_eq!((status, &again["reused"]), (200, &json!(true)), "{again}");
    assert_eq!((&again["id"], &again["token"]), (&first["id"], &first["token"]));
    assert!(yard.put(&format!("/v1/pools/{POOL}"), json!({"spare": 1, "max": 1})).await < 300);
    // Another key takes its place, on the same worker, which knows nothing any more.
    assert_eq!(caller.release(&again).await, Some(204));
    let (status, other) = caller.lease(json!({"key": "bert", "wait_seconds": 20})).await.expect("an answer");
    assert_eq!((status, &other["worker"]), (201, &first["worker"]), "{other}");
    assert_eq!(known().await, Some(0));
    let path = format!("/v1/leases/{}/renew", again["id"].as_str().expect("an id"));
    // Certain only once all runners had their time to tell.
    eventually("it is over", async || {
        let late = caller.post(&path, json!({"token": again["token"]}));
        (late.await?.1["code"] == "lease_lost").then_some(())
    })
    .await;
    assert_eq!((caller.release(&again).await, caller.release(&other).await), (Some(204), Some(204)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lies_about_its_reset_is_discarded() {
    let mut yard = Yard::start(1, json!({"spare": 1, "max": 2})).await;
    yard.add_runner(&bad("lies"), 4);
    yard.until_ready(1).await;
    let caller = Caller::of(&yard);
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (status, lease) = caller.lease(json!({"wait_seconds": 20})).await.expect("an answer");
        assert_eq!(status, 201, "{lease}");
        assert_eq!(caller.release(&lease).await, Some(204));
        let worker = lease["worker"].as_str().expect("a worker").to_owned();
        eventually("it is gone", async || {
            let told = yard.get(&format!("/v1/workers/{worker}")).await?;
            let reasons: Vec<_> = told["history"].as_array()?.iter().map(|step| step["reason"].clone()).collect();
            (told["state"] == "terminated" && reasons.contains(&json!("reset_failed"))).then_some(())
        })
        .await;
        workers.push(worker);
    }
    assert_ne!(workers[0], workers[1]);
    assert_eq!(yard.until_ready(1).await["resets_proved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_starts_what_it_needs_and_nobody_waits_beyond_the_deadline() {
    let mut yard = Yard::start(1, json!({"spare": 1, "max": 4, "cool_down_ms": 600_000})).await;
    yard.add_runner(&echo(), 10);
    yard.until_ready(1).await;
    let caller = Caller::of(&yard);
    let began = Instant::now();
    let asking = (0..10).map(|_| caller.lease(json!({"wait_seconds": 6, "ttl_seconds": 600})));
    let answers = futures_util::future::join_all(asking).await;
    let codes: Vec<u16> = answers.iter().map(|answer| answer.as_ref().map_or(0, |(status, _)| *status)).collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 4, "as many as there may be: {codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 429).count(), 6, "the others hear it clearly: {codes:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "the wait was six seconds");
    for (_, body) in answers.iter().flatten().filter(|(status, _)| *status == 429) {
        assert_eq!(body["code"], "no_ready_worker", "{body}");
    }
    let status = yard.status().await.expect("a status");
    let starts: u64 =
        status["plans"].as_array().expect("plans").iter().filter_map(|plan| plan["starts"].as_u64()).sum();
    assert_eq!(starts, 4, "{status}");
    for (_, lease) in answers.iter().flatten().filter(|(status, _)| *status == 201) {
        assert_eq!(caller.release(lease).await, Some(204));
    }
    yard.until_ready(4).await;
}

/// Clients race for workers while runners, workers and replicas are killed and stalled.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_one_session_at_a_time_whatever_dies() {
    let settings = json!({"spare": 8, "max": 8, "starts_max": 8, "sessions_max": 1_000_000, "cool_down_ms": 600_000});
    let mut yard = Yard::start(3, settings).await;
    yard.add_runner(&echo(), 4);
    yard.add_runner(&echo(), 4);
    yard.until_ready(8).await;
    let (history, refused) = (Arc::new(Mutex::new(Vec::<Had>::new())), Arc::new(Mutex::new(HashMap::new())));
    let stop = CancellationToken::new();
    let clients: Vec<_> = (0..size_of_test("GREENROOM_TEST_POOL_CLIENTS", 24))
        .map(|n| {
            let (caller, stop) = (Caller::of(&yard), stop.clone());
            let (history, refused) = (Arc::clone(&history), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut turn = 0;
                while !stop.is_cancelled() {
                    turn += 1;
                    let wish = json!({"session": format!("{n}.{turn}"), "wait_seconds": 5, "ttl_seconds": 5});
                    let Some((status, lease)) = caller.lease(wish).await else { continue };
                    if status != 201 {
                        *refused.lock().expect("no panic").entry(status).or_insert(0) += 1;
                        tokio::time::sleep(Duration::from_millis(rand::random_range(5..50))).await;
                        continue;
                    }
                    let from = Instant::now();
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..80))).await;
                    let worker = lease["worker"].as_str().expect("a worker").to_owned();
                    let token = lease["token"].as_u64().expect("a token");
                    history.lock().expect("no panic").push(Had { worker, token, from, to: Instant::now() });
                    for _ in 0..3 {
                        if caller.release(&lease).await.is_some_and(|status| status < 500) {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for round in 0..size_of_test("GREENROOM_TEST_POOL_ROUNDS", 1) {
        let had = history.lock().expect("no panic").len();
        let more = async |count: usize| {
            eventually("sessions come and go", async || {
                (history.lock().expect("no panic").len() >= had + count).then_some(())
            })
            .await;
        };
        more(30).await;
        // A worker dies; a replica stalls, another dies with a runner.
        let workers = yard.get(&format!("/v1/pools/{POOL}/workers")).await.expect("workers");
        if let Some(pid) = workers["workers"][0]["pid"].as_u64() {
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        more(60).await;
        yard.replicas[1].process.signal("STOP");
        more(80).await;
        yard.replicas[1].process.signal("CONT");
        if round == 0 {
            yard.replicas[2].process.kill();
        }
        let last = yard.runners.len() - 1;
        yard.runners[last].kill();
        yard.add_runner(&echo(), 4);
        more(110).await;
    }
    stop.cancel();
    for client in clients {
        client.await.expect("no panic");
    }
    let status = yard.until_ready(8).await;
    let mut had = history.lock().expect("no panic").clone();
    eprintln!("{} sessions, refused {:?}; {status}", had.len(), refused.lock().expect("no panic"));
    had.sort_by_key(|had| had.from);
    let mut by_worker: HashMap<&str, Vec<&Had>> = HashMap::new();
    for it in &had {
        by_worker.entry(&it.worker).or_default().push(it);
    }
    for sessions in by_worker.values() {
        for pair in sessions.windows(2) {
            assert!(pair[0].to < pair[1].from, "two had one worker: {pair:?}");
            assert!(pair[0].token < pair[1].token, "tokens only grow: {pair:?}");
        }
    }
    let left: Vec<String> = yard.redis.run(&["KEYS", "gr:*:lease:*"]).await;
    assert_eq!(left, Vec::<String>::new(), "no lease is left behind");
}
