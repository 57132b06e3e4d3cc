//! How long calls take, and from that how long to wait for one: the estimator of TCP (RFC 6298), within bounds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many kinds of calls are known at most; further ones wait the longest time.
const KINDS_MAX: usize = 64;
/// A call that took too long makes the next ones wait twice as long, up to so often.
const DOUBLINGS_MAX: u32 = 6;

/// The time-out of a dependency's calls, which follows what they take.
#[derive(Debug)]
pub struct Pace {
    least: Duration,
    most: Duration,
    kinds: Mutex<HashMap<&'static str, Estimate>>,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    mean: f64,
    deviation: f64,
    doublings: u32,
}

impl Pace {
    /// Between these bounds. Where they are one, nothing adapts.
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least: least.min(most), most, kinds: Mutex::default() }
    }

    /// How long to wait for a call of this kind.
    pub fn timeout(&self, kind: &'static str) -> Duration {
        if self.least == self.most {
            return self.most;
        }
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(kind).map_or(self.most, |estimate| estimate.timeout(self.least).min(self.most))
    }

    /// A call was answered after this time.
    pub fn answered(&self, kind: &'static str, took: Duration) {
        self.with(kind, |estimate| estimate.observe(took), || Estimate::first(took));
    }

    /// A call was given up. It says nothing of how long it would have taken, only that this was not enough.
    pub fn gave_up(&self, kind: &'static str) {
        let double = |estimate: &mut Estimate| estimate.doublings = (estimate.doublings + 1).min(DOUBLINGS_MAX);
        self.with(kind, double, || Estimate::first(self.most));
    }

    fn with(&self, kind: &'static str, known: impl FnOnce(&mut Estimate), new: impl FnOnce() -> Estimate) {
        if self.least == self.most {
            return;
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(estimate) = kinds.get_mut(kind) {
            known(estimate);
        } else if kinds.len() < KINDS_MAX {
            kinds.insert(kind, new());
        }
    }
}

impl Estimate {
    fn first(took: Duration) -> Self {
        let mean = took.as_secs_f64();
        Self { mean, deviation: mean / 2.0, doublings: 0 }
    }

    fn observe(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.deviation = 0.75 * self.deviation + 0.25 * (self.mean - took).abs();
        self.mean = 0.875 * self.mean + 0.125 * took;
        self.doublings = 0;
    }

    // What is doubled is what was waited, or a dependency that became slow would be cut off for good.
    fn timeout(self, least: Duration) -> Duration {
        Duration::from_secs_f64(self.mean + 4.0 * self.deviation).max(least) * (1 << self.doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(10);

    #[test]
    fn it_follows_what_calls_take_within_its_bounds() {
        let pace = Pace::new(LEAST, MOST);
        assert_eq!(pace.timeout("look"), MOST, "nothing is known yet");
        for _ in 0..100 {
            pace.answered("look", Duration::from_millis(5));
        }
        assert_eq!(pace.timeout("look"), LEAST);
        assert_eq!(pace.timeout("create"), MOST, "each kind has its own");
        for _ in 0..100 {
            pace.answered("look", Duration::from_secs(2));
        }
        let slower = pace.timeout("look");
        assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&slower), "{slower:?}");
        for _ in 0..100 {
            pace.answered("look", Duration::from_mins(1));
        }
        assert_eq!(pace.timeout("look"), MOST);
    }

    #[test]
    fn a_dependency_that_became_slow_is_not_cut_off_for_good() {
        let pace = Pace::new(LEAST, MOST);
        for _ in 0..100 {
            pace.answered("look", Duration::from_millis(5));
        }
        // Every call takes 3 s from now on: a few are given up, then they are waited for.
        let slow = Duration::from_secs(3);
        let mut gave_up = 0;
        for _ in 0..100 {
            if pace.timeout("look") < slow {
                pace.gave_up("look");
                gave_up += 1;
            } else {
                pace.answered("look", slow);
            }
        }
        assert_eq!(gave_up, 3);
        for _ in 0..100 {
            pace.gave_up("look");
        }
        assert_eq!(pace.timeout("look"), MOST);
    }

    #[test]
    fn without_room_between_its_bounds_nothing_adapts() {
        let pace = Pace::new(MOST, MOST);
        pace.answered("look", Duration::from_millis(5));
        pace.gave_up("look");
        assert_eq!(pace.timeout("look"), MOST);
        assert!(pace.kinds.lock().unwrap().is_empty());
    }
}
