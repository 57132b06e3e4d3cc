//! The limiter's tests: on the log as it is, with a time that is handed in.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing::field::Empty;

use super::*;
use crate::config::{Config, Log, LogFormat};
use crate::telemetry::logs::{OneLine, dispatch};

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

/// Not folded, and not kept.
macro_rules! plain {
    ($level:ident, $($line:tt)+) => { tracing::$level!(target: "log", $($line)+) };
}

/// What a thread logs within 10 ms: 63 lines; the first thread has the one error.
fn flood(thread: usize, emitted: &[AtomicU64; 5]) {
    let count = |level: usize| emitted[level].fetch_add(1, Ordering::SeqCst);
    for line in 0..63_u64 {
        match line % 7 {
            0 if line == 0 && thread == 0 => drop((plain!(error, line, "an error"), count(0))),
            0 | 1 => drop((plain!(warn, line, "a warning"), count(1))),
            2 => drop((tracing::warn!(line, "a warning that repeats"), count(1))),
            3 => drop((tracing::info!(line.kept = Empty, room = line, "dispatch made"), count(2))),
            4 => drop((tracing::info!(line.sampled = Empty, status = line % 3, "answered"), count(2))),
            5 => drop((plain!(debug, line, "a detail"), count(3))),
            _ => drop((tracing::trace!(line, "a small detail"), count(4))),
        }
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
fn no_second_is_above_the_budget_by_the_clock_of_the_machine() {
    let lines = Arc::new(AtomicU64::new(0));
    struct Counting(Arc<AtomicU64>);
    impl Write for Counting {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (limit, counted) = (LogLimit::new(BUDGET, true), Arc::clone(&lines));
    let writer = move || OneLine(Counting(Arc::clone(&counted)));
    let dispatch = dispatch(&settings("trace", LogFormat::Text), limit.clone(), writer);
    let (start, emitted) = (Instant::now(), <[AtomicU64; 5]>::default());
    thread::scope(|scope| {
        for thread in 0..16 {
            let (dispatch, emitted) = (&dispatch, &emitted);
            scope.spawn(move || {
                with_default(dispatch, || {
                    while start.elapsed() < Duration::from_secs(2) {
                        flood(thread, emitted);
                    }
                });
            });
        }
    });
    let (written, seconds) = (lines.load(Ordering::SeqCst), start.elapsed().as_secs() + 1);
    assert!(written <= u64::from(BUDGET) * seconds, "{written} lines in {seconds} s");
    assert!(written > u64::from(BUDGET), "{written} lines");
    let counts = limit.counts();
    let all = counts.written.iter().chain(&counts.folded).chain(&counts.dropped).sum::<u64>();
    assert_eq!(all, emitted.into_iter().map(AtomicU64::into_inner).sum::<u64>());
    assert_eq!(written, counts.written.iter().sum::<u64>());
}

proptest! {
    #[test]
    fn no_second_is_above_the_budget_wherever_it_begins(
        calls in prop::collection::vec((0_u64..200 * MILLISECOND, 0..4_usize, prop::bool::ANY), 1..400),
    ) {
        const LINES: u32 = 20;
        let budget = Budget::new(LINES);
        let (mut now, mut admitted) = (0, Vec::new());
        for (pause, level, is_kept) in calls {
            now += pause / 4;
            let level = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG][level];
            let rank = if is_kept { Rank::kept(level) } else { Rank::ordinary(level) };
            let counted = admitted.iter().filter(|(time, _)| now - time < SECOND).count();
            if budget.admits(rank, now) {
                admitted.push((now, level));
            } else if level == Level::ERROR {
                prop_assert!(counted >= 19, "an error was dropped beside {counted} lines");
            }
        }
        for (at, (time, _)) in admitted.iter().enumerate().skip(LINES as usize) {
            prop_assert!(time - admitted[at - LINES as usize].0 >= SECOND);
        }
    }
}

#[test]
fn errors_have_the_budget_to_themselves_if_they_go_on() {
    let desk = Desk::new(true);
    let dropped = |desk: &Desk| desk.limit.counts().dropped[0];
    // 390 a second, alone.
    desk.logs(|| {
        for _ in 0..3 * 390 {
            plain!(error, "an error");
            desk.pass(SECOND / 390);
        }
    });
    assert_eq!(dropped(&desk), 0);

    let desk = Desk::new(true);
    let mut lost_at_first = 0;
    desk.logs(|| {
        for at in 0..5 * 380 {
            for _ in 0..20 {
                plain!(warn, "a warning");
                plain!(info, "a word");
            }
            plain!(error, "an error");
            desk.pass(SECOND / 380);
            if at == 380 {
                lost_at_first = dropped(&desk);
            }
        }
    });
    assert_eq!(dropped(&desk), lost_at_first, "after the first second no error is lost");
    assert!(lost_at_first <= 380 - 128, "in the first, what is kept free for them is theirs: {lost_at_first} lost");
    desk.assert_no_second_is_above_the_budget();
}

#[test]
fn what_is_always_kept_goes_before_the_others_of_its_level() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for at in 0..300 {
            for _ in 0..100 {
                plain!(info, "a word");
                plain!(debug, "a detail");
            }
            // 50 a second, and each tells of another room.
            if at % 2 == 0 {
                tracing::info!(line.kept = Empty, room = at, "dispatch made");
            }
            desk.pass(10 * MILLISECOND);
        }
    });
    let kept = desk.values().iter().filter(|line| line["message"] == "dispatch made").count();
    let (counts, values) = (desk.limit.counts(), desk.values());
    assert_eq!(kept, 150, "none is folded, and none is dropped");
    assert!(counts.dropped[2] > 10_000, "{counts:?}");
    assert!(!values[0].to_string().contains("line."), "a mark is not shown: {}", values[0]);
}

