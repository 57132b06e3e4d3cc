//! The calls of the provider: under the name that a room has there, measured, and held back where greenroom only observes.

use std::collections::HashMap;
use std::future::Future;

use tokio::time::Instant;
use tracing::field::Empty;

use super::Place;
use super::service::Core;
use crate::error_report::Classify as _;
use crate::provider::{Look, ProviderDispatch, ProviderError, RoomTimeouts};

impl Core {
    /// Who and what is in the room.
    pub(super) async fn look(&self, place: &Place, with_dispatches: bool) -> Result<Look, ProviderError> {
        self.measured("look", self.provider.look(&place.provider_room(), with_dispatches)).await
    }

    /// The names of all rooms.
    pub(super) async fn rooms(&self) -> Result<Vec<String>, ProviderError> {
        self.measured("rooms", self.provider.rooms()).await
    }

    /// Makes the room unless it exists.
    pub(super) async fn ensure_room(&self, place: &Place, timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.measured("ensure_room", self.provider.ensure_room(&place.provider_room(), timeouts)).await
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
        self.measured("create", create).await
    }

    /// Deletes a dispatch of the provider.
    pub(super) async fn delete(&self, place: &Place, provider_id: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.measured("delete", self.provider.delete(&place.provider_room(), provider_id)).await
    }

    /// Shows an agent's participant out of the room.
    pub(super) async fn remove_agent(&self, place: &Place, identity: &str) -> Result<(), ProviderError> {
        if self.settings.observe_only {
            return Ok(());
        }
        self.measured("remove_agent", self.provider.remove_agent(&place.provider_room(), identity)).await
    }

    async fn measured<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let began = Instant::now();
        let answer = answer.await;
        let outcome = answer.as_ref().err().map_or("ok", ProviderError::kind);
        self.metrics.provider_called(call, outcome, began.elapsed());
        if let Err(error) = &answer {
            self.tell_of_failure(format!("provider.{call}"), error.class(), Some(error.kind()), error.to_string());
        }
        answer
    }
}
