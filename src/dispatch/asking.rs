//! Asking for an agent: the live one, a wait for whoever is at it, or a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::service::{POLL_MAX, internal};
use super::supervisor::Outcome;
use super::{Acquire, Acquired, DispatchError, Dispatches, failure};
use crate::provider::POOL;
use crate::store::{Record, Store, Verdict};
use crate::telemetry::AcquireOutcome;

/// Where a caller stands after a question.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(super) enum Turn {
    /// It has its answer.
    Decided(Acquired),
    /// Somebody else is at it: it asks again.
    Again,
}

impl Dispatches {
    /// Returns the live dispatch of the place, or makes one.
    pub async fn acquire(&self, request: Acquire) -> Result<Acquired, DispatchError> {
        let answer = self.acquire_in_time(request).await;
        self.metrics.dispatch_acquired(match &answer {
            Ok(Acquired::Created(_)) => AcquireOutcome::Created,
            Ok(Acquired::Reused(_)) => AcquireOutcome::Reused,
            Ok(Acquired::Pending(_)) => AcquireOutcome::Pending,
            Err(DispatchError::Draining | DispatchError::TooMany { .. }) => AcquireOutcome::Refused,
            Err(_) => AcquireOutcome::Failed,
        });
        answer
    }

    async fn acquire_in_time(&self, request: Acquire) -> Result<Acquired, DispatchError> {
        request.place.check()?;
        let deadline = Instant::now() + request.patience;
        let mut pending = None;
        while pending.is_none() || Instant::now() < deadline {
            let (verdict, record) = self.ask(&request).await?;
            pending = Some(record.dispatch.clone());
            let next = async {
                if verdict == Verdict::Wait && request.once.is_some() {
                    // Its answer is kept by a script that it calls itself.
                    self.hints.wait(&Store::hint_name(&request.place), claim_left(&record)).await;
                    Ok(Turn::Again)
                } else if verdict == Verdict::Wait {
                    self.wait_with_others(&request, &record).await
                } else {
                    self.follow(verdict, record).await
                }
            };
            match tokio::time::timeout_at(deadline, next).await {
                Ok(Ok(Turn::Decided(acquired))) => return Ok(acquired),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Turn::Again)) => {}
                Err(_) => break,
            }
        }
        pending.map(Acquired::Pending).ok_or_else(|| self.claim_lost())
    }

    async fn ask(&self, request: &Acquire) -> Result<(Verdict, Record), DispatchError> {
        let (place, once) = (&request.place, request.once.as_ref());
        let provider = if request.by_pool { POOL } else { self.own.provider.name() };
        let mut rules = self.settings.acquire_rules(&place.agent, request.ttl_seconds, provider);
        // A request that is to be done once has its answer kept, by the script that decides all.
        if once.is_none()
            && let Some(record) = self.store.reuse(place, &rules).await?
        {
            return Ok((Verdict::Reused, record));
        }
        rules.may_create = self.is_admitted(place);
        if let Some(answer) = self.store.acquire(place, &request.metadata, &rules, once).await? {
            return Ok(answer);
        }
        self.admit(place).await?;
        rules.may_create = true;
        let answer = self.store.acquire(place, &request.metadata, &rules, once).await?;
        answer.ok_or_else(|| internal("a dispatch was refused that may be made"))
    }

    /// Does what the script's answer asks for.
    async fn follow(&self, verdict: Verdict, record: Record) -> Result<Turn, DispatchError> {
        let once = record.once.is_some();
        match verdict {
            Verdict::Created => Ok(Turn::Decided(Acquired::Created(record.dispatch))),
            Verdict::Reused => Ok(Turn::Decided(Acquired::Reused(record.dispatch))),
            Verdict::Failed => Err(failure::held(&record)),
            Verdict::Wait => Ok(Turn::Again),
            Verdict::Create | Verdict::Verify => match self.work_on(verdict, record).await {
                // What was found is kept for repetitions when it is asked for again.
                Ok(Acquired::Reused(_)) if once => Ok(Turn::Again),
                Ok(acquired) => Ok(Turn::Decided(acquired)),
                // The claim was lost: somebody else is at it.
                Err(DispatchError::Timeout { .. }) => Ok(Turn::Again),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits until the place's claim is over, together with all others of this replica; then one asks
    /// again for all. Where that makes a dispatch, one of them is told that it was made.
    async fn wait_with_others(&self, request: &Acquire, record: &Record) -> Result<Turn, DispatchError> {
        let name = Store::hint_name(&request.place);
        let signal = self.hints.wait(&name, claim_left(record));
        let (this, request) = (self.clone(), request.clone());
        let question = move || async move {
            let (verdict, record) = this.ask(&request).await?;
            Ok((this.follow(verdict, record).await?, Arc::new(AtomicBool::new(false))))
        };
        let (turn, was_told) = self.waiting.join(&name, signal, question).await?;
        Ok(match turn {
            Turn::Decided(Acquired::Created(dispatch)) if was_told.swap(true, Ordering::SeqCst) => {
                Turn::Decided(Acquired::Reused(dispatch))
            }
            turn => turn,
        })
    }

    /// Makes or verifies, in a task of its own: a browser that hangs up stops nothing halfway.
    async fn work_on(&self, verdict: Verdict, record: Record) -> Result<Acquired, DispatchError> {
        let this = self.clone();
        let work = self.work.spawn(async move {
            if verdict == Verdict::Create {
                return this.make(&record).await.map(Acquired::Created);
            }
            let wanted = this.store.new_id(&record.dispatch.place);
            match this.check(&record, Some(wanted)).await? {
                Outcome::Well(dispatch) => Ok(Acquired::Reused(dispatch)),
                Outcome::Made(dispatch) => Ok(Acquired::Created(dispatch)),
                Outcome::Ended => Err(this.claim_lost()),
            }
        });
        work.await.unwrap_or_else(|error| Err(internal(&error.to_string())))
    }
}

/// How long to wait for a hint that the claim is over: not beyond its end.
fn claim_left(record: &Record) -> Duration {
    let left_ms = record.claim_until_ms.unwrap_or_default().saturating_sub(record.now_ms).saturating_add(5);
    POLL_MAX.min(Duration::from_millis(left_ms))
}
