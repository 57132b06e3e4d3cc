//! When an answer must be there: set once, where a request comes in, and handed down from there.

use std::time::Duration;

use tokio::time::Instant;

/// What is kept back of a budget for the answer's own way.
const ANSWER: Duration = Duration::from_millis(100);

/// A point in time that nobody further in waits beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now on.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// As a time.
    pub fn at(self) -> Instant {
        self.0
    }

    /// What is left; nothing once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// How long something may wait that has a time-out of its own: not beyond either. A little is kept back, so that
    /// the caller is still told what came of it.
    pub fn within(self, own: Duration) -> Duration {
        let left = self.left();
        own.min(left.saturating_sub(ANSWER.min(left / 4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_by_its_own_time_or_just_before_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(2));
        assert_eq!(deadline.within(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(deadline.within(Duration::from_secs(9)), Duration::from_millis(1900));
        tokio::time::advance(Duration::from_millis(1960)).await;
        assert_eq!(deadline.within(Duration::from_secs(9)), Duration::from_millis(30));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((deadline.left(), deadline.within(Duration::from_secs(9))), (Duration::ZERO, Duration::ZERO));
    }
}
