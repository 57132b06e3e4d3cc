//! A pool of warm workers as provider: the agent of a room is a worker of the tenant's pool that bears the agent's name.
//!
//! The dispatch at the provider is the lease of a session that bears the room's name, so whoever asks a second time finds
//! what the first one made. What the worker is told names the dispatch that owns the lease. The lease is kept by each look
//! at it, and lapses where nobody looks any more. Rooms, and people in them, are another provider's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    ATTRIBUTE_ID, ATTRIBUTE_TOKEN, ATTRIBUTE_URL, AgentPresence, Look, Provider, ProviderDispatch, ProviderError,
};
use crate::dispatch::room_of;
use crate::id::LeaseId;
use crate::name::Name;
use crate::pool::{
    Affinity, Assignment, AssignmentParts, Lease, PoolError, PoolName, Pools, Priority, SessionRef, Wish,
};

/// The code of the refusal where the agent has no pool.
pub const NO_POOL: &str = "no_pool";

/// What the worker is told, and what it stands for where the dispatch is looked for again.
const TOLD: [(&str, &str); 3] =
    [("GREENROOM_DISPATCH_ID", ATTRIBUTE_ID), ("GREENROOM_TOKEN", ATTRIBUTE_TOKEN), ("GREENROOM_URL", ATTRIBUTE_URL)];
const TOLD_ROOM: &str = "GREENROOM_ROOM";

/// More variables for the worker of a room (its name at the provider) and a dispatch (its id).
type More = dyn Fn(&str, &str) -> Vec<(&'static str, String)> + Send + Sync;

/// How a [`PoolProvider`] behaves.
#[derive(Debug, Clone, Copy)]
pub struct PoolProviderOptions {
    /// How long a lease lasts that nobody looks at: longer than the pause between two looks.
    pub lease: Duration,
    /// How long a dispatch waits for a worker.
    pub wait: Duration,
}

/// Pools of warm workers. Cheap to clone.
#[derive(Clone)]
pub struct PoolProvider {
    pools: Arc<Pools>,
    rooms: Arc<Provider>,
    options: PoolProviderOptions,
    more: Arc<More>,
}

impl fmt::Debug for PoolProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolProvider").field("rooms", &self.rooms.name()).finish_non_exhaustive()
    }
}

impl PoolProvider {
    /// The pools, for rooms of that provider.
    pub fn new(pools: Pools, rooms: Provider, options: PoolProviderOptions) -> Self {
        Self { pools: Arc::new(pools), rooms: Arc::new(rooms), options, more: Arc::new(|_, _| Vec::new()) }
    }

