//! The service that the HTTP layer calls, and what its parts share.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::calls::ProviderBreakers;
use super::settings::Settings;
use super::supervisor::Outcome;
use super::token::TokenMint;
use super::waiting::Waiting;
use super::{
    Acquire, Acquired, Dispatch, DispatchError, ListFilter, Page, Place, RoomNotice, SessionState, Step, TtlChange,
    Which, failure, listing, room_of,
};
use crate::breaker::Guard;
use crate::error_report::{Class, Reporter};
use crate::idempotency::Once;
use crate::name::Name;
use crate::policy::RetryBudget;
use crate::provider::{Provider, ProviderError};
use crate::store::{Due, Hints, Record, Refusal, Store, StoreError, Verdict};
use crate::telemetry::{AcquireOutcome, Metrics};

/// The longest anyone waits for a hint before asking again: a lost hint costs no more.
const POLL_MAX: Duration = Duration::from_secs(1);
/// How many of a shard's newest events `explain` looks through.
const EXPLAIN_EVENTS_MAX: usize = 5000;

/// Everything that can be asked about dispatches. Cheap to clone.
#[derive(Clone)]
pub struct Dispatches {
    core: Arc<Core>,
}

/// What making, supervising and answering share.
pub struct Core {
    pub(super) store: Store,
    pub(super) provider: Provider,
    pub(super) settings: Settings,
    pub(super) mint: TokenMint,
    pub(super) breakers: ProviderBreakers,
    hints: Hints,
    pub(super) admission: Admission,
    pub(super) retry_budget: RetryBudget,
    waiting: Waiting<Result<(Turn, Arc<AtomicBool>), DispatchError>>,
    pub(super) metrics: Arc<Metrics>,
    /// Where failures are told besides the log, once that is known.
    reporter: OnceLock<Reporter>,
    /// Work at the provider: it outlives the request that asked for it, and shutdown waits for it.
    work: TaskTracker,
}

/// Where a caller stands after a question.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
enum Turn {
    /// It has its answer.
    Decided(Acquired),
    /// Somebody else is at it: it asks again.
    Again,
}

/// What a change finds.
enum Sought {
    /// The dispatch.
    Found(Dispatch),
    /// It is gone; this is what the same request was answered while it was there.
    Answered(Dispatch),
}

impl std::fmt::Debug for Dispatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatches").field("provider", &self.core.provider.name()).finish_non_exhaustive()
    }
}

impl Deref for Dispatches {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Core {
    /// Another has taken the claim over, and will finish the work: the caller may ask again.
    pub(super) fn claim_lost(&self) -> DispatchError {
        DispatchError::Timeout { retry_after: self.settings.failure_hold }
    }

    /// Tells of a failure, where somebody listens.
    pub(super) fn tell_of_failure(&self, operation: String, class: Class, code: Option<&'static str>, message: String) {
        if let Some(reporter) = self.reporter.get() {
            reporter.report(operation, class, code, message);
        }
    }
}

impl Dispatches {
    /// A service on the store and the provider. `work` is what shutdown waits for.
    pub fn new(
        store: Store,
        provider: Provider,
        settings: Settings,
        mint: TokenMint,
        hints: Hints,
        work: TaskTracker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (admission, retry_budget, waiting) = Default::default();
        let (breakers, reporter) = (ProviderBreakers::new(&provider, &settings, &store, &metrics), OnceLock::new());
        let core = Core {
            store,
            provider,
            settings,
            mint,
            breakers,
            hints,
            admission,
            retry_budget,
            waiting,
            metrics,
            reporter,
            work,
        };
        Self { core: Arc::new(core) }
    }

    /// Tells failures there from now on; said again, it changes nothing.
    pub fn report_to(&self, reporter: Reporter) {
        let _ = self.reporter.set(reporter);
    }

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
        let mut rules = self.settings.acquire_rules(&place.agent, request.ttl_seconds, self.provider.name());
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

    /// One dispatch of the tenant.
    pub async fn get(&self, tenant: &Name, which: Which) -> Result<Dispatch, DispatchError> {
        let (place, id) = match which {
            Which::Id(id) => (self.place_of(tenant, id).await?, Some(id)),
            Which::Place(place) => (place, None),
        };
        let found = self.store.dispatch(&place).await?.ok_or(DispatchError::NotFound)?;
        if id.is_none_or(|id| id == found.id) { Ok(found) } else { Err(DispatchError::NotFound) }
    }

