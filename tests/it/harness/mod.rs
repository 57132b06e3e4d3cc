//! Real replicas, a real Redis and LiveKit's stand-in under a seeded schedule of faults, and a checker over what
//! was seen from outside.
//!
//! ```text
//!  seed ─► schedule ─► faults ──┐
//!  seed ─► load (callers, people, sessions) ─► rig: 3 × greenroom serve, redis-server, stand-in, 2 × greenroom runner, proxies
//!                               └──► history: calls, Redis, the provider's log ─► checker ─► violations
//! ```
//!
//! A seed goes through three parts: troubles under load; all mended, and people are to be served again; everybody
//! gone, and nothing is to be left. The seed fixes schedule and load; what the processes make of it differs from
//! run to run. `docs/testing.md` says how to run more of it.
#![expect(
    clippy::print_stdout,
    clippy::redundant_closure_for_method_calls,
    clippy::unchecked_time_subtraction,
    reason = "it tells how each seed went; a view lives no longer than its closure; later is after earlier"
)]

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::standin::Method;
use crate::support::size_of_test;
use checker::{Record, Violation};
use history::History;
use load::Load;
use rig::Rig;
use schedule::Schedule;

mod checker;
mod faults;
mod history;
mod keeper;
mod leftovers;
mod load;
mod pool;
mod proxy;
mod rig;
mod schedule;
mod sessions;
mod users;
mod watcher;

/// How long it may take until all is well again, once everything is mended.
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn replicas_keep_their_promises_under_faults() {
    let number = |name, small| u64::try_from(size_of_test(name, small)).expect("a small number");
    let first = number("GREENROOM_HARNESS_FIRST_SEED", 1);
    let seeds = number("GREENROOM_HARNESS_SEEDS", 3);
    let length = Duration::from_secs(number("GREENROOM_HARNESS_SECONDS", 8));
    let at_once = size_of_test("GREENROOM_HARNESS_AT_ONCE", 3);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds {
                        return;
                    }
                    if !keeps_its_promises(seed, length) {
                        failed.lock().expect("no panic").push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
}

/// Runs a seed in a runtime of its own, and tells how it went.
fn keeps_its_promises(seed: u64, length: Duration) -> bool {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed, length))));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let Ok((figures, violations)) = done else {
        println!("seed {seed} could not be carried out: see above\n{}", how_to_replay(seed, length));
        return false;
    };
    println!("seed {seed}: {figures}");
    violations.is_empty()
}

/// One seed: its figures on a line, and what it broke, which is printed.
async fn run(seed: u64, length: Duration) -> (String, Vec<Violation>) {
    let began = Instant::now();
    let schedule = Schedule::of(seed, length);
    let rig = Rig::start(schedule.fsync).await;
    let history = Arc::new(History::begin());
    let seen_all = CancellationToken::new();
    let watcher = tokio::spawn(watcher::watch(Arc::clone(&rig), Arc::clone(&history), seen_all.clone()));
    let load = Load::start(&rig, &history, seed);

    faults::carry_out(&rig, &history, &schedule).await;
    tokio::time::sleep(length.saturating_sub(history.now())).await;
    pool::wake_workers(&history);
    let mended = history.now();
    load.settled.cancel();
    // What was given last may be lost with Redis; now it is not.
    pool::define(&rig).await;
    let well = within(BOUND, async || leftovers::unserved(&rig, &history, mended).is_empty()).await;
    let well = well.map_or_else(|| Err(leftovers::unserved(&rig, &history, mended)), |()| Ok(history.now()));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    load.end().await;
    let (unwell, unrest) = tokio::join!(users::unwell(&rig, &history), pool::unrest(&rig, &history));
    load::leave_all(&rig);
    let emptied = history.now();
    let unclosed = pool::close(&rig).await;
    let clean = within(BOUND, async || leftovers::left(&rig).await.is_empty()).await;
    let mut left = if clean.is_some() { Vec::new() } else { leftovers::left(&rig).await };
    left.extend(unclosed);
    let cleaned = history.now();
    seen_all.cancel();
    watcher.await.expect("Redis can be watched");

    let tombstones = leftovers::tombstones(&rig).await;
    let log = rig.livekit.log();
    let asked = rig.livekit.calls().into_iter().filter(|call| call.method == Method::ListParticipants);
    let looks = asked.map(|call| (call.at.into_std().saturating_duration_since(history.began), call.room)).collect();
    let lines = rig.runners.lines(&history);
    let record = Record {
        schedule,
        history,
        log,
        looks,
        lines,
        mended,
        well,
        unwell,
        unrest,
        emptied,
        cleaned,
        left,
        tombstones,
    };
    let violations = checker::check(&record);
    let figures = format!("{} in {:.0?}", checker::figures(&record), began.elapsed());
    if !violations.is_empty() || std::env::var_os("GREENROOM_HARNESS_KEEP").is_some() {
        tell(seed, length, &record, &violations, &rig);
    }
    (figures, violations)
}

/// Asks again and again until it is so; `None` where it is not in time.
async fn within(bound: Duration, mut ask: impl AsyncFnMut() -> bool) -> Option<()> {
    let began = Instant::now();
    while began.elapsed() < bound {
        if ask().await {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    None
}

fn how_to_replay(seed: u64, length: Duration) -> String {
    format!("replay with: make harness FIRST_SEED={seed} SEEDS=1 SECONDS={}", length.as_secs())
}

/// Prints what was broken, and keeps the logs of the replicas and the whole history beside.
fn tell(seed: u64, length: Duration, record: &Record, violations: &[Violation], rig: &Rig) {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("harness-{seed}"));
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept).expect("a directory");
    for file in std::fs::read_dir(rig.dir.path()).expect("a directory").flatten() {
        std::fs::copy(file.path(), kept.join(file.file_name())).expect("a copy");
    }
    let whole = checker::story(record, "", Duration::ZERO, Duration::MAX);
    std::fs::write(kept.join("history.txt"), whole).expect("a file");
    let mut text = format!("\n=== seed {seed} broke {} promises\n{}", violations.len(), record.schedule);
    for violation in violations.iter().take(8) {
        let around = Duration::from_secs(1);
        let (from, to) = (violation.from.saturating_sub(around), violation.to + around);
        let _ = writeln!(text, "--- {violation}\n{}", checker::story(record, &violation.room, from, to));
    }
    println!("{text}all of it, with the replicas' logs: {}\n{}", kept.display(), how_to_replay(seed, length));
}