#[test]
fn a_repeated_line_is_written_once_and_then_told_with_a_count() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for at in 0..25 {
            tracing::warn!(room = at, "supervision failed");
            tracing::warn!(what = if at % 2 == 0 { "one" } else { "two" }, "a round failed");
            desk.limit.tick();
            desk.pass(SECOND);
        }
    });
    let lines = desk.values();
    let of = |text: &str| lines.iter().filter(|line| line["message"] == text).collect::<Vec<_>>();
    assert_eq!(of("supervision failed").len(), 1, "a room makes no kind");
    assert_eq!(of("a round failed").len(), 2, "what failed does");
    let told = of("repeated: supervision failed");
    let counts: Vec<_> = told.iter().filter_map(|line| line["count"].as_u64()).collect();
    assert_eq!(counts, [10, 10]);
    assert_eq!((told[0]["level"].as_str(), told[0]["seconds"].as_u64()), (Some("WARN"), Some(10)));
    assert_eq!(told[0]["of"], module_path!());
    assert_eq!(of("repeated: a round failed")[0]["kind"], "what=one");
    // Quiet for a period: it is news again.
    desk.logs(|| {
        for _ in 0..2 {
            desk.pass(10 * SECOND);
            desk.limit.tick();
        }
        for _ in 0..2 {
            tracing::warn!(what = "one", "a round failed");
        }
    });
    assert!(desk.values().iter().any(|line| line["message"] == "repeated: a round failed"));
    assert_eq!(desk.limit.counts().dropped, [0; 5]);
}

