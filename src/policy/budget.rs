//! How much of the load on a dependency may be repetitions: a fifth of the first tries, so that one which fails sees at
//! most 1.2 times its load, and not four times.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Repetitions for a hundred first tries.
pub const PERCENT: u32 = 20;
/// What is counted, in seconds.
pub const WINDOW_SECONDS: u32 = 10;
/// So many repetitions in a window are never too many: a share of little is nothing.
pub const FLOOR: u32 = 10;
/// The same for one second: else those of a whole window would come at once.
const FLOOR_PER_SECOND: u32 = 3;

/// The budget of one replica for one dependency.
#[derive(Debug)]
pub struct RetryBudget {
    began: Instant,
    seconds: Mutex<[Second; WINDOW_SECONDS as usize]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    /// Which one, counted from when the budget began.
    at: u64,
    firsts: u32,
    retries: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { began: Instant::now(), seconds: Mutex::default() }
    }
}

impl RetryBudget {
    /// Counts a first try.
    pub fn first(&self) {
        self.with_window(|_, now| now.firsts = now.firsts.saturating_add(1));
    }

    /// Counts one no longer: it never reached the dependency.
    pub fn not_asked(&self) {
        self.with_window(|_, now| now.firsts = now.firsts.saturating_sub(1));
    }

    /// Takes a repetition, if there is one left.
    pub fn take(&self) -> bool {
        self.with_window(|window, now| {
            let may = (window.firsts / (100 / PERCENT)).max(FLOOR);
            let may_now = (may / WINDOW_SECONDS).max(FLOOR_PER_SECOND);
            let is_left = window.retries < may && now.retries < may_now;
            now.retries += u32::from(is_left);
            is_left
        })
    }

    fn with_window<T>(&self, count: impl FnOnce(Second, &mut Second) -> T) -> T {
        let at = self.began.elapsed().as_secs();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = Second { at, ..Second::default() };
        for second in seconds.iter().filter(|second| second.at + u64::from(WINDOW_SECONDS) > at) {
            window.firsts = window.firsts.saturating_add(second.firsts);
            window.retries = window.retries.saturating_add(second.retries);
        }
        let slot = usize::try_from(at % u64::from(WINDOW_SECONDS)).unwrap_or_default();
        if seconds[slot].at != at {
            seconds[slot] = Second { at, ..Second::default() };
        }
        count(window, &mut seconds[slot])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of a thousand that fail in this second are tried again.
    fn take_all(budget: &RetryBudget) -> u32 {
        (0..1000).map(|_| u32::from(budget.take())).sum()
    }

    async fn second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_of_what_was_tried_lately_is_repeated_evenly() {
        let budget = RetryBudget::default();
        let (mut firsts, mut retries) = (0, 0);
        for n in 0..60 {
            for _ in 0..100 {
                budget.first();
            }
            firsts += 100;
            // All is well for ten seconds.
            let taken = if n < 10 { 0 } else { take_all(&budget) };
            assert!(taken <= 20, "{taken} in a second");
            retries += taken;
            second().await;
        }
        assert!(retries * 5 <= firsts && retries >= 900, "{retries} repetitions, {firsts} first tries");
    }

    #[tokio::test(start_paused = true)]
    async fn of_little_a_few_are_repeated_in_any_case() {
        let budget = RetryBudget::default();
        let mut taken = Vec::new();
        for _ in 0..12 {
            taken.push(take_all(&budget));
            second().await;
        }
        assert_eq!(taken, [3, 3, 3, 1, 0, 0, 0, 0, 0, 0, 3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_reached_the_dependency_does_not_count() {
        let budget = RetryBudget::default();
        for _ in 0..100 {
            budget.first();
            budget.not_asked();
        }
        assert_eq!(take_all(&budget), FLOOR_PER_SECOND);
    }
}