    /// The same, where workers are told more: `more` is given the room's name and the dispatch's id.
    #[must_use]
    pub fn telling(self, more: impl Fn(&str, &str) -> Vec<(&'static str, String)> + Send + Sync + 'static) -> Self {
        Self { more: Arc::new(more), ..self }
    }

    pub(super) fn rooms(&self) -> &Provider {
        &self.rooms
    }

    pub(super) async fn keep(&self, room: &str, agent: &str) {
        if let Ok((pool, session)) = place(room, agent) {
            let _ = self.pools.held_by(&pool, &session, Some(self.options.lease)).await;
        }
    }

    pub(super) async fn look(&self, room: &str, agent: &str, with_dispatches: bool) -> Result<Look, ProviderError> {
        let (pool, session) = place(room, agent)?;
        let mut look = self.rooms.look(room, agent, false).await?;
        // Other agents in the room are none of the pool's.
        look.agents.clear();
        look.dispatches = with_dispatches.then(Vec::new);
        let held = self.pools.held_by(&pool, &session, Some(self.options.lease)).await?;
        let Some((lease, told)) = held else { return Ok(look) };
        let parts = told.as_ref().map(Assignment::parts);
        // A session that somebody else made under the room's name is no dispatch; one that an emptied Redis remembers
        // by name only may be.
        if parts.is_some_and(|parts| !parts.environment.contains_key(TOLD[0].0)) {
            return Ok(look);
        }
        let found = dispatch_of(&lease, told.as_ref(), agent);
        look.agents = found.job_identities.iter().map(|worker| presence(worker, agent)).collect();
        if let Some(dispatches) = &mut look.dispatches {
            dispatches.push(found);
        }
        Ok(look)
    }

    pub(super) async fn create(
        &self,
        room: &str,
        agent: &str,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        let (pool, session) = place(room, agent)?;
        let dispatch = attributes.get(ATTRIBUTE_ID).cloned().unwrap_or_default();
        let named =
            TOLD.iter().filter_map(|(variable, attribute)| Some((*variable, attributes.get(*attribute)?.clone())));
        let more = (self.more)(room, &dispatch);
        let mut environment: BTreeMap<String, String> =
            named.chain(more).map(|(variable, value)| (variable.to_owned(), value)).collect();
        environment.insert(TOLD_ROOM.to_owned(), session.name().as_str().to_owned());
        let wish = Wish {
            session: Some(session.clone()),
            lease: Some(self.options.lease),
            wait: self.options.wait,
            priority: Priority::Normal,
            affinity: Affinity::Hint,
            assignment: Assignment::new(&AssignmentParts { environment, metadata: metadata.to_owned() }),
        };
        let lease = self.pools.lease(&pool, &wish, None).await?;
        // The same session had a lease, or waited for one, on behalf of another: its worker was told of that one.
        let held = self.pools.held_by(&pool, &session, None).await?;
        let made = held.map(|(_, told)| dispatch_of(&lease, told.as_ref(), agent));
        made.filter(|made| made.attributes == attributes).ok_or_else(|| ProviderError::Unavailable {
            detail: "a session of the room's name has the worker already".to_owned(),
        })
    }

    pub(super) async fn delete(&self, room: &str, provider_id: &str) -> Result<(), ProviderError> {
        let (Some((tenant, _)), Ok(id)) = (room_of(room), provider_id.parse::<LeaseId>()) else { return Ok(()) };
        Ok(self.pools.end_lease(&tenant, id).await?)
    }
}

/// The pool that serves the agent of the room, and what the session is called there.
fn place(room: &str, agent: &str) -> Result<(PoolName, SessionRef), ProviderError> {
    let none = || ProviderError::Rejected { code: NO_POOL.to_owned(), detail: "no pool has such a name".to_owned() };
    let (tenant, session) = room_of(room).ok_or_else(none)?;
    Ok((PoolName { tenant, pool: Name::strict(agent).map_err(|_| none())? }, SessionRef::Named(session)))
}

/// The lease as a dispatch.
fn dispatch_of(lease: &Lease, told: Option<&Assignment>, agent: &str) -> ProviderDispatch {
    let parts = told.map(Assignment::parts).unwrap_or_default();
    let named = TOLD
        .iter()
        .filter_map(|(variable, attribute)| Some(((*attribute).to_owned(), parts.environment.get(*variable)?.clone())));
    ProviderDispatch {
        id: lease.id.to_string(),
        agent: agent.to_owned(),
        created_at_seconds: i64::try_from(lease.created_at_ms / 1000).unwrap_or_default(),
        job_identities: lease.worker.iter().map(ToString::to_string).collect(),
        metadata: parts.metadata,
        attributes: named.collect(),
    }
}

fn presence(worker: &str, agent: &str) -> AgentPresence {
    AgentPresence { identity: worker.to_owned(), name: Some(agent.to_owned()) }
}

impl From<PoolError> for ProviderError {
    fn from(error: PoolError) -> Self {
        let rejected = |code: &str| Self::Rejected { code: code.to_owned(), detail: error.to_string() };
        match &error {
            PoolError::NoReadyWorker | PoolError::LineFull | PoolError::WorkerBusy => Self::Exhausted,
            PoolError::NotFound => rejected(NO_POOL),
            PoolError::Draining => rejected("pool_draining"),
            _ => Self::Unavailable { detail: error.to_string() },
        }
    }
}
