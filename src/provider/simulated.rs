//! A simulation of LiveKit within the process.
use std::collections::HashMap;

use super::{Look, ProviderDispatch, ProviderError, RoomTimeouts};

/// A simulated LiveKit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Simulated {}

#[expect(clippy::unused_async, reason = "the outline comes first")]
impl Simulated {
    pub(super) async fn ensure_room(&self, _room: &str, _timeouts: RoomTimeouts) -> Result<(), ProviderError> {
        Err(ProviderError::Timeout)
    }
    pub(super) async fn look(&self, _room: &str, _with_dispatches: bool) -> Result<Look, ProviderError> {
        Err(ProviderError::Timeout)
    }
    pub(super) async fn create(
        &self,
        _room: &str,
        _agent: &str,
        _metadata: &str,
        _attributes: HashMap<String, String>,
    ) -> Result<ProviderDispatch, ProviderError> {
        Err(ProviderError::Timeout)
    }
    pub(super) async fn delete(&self, _room: &str, _provider_id: &str) -> Result<(), ProviderError> {
        Err(ProviderError::Timeout)
    }
    pub(super) async fn remove_agent(&self, _room: &str, _identity: &str) -> Result<(), ProviderError> {
        Err(ProviderError::Timeout)
    }
}
