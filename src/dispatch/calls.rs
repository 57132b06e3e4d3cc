//! The calls of the provider: under the name that a room has there, through a breaker, measured, and held back where
//! greenroom only observes.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::field::Empty;

use super::service::Core;
use super::{Place, Settings};
use crate::breaker::{Guard, Guarded, Rules};
use crate::error_report::Classify as _;
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

impl Core {
    /// Who and what is in the room.
    pub(super) async fn look(&self, place: &Place, with_dispatches: bool) -> Result<Look, ProviderError> {
        self.guarded("look", &self.breakers.look, self.provider.look(&place.provider_room(), with_dispatches)).await
    }

    /// The names of all rooms.
    pub(super) async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        self.guarded("rooms", &self.breakers.look, self.provider.rooms()).await
    }

    /// Makes the room unless it exists.
    pub(super) async fn ensure_room(&self, place: &Place, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.guarded("ensure_room", &self.breakers.rooms, self.provider.ensure_room(&place.provider_room(), timeouts))
            .await
    }

    /// Dispatches the place's agent.
    pub(super) async fn create(
        &self,
        place: &Place,
        metadata: &str,
        attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        if self.settings.observe_only {
            tracing::info!(line.sampled = Empty, room = %place.room.encoded(), agent = %place.agent, "only observing: an agent would be dispatched now");
            return Err(ProviderError::ObserveOnly);
        }
        let room = place.provider_room();
        let create = self.provider.create(&room, place.agent.as_str(), metadata, attributes);
        self.guarded("create", &self.breakers.dispatch, create).await
    }

    /// Deletes a dispatch of the provider.
    pub(super) async fn delete(&self, place: &Place, provider_id: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.guarded("delete", &self.breakers.dispatch, self.provider.delete(&place.provider_room(), provider_id)).await
    }

    /// Shows an agent's participant out of the room.
    pub(super) async fn remove_agent(&self, place: &Place, identity: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.guarded("remove_agent", &self.breakers.rooms, self.provider.remove_agent(&place.provider_room(), identity))
            .await
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
