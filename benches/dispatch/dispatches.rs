//! Dispatches that are made in numbers: how fast, what each takes in Redis, and how soon a thousand
//! that end together are gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenroom::store::keys::Shard;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::children::{Child, Redis, body};
use super::load::{Connection, Told, micros, post};
use super::table::{Row, Table};

const CONNECTIONS: usize = 64;
/// How long the thousand have still to live when they are told to end together.
const TTL_SECONDS: u32 = 5;

/// Makes `wanted`, weighs them, and has `ending` of them end together.
pub(crate) async fn create_and_end(wanted: usize, ending: usize) {
    let redis = Redis::start().await;
    let replica = Child::replica(&redis);
    replica.until_ready("/readyz").await;
    // The scripts are loaded, and the leader is elected.
    make_over_http(&replica, "first", 1).await;
    let (memory, replica_cpu, redis_cpu) = (redis.memory().await, replica.cpu(), redis.cpu().await);
    let (told, ids) = make_over_http(&replica, "room", wanted).await;
    let row = Row::new(&told).replica_cpu(replica.cpu() - replica_cpu, told.count());
    let row = row.redis_cpu(redis.cpu().await - redis_cpu, told.count());
    let mut table = Table::default();
    table.push(row.named(&format!("creation, {wanted} rooms, {CONNECTIONS} connections, simulated provider")));
    println!();
    table.print();

    let grown = redis.memory().await - memory;
    let events = redis.events(32).await;
    let number = f64::from(u32::try_from(wanted).unwrap_or(u32::MAX));
    println!("\n| memory of Redis per live dispatch, {wanted} made | bytes |\n|---|--:|");
    println!("| all (`used_memory`) | {:.0} |", grown / number);
    println!("| without the history of events, which is bounded | {:.0} |", (grown - events) / number);

    let lags = end_together(&redis, &replica, &ids[..ending]).await;
    let at = |quantile| lags.latencies.value_at_quantile(quantile);
    println!("| p50 | {} |\n| p99 | {} |\n| last | {} |", at(0.5), at(0.99), lags.latencies.max());
}

/// Makes dispatches in rooms of their own, and gives their ids.
async fn make_over_http(replica: &Child, prefix: &str, wanted: usize) -> (Told, Vec<String>) {
    let ask = |room| post(replica.address, "/v1/dispatches", &body(&format!("{prefix}-{room}")));
    let (told, answers) = exchange_all(replica, (0..wanted).map(ask).collect()).await;
    (told, answers.iter().map(|answer| text(answer, "id")).collect())
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().expect("a text").to_owned()
}

/// Sends all requests over some connections, and gives the answers.
async fn exchange_all(replica: &Child, requests: Vec<Vec<u8>>) -> (Told, Vec<Value>) {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let (address, began, mut tasks) = (replica.address, Instant::now(), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.spawn(async move {
            let (mut told, mut answers) = (Told::new(Duration::ZERO), Vec::new());
            let mut connection = Connection::open(address).await;
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                let answer = connection.exchange(request).await;
                told.latencies.record(micros(asked)).expect("in range");
                answers.push(serde_json::from_slice(answer).expect("JSON"));
            }
            (told, answers)
        });
    }
    let (mut all, mut answers) = (Told::new(Duration::ZERO), Vec::with_capacity(requests.len()));
    while let Some(done) = tasks.join_next().await {
        let (told, own) = done.expect("no panic");
        all.latencies.add(told.latencies).expect("in range");
        answers.extend(own);
    }
    all.took = began.elapsed();
    (all, answers)
}

/// Gives dispatches the same time to live, and how late each was gone, in milliseconds of Redis's
/// clock: when it was due, and when the history says that it ended.
async fn end_together(redis: &Redis, replica: &Child, ids: &[String]) -> Told {
    let arm = format!(r#"{{"ttl_seconds":{TTL_SECONDS}}}"#);
    let arm = |id: &String| post(replica.address, &format!("/v1/dispatches/{id}/ttl"), &arm);
    let (_, answers) = exchange_all(replica, ids.iter().map(arm).collect()).await;
    let due = |answer: &Value| {
        let expiry = chrono::DateTime::parse_from_rfc3339(&text(answer, "ttl_expires_at")).expect("a time");
        (text(answer, "id"), expiry.timestamp_millis())
    };
    let mut due_ms: HashMap<String, i64> = answers.iter().map(due).collect();
    let (first, last) = (due_ms.values().min().copied(), due_ms.values().max().copied());
    let spread_ms = last.unwrap_or_default() - first.unwrap_or_default();
    println!(
        "\n| {} that end together, all due within {spread_ms} ms: from due to deleted | ms |\n|---|--:|",
        ids.len()
    );
    let mut told = Told::new(Duration::ZERO);
    let began = Instant::now();
    while !due_ms.is_empty() {
        assert!(began.elapsed() < Duration::from_mins(1), "{} are still there", due_ms.len());
        tokio::time::sleep(Duration::from_millis(500)).await;
        for shard in 0..32 {
            let events: Vec<(String, HashMap<String, String>)> =
                redis.run(&["XRANGE", &Shard(shard).events(), "-", "+"]).await;
            for (_, event) in events.iter().filter(|(_, event)| event["state"] == "ended") {
                let Some(due) = due_ms.remove(&event["id"]) else { continue };
                let late = event["at"].parse::<i64>().expect("a time") - due;
                told.latencies.record(u64::try_from(late).unwrap_or_default().max(1)).expect("in range");
            }
        }
    }
    told
}
