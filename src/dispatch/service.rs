//! The service that the HTTP layer calls, and what its parts share.

use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::asking::Turn;
use super::calls::{ProviderBreakers, Served};
use super::settings::Settings;
use super::token::TokenMint;
use super::waiting::Waiting;
use super::{
    Dispatch, DispatchError, ListFilter, Page, Place, RoomNotice, SessionState, Step, TtlChange, Which, listing,
    room_of,
};
use crate::breaker::Guard;
use crate::cursor;
use crate::error_report::{Class, Reporter};
use crate::idempotency::Once;
use crate::name::Name;
use crate::policy::RetryBudget;
use crate::provider::{PoolProvider, Provider, ProviderError};
use crate::store::{Due, Hints, Refusal, Store, StoreError};
use crate::telemetry::Metrics;

/// The longest anyone waits for a hint before asking again: a lost hint costs no more.
pub(super) const POLL_MAX: Duration = Duration::from_secs(1);
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
    /// Who serves dispatches, unless a pool is to.
    pub(super) own: Served,
    /// Pools, where there are any.
    pub(super) pools: OnceLock<Served>,
    pub(super) settings: Settings,
    pub(super) mint: TokenMint,
    pub(super) hints: Hints,
    pub(super) admission: Admission,
    pub(super) retry_budget: RetryBudget,
    pub(super) waiting: Waiting<Result<(Turn, Arc<AtomicBool>), DispatchError>>,
    pub(super) metrics: Arc<Metrics>,
    /// Where failures are told besides the log, once that is known.
    reporter: OnceLock<Reporter>,
    /// Work at the provider: it outlives the request that asked for it, and shutdown waits for it.
    pub(super) work: TaskTracker,
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
        f.debug_struct("Dispatches").field("provider", &self.core.own.provider.name()).finish_non_exhaustive()
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
        let breakers = ProviderBreakers::new(&provider, &settings, &store, &metrics);
        let (own, pools, reporter) = (Served { provider, breakers }, OnceLock::new(), OnceLock::new());
        let core = Core {
            store,
            own,
            pools,
            settings,
            mint,
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

    /// Lets a request ask for a worker of a pool in place of the service's own provider; said again, it changes nothing.
    pub fn serve_by_pools(&self, pools: PoolProvider) {
        let provider = Provider::Pool(pools);
        let breakers = ProviderBreakers::new(&provider, &self.settings, &self.store, &self.metrics);
        let _ = self.pools.set(Served { provider, breakers });
    }

    /// Tells failures there from now on; said again, it changes nothing.
    pub fn report_to(&self, reporter: Reporter) {
        let _ = self.reporter.set(reporter);
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
        let filter = ListFilter { room: Some(room.clone()), limit: cursor::LIMIT_MAX, ..ListFilter::default() };
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
        let pools = self.pools.get().filter(|pools| pools.provider.name() != self.own.provider.name());
        self.own.breakers.all().into_iter().chain(pools.into_iter().flat_map(|pools| pools.breakers.all())).collect()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// A defect.
pub(super) fn internal(detail: &str) -> DispatchError {
    DispatchError::Internal { detail: detail.to_owned() }
}

/// Why the room has, or has no, agent: the dispatches it has, and the steps that led here, oldest first.
pub async fn explain(store: &Store, tenant: &Name, room: &Name) -> Result<(Vec<Dispatch>, Vec<Step>), DispatchError> {
    let filter = ListFilter { room: Some(room.clone()), limit: cursor::LIMIT_MAX, ..ListFilter::default() };
    let page = listing::list(store, tenant, &filter).await?;
    Ok((page.dispatches, store.steps(tenant, room, EXPLAIN_EVENTS_MAX).await?))
}
