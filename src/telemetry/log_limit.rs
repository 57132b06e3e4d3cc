//! What is written of the log: at most so many lines a second, the important ones first, repeated ones once.
//!
//! Of each line two things are asked before anything of it is formatted. Whether it repeats one (`fold`): then it is
//! counted, and told together with the others later. Whether it fits into the second (`budget`): else it is
//! dropped, and counted as well. What a line is, is declared where it is logged, by a field that is never shown
//! (`rule`): `tracing::info!(line.kept = Empty, …)`.
//!
//! Every line is counted once, as written, folded or dropped. The limiter's own lines (what was repeated, and every
//! minute a summary) are part of the budget and of the count. They are told by [`LogLimit::tick`], never by somebody
//! who logs. No lock is held while a line is formatted or written, so a line that is logged there, or by a value that
//! is being formatted, stops nobody. One that the writing of a line brings about is dropped, as it might have no end.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

mod budget;
mod fold;
mod rule;
#[cfg(test)]
mod tests;

use budget::{Budget, Rank};
use fold::{Folds, Told};
use rule::Rule;

/// How often the summary is told, where there is something to tell.
const SUMMARY_INTERVAL: u64 = 60 * SECOND;
/// Times are nanoseconds since the limiter was made.
const SECOND: u64 = 1_000_000_000;

/// The levels in the order of all counts.
pub(super) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

thread_local! {
    /// The line that comes next is the limiter's own, and was let through.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
    /// A line is being written.
    static IS_WRITING: Cell<bool> = const { Cell::new(false) };
}

/// The limiter of a log, as a layer over the one that writes. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct LogLimit(Arc<State>);

#[derive(Debug)]
struct State {
    clock: Clock,
    budget: Budget,
    folds: Option<Folds>,
    counts: [[AtomicU64; 5]; 3],
    summary: Mutex<Summary>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Folded,
    Dropped,
}

/// How many lines there were, by level in the order error, warn, info, debug, trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Those that were written.
    pub written: [u64; 5],
    /// Those that are told of by a count.
    pub folded: [u64; 5],
    /// Those that were too many.
    pub dropped: [u64; 5],
}

#[derive(Debug, Default)]
struct Summary {
    told_at: u64,
    told: LineCounts,
}

#[derive(Debug)]
enum Clock {
    Monotonic(Instant),
    #[cfg(test)]
    Injected(Arc<AtomicU64>),
}

impl LogLimit {
    /// A limiter of so many lines a second; `folds` says whether repeated lines are folded.
    pub fn new(lines_per_second: u32, folds: bool) -> Self {
        Self::with_clock(Clock::Monotonic(Instant::now()), lines_per_second, folds)
    }

    fn with_clock(clock: Clock, lines_per_second: u32, folds: bool) -> Self {
        Self(Arc::new(State {
            clock,
            budget: Budget::new(lines_per_second),
            folds: folds.then(Folds::default),
            counts: Default::default(),
            summary: Mutex::default(),
        }))
    }

    /// How many lines there were.
    pub fn counts(&self) -> LineCounts {
        self.0.read_counts()
    }

    /// Tells what is due, as far as the budget allows. To be called about once a second.
    pub fn tick(&self) {
        let now = self.0.clock.now();
        self.0.tell_folded(now, false);
        self.0.tell_summary(now, false);
    }

    /// Tells everything that is left, due or not. Says whether the summary is told: the budget may have no room now.
    pub fn finish(&self) -> bool {
        let now = self.0.clock.now();
        self.0.tell_folded(now, true);
        self.0.tell_summary(now, true)
    }
}

impl<S: Subscriber> Layer<S> for LogLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let fate = self.0.fate(event);
        self.0.counts[fate as usize][level_index(*event.metadata().level())].fetch_add(1, Ordering::Relaxed);
        fate == Fate::Written
    }
}

impl State {
    fn fate(&self, event: &Event<'_>) -> Fate {
        if IS_OWN.take() {
            return Fate::Written;
        }
        if IS_WRITING.get() {
            return Fate::Dropped;
        }
        let meta = event.metadata();
        let (rule, now) = (Rule::of(meta), self.clock.now());
        let rank = if rule.kept { Rank::kept(*meta.level()) } else { Rank::ordinary(*meta.level()) };
        let admit = || self.budget.admits(rank, now);
        match (&self.folds, rule.fold) {
            (Some(folds), Some(fold)) => folds.fate(event, fold, now, admit),
            _ => Fate::by_budget(admit),
        }
    }

