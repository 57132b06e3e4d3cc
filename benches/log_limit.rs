//! What a line of the log costs: written, folded, dropped, and at a level that is off, beside the same log without the
//! limiter. `cargo bench --bench log_limit`; the table is Markdown, for `docs/performance.md`.
//!
//! Lines are formatted as JSON, and go nowhere: a write to a file or a pipe would come on top of what is written.
#![expect(clippy::print_stdout, reason = "a bench prints a table")]

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use greenroom::telemetry::LogLimit;
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing::field::Empty;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The lines of a round; the best of the rounds is told.
const LINES: u32 = 200_000;
const ROUNDS: u32 = 9;
/// More than can be logged in a second, so that everything is written.
const UNLIMITED: u32 = 20_000_000;
const BUDGET: u32 = 400;

fn main() {
    println!(
        "\n| a line of the log, {LINES} a round, the best of {ROUNDS} | ns, 1 thread | ns, 2 threads |\n|---|--:|--:|"
    );
    row("limit: written without the limiter", || log(None), kept);
    row("written, always kept", || log(Some(LogLimit::new(UNLIMITED, true))), kept);
    row("written, aggregation off", || log(Some(LogLimit::new(UNLIMITED, false))), ordinary);
    row("folded", || log(Some(LogLimit::new(BUDGET, true))), ordinary);
    row("folded, of a kind with values (a request)", || log(Some(LogLimit::new(BUDGET, true))), request);
    row("dropped", || log(Some(LogLimit::new(BUDGET, false))), ordinary);
    row("limit: a level that is off, without the limiter", || log(None), off);
    row("a level that is off", || log(Some(LogLimit::new(BUDGET, true))), off);
}

/// A log as `greenroom serve` has it.
fn log(limit: Option<LogLimit>) -> Dispatch {
    let filter = EnvFilter::new("info");
    let json = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::sink).json().flatten_event(true);
    match limit {
        Some(limit) => json.finish().with(limit).into(),
        None => json.finish().into(),
    }
}

fn row(name: &str, log: impl Fn() -> Dispatch, line: fn(u32)) {
    let [one, two] = [1, 2].map(|threads| {
        let rounds = (0..ROUNDS).map(|_| round(&log(), threads, line));
        rounds.min().unwrap_or_default().as_nanos() / u128::from(LINES)
    });
    println!("| {name} | {one} | {two} |");
}

/// How long each of the threads takes for its lines.
fn round(log: &Dispatch, threads: u32, line: fn(u32)) -> Duration {
    let lasted = || {
        with_default(log, || {
            let start = Instant::now();
            (0..LINES).for_each(line);
            start.elapsed()
        })
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(lasted)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    })
}

fn kept(at: u32) {
    tracing::info!(
        line.kept = Empty,
        dispatch = at,
        room = "lobby",
        agent = "guide",
        reason = "asked",
        "dispatch made"
    );
}

fn ordinary(at: u32) {
    tracing::info!(dispatch = at, room = "lobby", agent = "guide", reason = "asked", "a line that repeats");
}

fn request(at: u32) {
    let (method, route, status) = ("POST", "/v1/dispatches", 409);
    tracing::info!(line.sampled = Empty, request_id = at, method, route, status, took_us = at, "refused");
}

fn off(at: u32) {
    tracing::debug!(dispatch = at, room = "lobby", agent = "guide", reason = "asked", "a detail");
}
