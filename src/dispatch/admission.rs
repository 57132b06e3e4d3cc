//! Whether a new dispatch may be made: not where its agent drains, nor beyond the bounds.
//!
//! The live dispatch of a room is handed out all the same, so a question goes first to
//! `dispatch/acquire` without leave to make one; only where that would have to, it comes here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::Empty;

use super::service::Core;
use super::{AgentStatus, DispatchError, Dispatches, ListFilter, Place, State, listing};
use crate::cursor;
use crate::idempotency::Once;
use crate::name::Name;
use crate::store::{Record, Store, Taken};

/// For so long a replica goes by what it knows of the agents that drain.
const FRESH: Duration = Duration::from_secs(1);
/// How many of those that count in a bound are looked at when it is reached, oldest first.
const LOOKED_THROUGH_MAX: u32 = 1000;
/// After how long to ask again where a bound is reached.
const RETRY_AFTER: Duration = Duration::from_secs(5);

type Draining = Arc<HashMap<String, u64>>;

/// What a replica remembers, so that most questions cost no call of their own.
#[derive(Debug, Default)]
pub(super) struct Admission {
    draining: Mutex<HashMap<Name, (Instant, Draining)>>,
    cleared_at: Mutex<HashMap<Name, Instant>>,
}

impl Admission {
    fn known(&self, tenant: &Name) -> Option<Draining> {
        let known = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, draining)| Arc::clone(draining))
    }

    fn learn(&self, tenant: &Name, draining: HashMap<String, u64>) -> Draining {
        let draining = Arc::new(draining);
        let mut known = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(tenant.clone(), (Instant::now(), Arc::clone(&draining)));
        draining
    }

    /// Whether this caller is to look through those that count: one does, now and then.
    fn may_clear(&self, tenant: &Name) -> bool {
        let mut cleared = self.cleared_at.lock().unwrap_or_else(PoisonError::into_inner);
        cleared.retain(|_, at| at.elapsed() < FRESH);
        !cleared.contains_key(tenant) && cleared.insert(tenant.clone(), Instant::now()).is_none()
    }
}

impl Core {
    /// Whether it is known, without asking Redis, that the place may have a new dispatch.
    pub(super) fn is_admitted(&self, place: &Place) -> bool {
        let free = |draining: Draining| !draining.contains_key(place.agent.as_str());
        !self.settings.bounds(&place.agent).is_some() && self.admission.known(&place.tenant).is_some_and(free)
    }

    /// Whether the place may have a new dispatch. Where there are bounds, it counts from now on.
    pub(super) async fn admit(&self, place: &Place) -> Result<(), DispatchError> {
        if self.draining(&place.tenant).await?.contains_key(place.agent.as_str()) {
            return Err(DispatchError::Draining);
        }
        let bounds = self.settings.bounds(&place.agent);
        if !bounds.is_some() {
            return Ok(());
        }
        let Some((bound, now_ms)) = self.store.take_quota(place, bounds).await? else { return Ok(()) };
        let cleared = self.admission.may_clear(&place.tenant) && self.clear_quota(&place.tenant, now_ms).await? > 0;
        if cleared && self.store.take_quota(place, bounds).await?.is_none() {
            return Ok(());
        }
        Err(DispatchError::TooMany { bound, retry_after: RETRY_AFTER })
    }

    async fn draining(&self, tenant: &Name) -> Result<Draining, DispatchError> {
        match self.admission.known(tenant) {
            Some(draining) => Ok(draining),
            None => Ok(self.admission.learn(tenant, self.store.draining(tenant).await?)),
        }
    }

    /// A dispatch is over, or was never made: it no longer counts.
    pub(super) async fn count_no_longer(&self, record: &Record) {
        let place = &record.dispatch.place;
        if self.settings.bounds(&place.agent).is_some()
            && let Err(error) = self.store.give_quota(place, record.now_ms).await
        {
            tracing::debug!(dispatch = %record.dispatch.id, %error, "it counts on, until the bound is reached and looked through");
        }
    }

    /// Gives back what replicas that were lost did not; returns how many.
    async fn clear_quota(&self, tenant: &Name, now_ms: u64) -> Result<usize, DispatchError> {
        // Who took a place a moment ago may not have asked for its dispatch yet.
        let settled_ms = u64::try_from(self.settings.creation_budget.as_millis()).unwrap_or(u64::MAX);
        let mut cleared = 0;
        for Taken { place, at_ms } in self.store.taken_quota(tenant, LOOKED_THROUGH_MAX).await? {
            if at_ms.saturating_add(settled_ms) > now_ms {
                break;
            }
            let lives = self.store.dispatch(&place).await?.is_some_and(|found| found.state != State::Failed);
            if !lives && self.store.give_quota(&place, at_ms).await? {
                cleared += 1;
            }
        }
        Ok(cleared)
    }
}

impl Dispatches {
    /// Drains the agent (no new dispatch of it is made; those that run go on), or takes that back.
    pub async fn drain_agent(
        &self,
        tenant: &Name,
        agent: &Name,
        drains: bool,
        once: Option<&Once>,
    ) -> Result<AgentStatus, DispatchError> {
        self.store.drain_agent(tenant, agent, drains, once).await?;
        // Here at once; the other replicas follow within a second.
        self.admission.learn(tenant, self.store.draining(tenant).await?);
        tracing::info!(line.kept = Empty, agent = %agent, drains, "the agent drains, or no longer does");
        self.agent_status(tenant, agent).await
    }

    /// See [`agent_status`].
    pub async fn agent_status(&self, tenant: &Name, agent: &Name) -> Result<AgentStatus, DispatchError> {
        agent_status(&self.store, tenant, agent).await
    }
}

/// Whether the agent drains, and how many dispatches of it there still are.
pub async fn agent_status(store: &Store, tenant: &Name, agent: &Name) -> Result<AgentStatus, DispatchError> {
    let draining_since_ms = store.draining(tenant).await?.get(agent.as_str()).copied();
    let mut filter = ListFilter { agent: Some(agent.clone()), limit: cursor::LIMIT_MAX, ..ListFilter::default() };
    let mut dispatches = 0;
    loop {
        let page = listing::list(store, tenant, &filter).await?;
        dispatches += u64::try_from(page.dispatches.len()).unwrap_or_default();
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            return Ok(AgentStatus { agent: agent.clone(), draining_since_ms, dispatches });
        }
    }
}
