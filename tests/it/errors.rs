//! Failures in their groups, over REST: those that are reported, and those of the service itself.

use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::{Value, json};

use crate::standin::{Fault, Method, WorkerBehaviour};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::replica::{AGENT, House, Plan, ROOM};

async fn report(house: &House, body: Value) -> (u16, Value) {
    let answer = house.call(Verb::POST, "/v1/errors", Some(body)).await;
    (answer.status, answer.body)
}

async fn listed(house: &House, query: &str) -> Vec<Value> {
    let answer = house.call(Verb::GET, &format!("/v1/errors{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["errors"].as_array().expect("groups").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_to_any_replica_is_one_group() {
    let house = Plan::default().replicas(3).start().await;
    for n in 0..6_u64 {
        let message = format!("connect ETIMEDOUT 10.0.0.{n}:443 after {}ms in \"room-{n}\"", n * 1000);
        let body = json!({"operation": "tts.synthesize", "message": message, "code": "ETIMEDOUT", "service": "voice",
            "stack": "at speak (tts.js:1)\nat run", "context": {"room": format!("room-{n}"), "token": "s3cret"}});
        let (status, reported) = report(&house, body).await;
        assert_eq!(status, if n == 0 { 201 } else { 200 }, "{reported}");
        assert_eq!((&reported["category"], &reported["count"]), (&json!("timeout"), &json!(n + 1)));
        assert_eq!((&reported["severity"], &reported["retryable"]), (&json!("medium"), &json!(true)));
        assert!(reported["user_message"].as_str().is_some_and(|text| !text.contains("timeout")), "{reported}");
    }
    let (status, other) = report(
        &house,
        json!({"operation": "tts.synthesize", "message": "no", "category": "auth", "severity": "critical"}),
    )
    .await;
    assert_eq!((status, &other["severity"]), (201, &json!("critical")));

    let groups = listed(&house, "").await;
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert_eq!(groups[0]["id"], other["id"], "the one seen last is first");
    let timeouts = listed(&house, "?category=timeout&severity=medium&operation=tts.synthesize").await;
    assert_eq!(timeouts.len(), 1);
    assert_eq!(timeouts[0]["message"], "connect ETIMEDOUT <address> after <duration> in <text>");
    assert!(listed(&house, "?category=network").await.is_empty());

    let path = format!("/v1/errors/{}", timeouts[0]["id"].as_str().expect("an id"));
    let group = house.call(Verb::GET, &path, None).await.body;
    let in_hour: u64 = group["trend"]["per_minute"].as_array().expect("minutes").iter().filter_map(Value::as_u64).sum();
    assert_eq!((in_hour, &group["trend"]["direction"]), (6, &json!("rising")));
    let samples = group["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 3);
    assert_eq!(samples[0]["context"], json!({"room": "room-5", "token": "<secret>"}));
    assert_eq!(samples[0]["stack"], "at speak (tts.js:1)\nat run");

    assert_eq!(house.call(Verb::DELETE, &path, None).await.status, 204);
    house.call(Verb::GET, &path, None).await.has_problem(404, "error_not_found");
    house.call(Verb::DELETE, &path, None).await.has_problem(404, "error_not_found");
    assert_eq!(listed(&house, "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_distinct_failures_keep_to_the_bound_and_come_in_pages() {
    let house = Plan::default().set("GREENROOM_ERRORS_GROUPS_PER_TENANT_MAX", "12").start().await;
    let letters = "abcdefghijklmnopqrst";
    for letter in letters.chars() {
        let (status, _) = report(&house, json!({"operation": "o", "message": format!("word {letter}")})).await;
        assert_eq!(status, 201);
    }
    let (mut cursor, mut seen) = (String::new(), String::new());
    loop {
        let page = house.call(Verb::GET, &format!("/v1/errors?limit=5{cursor}"), None).await.body;
        let groups = page["errors"].as_array().expect("groups").iter();
        seen.extend(groups.map(|group| group["message"].as_str().expect("a text").chars().last().expect("a letter")));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let newest: String = letters.chars().rev().take(12).collect();
    assert_eq!(seen, newest);
    let keys: Vec<String> = house.redis.run(&["KEYS", "gr:*:error:*"]).await;
    assert_eq!(keys.len(), 12);
    house.call(Verb::GET, "/v1/errors?cursor=eA", None).await.has_problem(400, "bad_cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_s_outage_is_seen_in_the_error_reports() {
    let house = Plan::default().set("GREENROOM_DISPATCH_CREATION_BACKOFF_MS", "10").start().await;
    house.standin.add_worker(AGENT, WorkerBehaviour::long_lived());
    house.standin.faults().set(Method::CreateDispatch, Fault::status(503));
    house.ask(ROOM).await.is_refused("provider_unavailable");
    let of = async |operation: &str| {
        eventually(operation, async || {
            let groups = listed(&house, "?category=dependency").await;
            groups.into_iter().find(|group| group["operation"] == operation)
        })
        .await
    };
    let calls = of("provider.create").await;
    assert!(calls["count"].as_u64().is_some_and(|count| count >= 1), "{calls}");
    assert_eq!(
        (&calls["severity"], &calls["retryable"], &calls["service"]),
        (&json!("high"), &json!(true), &json!(null))
    );
    let requests = of("POST /v1/dispatches").await;
    assert_eq!(requests["code"], "provider_unavailable");
    // What a caller did wrong is its own business.
    house.call(Verb::POST, "/v1/dispatches", Some(json!({"room": ""}))).await.has_problem(422, "invalid_request");
    let all = listed(&house, "").await;
    assert!(all.iter().all(|group| group["code"] != "invalid_request"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_while_redis_was_away_is_told_when_it_is_back() {
    let mut house = Plan::default().set("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "300").start().await;
    house.redis.kill();
    house.ask(ROOM).await.is_refused("store_unavailable");
    house.redis.restart_empty(Duration::ZERO).await;
    house.until_all_serve(ROOM).await;
    eventually("the failure is told", async || {
        let groups = house.call(Verb::GET, "/v1/errors?severity=critical", None).await;
        let groups = groups.body["errors"].as_array()?.clone();
        groups.into_iter().find(|group| group["operation"] == "POST /v1/dispatches")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_the_operator_are_told_in_the_caller_s_language() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("texts.toml");
    std::fs::write(
        &file,
        "[de.codes.dispatch_not_found]\nuser_message = 'Diese Sitzung ist vorbei.'\nsuggestions = ['Neu laden.']\n\
         [de.categories.timeout]\nuser_message = 'Das hat zu lange gedauert.'\n",
    )
    .expect("a file");
    let house = Plan::default().set("GREENROOM_ERRORS_TEXTS_FILE", &file.to_string_lossy()).start().await;
    let client = Client::patient();
    let ask = async |verb: Verb, path: &str, language: &str| -> Value {
        let request = client.request(verb, house.url(0, path)).bearer_auth("a-key-for-tests");
        request.header("accept-language", language).send().await.expect("an answer").json().await.expect("JSON")
    };
    let unknown = "/v1/dispatches/dsp_1_0198c5d0000070008000000000000000";
    let german = ask(Verb::GET, unknown, "fr, de-CH;q=0.9, en;q=0.5").await;
    assert_eq!(german["user_message"], "Diese Sitzung ist vorbei.");
    assert_eq!((&german["suggestions"], &german["code"]), (&json!(["Neu laden."]), &json!("dispatch_not_found")));
    let english = ask(Verb::GET, unknown, "en, de;q=0.5").await;
    assert_eq!(english["user_message"], "This session has ended. Please reload the page.");
    let rules = ask(Verb::GET, "/v1/errors/rules", "de").await;
    let timeout = rules["categories"].as_array().expect("rules").iter().find(|rule| rule["category"] == "timeout");
    assert_eq!(timeout.expect("it is there")["user_message"], "Das hat zu lange gedauert.");
    assert_eq!(rules["categories"].as_array().map(Vec::len), Some(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_under_a_key_counts_once() {
    let house = House::start().await;
    let client = Client::patient();
    let send = async |replica: usize, message: &str| {
        let request = client.post(house.url(replica, "/v1/errors")).bearer_auth("a-key-for-tests");
        let request = request.header("idempotency-key", "once").json(&json!({"operation": "o", "message": message}));
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let first = send(0, "it broke").await;
    assert_eq!((first.0, &first.1["count"]), (201, &json!(1)));
    assert_eq!(send(1, "it broke").await, first);
    assert_eq!(send(1, "something else").await.1["code"], "idempotency_key_reused");
    assert_eq!(listed(&house, "").await[0]["count"], 1);
}
