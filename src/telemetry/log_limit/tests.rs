//! The limiter's tests: on the log as it is, with a time that is handed in.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use serde_json::Value;
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing::field::Empty;

use super::*;
use crate::config::{Config, Log, LogFormat};
use crate::telemetry::logs::{OneLine, dispatch};

/// Not folded, and not kept.
macro_rules! plain {
    ($level:ident, $($line:tt)+) => { tracing::$level!(target: "log", $($line)+) };
}

mod budgets;
mod folding;
mod nesting;

const BUDGET: u32 = 400;
const MILLISECOND: u64 = SECOND / 1000;

/// A log whose lines are kept with the time at which each was written.
struct Desk {
    limit: LogLimit,
    now: Arc<AtomicU64>,
    lines: Arc<Mutex<Vec<(u64, String)>>>,
    dispatch: Dispatch,
}

struct Sink {
    now: Arc<AtomicU64>,
    lines: Arc<Mutex<Vec<(u64, String)>>>,
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(line.to_vec()).unwrap();
        self.lines.lock().unwrap().push((self.now.load(Ordering::SeqCst), text));
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(filter: &str, format: LogFormat) -> Log {
    let config = Config::load(None, std::iter::empty()).unwrap();
    Log { filter: filter.to_owned(), format, ..config.log }
}

impl Desk {
    fn new(folds: bool) -> Self {
        Self::of(&settings("trace", LogFormat::Json), folds)
    }

    fn of(settings: &Log, folds: bool) -> Self {
        let (now, lines) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let limit = LogLimit::with_clock(Clock::Injected(Arc::clone(&now)), BUDGET, folds);
        let (clock, kept) = (Arc::clone(&now), Arc::clone(&lines));
        let sink = move || OneLine(Sink { now: Arc::clone(&clock), lines: Arc::clone(&kept) });
        let dispatch = dispatch(settings, limit.clone(), sink);
        Self { limit, now, lines, dispatch }
    }

    fn logs<T>(&self, log: impl FnOnce() -> T) -> T {
        with_default(&self.dispatch, log)
    }

    fn pass(&self, time: u64) {
        self.now.fetch_add(time, Ordering::SeqCst);
    }

    fn lines(&self) -> Vec<(u64, String)> {
        self.lines.lock().unwrap().clone()
    }

    fn values(&self) -> Vec<Value> {
        self.lines().iter().map(|(_, line)| serde_json::from_str(line).unwrap()).collect()
    }

    fn told(&self, field: &str) -> u64 {
        self.values().iter().filter_map(|line| line[field].as_u64()).sum()
    }

    #[track_caller]
    fn assert_no_second_is_above_the_budget(&self) {
        let mut times: Vec<u64> = self.lines().iter().map(|(time, _)| *time).collect();
        times.sort_unstable();
        let lines = BUDGET as usize;
        for (at, time) in times.iter().enumerate().skip(lines) {
            let before = times[at - lines];
            assert!(time - before >= SECOND, "{} lines from {before} to {time} ns", lines + 1);
        }
    }
}

/// What a thread logs within 10 ms: 63 lines; the first thread has the one error.
fn flood(thread: usize, emitted: &[AtomicU64; 5]) {
    for line in 0..63_u64 {
        let level = match line % 7 {
            0 if line == 0 && thread == 0 => {
                plain!(error, line, "an error");
                0
            }
            0 | 1 => {
                plain!(warn, line, "a warning");
                1
            }
            2 => {
                tracing::warn!(line, "a warning that repeats");
                1
            }
            3 => {
                tracing::info!(line.kept = Empty, room = line, "dispatch made");
                2
            }
            4 => {
                tracing::info!(line.sampled = Empty, status = line % 3, "answered");
                2
            }
            5 => {
                plain!(debug, line, "a detail");
                3
            }
            _ => {
                tracing::trace!(line, "a small detail");
                4
            }
        };
        emitted[level].fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_second_of_a_flood_is_above_the_budget_and_no_error_of_it_is_lost() {
    const THREADS: usize = 16;
    const STEPS: u64 = 300;
    let (desk, step) = (Desk::new(true), Barrier::new(THREADS + 1));
    let emitted: [AtomicU64; 5] = Default::default();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (desk, step, emitted) = (&desk, &step, &emitted);
            scope.spawn(move || {
                desk.logs(|| {
                    for _ in 0..STEPS {
                        step.wait();
                        flood(thread, emitted);
                        step.wait();
                    }
                });
            });
        }
        desk.logs(|| {
            for _ in 0..STEPS {
                step.wait();
                desk.limit.tick();
                step.wait();
                desk.pass(10 * MILLISECOND);
            }
        });
    });
    desk.pass(SECOND);
    assert!(desk.logs(|| desk.limit.finish()));

    let emitted = emitted.map(AtomicU64::into_inner);
    assert!(emitted.iter().sum::<u64>() > 100_000 * STEPS / 100, "{emitted:?}");
    desk.assert_no_second_is_above_the_budget();
    let counts = desk.limit.counts();
    assert_eq!((counts.written[0], counts.dropped[0]), (STEPS, 0), "no error is lost");
    assert!(counts.written[1] > 100 && counts.written[2] > 100, "{counts:?}");

    let values = desk.values();
    for (at, level) in LEVELS.iter().enumerate() {
        let of_level = |line: &&Value| line["level"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(level));
        let written = values.iter().filter(of_level).count() as u64;
        let own = values.iter().filter(of_level).filter(|line| line["target"] == module()).count() as u64;
        assert_eq!(written, counts.written[at], "{level}");
        assert_eq!(emitted[at] + own, counts.written[at] + counts.folded[at] + counts.dropped[at], "{level}");
        assert_eq!(desk.told(&format!("dropped_{level}")), counts.dropped[at], "{level}");
        assert_eq!(desk.told(&format!("folded_{level}")), counts.folded[at], "{level}");
    }
    assert_eq!(desk.told("count"), counts.folded.iter().sum::<u64>(), "what repeats is told of, each once");
}

fn module() -> &'static str {
    module_path!().trim_end_matches("::tests")
}

#[test]
fn a_level_that_is_off_does_not_come_to_the_limiter() {
    let desk = Desk::of(&settings("info", LogFormat::Json), true);
    desk.logs(|| {
        tracing::debug!("a detail");
        tracing::info!("a word");
    });
    assert_eq!(desk.limit.counts().written, [0, 0, 1, 0, 0]);
    assert_eq!(desk.limit.counts().dropped, [0; 5]);
}

#[test]
fn both_forms_of_the_log_are_limited() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let desk = Desk::of(&settings("info", format), true);
        desk.logs(|| {
            (0..3).for_each(|_| tracing::info!(check = "redis", "not ready"));
            desk.limit.finish();
        });
        let lines: Vec<_> = desk.lines().into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].contains("repeated: not ready") && lines[1].contains("check=redis"), "{lines:?}");
        assert!(lines[2].contains("lines of the log that were not written"), "{lines:?}");
    }
}

/// A mark with a typing error would be none.
#[test]
fn every_mark_in_the_code_is_known() {
    fn files(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                files(&entry.path(), found);
            } else {
                found.push(std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut texts = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let marks: Vec<_> = texts
        .iter()
        .flat_map(|text| text.split(concat!("line", ".")).skip(1))
        .filter_map(|rest| rest.split_once(" = Empty").map(|(mark, _)| mark))
        .filter(|mark| mark.len() < 20 && mark.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    assert!(marks.len() > 40, "{} marks", marks.len());
    let unknown: Vec<_> = marks.iter().filter(|mark| !rule::is_mark(mark)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
