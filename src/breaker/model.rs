//! What a breaker is: its rules, its states, how calls ended, and what is told of it.

use std::fmt;
use std::time::Duration;

use crate::name::Name;
use crate::store::{Refusal, StoreError};

/// The most that a time of being open is shortened by, in thousandths.
pub const JITTER_MAX: u32 = 200;
/// The most runs of outcomes that are reported at once.
pub const RUNS_MAX: usize = 64;

/// When a breaker opens, and how it closes again. A rule at 0 does not count, where that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many failures in a row open it; 0: as many as there are.
    pub failures_max: u32,
    /// This share of failures among the calls in the window opens it, in percent; 0: never.
    pub failure_percent: u32,
    /// This share of slow calls in the window opens it, in percent; 0: never.
    pub slow_percent: u32,
    /// A call that takes so long is slow.
    pub slow_ms: u32,
    /// The shares count from so many calls in the window on.
    pub calls_min: u32,
    /// How far the window reaches back.
    pub window_ms: u32,
    /// How long it stays open; twice as long each time that a probe fails.
    pub open_ms: u32,
    /// The longest that it stays open.
    pub open_ms_max: u32,
    /// How many probes may be under way at once, over all replicas.
    pub probes_max: u32,
    /// How long a probe may take before its permit lapses.
    pub probe_ms: u32,
    /// So many probes that succeed close it.
    pub successes_min: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures_max: 5,
            failure_percent: 50,
            slow_percent: 80,
            slow_ms: 5_000,
            calls_min: 20,
            window_ms: 10_000,
            open_ms: 30_000,
            open_ms_max: 30_000,
            probes_max: 3,
            probe_ms: 15_000,
            successes_min: 2,
        }
    }
}

impl Rules {
    /// Each rule with its name in Redis, in settings and in answers.
    pub fn named(&mut self) -> [(&'static str, &mut u32); 11] {
        [
            ("failures_max", &mut self.failures_max),
            ("failure_percent", &mut self.failure_percent),
            ("slow_percent", &mut self.slow_percent),
            ("slow_ms", &mut self.slow_ms),
            ("calls_min", &mut self.calls_min),
            ("window_ms", &mut self.window_ms),
            ("open_ms", &mut self.open_ms),
            ("open_ms_max", &mut self.open_ms_max),
            ("probes_max", &mut self.probes_max),
            ("probe_ms", &mut self.probe_ms),
            ("successes_min", &mut self.successes_min),
        ]
    }
}

/// The rules as the scripts take them: `failures_max 5 …`.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = *self;
        for (n, (name, value)) in rules.named().into_iter().enumerate() {
            write!(f, "{}{name} {value}", if n > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// Whether calls may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// All calls may.
    Closed,
    /// None may.
    Open,
    /// A few may, as probes.
    HalfOpen,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The state's name in Redis, answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A state that somebody holds a breaker in, whatever the calls show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forced {
    /// No call may be made.
    Open,
    /// All may; it does not open.
    Closed,
    /// The breaker is out of use: all may, and they are counted.
    Disabled,
}

impl Forced {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Disabled];

    /// Its name in Redis and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Disabled => "disabled",
        }
    }

    /// The one of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|forced| forced.as_str() == text)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Whether what was called failed.
    pub failed: bool,
    /// Whether it took long.
    pub slow: bool,
}

/// Calls that ended alike, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub calls: u32,
    /// How each of them ended.
    pub outcome: Outcome,
}

/// As the scripts take it: `12s`.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.outcome.failed, self.outcome.slow) {
            (false, false) => 's',
            (false, true) => 'w',
            (true, false) => 'f',
            (true, true) => 'x',
        };
        write!(f, "{}{kind}", self.calls)
    }
}

