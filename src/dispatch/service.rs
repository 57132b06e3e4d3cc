//! The service that the HTTP layer calls.

use crate::dispatch::{
    Acquire, Acquired, Dispatch, DispatchError, ListFilter, Page, RoomNotice, SessionState, Step, TtlChange, Which,
};
use crate::name::Name;

/// Everything that can be asked about dispatches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatches {}

#[expect(clippy::unused_async, reason = "the outline comes first")]
impl Dispatches {
    /// Returns the live dispatch of the place, or makes one.
    pub async fn acquire(&self, _request: Acquire) -> Result<Acquired, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// One dispatch of the tenant.
    pub async fn get(&self, _tenant: &Name, _which: Which) -> Result<Dispatch, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// A page of the tenant's dispatches.
    pub async fn list(&self, _tenant: &Name, _filter: ListFilter) -> Result<Page, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Ends a dispatch, whoever is there; returns when it is gone at the provider.
    pub async fn end(&self, _tenant: &Name, _which: Which) -> Result<Dispatch, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Ends all dispatches of a room.
    pub async fn end_room(&self, _tenant: &Name, _room: &Name) -> Result<Vec<Dispatch>, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Notes that somebody is interested: the time to live starts anew if it runs.
    pub async fn touch(&self, _tenant: &Name, _which: Which) -> Result<Dispatch, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Arms, moves or cancels the time to live.
    pub async fn change_ttl(
        &self,
        _tenant: &Name,
        _which: Which,
        _change: TtlChange,
    ) -> Result<Dispatch, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// An agent says how its session is; `token` is the one from its job's attributes.
    pub async fn report(&self, _which: Which, _token: &str, _session: SessionState) -> Result<Dispatch, DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Takes in a provider's webhook.
    pub async fn notice(&self, _notice: RoomNotice) -> Result<(), DispatchError> {
        Err(DispatchError::NotFound)
    }

    /// Why the room has, or has no, agent: the dispatches it has and the steps that led here, oldest first.
    pub async fn explain(&self, _tenant: &Name, _room: &Name) -> Result<(Vec<Dispatch>, Vec<Step>), DispatchError> {
        Err(DispatchError::NotFound)
    }
}