    fn read_counts(&self) -> LineCounts {
        let [written, folded, dropped] =
            self.counts.each_ref().map(|levels| levels.each_ref().map(|count| count.load(Ordering::Relaxed)));
        LineCounts { written, folded, dropped }
    }

    fn tell_folded(&self, now: u64, is_last: bool) {
        let Some(folds) = &self.folds else { return };
        folds.tell(now, is_last, |level| self.budget.admits(Rank::kept(level), now), |told| as_own(|| repeated(&told)));
    }

    fn tell_summary(&self, now: u64, is_last: bool) -> bool {
        let (since, seconds) = {
            let mut summary = locked(&self.summary);
            let passed = now.saturating_sub(summary.told_at);
            if passed < SUMMARY_INTERVAL && !is_last {
                return true;
            }
            let counts = self.read_counts();
            let since = counts.since(&summary.told);
            if !since.is_nothing() && !self.budget.admits(Rank::OWN, now) {
                return false;
            }
            *summary = Summary { told_at: now, told: counts };
            (since, passed / SECOND)
        };
        if !since.is_nothing() {
            as_own(|| summarized(&since, seconds));
        }
        true
    }
}

impl Fate {
    fn by_budget(admit: impl FnOnce() -> bool) -> Self {
        if admit() { Self::Written } else { Self::Dropped }
    }
}

impl LineCounts {
    fn since(&self, before: &Self) -> Self {
        let less = |now: [u64; 5], before: [u64; 5]| std::array::from_fn(|at| now[at] - before[at]);
        Self {
            written: less(self.written, before.written),
            folded: less(self.folded, before.folded),
            dropped: less(self.dropped, before.dropped),
        }
    }

    /// Whether every line was written.
    fn is_nothing(&self) -> bool {
        self.folded.iter().chain(&self.dropped).all(|count| *count == 0)
    }
}

impl Clock {
    fn now(&self) -> u64 {
        match self {
            Self::Monotonic(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            #[cfg(test)]
            Self::Injected(now) => now.load(Ordering::SeqCst),
        }
    }
}

/// Says that a line is being written by this thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Writing(bool);

impl Writing {
    pub(super) fn begin() -> Self {
        Self(IS_WRITING.replace(true))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        IS_WRITING.set(self.0);
    }
}

/// Logs a line that the budget has let through.
fn as_own(log: impl FnOnce()) {
    IS_OWN.set(true);
    log();
    // Still set where the level is not logged at all.
    IS_OWN.set(false);
}

/// A level is part of a line's callsite, so there is one for each.
macro_rules! event_at {
    ($level:expr, $($line:tt)+) => {
        match $level {
            Level::ERROR => tracing::error!($($line)+),
            Level::WARN => tracing::warn!($($line)+),
            Level::INFO => tracing::info!($($line)+),
            Level::DEBUG => tracing::debug!($($line)+),
            Level::TRACE => tracing::trace!($($line)+),
        }
    };
}

fn repeated(told: &Told) {
    let (of, kind) = (told.line.target, told.line.kind.as_deref());
    event_at!(told.line.level, count = told.count, seconds = told.seconds, kind, of, "repeated: {}", told.line.text);
}

fn summarized(since: &LineCounts, seconds: u64) {
    let level = if since.dropped.iter().any(|count| *count > 0) { Level::WARN } else { Level::INFO };
    // What is nought is left out.
    let told = |counts: [u64; 5]| counts.map(|count| (count > 0).then_some(count));
    let (dropped, folded) = (told(since.dropped), told(since.folded));
    event_at!(
        level,
        seconds,
        dropped_error = dropped[0],
        dropped_warn = dropped[1],
        dropped_info = dropped[2],
        dropped_debug = dropped[3],
        dropped_trace = dropped[4],
        folded_error = folded[0],
        folded_warn = folded[1],
        folded_info = folded[2],
        folded_debug = folded[3],
        folded_trace = folded[4],
        "lines of the log that were not written"
    );
}

fn level_index(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