/// What came of a question or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The call may be made.
    Allowed,
    /// The call may be made, as a probe; `wait` is how long its permit lasts.
    Probe,
    /// The call may not be made; `wait` is how long asking again makes no sense.
    Refused,
    /// The report counts.
    Counted,
    /// The report belongs to another generation, or to a permit that lapsed: it changed nothing.
    Stale,
}

impl Verdict {
    /// The verdict of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "allowed" => Self::Allowed,
            "probe" => Self::Probe,
            "refused" => Self::Refused,
            "counted" => Self::Counted,
            "stale" => Self::Stale,
            _ => return None,
        })
    }
}

/// What who asked or reported is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub verdict: Verdict,
    /// Grows with each transition; a report carries the one that its call was permitted in.
    pub generation: u64,
    /// The state now.
    pub state: State,
    /// The state that it is held in, if it is.
    pub forced: Option<Forced>,
    /// See [`Verdict`]; after a report, how long it stays open.
    pub wait: Duration,
    /// Whether this very call brought a transition.
    pub moved: bool,
    /// When it was told, in milliseconds since 1970 by Redis's clock.
    pub now_ms: u64,
}

/// A transition of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// To which state.
    pub state: State,
    /// Why, in a word.
    pub reason: String,
}

/// Counts of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many were reported.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many of them were slow.
    pub slow: u64,
}

/// A breaker as it is. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Its name, among those of its tenant.
    pub name: Name,
    /// Whether calls may be made.
    pub state: State,
    /// The state that somebody holds it in.
    pub forced: Option<Forced>,
    /// Until when; none where until it is let go.
    pub forced_until_ms: Option<u64>,
    /// Why it is held, in words.
    pub note: Option<String>,
    /// Since when it is in its state.
    pub since_ms: u64,
    /// Why, in a word.
    pub reason: String,
    /// Grows with each transition.
    pub generation: u64,
    /// When it lets probes through, where it is open.
    pub open_until_ms: Option<u64>,
    /// Its rules.
    pub rules: Rules,
    /// Failures in a row.
    pub streak: u64,
    /// Calls in the window.
    pub window: Counts,
    /// Calls since it was made or reset.
    pub total: Counts,
    /// Calls that were refused since then.
    pub refused: u64,
    /// How often it has opened since then.
    pub opened: u64,
    /// When the permits of the probes that are under way lapse.
    pub probes_until_ms: Vec<u64>,
    /// The last transitions, newest first.
    pub history: Vec<Transition>,
    /// Whether this is what a replica knows by itself while Redis is away.
    pub degraded: bool,
}

/// A page of breakers.
#[derive(Debug, Clone)]
pub struct BreakerPage {
    /// The breakers.
    pub breakers: Vec<Breaker>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
}

/// Why nothing came of a question about a breaker.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BreakerError {
    /// There is no such breaker.
    #[error("no such breaker")]
    NotFound,
    /// Calls through this one are greenroom's own: nobody else asks or reports.
    #[error("the breaker is greenroom's own")]
    Own,
    /// As many as there may be.
    #[error("as many breakers as there may be")]
    TooMany,
    /// The cursor is not one of ours.
    #[error("not a cursor of this list")]
    BadCursor,
    /// The `Idempotency-Key` was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// Redis is not reachable.
    #[error("the store is unavailable: {detail}")]
    StoreUnavailable {
        /// For a developer.
        detail: String,
    },
    /// A defect.
    #[error("internal error: {detail}")]
    Internal {
        /// For a developer.
        detail: String,
    },
}

impl From<StoreError> for BreakerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { detail } => Self::StoreUnavailable { detail },
            StoreError::Refused(Refusal::NotFound) => Self::NotFound,
            StoreError::Refused(Refusal::TooMany) => Self::TooMany,
            StoreError::Refused(Refusal::KeyReused) => Self::KeyReused,
            StoreError::Refused(refusal) => Self::Internal { detail: refusal.to_string() },
            StoreError::Nonsense { detail } | StoreError::Schema { detail } => Self::Internal { detail },
        }
    }
}
