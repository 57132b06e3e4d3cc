//! What greenroom costs, beside the limits of the machine that it runs on: `make bench`.
//!
//! Replica, bare handler and redis-server are processes of their own, and the load comes from this
//! one, all on the same machine. The provider is the replica's own simulation. `GREENROOM_BENCH_SECONDS`
//! is how long each load lasts (3 without it), `GREENROOM_BENCH_DISPATCHES` how many dispatches live in the
//! end (100,000 without it). The tables are Markdown, for `docs/performance.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot be set up ends, and prints a table"
)]

use std::time::Duration;

mod bare;
mod children;
mod dispatches;
mod guarded;
mod load;
mod pools;
mod scale;
mod table;
mod workers;

use children::{Child, Redis};
use load::{Load, Shape};
use table::{Row, Table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The dispatches whose memory is measured, as many as are made at speed.
const DISPATCHES: usize = 10_000;
/// The dispatches that end together.
const ENDING: usize = 1_000;
/// The live dispatches among which scripts are measured; `GREENROOM_BENCH_DISPATCHES` is the last of them.
const LIVE: usize = 100_000;
const LIVE_NUMBERS: [usize; 2] = [10_000, 100_000];
/// The share of the most that was reached at which latency is told.
const EASY: f64 = 0.7;
/// The sizes of the pools whose workers are leased.
const POOLS: [usize; 2] = [10, 10_000];

#[tokio::main]
async fn main() {
    if let Ok(listen) = std::env::var(bare::LISTEN) {
        return bare::serve(listen.parse().expect("an address")).await;
    }
    let seconds = number("GREENROOM_BENCH_SECONDS", 3);
    let lasting = Duration::from_secs(u64::try_from(seconds).expect("a small number"));
    println!(
        "\n{} cores, load from the same machine, {seconds} s a row\n",
        std::thread::available_parallelism().map_or(0, usize::from)
    );

    if is_asked("reuse") {
        reuse_of_live_dispatches(lasting).await;
    }
    if is_asked("create") {
        dispatches::create_and_end(DISPATCHES, ENDING).await;
    }
    if is_asked("pools") {
        pools::lease_and_release(&POOLS, lasting).await;
    }
    if is_asked("workers") {
        workers::one_after_another().await;
    }
    if is_asked("scale") {
        let most = number("GREENROOM_BENCH_DISPATCHES", LIVE);
        let numbers: Vec<usize> = LIVE_NUMBERS.into_iter().filter(|&number| number < most).chain([most]).collect();
        scale::grow(&numbers, lasting).await;
    }
}

/// Whether that part is to be measured: all are, unless one is named.
fn is_asked(part: &str) -> bool {
    std::env::var("GREENROOM_BENCH_PART").map_or(true, |named| named == part)
}

async fn reuse_of_live_dispatches(lasting: Duration) {
    let mut table = Table::default();
    for connections in [1, 64, 512] {
        let limit = bare_handler(connections, lasting).await;
        let script = scale::reuse_alone(connections, lasting).await;
        let reuse = reuse(connections, None, lasting).await;
        let (most, reached) = (limit.per_second, reuse.per_second);
        table.push(limit.named(&format!("limit: bare handler, {}", plural(connections))));
        table.push(script.named(&format!("limit: script of reuse alone, {connections} at once")));
        table.push(reuse.compared_to(most).named(&format!("**reuse, {}**", plural(connections))));
        if connections == 64 {
            let easy = self::reuse(connections, Some(reached * EASY), lasting).await;
            table.push(easy.named("reuse, 64 connections, 70 % of that, open loop"));
            let [unlimited, domain] = reuse_without(connections, lasting).await;
            table.push(unlimited.compared_to(most).named("reuse, 64 connections, without limits"));
            table.push(domain.compared_to(most).named("reuse, 64 connections, without the door"));
        }
    }
    let [bare, guarded] = guarded::calls(lasting).await;
    table.push(bare.named("limit: a call of nothing, within a process"));
    table.push(guarded.named("the same through a breaker that is closed"));
    table.print();
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn plural(connections: usize) -> String {
    if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") }
}

/// A handler without anything behind it, on the server that replicas use.
async fn bare_handler(connections: usize, lasting: Duration) -> Row {
    let bare = Child::bare();
    bare.until_ready("/bare").await;
    let request = load::post(bare.address, "/bare", &children::body("lobby"));
    let load = Load { address: bare.address, requests: vec![request; connections] };
    load.run(Shape::Closed, load::WARM_UP).await;
    let before = bare.cpu();
    let told = load.run(Shape::Closed, lasting).await;
    Row::new(&told).replica_cpu(bare.cpu() - before, told.count())
}

/// `POST /v1/dispatches` on live dispatches, a room to each connection.
async fn reuse(connections: usize, per_second: Option<f64>, lasting: Duration) -> Row {
    let redis = Redis::start().await;
    let replica = Child::replica(&redis);
    replica.until_ready("/readyz").await;
    reuse_of(&replica, &redis, "/v1/dispatches", connections, per_second, lasting).await
}

/// The same without limits; and without any door: neither key nor request id, deadline, metrics and log of requests.
async fn reuse_without(connections: usize, lasting: Duration) -> [Row; 2] {
    let redis = Redis::start().await;
    let replica = Child::replica_with_limit(&redis, 0);
    replica.until_ready("/readyz").await;
    let unlimited = reuse_of(&replica, &redis, "/v1/dispatches", connections, None, lasting).await;
    let redis = Redis::start().await;
    let domain = Child::domain(&redis);
    domain.until_ready("/bare").await;
    [unlimited, reuse_of(&domain, &redis, "/bare", connections, None, lasting).await]
}

async fn reuse_of(
    replica: &Child,
    redis: &Redis,
    path: &str,
    connections: usize,
    per_second: Option<f64>,
    lasting: Duration,
) -> Row {
    let rooms = (0..connections).map(|n| format!("room-{n}"));
    let requests = rooms.map(|room| load::post(replica.address, path, &children::body(&room))).collect();
    let load = Load { address: replica.address, requests };
    load.run(Shape::Closed, load::WARM_UP).await;
    let (replica_before, redis_before) = (replica.cpu(), redis.cpu().await);
    let shape = per_second.map_or(Shape::Closed, Shape::Open);
    let told = load.run(shape, lasting).await;
    let (replica_cpu, redis_cpu) = (replica.cpu() - replica_before, redis.cpu().await - redis_before);
    Row::new(&told).replica_cpu(replica_cpu, told.count()).redis_cpu(redis_cpu, told.count())
}
