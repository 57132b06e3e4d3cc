//! Seeded interleavings: replicas on a real Redis with the real scripts, where one command or call at a time is
//! let through, and each may be the last of its replica, or its answer lost.
//!
//! A schedule is a seed. It decides who asks, reports, comes and ends, which command is next, when time passes and
//! what fails. All time is the schedule's, Tokio's and Redis's alike, so a seed runs the same way twice:
//! a failure prints the command that replays it. See `docs/testing.md`.

mod cast;
mod copy;
mod desk;
mod ids;
mod leases;
mod ledger;
mod pools;
mod resp;
mod schedule;
mod users;
mod verdict;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::schedule::Stage;
use crate::support::size_of_test;

/// What all schedules came to.
#[derive(Debug, Default)]
struct Tally {
    schedules: AtomicU64,
    steps: AtomicU64,
    faults: AtomicU64,
    failed: AtomicU64,
    ledger: Mutex<ledger::Tally>,
    stop: AtomicBool,
}

/// Runs seeds from `first` on until the time is over or, unless all are to be counted, one fails.
fn explore(first: u64, workers: usize, time: Duration, count_all: bool) -> Tally {
    let (tally, began, next) = (Tally::default(), Instant::now(), AtomicU64::new(first));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut stage = Stage::open();
                while began.elapsed() < time && !tally.stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let played = stage.play(seed);
                    tally.schedules.fetch_add(1, Ordering::Relaxed);
                    tally.steps.fetch_add(played.steps, Ordering::Relaxed);
                    tally.faults.fetch_add(played.faults, Ordering::Relaxed);
                    tally.ledger.lock().expect("no panic").add(played.tally);
                    if let Err(breach) = played.outcome {
                        tally.failed.fetch_add(1, Ordering::Relaxed);
                        tally.stop.fetch_or(!count_all, Ordering::Relaxed);
                        eprintln!("{breach}\nreplay: GREENROOM_SEED={seed} cargo nextest run --test it --no-capture -E 'test(seeded)'");
                    }
                }
            });
        }
    });
    tally
}

#[test]
fn seeded_interleavings_keep_the_invariants() {
    if let Ok(seed) = std::env::var("GREENROOM_SEED") {
        let played = Stage::open().play(seed.parse().expect("GREENROOM_SEED is a number"));
        for line in &played.trace {
            eprintln!("{line}");
        }
        assert!(played.outcome.is_ok(), "{}", played.outcome.unwrap_err());
        return;
    }
    let time = Duration::from_secs(size_of_test("GREENROOM_EXPLORE_SECONDS", 20).try_into().expect("a time"));
    let first = size_of_test("GREENROOM_EXPLORE_FROM", 0).try_into().expect("a seed");
    let count_all = std::env::var("GREENROOM_EXPLORE_ALL").is_ok();
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let tally = explore(first, workers, time, count_all);
    eprintln!("{tally:?}");
    assert_eq!(tally.failed.load(Ordering::Relaxed), 0, "schedules failed: see above");
    // Workers that are lost with their runner, and leases that lapse, are too rare for a short run.
    let ledger::Tally { grants, openings, closings, lapsed, leases, resets, lapses: _, lost: _ } =
        *tally.ledger.lock().expect("no panic");
    let counts = [grants, openings, closings, lapsed, leases, resets];
    assert!(counts.iter().all(|count| *count > 0), "nothing came to pass: {tally:?}");
}

#[test]
fn a_seed_is_played_the_same_way_twice() {
    let mut stage = Stage::open();
    for seed in 0..30 {
        let (first, second) = (stage.play(seed), stage.play(seed));
        let differs = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert_eq!((differs, first.trace.len()), (None, second.trace.len()), "seed {seed}");
    }
}
