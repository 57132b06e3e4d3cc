//! How many calls a caller may make a second, over all replicas.
//!
//! The count is Redis's: a replica borrows a part of the quota of the present second, serves from it without
//! asking again, and borrows the next part in time. What it does not use lapses with the second, so that callers may
//! get a little less than their limit and never more. A replica that cannot borrow counts alone: then a caller may
//! have its limit on each replica, and no more.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tracing::field::Empty;

use super::bounded::make_room;
use super::{Caller, CallerId};
use crate::store::{Loan, Store};

/// A twentieth of the quota is borrowed at a time: small enough that what lapses is little.
const PARTS: u32 = 20;
/// How long a call waits for a loan; then the replica counts alone.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a replica counts alone before it asks again.
const ALONE: Duration = Duration::from_secs(1);

/// What is left to a caller in this second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many calls a second.
    pub per_second: NonZeroU32,
    /// How many more are left, as far as this replica knows: others may use them, too.
    pub left: u32,
}

/// The caller has no call left in this second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast(pub Quota);

/// The limits of callers. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    store: Store,
    per_second: Option<NonZeroU32>,
    callers: Arc<Mutex<HashMap<CallerId, Purse>>>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

type Borrowing = Shared<BoxFuture<'static, ()>>;

impl Limits {
    /// Limits that the replicas share. `per_second` is that of callers without their own; none is no limit.
    pub fn new(store: Store, per_second: Option<NonZeroU32>) -> Self {
        Self { store, per_second, callers: Arc::default() }
    }

    /// Counts a call; none where the caller has no limit.
    pub async fn take(&self, caller: &Caller) -> Result<Option<Quota>, TooFast> {
        let Some(per_second) = caller.rate_limit().or(self.per_second) else { return Ok(None) };
        let give_up = Instant::now() + PATIENCE;
        loop {
            let borrowing = match self.step(caller, per_second) {
                Step::Taken(left) => return Ok(Some(Quota { per_second, left })),
                Step::Spent => return Err(TooFast(Quota { per_second, left: 0 })),
                Step::Wait(borrowing) => borrowing,
            };
            if tokio::time::timeout_at(give_up, borrowing).await.is_err() {
                let now = Instant::now();
                let mut callers = lock(&self.callers);
                let purse = callers.entry(caller.id().clone()).or_default();
                purse.count_alone(per_second, now);
            }
        }
    }

    fn step(&self, caller: &Caller, per_second: NonZeroU32) -> Step {
        let now = Instant::now();
        let mut callers = lock(&self.callers);
        make_room(&mut callers, caller.id(), |purse| purse.until > Some(now));
        let purse = callers.entry(caller.id().clone()).or_default();
        match purse.take(now) {
            Some(left) => {
                if purse.runs_low(part(per_second) / 2) {
                    drop(self.borrowing(purse, caller, per_second));
                }
                Step::Taken(left)
            }
            None if purse.is_spent(now) => Step::Spent,
            // A page's token is for one room, and there are many: they are not worth a call of Redis each.
            None if caller.page_room().is_some() => {
                purse.count_alone(per_second, now);
                purse.take(now).map_or(Step::Spent, Step::Taken)
            }
            None => Step::Wait(self.borrowing(purse, caller, per_second)),
        }
    }

    /// What is being borrowed, by this call or by an earlier one.
    fn borrowing(&self, purse: &mut Purse, caller: &Caller, per_second: NonZeroU32) -> Borrowing {
        purse.borrowing.get_or_insert_with(|| self.borrow(caller.id(), per_second)).clone()
    }

    fn borrow(&self, caller: &CallerId, per_second: NonZeroU32) -> Borrowing {
        let (store, callers, caller) = (self.store.clone(), Arc::clone(&self.callers), caller.clone());
        let borrowing = async move {
            // The second is over here before it is over in Redis: it counts from when it was asked for.
            let asked = Instant::now();
            let answer = store.borrow_limit(&caller, per_second, part(per_second)).await;
            let mut callers = lock(&callers);
            let purse = callers.entry(caller).or_default();
            purse.borrowing = None;
            match answer {
                Ok(loan) => purse.add(loan, asked),
                Err(error) => {
                    tracing::debug!(line.notice = Empty, cause = %error, "a limit is counted by this replica alone");
                    purse.count_alone(per_second, Instant::now());
                }
            }
        };
        let borrowing = borrowing.boxed().shared();
        // Driven by a task of its own: the caller who began may hang up, or not wait at all.
        tokio::spawn(borrowing.clone());
        borrowing
    }
}

/// How many are borrowed at a time.
fn part(per_second: NonZeroU32) -> u32 {
    per_second.get().div_ceil(PARTS)
}