#[test]
fn a_connection_that_stays_away_is_told_first_and_then_every_five_minutes() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for _ in 0..960 {
            tracing::warn!(line.notice = Empty, cause = "refused", "Redis cannot be reached");
            desk.limit.tick();
            desk.pass(SECOND);
        }
        desk.limit.finish();
    });
    let told: Vec<(u64, Option<u64>)> = desk
        .lines()
        .iter()
        .filter(|(_, line)| line.contains("Redis cannot be reached"))
        .map(|(time, line)| (time / SECOND, serde_json::from_str::<Value>(line).unwrap()["count"].as_u64()))
        .collect();
    assert_eq!(told, [(0, None), (300, Some(300)), (600, Some(300)), (900, Some(300)), (960, Some(59))]);
    let summaries = desk.values().iter().filter(|line| line["folded_warn"].is_u64()).count();
    assert_eq!(summaries, 16, "one a minute, and the last");
}

#[test]
fn requests_have_each_their_line_until_there_are_very_many_of_a_kind() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for id in 0..150 {
            tracing::info!(line.sampled = Empty, request_id = id, route = "/v1/dispatches", status = 409, "refused");
        }
        tracing::info!(line.sampled = Empty, request_id = 0, route = "/v1/dispatches", status = 404, "refused");
    });
    let counts = desk.limit.counts();
    assert_eq!((counts.written[2], counts.folded[2]), (101, 50));
}

#[test]
fn without_aggregation_lines_are_written_as_they_come_within_the_budget() {
    let desk = Desk::new(false);
    desk.logs(|| {
        for _ in 0..1000 {
            tracing::info!("the same");
        }
        assert!(desk.limit.finish());
    });
    let counts = desk.limit.counts();
    assert_eq!((counts.written, counts.folded, counts.dropped), ([0, 1, 160, 0, 0], [0; 5], [0, 0, 840, 0, 0]));
    let last = desk.values().pop().unwrap();
    assert_eq!((last["level"].as_str(), last["dropped_info"].as_u64()), (Some("WARN"), Some(840)));
    assert!(last.get("folded_info").is_none(), "nought is left out: {last}");
}

#[test]
fn what_is_remembered_of_repeated_lines_is_bounded() {
    let desk = Desk::new(true);
    desk.logs(|| {
        for code in 0..20_000_u64 {
            tracing::error!(code, "{}", "long ".repeat(100));
        }
        let folds = desk.limit.0.folds.as_ref().unwrap();
        assert!(folds.len() > 500 && folds.len() <= 1024, "{} kinds", folds.len());
        let counts = desk.limit.counts();
        assert_eq!(counts.written[0], 392, "beyond it there is the budget");
        assert_eq!(counts.dropped[0], 20_000 - 392);
        desk.pass(10 * SECOND);
        desk.limit.tick();
        assert_eq!(folds.len(), 0, "what does not come again is forgotten");
    });
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

/// Logs, while it is formatted, from the place that formats it.
struct Nested(u32);

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 {
            log_nested(self.0 - 1);
        }
        f.write_str("nested")
    }
}

fn log_nested(depth: u32) {
    tracing::info!("{}", Nested(depth));
}

/// Logs whenever it writes.
struct Chatty(Arc<AtomicU64>);

impl Write for Chatty {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tracing::error!(line.kept = Empty, "a line is written");
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For the whole process, as a scope lets no line be logged within another.
#[test]
fn a_line_that_logs_neither_stops_nor_repeats_itself() {
    let (limit, written) = (LogLimit::new(BUDGET, true), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&written);
    let writer = move || OneLine(Chatty(Arc::clone(&counted)));
    let dispatch = dispatch(&settings("info", LogFormat::Json), limit.clone(), writer);
    tracing::dispatcher::set_global_default(dispatch).unwrap();
    let (sender, done) = mpsc::channel();
    let logging = limit.clone();
    thread::spawn(move || {
        log_nested(3);
        logging.finish();
        sender.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(30)).expect("an end");
    let (counts, written) = (limit.counts(), written.load(Ordering::SeqCst));
    assert_eq!(counts.dropped[0], written, "what the writer says of each line is dropped");
    assert_eq!(counts.written.iter().sum::<u64>(), written);
    assert!(counts.written[2] >= 1 && counts.folded[2] >= 3, "{counts:?}");
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
