//! Finding again at the provider what Redis has forgotten: after it came back empty, or as an older copy of
//! itself. A new store is not a new wish: what is there is adopted under its own id, and nothing is made.

use futures_util::{FutureExt, StreamExt, stream};
use tracing::field::Empty;

use super::leaving::is_present;
use super::service::Core;
use super::{DispatchError, Dispatches, Place, State, room_of};
use crate::id::DispatchId;
use crate::name::Name;
use crate::provider::{ATTRIBUTE_ID, ATTRIBUTE_TOKEN, Look, ProviderDispatch};
use crate::store::keys::{Shard, shard_of_room};
use crate::store::{Refusal, StoreError, Verdict};

/// How many rooms are looked into at once: callers go first.
const ROOMS_AT_ONCE: usize = 4;
/// How many dispatches of a room are looked after.
const OF_ROOM_MAX: u32 = 64;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Rooms that the provider has.
    pub rooms: usize,
    /// Dispatches that were found again.
    pub found: usize,
    /// Rooms that could not be looked into.
    pub failed: usize,
}

impl Dispatches {
    /// Looks for dispatches of ours that Redis does not have: in rooms that it knows nothing of or, where
    /// `thorough`, in all rooms.
    pub async fn reconcile(&self, thorough: bool) -> Result<Reconciled, DispatchError> {
        let rooms = self
            .rooms()
            .await
            .map_err(|source| DispatchError::Provider { source, retry_after: self.settings.failure_hold })?;
        let mut sum = Reconciled { rooms: rooms.len(), ..Reconciled::default() };
        let ours: Vec<(Name, Name)> = rooms.into_iter().filter_map(|room| room_of(&room)).collect();
        let this = self.clone();
        let look_into = move |(tenant, room)| {
            let this = this.clone();
            async move { this.reconcile_room(tenant, room, thorough).await }.boxed()
        };
        let mut looked_into = stream::iter(ours).map(look_into).buffer_unordered(ROOMS_AT_ONCE);
        while let Some(found) = looked_into.next().await {
            match found {
                Ok(found) => sum.found += found,
                // Each room for itself: the next round looks again.
                Err(error) => {
                    sum.failed += 1;
                    tracing::debug!(%error, "a room could not be reconciled");
                }
            }
        }
        Ok(sum)
    }
}

impl Core {
    async fn reconcile_room(&self, tenant: Name, room: Name, thorough: bool) -> Result<usize, DispatchError> {
        let shard = Shard(shard_of_room(&tenant, &room, self.store.shards()));
        let known = self.store.page(shard, &tenant, Some(&room), None, OF_ROOM_MAX).await?;
        // A creation that failed says nothing of what is there: maybe it had not looked yet.
        let is_settled = known.iter().any(|(_, known)| known.state != State::Failed);
        if is_settled && !thorough {
            return Ok(0);
        }
        // A look is at a room; which agent stands in the place says nothing yet.
        let in_room = Place { tenant, room, agent: Name::default_tenant() };
        let look = self
            .look_into(&in_room)
            .await
            .map_err(|source| DispatchError::Provider { source, retry_after: self.settings.failure_hold })?;
        let mut found = 0;
        for (place, dispatch) in self.candidates(&in_room, &look) {
            let is_known = known.iter().any(|(_, known)| known.place == place && known.state != State::Failed);
            if !is_known && self.find_again(&place, dispatch).await? {
                found += 1;
            }
        }
        Ok(found)
    }

    /// The best dispatch of each agent: one whose agent is there, else the newest.
    fn candidates<'a>(&self, in_room: &Place, look: &'a Look) -> Vec<(Place, &'a ProviderDispatch)> {
        let mut of_agents: Vec<(Place, &ProviderDispatch)> = Vec::new();
        let mut all: Vec<_> = look.dispatches.iter().flatten().filter(|dispatch| self.is_wanted(dispatch)).collect();
        all.sort_by_key(|dispatch| (!is_present(dispatch, look), std::cmp::Reverse(dispatch.created_at_seconds)));
        for dispatch in all {
            let Ok(agent) = Name::strict(dispatch.agent.as_str()) else { continue };
            if of_agents.iter().all(|(place, _)| place.agent != agent) {
                of_agents.push((Place { agent, ..in_room.clone() }, dispatch));
            }
        }
        of_agents
    }

    /// Whether it is one of ours; who only observes follows those of others, too.
    fn is_wanted(&self, dispatch: &ProviderDispatch) -> bool {
        self.settings.observe_only || self.own_id(dispatch).is_some()
    }

    fn own_id(&self, dispatch: &ProviderDispatch) -> Option<DispatchId> {
        let id = dispatch.attributes.get(ATTRIBUTE_ID)?.parse().ok()?;
        self.mint.verify(id, dispatch.attributes.get(ATTRIBUTE_TOKEN)?).map(|_| id)
    }

    async fn find_again(&self, place: &Place, dispatch: &ProviderDispatch) -> Result<bool, DispatchError> {
        let mut rules = self.settings.acquire_rules(&place.agent, None, self.own.provider.name());
        // Its agent reports under the id that it was given.
        let own_shard = shard_of_room(&place.tenant, &place.room, self.store.shards());
        rules.id = self.own_id(dispatch).filter(|id| id.shard() == own_shard);
        // The provider carried out a creation late, when what it was for had ended.
        if let Some(id) = rules.id
            && matches!(self.store.place_of(id).await, Err(StoreError::Refused(Refusal::Ended)))
        {
            let removed = self.remove(place, &dispatch.id).await.is_ok();
            tracing::warn!(line.kept = Empty, dispatch = %id, room = %place.room.encoded(), provider_id = dispatch.id, removed, "a dispatch came to pass after its end");
            return Ok(false);
        }
        let Some((Verdict::Create, record)) = self.store.acquire(place, &dispatch.metadata, &rules, None).await? else {
            // Somebody has asked for it meanwhile.
            return Ok(false);
        };
        let adopted = Box::pin(self.adopt(&record)).await?;
        if let Some(adopted) = &adopted {
            tracing::info!(line.kept = Empty, dispatch = %adopted.id, room = %place.room.encoded(), agent = %place.agent, "a dispatch was found again");
        }
        Ok(adopted.is_some())
    }
}