/// What comes of a call.
enum Step {
    /// It is counted; so many are left.
    Taken(u32),
    /// There is none left in this second.
    Spent,
    /// More has to be borrowed first.
    Wait(Borrowing),
}

/// What this replica has of a caller's quota; at first nothing, and nothing is known.
#[derive(Default)]
struct Purse {
    /// The second that it is good for, by Redis's clock; none where the replica counts alone.
    second: Option<u64>,
    /// None until something was borrowed: who read the clock before another made the purse is not too fast.
    until: Option<Instant>,
    here: u32,
    /// How many were not lent yet when it borrowed last.
    to_borrow: u32,
    borrowing: Option<Borrowing>,
}

impl Purse {
    fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Takes one, and tells how many are left.
    fn take(&mut self, now: Instant) -> Option<u32> {
        if !self.lasts(now) {
            return None;
        }
        self.here = self.here.checked_sub(1)?;
        Some(self.here.saturating_add(self.to_borrow))
    }

    /// Whether nothing is left in this second, here or in Redis.
    fn is_spent(&self, now: Instant) -> bool {
        self.lasts(now) && self.here == 0 && self.to_borrow == 0
    }

    fn runs_low(&self, low: u32) -> bool {
        self.here < low && self.to_borrow > 0
    }

    fn add(&mut self, loan: Loan, asked: Instant) {
        let until = Some(asked + loan.ends_in);
        if self.second == Some(loan.second) {
            self.here += loan.lent;
            self.until = self.until.max(until);
        } else {
            (self.second, self.here, self.until) = (Some(loan.second), loan.lent, until);
        }
        self.to_borrow = loan.rest;
    }

    /// Nothing can be borrowed: the caller may have its limit here. Once a second, however many find it out.
    fn count_alone(&mut self, per_second: NonZeroU32, now: Instant) {
        if !self.lasts(now) || (self.here == 0 && self.to_borrow > 0) {
            (self.second, self.until) = (None, Some(now + ALONE));
            (self.here, self.to_borrow) = (per_second.get(), 0);
        }
    }
}

fn lock(callers: &Mutex<HashMap<CallerId, Purse>>) -> MutexGuard<'_, HashMap<CallerId, Purse>> {
    callers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: NonZeroU32 = NonZeroU32::new(10).unwrap();

    fn loan(second: u64, lent: u32, rest: u32) -> Loan {
        Loan { second, lent, rest, ends_in: Duration::from_millis(400) }
    }

    fn take_all(purse: &mut Purse, now: Instant) -> u32 {
        let mut taken = 0;
        while purse.take(now).is_some() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn who_read_the_clock_before_another_came_first_is_not_too_fast() {
        let before = Instant::now();
        let purse = Purse::default();
        assert!(!purse.is_spent(before) && !purse.is_spent(Instant::now()), "it has to ask first");
    }

    #[test]
    fn what_was_borrowed_lapses_with_its_second_counted_from_the_question() {
        let asked = Instant::now();
        let mut purse = Purse::default();
        assert!(purse.take(asked).is_none() && !purse.is_spent(asked), "it has to ask first");
        purse.add(loan(7, 3, 7), asked);
        assert_eq!(purse.take(asked), Some(9));
        purse.add(loan(7, 2, 5), asked + Duration::from_millis(10));
        assert_eq!(take_all(&mut purse, asked + Duration::from_millis(409)), 4);
        purse.add(loan(7, 5, 0), asked);
        let over = asked + Duration::from_millis(410);
        assert!(purse.take(over).is_none() && !purse.is_spent(over), "another second, another question");
        purse.add(loan(8, 1, 0), over);
        assert_eq!(take_all(&mut purse, over), 1);
        assert!(purse.is_spent(over));
    }

    #[test]
    fn alone_a_replica_gives_the_limit_once_a_second_however_many_wait() {
        let now = Instant::now();
        let mut purse = Purse::default();
        purse.count_alone(LIMIT, now);
        assert!(purse.take(now).is_some());
        purse.count_alone(LIMIT, now);
        assert_eq!(take_all(&mut purse, now), 9);
        purse.count_alone(LIMIT, now);
        assert!(purse.take(now).is_none() && purse.is_spent(now));
        let later = now + ALONE;
        assert!(!purse.is_spent(later), "Redis is asked again");
        purse.count_alone(LIMIT, later);
        assert_eq!(take_all(&mut purse, later), 10);
        // A loan that hangs amid a second.
        purse.add(loan(9, 0, 5), later);
        purse.count_alone(LIMIT, later);
        assert_eq!(take_all(&mut purse, later), 10);
    }
}
