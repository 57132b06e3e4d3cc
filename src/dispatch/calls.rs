//! The calls of the provider: under the name that a room has there, through a breaker, measured, and held back where
//! greenroom only observes.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::field::Empty;

use super::service::Core;
use super::{Dispatch, Place, Settings};
use crate::breaker::{Guard, Guarded, Rules};
use crate::error_report::Classify as _;
use crate::id::LeaseId;
use crate::provider::{Look, Provider, ProviderDispatch, ProviderError, RoomTimeouts};
use crate::store::Store;
use crate::telemetry::Metrics;

/// The breakers around the calls of the provider: apart, for looks may work where nothing can be made.
#[derive(Debug, Clone)]
pub(super) struct ProviderBreakers {
    look: Guard,
    rooms: Guard,
    dispatch: Guard,
}

impl ProviderBreakers {
    pub(super) fn new(provider: &Provider, settings: &Settings, store: &Store, metrics: &Arc<Metrics>) -> Self {
        let names = match provider {
            Provider::LiveKit(_) => ["livekit.look", "livekit.rooms", "livekit.dispatch"],
            Provider::Simulated(_) => ["simulated.look", "simulated.rooms", "simulated.dispatch"],
            Provider::Pool(_) => ["pool.look", "pool.rooms", "pool.dispatch"],
            Provider::Names => ["names.look", "names.rooms", "names.dispatch"],
        };
        let guard =
            |name, rules| Guard::new(name, rules, settings.breaker_jitter_max, store.clone(), Arc::clone(metrics));
        let rules = settings.breaker;
        Self {
            look: guard(names[0], rules),
            rooms: guard(names[1], Rules { failures_max: settings.room_failures_max, ..rules }),
            dispatch: guard(names[2], rules),
        }
    }

    pub(super) fn all(&self) -> Vec<Guard> {
        [&self.look, &self.rooms, &self.dispatch].into_iter().cloned().collect()
    }
}

/// A provider, and the breakers around its calls.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) provider: Provider,
    pub(super) breakers: ProviderBreakers,
}

impl Core {
    /// Who serves dispatches of the provider of that name: pools, or the service's own one.
    fn served_by(&self, provider: &str) -> &Served {
        self.pools.get().filter(|pools| pools.provider.name() == provider).unwrap_or(&self.own)
    }

    /// Who made what the provider calls so: the ids of pools are those of leases.
    fn maker_of(&self, provider_id: &str) -> &Served {
        let is_lease = provider_id.parse::<LeaseId>().is_ok();
        self.pools.get().filter(|_| is_lease).unwrap_or(&self.own)
    }

    /// Who and what is in the dispatch's room. What the dispatch holds is kept, also where no look comes about.
    pub(super) async fn look(&self, dispatch: &Dispatch, with_dispatches: bool) -> Result<Look, ProviderError> {
        let (place, served) = (&dispatch.place, self.served_by(&dispatch.provider));
        let (room, agent) = (place.provider_room(), place.agent.as_str());
        let look = served.provider.look(&room, agent, with_dispatches);
        let look = self.guarded("look", &served.breakers.look, look).await;
        if look.is_err() {
            served.provider.keep(&room, agent).await;
        }
        look
    }

    /// Who and what is in a room of the service's own provider.
    pub(super) async fn look_into(&self, place: &Place) -> Result<Look, ProviderError> {
        let room = place.provider_room();
        let look = self.own.provider.look(&room, place.agent.as_str(), true);
        self.guarded("look", &self.own.breakers.look, look).await
    }

    /// The names of all rooms.
    pub(super) async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        self.guarded("rooms", &self.own.breakers.look, self.own.provider.rooms()).await
    }

    /// Makes the dispatch's room unless it exists.
    pub(super) async fn ensure_room(&self, dispatch: &Dispatch, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        let (room, served) = (dispatch.place.provider_room(), self.served_by(&dispatch.provider));
        self.guarded("ensure_room", &served.breakers.rooms, served.provider.ensure_room(&room, timeouts)).await
    }

    /// Dispatches the place's agent.
    pub(super) async fn create(
        &self,
        dispatch: &Dispatch,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        let place = &dispatch.place;
        if self.settings.observe_only {
            tracing::info!(line.sampled = Empty, room = %place.room.encoded(), agent = %place.agent, "only observing: an agent would be dispatched now");
            return Err(ProviderError::ObserveOnly);
        }
        let (room, served) = (place.provider_room(), self.served_by(&dispatch.provider));
        let create = served.provider.create(&room, place.agent.as_str(), metadata, attributes);
        self.guarded("create", &served.breakers.dispatch, create).await
    }

    /// Deletes a dispatch of the provider.
    pub(super) async fn delete(&self, place: &Place, provider_id: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        let (room, served) = (place.provider_room(), self.maker_of(provider_id));
        self.guarded("delete", &served.breakers.dispatch, served.provider.delete(&room, provider_id)).await
    }

    /// Shows an agent's participant out of the dispatch's room.
    pub(super) async fn remove_agent(&self, dispatch: &Dispatch, identity: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        let (room, served) = (dispatch.place.provider_room(), self.served_by(&dispatch.provider));
        self.guarded("remove_agent", &served.breakers.rooms, served.provider.remove_agent(&room, identity)).await
    }

    async fn guarded<T>(
        &self,
        call: &'static str,
        guard: &Guard,
        answer: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let measured = async {
            let began = Instant::now();
            let answer = answer.await;
            let outcome = answer.as_ref().err().map_or("ok", ProviderError::kind);
            self.metrics.provider_called(call, outcome, began.elapsed());
            if let Err(error) = &answer {
                self.tell_of_failure(format!("provider.{call}"), error.class(), Some(error.kind()), error.to_string());
            }
            answer
        };
        guard.call(ProviderError::is_outage, measured).await.map_err(|error| match error {
            Guarded::Failed(error) => error,
            Guarded::Refused(refused) => {
                ProviderError::BreakerOpen { breaker: refused.breaker.to_owned(), retry_after: refused.retry_after }
            }
        })
    }
}
