//! The budget: at most so many lines in any second, wherever it begins, with room kept for what matters more.
//!
//! The times of the last lines are kept, as many as a second may have. One more is let in when fewer than its
//! rank's share of the budget were let in within the last second, whatever those were. So lines of a lower rank stop
//! early and the rest of the second is for the higher ones. Where that was too little for errors, the lower ones
//! pause: errors that go on coming have all of it to themselves a second later. A line's time is the moment of this
//! decision; the times never go back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;

use super::{SECOND, level_index, locked};

/// Up to which part of the budget, in percent, each rank may be let in.
const SHARES: [usize; 9] = [100, 99, 98, 65, 60, 55, 40, 30, 25];

/// What a line counts for: the limiter's own, then level by level, and at each what is always kept first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank(usize);

impl Rank {
    pub(super) const OWN: Self = Self(0);

    pub(super) fn kept(level: Level) -> Self {
        // Debug and trace are one.
        Self(1 + 2 * level_index(level).min(3))
    }

    pub(super) fn ordinary(level: Level) -> Self {
        Self(Self::kept(level).0 + 1)
    }

    fn is_below_errors(self) -> bool {
        self.0 > Self::ordinary(Level::ERROR).0
    }
}

#[derive(Debug)]
pub(super) struct Budget {
    /// How many lines a second may have when a line of that rank has come in.
    shares: [usize; SHARES.len()],
    /// Before then no line of that rank is let in; it only grows. So most of a flood need not wait for the lock.
    closed_until: [AtomicU64; SHARES.len()],
    /// A second after the last error that found no room.
    errors_first_until: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Recent {
    /// For each of the last lines the moment at which it no longer counts.
    ends: Box<[u64]>,
    oldest: usize,
    latest: u64,
}

impl Budget {
    pub(super) fn new(lines_per_second: u32) -> Self {
        let lines = usize::try_from(lines_per_second).unwrap_or(usize::MAX).max(1);
        let recent = Recent { ends: vec![0; lines].into_boxed_slice(), oldest: 0, latest: 0 };
        Self {
            shares: SHARES.map(|percent| (lines * percent / 100).max(1)),
            closed_until: Default::default(),
            errors_first_until: AtomicU64::new(0),
            recent: Mutex::new(recent),
        }
    }

    /// Whether a line fits in now; then it counts.
    pub(super) fn admits(&self, rank: Rank, now: u64) -> bool {
        if rank.is_below_errors() {
            return now >= self.errors_first_until.load(Ordering::Relaxed) && self.has_room(rank, now);
        }
        let admits = self.has_room(rank, now);
        if !admits {
            self.errors_first_until.fetch_max(now + SECOND, Ordering::Relaxed);
        }
        admits
    }

    fn has_room(&self, Rank(rank): Rank, now: u64) -> bool {
        if now < self.closed_until[rank].load(Ordering::Relaxed) {
            return false;
        }
        let mut recent = locked(&self.recent);
        // Another thread may have been here with a later time.
        let now = now.max(recent.latest);
        let has_room = recent.end_of_the_youngest(self.shares[rank]) <= now;
        if has_room {
            recent.push(now);
        }
        self.closed_until[rank].store(recent.end_of_the_youngest(self.shares[rank]), Ordering::Relaxed);
        has_room
    }
}

impl Recent {
    /// When the last of the so many youngest lines no longer counts.
    fn end_of_the_youngest(&self, lines: usize) -> u64 {
        self.ends[(self.oldest + self.ends.len() - lines) % self.ends.len()]
    }

    fn push(&mut self, now: u64) {
        self.ends[self.oldest] = now + SECOND;
        self.oldest = (self.oldest + 1) % self.ends.len();
        self.latest = now;
    }
}
