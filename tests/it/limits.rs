//! One limit over real replicas.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method as Verb;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::replica::{House, Plan};

const LIMIT: u64 = 100;
const LASTING: Duration = Duration::from_millis(2900);

async fn make_key(house: &House, rate_limit: Option<u64>) -> String {
    let body = json!({"name": "web", "scopes": ["read"], "rate_limit_per_second": rate_limit});
    let made = house.call(Verb::POST, "/v1/keys", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.body["secret"].as_str().expect("a key").to_owned()
}

async fn status(client: &Client, key: &str, url: String) -> u16 {
    let answer = client.get(url).bearer_auth(key).send().await.expect("an answer");
    let status = answer.status().as_u16();
    assert!(status < 500, "{}", answer.text().await.unwrap_or_default());
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_share_one_limit_and_another_key_has_its_own() {
    let house = Plan::default().replicas(3).set("GREENROOM_REDIS_COMMAND_TIMEOUT_MS", "5000").start().await;
    let (busy, calm) = (make_key(&house, Some(LIMIT)).await, make_key(&house, None).await);
    let served: &'static AtomicU64 = Box::leak(Box::default());
    let refused: &'static AtomicU64 = Box::leak(Box::default());
    // From the start of a second on, so that they are whole ones.
    let (before, micros): (u64, u64) = house.redis.run(&["TIME"]).await;
    tokio::time::sleep(Duration::from_micros(1_000_000 - micros)).await;
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for n in 0..6 {
        let (client, key, url) = (Client::patient(), busy.clone(), house.url(n % 3, "/v1/agents/guide"));
        callers.spawn(async move {
            while began.elapsed() < LASTING {
                let counter = match status(&client, &key, url.clone()).await {
                    200 => served,
                    429 => refused,
                    other => panic!("{other}"),
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (client, mut calls) = (Client::patient(), 0);
    while began.elapsed() < LASTING {
        assert_eq!(
            status(&client, &calm, house.url(calls % 3, "/v1/agents/guide")).await,
            200,
            "nobody else is refused"
        );
        calls += 1;
    }
    callers.join_all().await;
    // Each second of Redis that they called in, whole or in part.
    let (last, _): (u64, u64) = house.redis.run(&["TIME"]).await;
    let seconds = last - before;
    let (served, refused) = (served.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert!(served <= LIMIT * seconds, "{served} in {seconds} s");
    // At most a part and a half lapses on each replica: what is lent to one, others cannot use.
    assert!(served >= LIMIT * LASTING.as_secs() * 3 / 4, "{served} in {seconds} s, {refused} refused");
    assert!(refused > 0, "they were not fast enough to be a trial: {served} in {seconds} s");
}
