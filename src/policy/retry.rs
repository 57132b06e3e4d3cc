//! How often something is tried again, and when: one layer of repetitions, bounded by number, by time and by budget.
//!
//! ```text
//! attempt ── fails ──┬─ not to be repeated ──────────────────────────▶ given up: never
//!    ▲               ├─ the attempts are used up ────────────────────▶ given up: exhausted
//!    │               ├─ the pause would end beyond the deadline ─────▶ given up: too_late
//!    │               ├─ the dependency had its share of repetitions ─▶ given up: over_budget
//!    └── pause ◀─────┴─ else
//! ```
//!
//! What a breaker refuses has not reached the dependency: it uses up no attempt, and is asked again when the breaker
//! lets a probe through, if that is in time.

use std::time::Duration;

use super::{Deadline, RetryBudget};

/// When something is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// How often in all; the first try is one of them.
    pub attempts: u32,
    /// The pause before the second; it doubles with each.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// A pause is drawn between this part of it and the whole, so that those who failed together do not come together.
    /// 0 is full jitter.
    pub part_min: f64,
}

/// What a failure says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fails again, however often it is tried.
    Never,
    /// It may succeed later.
    Again,
    /// The same, and not before so long.
    After(Duration),
    /// It was not even asked: refused here, for so long.
    NotAsked(Duration),
}

/// Why it is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It would fail again.
    Never,
    /// As many attempts as may be were made.
    Exhausted,
    /// There is no time left for another.
    TooLate,
    /// Too many others are tried again.
    OverBudget,
}

impl GivenUp {
    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Exhausted => "exhausted",
            Self::TooLate => "too_late",
            Self::OverBudget => "over_budget",
        }
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub struct Attempts<'a> {
    retry: Retry,
    deadline: Deadline,
    budget: &'a RetryBudget,
    /// How many reached the dependency and failed.
    failed: u32,
    /// Whether the first was refused here, so far.
    was_refused: bool,
}

impl<'a> Attempts<'a> {
    /// Begins with the first, which the caller makes now.
    pub fn begin(retry: Retry, deadline: Deadline, budget: &'a RetryBudget) -> Self {
        budget.first();
        Self { retry, deadline, budget, failed: 0, was_refused: false }
    }

    /// After an attempt failed: how long to wait before the next, if there is to be one.
    pub fn next(&mut self, verdict: Verdict) -> Result<Duration, GivenUp> {
        let at_least = match verdict {
            Verdict::Never => return Err(GivenUp::Never),
            Verdict::NotAsked(closed) => {
                self.forget_first();
                return self.in_time(closed + self.retry.drawn(0));
            }
            Verdict::Again => Duration::ZERO,
            Verdict::After(least) => least,
        };
        if std::mem::take(&mut self.was_refused) {
            self.budget.first();
        }
        self.failed += 1;
        if self.failed >= self.retry.attempts {
            return Err(GivenUp::Exhausted);
        }
        let pause = self.in_time(self.retry.drawn(self.failed - 1).max(at_least))?;
        if self.budget.take() { Ok(pause) } else { Err(GivenUp::OverBudget) }
    }

    /// Until it reaches the dependency it is no load on it.
    fn forget_first(&mut self) {
        if self.failed == 0 && !std::mem::replace(&mut self.was_refused, true) {
            self.budget.not_asked();
        }
    }

    fn in_time(&self, pause: Duration) -> Result<Duration, GivenUp> {
        if pause < self.deadline.left() { Ok(pause) } else { Err(GivenUp::TooLate) }
    }
}

impl Retry {
    /// The pause before a repetition, of which so many were before.
    pub fn drawn(&self, repetitions: u32) -> Duration {
        let doubled = self.pause.saturating_mul(1_u32.checked_shl(repetitions).unwrap_or(u32::MAX));
        doubled.min(self.pause_max).mul_f64(rand::random_range(self.part_min..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FOUR: Retry = Retry { attempts: 4, pause: SECOND, pause_max: Duration::from_secs(3), part_min: 1.0 };

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_their_longest_and_the_attempts_are_counted() {
        let budget = RetryBudget::default();
        let mut attempts = Attempts::begin(FOUR, soon(), &budget);
        let pauses: Vec<_> = (0..4).map(|_| attempts.next(Verdict::Again)).collect();
        let seconds = |n| Ok(Duration::from_secs(n));
        assert_eq!(pauses, [seconds(1), seconds(2), seconds(3), Err(GivenUp::Exhausted)]);
        assert_eq!(Attempts::begin(FOUR, soon(), &budget).next(Verdict::Never), Err(GivenUp::Never));
        let once = Retry { attempts: 1, ..FOUR };
        assert_eq!(Attempts::begin(once, soon(), &budget).next(Verdict::Again), Err(GivenUp::Exhausted));
    }

    #[test]
    fn jitter_is_full_unless_a_part_is_sure() {
        let full = Retry { part_min: 0.0, ..FOUR };
        let drawn: Vec<_> = (0..200).map(|_| full.drawn(9)).collect();
        assert!(drawn.iter().all(|pause| *pause <= full.pause_max));
        assert!(drawn.iter().any(|pause| *pause < SECOND) && drawn.iter().any(|pause| *pause > 2 * SECOND));
        let half = Retry { part_min: 0.5, ..FOUR };
        assert!((0..200).all(|_| half.drawn(0) >= SECOND / 2));
        assert_eq!(FOUR.drawn(u32::MAX), FOUR.pause_max);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_when_to_come_again_does_not_come_earlier_or_gives_up() {
        let budget = RetryBudget::default();
        let mut attempts = Attempts::begin(FOUR, soon(), &budget);
        assert_eq!(attempts.next(Verdict::After(7 * SECOND)), Ok(7 * SECOND));
        assert_eq!(attempts.next(Verdict::After(SECOND)), Ok(2 * SECOND), "the longer of the two");
        assert_eq!(attempts.next(Verdict::After(20 * SECOND)), Err(GivenUp::TooLate));
        tokio::time::advance(19 * SECOND).await;
        assert_eq!(Attempts { failed: 0, ..attempts }.next(Verdict::Again), Err(GivenUp::TooLate));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_asked_uses_up_no_attempt_and_no_budget() {
        let budget = RetryBudget::default();
        let mut attempts = Attempts::begin(FOUR, soon(), &budget);
        for _ in 0..100 {
            assert_eq!(attempts.next(Verdict::NotAsked(2 * SECOND)), Ok(3 * SECOND));
        }
        assert_eq!(attempts.next(Verdict::NotAsked(20 * SECOND)), Err(GivenUp::TooLate));
        for n in [1, 2, 3] {
            assert_eq!(attempts.next(Verdict::Again), Ok(n * SECOND));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_fails_sees_a_fifth_more_and_not_four_times_as_much() {
        let budget = RetryBudget::default();
        let mut asked = 0;
        for _ in 0..1000 {
            let mut attempts = Attempts::begin(FOUR, soon(), &budget);
            asked += 1;
            while attempts.next(Verdict::Again).is_ok() {
                asked += 1;
            }
        }
        assert!((1000..=1200).contains(&asked), "{asked}");
        assert_eq!(Attempts::begin(FOUR, soon(), &budget).next(Verdict::Again), Err(GivenUp::OverBudget));
    }
}
