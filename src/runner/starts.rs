//! How workers are started: few at once, and after failures less and less often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::policy::Retry;

/// So many are started at a time: loading models is work, and those that run have sessions.
const STARTS_MAX: usize = 2;

/// The pause after failures in a row.
const PAUSE: Retry =
    Retry { attempts: u32::MAX, pause: Duration::from_millis(500), pause_max: Duration::from_secs(30), part_min: 0.5 };

/// The gate that every start goes through.
#[derive(Debug)]
pub(super) struct Starts {
    places: Semaphore,
    failures: Mutex<Failures>,
}

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    not_before: Instant,
}

impl Starts {
    pub(super) fn new() -> Self {
        let failures = Failures { in_a_row: 0, not_before: Instant::now() };
        Self { places: Semaphore::new(STARTS_MAX), failures: Mutex::new(failures) }
    }

    /// Waits for a place, and for the pause after failures to be over. `None` never comes: the gate is not closed.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.places.acquire().await.ok();
        loop {
            let not_before = self.with(|failures| failures.not_before);
            if not_before <= Instant::now() {
                return place;
            }
            tokio::time::sleep_until(not_before).await;
        }
    }

    /// A worker became ready.
    pub(super) fn succeeded(&self) {
        self.with(|failures| *failures = Failures { in_a_row: 0, not_before: Instant::now() });
    }

    /// A worker did not. How long nobody is started now.
    pub(super) fn failed(&self) -> Duration {
        self.with(|failures| {
            let pause = PAUSE.drawn(failures.in_a_row);
            failures.in_a_row += 1;
            failures.not_before = Instant::now() + pause;
            pause
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Failures) -> T) -> T {
        act(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_are_few_at_once_and_rarer_after_failures() {
        let (starts, began) = (Starts::new(), Instant::now());
        let (first, _second) = (starts.enter().await, starts.enter().await);
        assert!(tokio::time::timeout(Duration::from_mins(1), starts.enter()).await.is_err(), "two places");
        drop(first);
        drop(starts.enter().await);
        assert_eq!(began.elapsed(), Duration::from_mins(1), "nothing failed: nobody waits");

        let pauses: Vec<_> = (0..12).map(|_| starts.failed()).collect();
        assert!(pauses[0] <= Duration::from_millis(500) && pauses[11] >= Duration::from_secs(15), "{pauses:?}");
        let failed = Instant::now();
        drop(starts.enter().await);
        assert!(failed.elapsed() >= pauses[11]);
        starts.succeeded();
        assert!(starts.failed() <= Duration::from_millis(500), "the pauses begin anew");
    }
}