    /// Another tenant's id answers exactly as an unknown one.
    async fn place_of(&self, tenant: &Name, id: crate::id::DispatchId) -> Result<Place, DispatchError> {
        match self.store.place_of(id).await {
            Ok(place) if place.tenant == *tenant => Ok(place),
            Ok(_) | Err(StoreError::Refused(Refusal::Ended)) => Err(DispatchError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of the tenant's dispatches.
    pub async fn list(&self, tenant: &Name, filter: ListFilter) -> Result<Page, DispatchError> {
        listing::list(&self.store, tenant, &filter).await
    }

    /// Ends a dispatch, whoever is there; returns when it is gone at the provider.
    pub async fn end(&self, tenant: &Name, which: Which) -> Result<Dispatch, DispatchError> {
        if self.settings.observe_only {
            return Err(DispatchError::Provider { source: ProviderError::ObserveOnly, retry_after: Duration::ZERO });
        }
        let found = self.get(tenant, which).await?;
        let (mine, record) = self.store.end(&found.place, found.id, "asked", self.settings.claim).await?;
        let ending = record.dispatch.clone();
        if mine {
            let this = self.clone();
            let work = self.work.spawn(async move { this.finish(&record).await });
            work.await.unwrap_or_else(|error| Err(internal(&error.to_string())))?;
            return Ok(ending);
        }
        let deadline = Instant::now() + self.settings.creation_budget;
        while Instant::now() < deadline {
            self.hints.wait(&Store::hint_name(&found.place), POLL_MAX).await;
            match self.store.dispatch(&found.place).await? {
                Some(now) if now.id == found.id => {}
                _ => return Ok(ending),
            }
        }
        Err(self.claim_lost())
    }

    /// Ends all dispatches of a room.
    pub async fn end_room(&self, tenant: &Name, room: &Name) -> Result<Vec<Dispatch>, DispatchError> {
        let filter = ListFilter { room: Some(room.clone()), limit: listing::LIMIT_MAX, ..ListFilter::default() };
        let page = self.list(tenant, filter).await?;
        let mut ended = Vec::with_capacity(page.dispatches.len());
        for dispatch in page.dispatches {
            match self.end(tenant, Which::Id(dispatch.id)).await {
                Ok(dispatch) => ended.push(dispatch),
                // It ended, or was replaced, while we were at it.
                Err(DispatchError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Notes that somebody is interested: the time to live starts anew if it runs.
    pub async fn touch(&self, tenant: &Name, which: Which, once: Option<&Once>) -> Result<Dispatch, DispatchError> {
        match self.found_or_answered(tenant, which, once).await? {
            Sought::Found(found) => Ok(self.store.touch(&found.place, found.id, once).await?.dispatch),
            Sought::Answered(before) => Ok(before),
        }
    }

    /// Arms, moves or cancels the time to live.
    pub async fn change_ttl(
        &self,
        tenant: &Name,
        which: Which,
        change: TtlChange,
        once: Option<&Once>,
    ) -> Result<Dispatch, DispatchError> {
        match self.found_or_answered(tenant, which, once).await? {
            Sought::Found(found) => Ok(self.store.change_ttl(&found.place, found.id, change, once).await?.dispatch),
            Sought::Answered(before) => Ok(before),
        }
    }

    /// The dispatch; or, where it is gone, what this very request was answered while it was there.
    async fn found_or_answered(
        &self,
        tenant: &Name,
        which: Which,
        once: Option<&Once>,
    ) -> Result<Sought, DispatchError> {
        let id = if let Which::Id(id) = &which { Some(*id) } else { None };
        match (self.get(tenant, which).await, id, once) {
            (Ok(found), _, _) => Ok(Sought::Found(found)),
            (Err(DispatchError::NotFound), Some(id), Some(once)) => {
                let before = self.store.touched_before(id, once).await?;
                before.map(|before| Sought::Answered(before.dispatch)).ok_or(DispatchError::NotFound)
            }
            (Err(error), _, _) => Err(error),
        }
    }

    /// An agent says how its session is; `token` is the one from its job's attributes.
    pub async fn report(
        &self,
        id: crate::id::DispatchId,
        token: &str,
        session: SessionState,
    ) -> Result<Dispatch, DispatchError> {
        let agent_token = self.mint.verify(id, token).ok_or(DispatchError::BadToken)?;
        let place = self.store.place_of(id).await?;
        let silent_after = self.settings.silent_after();
        Ok(self.store.report(&place, id, agent_token, session, silent_after).await?.dispatch)
    }

    /// Takes in a provider's webhook.
    pub async fn notice(&self, notice: RoomNotice) -> Result<(), DispatchError> {
        // A room whose name we would not give is none of ours.
        let Some((tenant, room)) = room_of(&notice.room) else { return Ok(()) };
        let concerned = self.store.notice(&tenant, &room, &notice, self.settings.heartbeat_believed).await?;
        if concerned > 0 {
            notice.kind.tell(&room);
        }
        Ok(())
    }

    /// See [`explain`].
    pub async fn explain(&self, tenant: &Name, room: &Name) -> Result<(Vec<Dispatch>, Vec<Step>), DispatchError> {
        explain(&self.store, tenant, room).await
    }

    /// Does what a reaper found due.
    pub async fn attend_to(&self, due: Due) {
        self.metrics.reaper_lag(Duration::from_millis(due.late_ms));
        Box::pin(self.attend(&due)).await;
    }

    /// The task tracker of the work at the provider.
    pub fn work(&self) -> &TaskTracker {
        &self.work
    }

    /// The breakers around the calls of the provider.
    pub fn breakers(&self) -> Vec<Guard> {
        self.breakers.all()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// How long to wait for a hint that the claim is over: not beyond its end.
fn claim_left(record: &Record) -> Duration {
    let left_ms = record.claim_until_ms.unwrap_or_default().saturating_sub(record.now_ms).saturating_add(5);
    POLL_MAX.min(Duration::from_millis(left_ms))
}

/// A defect.
fn internal(detail: &str) -> DispatchError {
    DispatchError::Internal { detail: detail.to_owned() }
}

/// Why the room has, or has no, agent: the dispatches it has, and the steps that led here, oldest first.
pub async fn explain(store: &Store, tenant: &Name, room: &Name) -> Result<(Vec<Dispatch>, Vec<Step>), DispatchError> {
    let filter = ListFilter { room: Some(room.clone()), limit: listing::LIMIT_MAX, ..ListFilter::default() };
    let page = listing::list(store, tenant, &filter).await?;
    Ok((page.dispatches, store.steps(tenant, room, EXPLAIN_EVENTS_MAX).await?))
}
