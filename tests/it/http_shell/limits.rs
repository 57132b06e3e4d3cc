//! How often callers may call, as they are told it.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};

use super::access::scripts_called;
use super::harness::{KEY, Running, Setup, assert_problem, start};
use crate::support::eventually;

async fn with_limit(rate_limit: u32) -> Running {
    start(Setup { rate_limit, ..Setup::default() }).await
}

async fn look(running: &Running, key: &str) -> Response {
    running.bare("GET", "/v1/dispatches?limit=1").bearer_auth(key).send().await.unwrap()
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Asks within one second of Redis, from its start on.
async fn at_the_start_of_a_second(running: &Running) {
    let (_, micros): (u64, u64) = running.redis.run(&["TIME"]).await;
    tokio::time::sleep(Duration::from_micros(1_001_000 - micros)).await;
}

#[tokio::test]
async fn a_key_is_told_its_limit_and_what_is_left_and_refused_beyond() {
    let running = with_limit(5).await;
    // Seconds that this machine was too slow in are no trial.
    let refused = eventually("six calls within a second", async || {
        at_the_start_of_a_second(&running).await;
        for left in (0..5).rev() {
            let answer = look(&running, KEY).await;
            let told = (header(&answer, "ratelimit"), header(&answer, "ratelimit-policy"));
            if (answer.status() != 200) || told.0 != format!("\"key\";r={left};t=1") {
                return None;
            }
            assert_eq!(told.1, "\"key\";q=5;w=1");
        }
        let sixth = look(&running, KEY).await;
        (sixth.status() == 429).then_some(sixth)
    })
    .await;
    assert_eq!(
        (header(&refused, "retry-after"), header(&refused, "ratelimit")),
        ("1".into(), "\"key\";r=0;t=1".into())
    );
    assert_problem(refused, 429, "rate_limited").await;
    let metrics = running.bare("GET", "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("greenroom_rate_limited_total{limit=\"key\"}"), "{metrics}");
    eventually("the next second is open", async || (look(&running, KEY).await.status() == 200).then_some(())).await;
}

#[tokio::test]
async fn a_key_may_have_a_limit_of_its_own() {
    let running = with_limit(1000).await;
    let new = json!({"name": "slow", "scopes": ["read"], "rate_limit_per_second": 3});
    let made: Value = running.post("/v1/keys", new.to_string()).await.json().await.unwrap();
    assert_eq!(made["rate_limit_per_second"], 3);
    let (slow, id) = (made["secret"].as_str().unwrap(), made["id"].as_str().unwrap());
    let shown: Value = running.call("GET", &format!("/v1/keys/{id}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["rate_limit_per_second"], 3);
    let answer = look(&running, slow).await;
    assert_eq!(header(&answer, "ratelimit-policy"), "\"key\";q=3;w=1");
    eventually("it is too fast", async || (look(&running, slow).await.status() == 429).then_some(())).await;
    assert_eq!(look(&running, KEY).await.status(), 200, "nobody else is");
    // What is not allowed counts as well, and is told so.
    let forbidden = running.bare("GET", "/v1/keys").bearer_auth(slow);
    let forbidden = forbidden.send().await.unwrap();
    assert!([403, 429].contains(&forbidden.status().as_u16()) && forbidden.headers().contains_key("ratelimit"));
}

#[tokio::test]
async fn where_there_is_no_limit_none_is_told_and_redis_is_not_asked() {
    let running = with_limit(0).await;
    let answer = look(&running, KEY).await;
    assert!(answer.status() == 200 && !answer.headers().contains_key("ratelimit"), "{answer:?}");
    assert_eq!(running.redis.run::<Vec<String>>(&["KEYS", "*:limit:*"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_limit_costs_a_script_call_for_a_twentieth_of_it() {
    let running = with_limit(2000).await;
    let body = json!({"room": "lobby", "agent": "guide"}).to_string();
    assert_eq!(running.post("/v1/dispatches", body.clone()).await.status(), 201);
    running.redis.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let (began, asked) = (Instant::now(), 500);
    for _ in 0..asked {
        assert_eq!(running.post("/v1/dispatches", body.clone()).await.status(), 200);
    }
    // A part begun in each second that this took, and a part for each hundred calls; each one ahead of need. And in
    // each second one question goes on to the whole script.
    let borrowed_max = 3 * (began.elapsed().as_secs() + 1) + asked / 100 + 1;
    let called = scripts_called(&running).await;
    assert!((asked + 1..=asked + borrowed_max).contains(&called), "{called} for {asked}, {borrowed_max} loans at most");
}

#[tokio::test]
async fn an_address_that_shows_wrong_keys_is_in_no_good_keys_way() {
    let running = start(Setup { wrong_keys: 3, ..Setup::default() }).await;
    let made: Value = {
        let new = json!({"name": "good", "scopes": ["read"]}).to_string();
        running.post("/v1/keys", new).await.json().await.unwrap()
    };
    let good = made["secret"].as_str().unwrap();
    assert_eq!(look(&running, good).await.status(), 200);
    let refused = eventually("it is too fast", async || {
        let answer = look(&running, "nonsense").await;
        assert!([401, 429].contains(&answer.status().as_u16()), "{answer:?}");
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert!(!refused.headers().contains_key("ratelimit"), "whose limit it is nobody knows");
    assert_problem(refused, 429, "rate_limited").await;
    for key in [good, KEY] {
        assert_eq!(look(&running, key).await.status(), 200);
    }
    // Neither what asks how the service does, nor a call without any key where none is needed.
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(running.bare("GET", path).send().await.unwrap().status(), 200, "{path}");
    }
    running.redis.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    let (mut refused, mut looked_up_max) = (0, 0);
    let began = Instant::now();
    for n in 0..100 {
        // Each of its own, in the form of a key: what would be looked up.
        let unknown = format!("grk_1_0198c5d00000700080000000000{n:05}.{}", good.split_once('.').unwrap().1);
        match look(&running, &unknown).await.status().as_u16() {
            429 => refused += 1,
            status => assert_eq!(status, 401),
        }
    }
    looked_up_max += 3 * (began.elapsed().as_secs() + 2);
    assert!(refused > 0 && scripts_called(&running).await <= looked_up_max, "{refused} refused");
}

#[tokio::test]
async fn behind_a_proxy_an_address_is_what_the_proxy_says() {
    let mut setup = Setup { wrong_keys: 2, ..Setup::default() };
    setup.settings.trusted_proxies = 1;
    let running = start(setup).await;
    let from = async |forwarded: &str| {
        let request = running.bare("GET", "/v1/dispatches").header("x-forwarded-for", forwarded);
        request.send().await.unwrap().status().as_u16()
    };
    let mut made_up = 0_u8;
    eventually("one is too fast, whatever it makes up", async || {
        made_up = made_up.wrapping_add(1);
        (from(&format!("10.0.0.{made_up}, 192.0.2.1")).await == 429).then_some(())
    })
    .await;
    assert_eq!(from("192.0.2.1, 192.0.2.2").await, 401, "another is not");
}

#[tokio::test]
async fn without_redis_a_replica_counts_alone() {
    let mut running = with_limit(40).await;
    assert_eq!(look(&running, KEY).await.status(), 200);
    running.redis.kill();
    // Refused for its body, after the caller was let in; Redis is not asked.
    let ask = async || {
        let request = running.call("POST", "/v1/dispatches").json(&json!({}));
        request.send().await.unwrap().status().as_u16()
    };
    let (began, mut served, mut refused) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(3) {
        match ask().await {
            422 => served += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    // A part of the second before, and three or four seconds: never more than the limit in each.
    let seconds = began.elapsed().as_secs() + 2;
    assert!((40..=40 * seconds).contains(&served), "{served} in {seconds} s");
    assert!(refused > 0, "so fast a caller is refused: {served} served");
}
